# SPDX-License-Identifier: Apache-2.0
"""A network with registrars, officers and a uniqueness service, for tests of identity's rules.

A key's name says its scheme: `ann@p256`, `bob@webauthn`; without one it is Ed25519. Officers of org-r: ann enrols, bob
confirms, eve does both; ann has a second key that confirms. Officers of org-s: sue enrols and confirms.
"""

from collections.abc import Sequence

from google.protobuf.message import Message

from chain.pb import ledger_pb2
from chain.signing import Scheme, Signer
from chain.strict_json import Json
from chain.transaction import Operation, SignedTransaction
from chain.types import sha256
from identity.commitments import anchor_of
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from identity.registrations import load_person, proposal_digest
from membership.genesis import key_section
from tests.rig import Rig, genesis, organisation, signer, transaction

ENROLS, CONFIRMS, BOTH = [pb.DUTY_ENROL], [pb.DUTY_CONFIRM], [pb.DUTY_ENROL, pb.DUTY_CONFIRM]
OFFICERS: tuple[tuple[str, str, str, list[pb.Duty.ValueType]], ...] = (
    ("org-r", "ann@p256", "ann", ENROLS),
    ("org-r", "ann-2@webauthn", "ann", CONFIRMS),
    ("org-r", "bob@webauthn", "bob", CONFIRMS),
    ("org-r", "eve@p256", "eve", BOTH),
    ("org-s", "sue@p256", "sue", BOTH),
    ("org-s", "tom@p256", "tom", BOTH),
)
"""Organisation, key, person, duties."""
SPARE_KEYS = ("spare@p256", "spare@webauthn", "spare")
"""Keys of org-r that attest and are nobody's yet."""
USCC = "91110000600037341L"
REASON = pb.REASON_HOLDER_REQUEST


def key_of(name: str) -> Signer:
    """A public key by its name."""
    scheme = {"p256": Scheme.P256, "webauthn": Scheme.WEBAUTHN_ES256}.get(name.partition("@")[2], Scheme.ED25519)
    return signer(name.partition("@")[0], scheme) if name.startswith("spare") else signer(name, scheme)


def key_pb(name: str) -> ledger_pb2.Signer:
    key = key_of(name)
    return ledger_pb2.Signer(scheme=ledger_pb2.Scheme.ValueType(key.scheme), public_key=key.public_key)


def number(person: str) -> bytes:
    """An officer's number."""
    return sha256(b"officer " + person.encode())[:16]


def random_id(what: object) -> bytes:
    """Stands for 16 random bytes."""
    return sha256(f"id {what}".encode())[:16]


def hidden(what: object) -> bytes:
    """Stands for a salted commitment, a tag, or a secret."""
    return sha256(f"hidden {what}".encode())


def new_key(what: object, purpose: int = pb.CONTROL_PURPOSE_SIGN) -> pb.NewKey:
    return pb.NewKey(purpose=pb.ControlPurpose.ValueType(purpose), commitment=hidden(f"key {what}"))


