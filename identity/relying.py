# SPDX-License-Identifier: Apache-2.0
"""What a relying party may ask, by its registration on the ledger: the one answer that wallets and verifiers share.

Pure functions of a registration, which a state receipt proves (`identity.relying_rules.relying_party_key`). A wallet
asks before its holder sees anything, a verifier before it passes a request on. Whether the organisation itself is
suspended, `membership` says under a key of its own.  Source: docs/identity.md, "Relying parties".
"""

from collections.abc import Collection, Mapping

from chain.errors import Refused
from identity.credentials import TYPES
from identity.pb import identity_pb2 as pb
from identity.registrations import LIVING
from identity.relying_rules import ATTRIBUTE


def attribute(vct: str, claim: str) -> str:
    """How registrations name a claim of a type of credential: "natural-person/birthdate".

    Args:
        vct: The credential's type, such as "urn:imi:cn-gd-fs-chancheng:natural-person:1"; its version is left out.
        claim: At the credential's top; what stands below goes with it.

    Raises:
        Refused: No registration could name it.
    """
    name = f"{_type_of(vct)}/{claim}"
    if not ATTRIBUTE.fullmatch(name):
        raise Refused(f"{name} is no attribute that a registration could name", "identity.invalid-attribute")
    return name


def claims_of(purpose: pb.RelyingPurpose) -> Mapping[str, frozenset[str]]:
    """By type of credential (`identity.credentials.TYPES`), the claims that a purpose allows; others are left out."""
    allowed: dict[str, set[str]] = {}
    for vct in TYPES:
        for name in purpose.attributes:
            kind, _, claim = name.partition("/")
            if kind == _type_of(vct):
                allowed.setdefault(vct, set()).add(claim)
    return {vct: frozenset(claims) for vct, claims in allowed.items()}


def find_purpose(registration: pb.RelyingPartyRecord, number: int) -> pb.RelyingPurpose | None:
    """A purpose by its number, or None."""
    return next((purpose for purpose in registration.terms.purposes if purpose.number == number), None)


def refused_at(registration: pb.RelyingPartyRecord | None, at_ms: int) -> Refused | None:
    """Why a registration does not count at a time, or None: it does.

    Args:
        registration: As the ledger has it; None: it has none.
        at_ms: Unix time in ms; take the receipt's time or a clock that is not before it.
    """
    if registration is None or registration.status not in LIVING:
        return Refused("the organisation is not registered as a relying party", "identity.unknown-party")
    if registration.status == pb.PERSON_STATUS_SUSPENDED:
        return Refused("the relying party is suspended", "identity.party-suspended")
    if not registration.terms.valid_from_ms <= at_ms < registration.terms.valid_to_ms:
        return Refused("the relying party's registration is not valid at this time", "identity.party-not-valid")
    return None


def allows(
    registration: pb.RelyingPartyRecord | None, purpose: int, attributes: Collection[str], at_ms: int
) -> Refused | None:
    """Why a relying party may not ask for attributes, or None: it may.

    Args:
        registration: As the ledger has it; None: it has none.
        purpose: The number that the request names.
        attributes: What it asks for, as `attribute` names it.
        at_ms: Unix time in ms.
    """
    refusal = refused_at(registration, at_ms)
    if registration is None or refusal is not None:
        return refusal
    found = find_purpose(registration, purpose)
    if found is None:
        return Refused(f"the relying party has no purpose {purpose}", "identity.party-purpose")
    beyond = sorted(set(attributes) - set(found.attributes))
    if beyond:
        return Refused(f"purpose {purpose} does not allow {', '.join(beyond)}", "identity.party-attribute")
    return None


def signs_for(registration: pb.RelyingPartyRecord | None, public_key: bytes, at_ms: int) -> bool:
    """Whether a P-256 key (33 bytes) signs a relying party's requests at a time."""
    return (
        registration is not None and refused_at(registration, at_ms) is None and public_key in registration.terms.keys
    )


def _type_of(vct: str) -> str:
    """The word for a type: the part before its version."""
    parts = vct.split(":")
    return parts[-2] if len(parts) > 1 else ""
