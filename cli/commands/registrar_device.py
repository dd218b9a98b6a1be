# SPDX-License-Identifier: Apache-2.0
"""`zhixin registrar device`: machines that deal with citizens; the administrator registers, anyone of the office stops.

A device's key is a P-256 key file in the same home: it signs its own registration beside the governing key.
"""

import time
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.message import Message

from chain.codec import encode
from chain.signing import Scheme, Signer, TransactionSigner
from chain.transaction import Operation
from cli import acting
from cli.command import command, group
from cli.commands.registrar_party import ReasonName, ReasonOption, reason_of
from cli.errors import InputError, MissingError
from cli.home import Home, HomeOption, KeyOption, OutOption, find_home, public_signer
from cli.language import t
from cli.output import Json, emit
from cli.records import show
from cli.run import run_async
from client.answers import ProvenState
from identity.devices import counts, device_key
from identity.pb import identity_pb2 as pb
from membership.state import signer_pb

app = group(t("help.registrar.device"))

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help=t("device.option.key"))]
HEX_DIGITS: Final = 66


class KindName(StrEnum):
    """What a device is."""

    KIOSK = "kiosk"
    DESK = "desk"
    GATE = "gate"


_KINDS: Final = {name: pb.DeviceKind.Value("DEVICE_KIND_" + name.name) for name in KindName}


@command(app, "register", t("device.register.help"))
def register(
    device: Annotated[str, typer.Argument(metavar="DEVICE-KEY", help=t("device.option.name"))],
    home: HomeOption = None,
    kind: Annotated[KindName, typer.Option("--kind", help=t("device.option.kind"))] = KindName.KIOSK,
    place_zh: Annotated[str, typer.Option("--place-zh", help=t("device.option.place"))] = "",
    place_en: Annotated[str, typer.Option("--place-en", help=t("device.option.place"))] = "",
    days: Annotated[int, typer.Option("--days", min=1, max=1_830, help=t("device.option.days"))] = 730,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """Register a device by its key file, which signs too."""
    place = find_home(home)
    own = place.signer(device)
    if own.signer.scheme is not Scheme.P256:
        raise InputError("key.unusable", t("device.algorithm", name=device))
    message = pb.RegisterDevice(
        key=signer_pb(own.signer),
        kind=_KINDS[kind],
        place_zh=place_zh,
        place_en=place_en,
        valid_to_ms=int((time.time() + timedelta(days=days).total_seconds()) * 1000),
    )
    done = _submit(place, message, [place.signer(key), own], out)
    public_key = own.signer.public_key.hex()
    emit(done | {"device": public_key}, t("device.registered", key=public_key))


@command(app, "show", t("device.show.help"))
def show_device(device: DeviceArgument, home: HomeOption = None) -> None:
    """What a device is registered as, with proof."""
    place = find_home(home)
    state = _read(place, _signer(place, device))
    if state.value is None:
        raise MissingError("device.missing", t("device.missing"))
    record = pb.DeviceRecord.FromString(state.value)
    is_counting = counts(record, state.checkpoint.time_ms)
    fields: dict[str, Json] = {"counts": is_counting, "height": state.checkpoint.height, **show(record)}
    words = t(
        "device.registration",
        kind=next(name.value for name, kind in _KINDS.items() if kind == record.kind),
        place=" / ".join(filter(None, (record.place_zh, record.place_en))),
        registrar=record.registrar,
        since=acting.show_time(record.since_ms),
        until=acting.show_time(record.valid_to_ms),
    )
    emit(fields, t("device.counts") if is_counting else t("device.counts-not"), words)


@command(app, "suspend", t("device.suspend.help"))
def suspend(
    device: DeviceArgument,
    reason: ReasonOption = ReasonName.UNDER_INVESTIGATION,
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """Stop a device at once."""
    emit(_set(home, device, pb.STATUS_SUSPENDED, reason, key, out), t("device.suspended"))


@command(app, "reinstate", t("device.reinstate.help"))
def reinstate(
    device: DeviceArgument,
    reason: ReasonOption = ReasonName.INVESTIGATION_CLOSED,
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """End a suspension."""
    emit(_set(home, device, pb.STATUS_REINSTATED, reason, key, out), t("device.reinstated"))


@command(app, "revoke", t("device.revoke.help"))
def revoke(
    device: DeviceArgument,
    reason: ReasonOption = ReasonName.KEY_COMPROMISED,
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """End a device for good."""
    emit(_set(home, device, pb.STATUS_REVOKED, reason, key, out), t("device.revoked"))


def _set(
    home: Path | None,
    device: str,
    status: pb.Status.ValueType,
    reason: ReasonName,
    key: str | None,
    out: Path | None,
) -> dict[str, Json]:
    place = find_home(home)
    message = pb.SetDeviceStatus(key=signer_pb(_signer(place, device)), status=status, reason=reason_of(reason))
    return _submit(place, message, [place.signer(key)], out)


def _submit(place: Home, message: Message, signers: list[TransactionSigner], out: Path | None) -> dict[str, Json]:
    operation = Operation.make(f"identity.{message.DESCRIPTOR.name}", encode(message))
    return acting.submit_as(place, [operation], signers, out=out)


def _signer(place: Home, device: str) -> Signer:
    """A device's key by its public key in hex, or by the name of its key file.

    Raises:
        InputError: It is neither.
    """
    if len(device) == HEX_DIGITS:
        return Signer(Scheme.P256, acting.parse_hex(device, (HEX_DIGITS // 2,)))
    return public_signer(place, device)


def _read(place: Home, signer: Signer) -> ProvenState:
    async def ask() -> ProvenState:
        async with place.session() as session:
            return await session.read(device_key(signer))

    return run_async(ask())