class IdentityRig(Rig):
    """A network whose officers are appointed and whose uniqueness service has its first key; `others` are in it too."""

    def __init__(self, *others: dict[str, Json]) -> None:
        officers = {
            name: tuple(key_section(key_of(key), "attest") for owner, key, _, _ in OFFICERS if owner == name)
            for name in ("org-r", "org-s")
        }
        spare = tuple(key_section(key_of(name), "attest") for name in SPARE_KEYS)
        submits = (key_section(key_of("desk@p256"), "submit"),)
        super().__init__(
            genesis(
                [
                    organisation("org-a"),
                    organisation("org-r", roles=("registrar",), extra=officers["org-r"] + spare + submits),
                    organisation("org-s", roles=("registrar",), extra=officers["org-s"]),
                    organisation("org-u", roles=("uniqueness",)),
                    *others,
                ],
                [("v0", "org-a")],
            )
        )
        for owner, key, person, duties in OFFICERS:
            appoint = pb.AppointOfficer(key=key_pb(key), officer=number(person), duties=duties)
            assert self.code(f"{owner}:govern", appoint) == ""
        assert self.code("org-u:attest", pb.RotateTagKey(key_version=1)) == ""

    def sign(self, names: str | Sequence[str], *messages: Message | Operation) -> SignedTransaction:
        """A transaction for the next block, signed by keys of these names."""
        self.salt += 1
        signers = [key_of(name) for name in ([names] if isinstance(names, str) else names)]
        return transaction(messages, signers, self.time_ms + 10_000, self.salt)

    # ------------------------------------------------------------ steps that succeed

    def tag(self, what: object, registrar: str = "org-r") -> None:
        """Register a person's tag."""
        assert self.code("org-u:attest", register_tag(what, registrar)) == ""

    def proposed(self, *keys: pb.NewKey, person: bytes = random_id(1)) -> bytes:
        """An enrolment by ann that nobody has confirmed."""
        assert self.code("ann@p256", enrol(person, *keys)) == ""
        return person

    def enrolled(self, *keys: pb.NewKey, person: bytes = random_id(1)) -> bytes:
        """An active registration with these keys."""
        self.tag(person.hex())
        self.proposed(*keys, person=person)
        assert self.code("bob@webauthn", self.confirm(person)) == ""
        return person

    def confirm(self, person: bytes) -> pb.Confirm:
        """The confirmation of what is proposed now."""
        return pb.Confirm(id=person, digest=proposal_digest(self.person(person).proposal))

    def person(self, person: bytes) -> pb.PersonRecord:
        record = load_person(self.state.get, person)
        assert record is not None
        return record


def register_tag(what: object, owner: str = "org-r", version: int = 1, **changes: object) -> pb.RegisterTag:
    fields: dict[str, object] = {
        "key_version": version,
        "tag": hidden(f"tag {version} {what}"),
        "registrar": registrar_digest(owner),
        "holder": hidden(f"holder {what}"),
    }
    return pb.RegisterTag(**{**fields, **changes})


def change(*keys: pb.NewKey, **changes: object) -> pb.Change:
    """All that an enrolment names."""
    fields: dict[str, object] = {
        "commitment": hidden("person's data"),
        "assurance_level": pb.ASSURANCE_LEVEL_HIGH,
        "proofing_method": pb.PROOFING_METHOD_DOCUMENT_CHIP,
        "binds": keys,
    }
    return pb.Change(**{**fields, **changes})


def enrol(person: bytes, *keys: pb.NewKey, **changes: object) -> pb.Enrol:
    return pb.Enrol(id=person, change=change(*keys, **changes))


def person_status(
    person: bytes, status: int, key: bytes = b"", method: int = 0, reason: int = REASON
) -> pb.SetPersonStatus:
    return pb.SetPersonStatus(
        id=person,
        key=key,
        status=pb.Status.ValueType(status),
        reason=pb.Reason.ValueType(reason),
        proofing_method=pb.ProofingMethod.ValueType(method),
    )


def secret(side: str, what: object) -> bytes:
    return hidden(f"{side} secret {what}")


def accepts(side: str, what: object) -> bytes:
    """What a side reveals to accept."""
    return anchor_of(secret(side, what))


def mandate(what: object, now_ms: int, **changes: object) -> pb.GrantMandate:
    fields: dict[str, object] = {
        "id": random_id(f"mandate {what}"),
        "kind": pb.MANDATE_KIND_PERSON,
        "commitment": hidden(f"mandate {what}"),
        "scopes": [pb.SCOPE_TAX, pb.SCOPE_HEALTH],
        "powers": [pb.POWER_VIEW, pb.POWER_APPLY],
        "valid_from_ms": now_ms - 10_000,
        "valid_to_ms": now_ms + 3_600_000,
        "principal_anchor": anchor_of(accepts("principal", what)),
        "agent_anchor": anchor_of(accepts("agent", what)),
    }
    return pb.GrantMandate(**{**fields, **changes})
