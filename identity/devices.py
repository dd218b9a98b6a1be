# SPDX-License-Identifier: Apache-2.0
"""Devices: machines that deal with citizens, such as kiosks, each with a key that wallets and services can look up.

    absent --RegisterDevice--> active <--SetDeviceStatus--> suspended
    active, suspended --SetDeviceStatus--> revoked, for good

They are public: whose they are and where they stand is there to be compared with what one sees. A device's key is no
organisation's and no officer's, so it has no right of its own; whoever relies on it looks whether it counts. Under
`identity/device/<scheme>/<public key in hex>`.  Source: docs/identity.md, "Devices".
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.signing import Scheme, Signer
from identity.officers import acting_registrar, governing_registrar, load_officer
from identity.pb import identity_pb2 as pb
from identity.registrations import LIVING
from identity.status import check_reason
from membership.keys import read_signer
from membership.names import check_display_names
from membership.state import load_key

DEVICE_LIFETIME_MS_MAX: Final = 5 * 366 * 86_400_000
"""Five years: as long as such a machine stands before it is replaced."""

_KINDS: Final = frozenset(pb.DeviceKind.values()) - {pb.DEVICE_KIND_UNSPECIFIED}


def device_key(signer: Signer) -> bytes:
    """State key of a device."""
    return b"identity/device/%d/%s" % (signer.scheme, signer.public_key.hex().encode())


def load_device(read: ReadState, signer: Signer) -> pb.DeviceRecord | None:
    """A device by its key, also one that is revoked; None: it never was one."""
    raw = read(device_key(signer))
    return None if raw is None else pb.DeviceRecord.FromString(raw)


def counts(record: pb.DeviceRecord | None, at_ms: int) -> bool:
    """Whether a device counts at a time: registered, neither suspended nor revoked, still valid."""
    return record is not None and record.status == pb.PERSON_STATUS_ACTIVE and at_ms < record.valid_to_ms


def register_device(context: Context, message: pb.RegisterDevice) -> None:
    """Register a device. One write.

    Raises:
        Refused: The registrar's `govern` key or the device's own did not sign, the key is or was somebody's, or a field
            is not as it must be.
    """
    registrar = governing_registrar(context)
    signer = read_signer(message.key)
    if signer.scheme is not Scheme.P256:
        raise Refused("a device signs with a P-256 key", "identity.invalid-device")
    if signer not in context.signers:
        raise Refused("the device's own key signs too, which shows that it has it", "identity.device-not-signing")
    if load_device(context.read, signer) is not None:
        raise Refused("this key was a device's before; each has its own", "identity.device-key-used")
    for scheme in Scheme:
        other = Signer(scheme, signer.public_key)
        if load_key(context.read, other) is not None or load_officer(context.read, other) is not None:
            raise Refused("this key is or was an organisation's or an officer's", "identity.device-key-used")
    if message.kind not in _KINDS:
        raise Refused("the kind of device is not known", "identity.invalid-device")
    try:
        check_display_names(message.place_zh, message.place_en)
    except Refused as refusal:
        raise Refused(refusal.reason, "identity.invalid-name") from None
    time_ms = context.block.time_ms
    if not time_ms < message.valid_to_ms <= time_ms + DEVICE_LIFETIME_MS_MAX:
        raise Refused("a device is registered for at most five years", "identity.invalid-validity")
    record = pb.DeviceRecord(
        registrar=registrar,
        kind=message.kind,
        status=pb.PERSON_STATUS_ACTIVE,
        since_ms=time_ms,
        place_zh=message.place_zh,
        place_en=message.place_en,
        valid_to_ms=message.valid_to_ms,
    )
    context.write(device_key(signer), encode(record))


def set_device_status(context: Context, message: pb.SetDeviceStatus) -> None:
    """Suspend, reinstate or revoke a device. One write.

    Raises:
        Refused: No key of the registrar signs that may, it keeps no such device, or the status does not allow it.
    """
    check_reason(message.reason)
    is_suspending = message.status == pb.STATUS_SUSPENDED
    registrar = acting_registrar(context) if is_suspending else governing_registrar(context)
    signer = read_signer(message.key)
    record = load_device(context.read, signer)
    if record is None or record.registrar != registrar or record.status not in LIVING:
        raise Refused("this registrar keeps no such device that is not revoked", "identity.unknown-device")
    is_suspended = record.status == pb.PERSON_STATUS_SUSPENDED
    match message.status:
        case pb.STATUS_SUSPENDED:
            if is_suspended:
                raise Refused("the device is suspended already", "identity.device-suspended")
            record.status, record.reason = pb.PERSON_STATUS_SUSPENDED, message.reason
        case pb.STATUS_REINSTATED:
            if not is_suspended:
                raise Refused("the device is not suspended", "identity.device-not-suspended")
            record.status = pb.PERSON_STATUS_ACTIVE
            record.ClearField("reason")
        case pb.STATUS_REVOKED:
            record.status, record.reason = pb.PERSON_STATUS_REVOKED, message.reason
        case _:
            raise Refused("the status is not known", "identity.unknown-status")
    record.since_ms = context.block.time_ms
    context.write(device_key(signer), encode(record))
