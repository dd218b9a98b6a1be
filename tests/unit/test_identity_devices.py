# SPDX-License-Identifier: Apache-2.0
"""Rules of devices: the administrator and the device itself sign, stopping is easy, and a key is used once."""

import pytest

from identity.devices import DEVICE_LIFETIME_MS_MAX, counts, load_device
from identity.pb import identity_pb2 as pb
from tests.identity_rig import REASON, IdentityRig, key_of, key_pb
from tests.rig import START_MS

DAY_MS = 86_400_000
ADMIN, KIOSK = "org-r:govern", "kiosk-1@p256"


@pytest.fixture
def rig() -> IdentityRig:
    return IdentityRig()


def register(rig: IdentityRig, key: str = KIOSK, **changes: object) -> pb.RegisterDevice:
    fields: dict[str, object] = {
        "key": key_pb(key),
        "kind": pb.DEVICE_KIND_KIOSK,
        "place_zh": "祖庙街道办事大厅",
        "valid_to_ms": rig.time_ms + 365 * DAY_MS,
    }
    return pb.RegisterDevice(**{**fields, **changes})


def status(what: pb.Status.ValueType, key: str = KIOSK) -> pb.SetDeviceStatus:
    return pb.SetDeviceStatus(key=key_pb(key), status=what, reason=REASON)


def record(rig: IdentityRig) -> pb.DeviceRecord | None:
    return load_device(rig.state.get, key_of(KIOSK))


def test_device_counts_from_its_registration_until_its_time_is_over(rig: IdentityRig) -> None:
    assert not counts(record(rig), rig.time_ms)
    message, time_ms = register(rig), rig.time_ms
    assert rig.code((ADMIN, KIOSK), message) == ""
    assert record(rig) == pb.DeviceRecord(
        registrar="org-r",
        kind=pb.DEVICE_KIND_KIOSK,
        status=pb.PERSON_STATUS_ACTIVE,
        since_ms=time_ms,
        place_zh=message.place_zh,
        valid_to_ms=message.valid_to_ms,
    )
    assert counts(record(rig), message.valid_to_ms - 1)
    assert not counts(record(rig), message.valid_to_ms)


@pytest.mark.parametrize(
    ("circumstance", "signers", "code"),
    [
        ("the administrator alone", ADMIN, "identity.device-not-signing"),
        ("another device's key", (ADMIN, "kiosk-2@p256"), "identity.device-not-signing"),
        ("the same key as a passkey", (ADMIN, "kiosk-1@webauthn"), "identity.device-not-signing"),
        ("an officer", ("eve@p256", KIOSK), "identity.not-governing"),
        ("a service", ("org-r:submit", KIOSK), "identity.not-governing"),
        ("no registrar's administrator", ("org-a:govern", KIOSK), "identity.not-registrar"),
        ("two administrators", (ADMIN, "org-s:govern", KIOSK), "identity.not-governing"),
    ],
)
def test_administrator_and_device_sign_the_registration(
    rig: IdentityRig, circumstance: str, signers: str | tuple[str, ...], code: str
) -> None:
    assert rig.code(signers, register(rig)) == code, circumstance
    assert record(rig) is None


@pytest.mark.parametrize(
    ("circumstance", "changes", "code"),
    [
        ("no kind", {"kind": 0}, "identity.invalid-device"),
        ("unknown kind", {"kind": 4}, "identity.invalid-device"),
        ("no place", {"place_zh": ""}, "identity.invalid-name"),
        ("place in English", {"place_zh": "", "place_en": "Town hall"}, ""),
        ("place that turns around", {"place_en": "a\u202eb"}, "identity.invalid-name"),
        ("long place", {"place_zh": "厅" * 65}, "identity.invalid-name"),
        ("no time left", {"valid_to_ms": START_MS}, "identity.invalid-validity"),
        ("no end", {"valid_to_ms": 0}, "identity.invalid-validity"),
        ("six years", {"valid_to_ms": START_MS + DEVICE_LIFETIME_MS_MAX + DAY_MS}, "identity.invalid-validity"),
    ],
)
def test_registration_keeps_to_its_bounds(
    rig: IdentityRig, circumstance: str, changes: dict[str, object], code: str
) -> None:
    assert rig.code((ADMIN, KIOSK), register(rig, **changes)) == code, circumstance


