# SPDX-License-Identifier: Apache-2.0
"""A network with a credit authority, sources, and a registrar that keeps logs, for tests of credit's rules.

org-c is the authority; org-x and org-y are sources of classes 101 and 301, org-x of 201 (pledges) too; org-r keeps
logs. Keys: identity_rig's ann and bob, and `judge@p256`, `chief@webauthn` of org-x.
"""

from collections.abc import Mapping

from credit.pb import credit_pb2 as pb
from credit.slots import Content, content_commitment, link_commitment, log_commitment
from identity.commitments import anchor_of
from membership.genesis import key_section
from tests.identity_rig import IdentityRig, hidden, key_of
from tests.rig import Rig, genesis, organisation

KEEPER = "org-r:submit"
AUTHORITY = "org-c:attest"
X, Y = "org-x:attest", "org-y:attest"

PENALTY: Mapping[str, object] = {
    "class": 101,
    "version": 1,
    "kind": pb.KIND_RECORD,
    "polarity": pb.POLARITY_NEGATIVE,
    "severity": pb.SEVERITY_SERIOUS,
    "dimension": 1,
    "name_zh": "行政处罚",
    "legal_basis": "行政处罚法",
    "publication_days_min": 365,
    "publication_days_max": 1_096,
    "effects": [pb.EFFECT_PUBLICATION, pb.EFFECT_BURDEN],
}
PLEDGE: Mapping[str, object] = {
    "class": 201,
    "version": 1,
    "kind": pb.KIND_PLEDGE,
    "polarity": pb.POLARITY_POSITIVE,
    "severity": pb.SEVERITY_NONE,
    "dimension": 2,
    "name_en": "Pledge",
    "legal_basis": "信用承诺",
    "effects": [pb.EFFECT_BENEFIT],
}
HONOUR: Mapping[str, object] = {**PLEDGE, "class": 301, "kind": pb.KIND_RECORD, "name_en": "Honour"}


class CreditRig(IdentityRig):
    """The network, with the three classes put and their sources granted."""

    def __init__(self) -> None:
        humans = tuple(key_section(key_of(name), "attest") for name in ("judge@p256", "chief@webauthn"))
        officers = tuple(key_section(key_of(name), "attest") for name in ("ann@p256", "bob@webauthn"))
        Rig.__init__(
            self,
            genesis(
                [
                    organisation("org-c", roles=("credit-authority",)),
                    organisation("org-r", roles=("registrar",), extra=officers),
                    organisation("org-s", roles=("registrar",)),
                    organisation("org-u", roles=("uniqueness",)),
                    organisation("org-x", extra=humans),
                    organisation("org-y"),
                ],
                [("v0", "org-c")],
            ),
        )
        self._appoint()
        for fields in (PENALTY, PLEDGE, HONOUR):
            assert self.code(AUTHORITY, pb.PutClass(**fields)) == ""
        assert self.code(AUTHORITY, pb.GrantSource(organisation="org-x", classes=[101, 201, 301])) == ""
        assert self.code(AUTHORITY, pb.GrantSource(organisation="org-y", classes=[101, 301])) == ""

    def _appoint(self) -> None:
        from identity.pb import identity_pb2  # noqa: PLC0415 - beside the other module's messages of the same short name
        from tests.identity_rig import CONFIRMS, ENROLS, key_pb, number  # noqa: PLC0415 - likewise

        for key, person, duties in (("ann@p256", "ann", ENROLS), ("bob@webauthn", "bob", CONFIRMS)):
            appoint = identity_pb2.AppointOfficer(key=key_pb(key), officer=number(person), duties=duties)
            assert self.code("org-r:govern", appoint) == ""
        assert self.code("org-u:attest", identity_pb2.RotateTagKey(key_version=1)) == ""

    def event(self, slot: bytes) -> pb.EventRecord:
        return pb.EventRecord.FromString(self.state[b"credit/slot/" + slot.hex().encode()])


def slot(i: int, log: str = "log") -> bytes:
    return hidden(f"{log} slot {i}")


def salt(what: str, i: int = 0) -> bytes:
    return hidden(f"salt {what} {i}")


def log(name: str = "log") -> bytes:
    return log_commitment(slot(0, name), salt(name))


def content(day: int = 20_000, severity: str = "serious") -> Content:
    return Content(severity, day, day)


def objection(i: int, turn: int = 0) -> bytes:
    """What objects to event i for the first, second … time."""
    return hidden(f"objection {i} {turn}")


def record(
    i: int, number: int = 101, what: Content | None = None, name: str = "log", **changes: object
) -> pb.RecordEvent:
    """The i-th event of a log."""
    fields: dict[str, object] = {
        "slot": slot(i, name),
        "class": number,
        "class_version": 1,
        "content": content_commitment(what or content(severity="serious" if number == 101 else "none"), salt("c", i)),
        "next": link_commitment(slot(i + 1, name), salt("n", i)),
        "objection": anchor_of(objection(i)),
    }
    return pb.RecordEvent(**{**fields, **changes})


def opening(i: int, what: Content, name: str = "log") -> pb.Opening:
    return pb.Opening(
        content=what.encode(), content_salt=salt("c", i), next_slot=slot(i + 1, name), next_salt=salt("n", i)
    )
