# SPDX-License-Identifier: Apache-2.0
"""Whose key is this: public key -> organisation -> what it may do. Rules of every domain start here."""

from dataclasses import dataclass

from chain.checkpoint import Validator
from chain.module import Context
from chain.overlay import ReadState
from chain.signing import Scheme, Signer
from membership.pb import membership_pb2 as pb
from membership.state import STATE_PREFIX, Key, Organisation, load_key, load_organisation


@dataclass(frozen=True, slots=True)
class Member:
    """A key that counts, with the organisation that it speaks for. The organisation may be suspended."""

    organisation: Organisation
    key: Key


def resolve_key(read: ReadState, scheme: Scheme, public_key: bytes, time_ms: int) -> Member | None:
    """Whose key this is, or None if it is unknown, revoked, or not valid at this time."""
    key = load_key(read, Signer(scheme, public_key))
    if key is None or not key.is_usable(time_ms):
        return None
    organisation = load_organisation(read, key.organisation)
    assert organisation is not None, f"a key of {key.organisation}, which does not exist"
    return Member(organisation, key)


def signing_organisations(context: Context, purpose: pb.Purpose.ValueType) -> tuple[Organisation, ...]:
    """The organisations that signed with a key of this purpose, suspended ones too; by id, each once."""

    def resolve() -> tuple[Organisation, ...]:
        found: dict[str, Organisation] = {}
        for signer in context.signers:
            member = resolve_key(context.read, signer.scheme, signer.public_key, context.block.time_ms)
            if member is not None and purpose in member.key.purposes:
                found[member.organisation.id] = member.organisation
        return tuple(found[organisation] for organisation in sorted(found))

    # signers and time are the transaction's, as the overlay is: the same for each of its operations
    return context.overlay.derive(STATE_PREFIX, ("signing", context.signers, context.block.time_ms, purpose), resolve)


def is_known(read: ReadState, signer: Signer, time_ms: int) -> bool:
    """Whether a signer's transactions count: its key does, and its organisation is active."""
    member = resolve_key(read, signer.scheme, signer.public_key, time_ms)
    return member is not None and member.organisation.is_active


def governing_organisations(validators: tuple[Validator, ...]) -> tuple[str, ...]:
    """The organisations that vote on proposals: those of the validators, each once whatever its number of seats."""
    return tuple(sorted({validator.organisation for validator in validators}))


def approvals_needed(organisations: int) -> int:
    """How many of this many organisations carry a proposal: more than two thirds."""
    return organisations * 2 // 3 + 1