@pytest.mark.parametrize(
    ("circumstance", "key", "code"),
    [
        ("passkey", "kiosk-1@webauthn", "identity.invalid-device"),
        ("Ed25519", "kiosk-1", "identity.invalid-device"),
        ("an organisation's key", "desk@p256", "identity.device-key-used"),
        ("an officer's key", "ann@p256", "identity.device-key-used"),
        ("an officer's passkey as a card", "bob@webauthn", "identity.invalid-device"),
    ],
)
def test_device_has_a_key_of_its_own(rig: IdentityRig, circumstance: str, key: str, code: str) -> None:
    assert rig.code((ADMIN, key), register(rig, key)) == code, circumstance


def test_device_key_is_registered_once(rig: IdentityRig) -> None:
    assert rig.code((ADMIN, KIOSK), register(rig)) == ""
    assert rig.code((ADMIN, KIOSK), register(rig)) == "identity.device-key-used"
    assert rig.code(ADMIN, status(pb.STATUS_REVOKED)) == ""
    assert rig.code((ADMIN, KIOSK), register(rig)) == "identity.device-key-used"
    assert rig.code(("org-s:govern", KIOSK), register(rig)) == "identity.device-key-used"


@pytest.mark.parametrize(
    ("circumstance", "signer", "history", "what", "code"),
    [
        ("suspended by a service", "org-r:submit", [], pb.STATUS_SUSPENDED, ""),
        ("suspended by an officer", "bob@webauthn", [], pb.STATUS_SUSPENDED, ""),
        ("suspended by another registrar", "org-s:govern", [], pb.STATUS_SUSPENDED, "identity.unknown-device"),
        ("suspended by itself", KIOSK, [], pb.STATUS_SUSPENDED, None),
        ("suspended twice", ADMIN, [pb.STATUS_SUSPENDED], pb.STATUS_SUSPENDED, "identity.device-suspended"),
        ("reinstated by the administrator", ADMIN, [pb.STATUS_SUSPENDED], pb.STATUS_REINSTATED, ""),
        (
            "reinstated by a service",
            "org-r:submit",
            [pb.STATUS_SUSPENDED],
            pb.STATUS_REINSTATED,
            "identity.not-governing",
        ),
        ("reinstated though active", ADMIN, [], pb.STATUS_REINSTATED, "identity.device-not-suspended"),
        ("revoked by a service", "org-r:submit", [], pb.STATUS_REVOKED, "identity.not-governing"),
        ("revoked while suspended", ADMIN, [pb.STATUS_SUSPENDED], pb.STATUS_REVOKED, ""),
        ("reinstated though revoked", ADMIN, [pb.STATUS_REVOKED], pb.STATUS_REINSTATED, "identity.unknown-device"),
        ("no status", ADMIN, [], pb.STATUS_UNSPECIFIED, "identity.unknown-status"),
    ],
)
def test_status_follows_from_where_the_device_stands(
    rig: IdentityRig,
    circumstance: str,
    signer: str,
    history: list[pb.Status.ValueType],
    what: pb.Status.ValueType,
    code: str | None,
) -> None:
    assert rig.code((ADMIN, KIOSK), register(rig)) == ""
    for before in history:
        assert rig.code(ADMIN, status(before)) == ""
    if code is None:
        assert rig.run(rig.sign(signer, status(what))).entries == (), "a device's key alone is not even known"
        return
    assert rig.code(signer, status(what)) == code, circumstance
    stands = what if not code else [*history, pb.STATUS_REINSTATED][0]
    assert counts(record(rig), rig.time_ms) is (stands == pb.STATUS_REINSTATED)


def test_unknown_device_and_missing_reason_are_refused(rig: IdentityRig) -> None:
    assert rig.code(ADMIN, status(pb.STATUS_SUSPENDED)) == "identity.unknown-device"
    unreasoned = pb.SetDeviceStatus(key=key_pb(KIOSK), status=pb.STATUS_SUSPENDED)
    assert rig.code(ADMIN, unreasoned) == "identity.unknown-reason"


def test_device_gets_no_right_by_its_registration(rig: IdentityRig) -> None:
    assert rig.code((ADMIN, KIOSK), register(rig)) == ""
    revoke = pb.SetStatus(id=bytes(16), status=pb.STATUS_REVOKED, reason=REASON)
    assert rig.run(rig.sign(KIOSK, revoke)).entries == ()
    assert rig.code((KIOSK, "org-r:submit"), revoke) == "identity.no-attest-key"
