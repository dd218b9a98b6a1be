# SPDX-License-Identifier: Apache-2.0
"""Membership's records: where each stands in state, how it is read and written.

Readers take any function that looks a state key up, so that rules, nodes and clients share them. Decoding is
remembered by value: one organisation signs thousands of transactions in a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from chain.checkpoint import Validator
from chain.codec import encode
from chain.module import Context
from chain.overlay import ReadState
from chain.pb import ledger_pb2
from chain.signing import Scheme, Signer
from chain.types import BlsKey, Epoch
from membership.pb import membership_pb2 as pb

STATE_PREFIX = b"membership/"
"""Under which all of it stands."""
VALIDATORS_KEY = b"membership/validators"
PARAMETERS_KEY = b"membership/parameters"
PROPOSALS_KEY = b"membership/proposals"

RECORDS_CACHED_MAX = 4096
"""Decoded records remembered, some hundred bytes each: more than a city's organisations and keys at work."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """A member of the network.

    Attributes:
        is_active: False while it is suspended: its keys count for nothing.
        quota_operations_s: 0 stands for the parameter's value; see `membership.quota`.
    """

    id: str
    name_zh: str
    name_en: str
    roles: tuple[str, ...]
    is_active: bool
    quota_operations_s: int


@dataclass(frozen=True, slots=True)
class Key:
    """A public key's standing.

    Attributes:
        purposes: Ascending numbers of `Purpose`.
        valid_from_ms: First time at which it counts.
        valid_to_ms: First time at which it no longer does; 0: no end.
        revoked_at_ms: When it was revoked for good; 0: it was not.
    """

    organisation: str
    purposes: tuple[pb.Purpose.ValueType, ...]
    valid_from_ms: int
    valid_to_ms: int
    revoked_at_ms: int

    def is_usable(self, time_ms: int) -> bool:
        """Whether it counts at this time."""
        return (
            self.revoked_at_ms == 0
            and self.valid_from_ms <= time_ms
            and (self.valid_to_ms == 0 or time_ms < self.valid_to_ms)
        )

    def is_standing(self, purpose: pb.Purpose.ValueType, time_ms: int) -> bool:
        """Whether it serves this purpose now and, unless revoked, always will."""
        return self.is_usable(time_ms) and self.valid_to_ms == 0 and purpose in self.purposes


@dataclass(frozen=True, slots=True)
class Seat:
    """What stands behind a validator's BLS key. It is kept for good: no key serves twice.

    Attributes:
        address: host:port where peers reach it.
        tls_certificate: DER; peers accept no other.
        status: Active, leaving, or suspended.
        since_epoch: The first epoch that it serves.
        until_epoch: The last one; 0 while it is in the set.
    """

    organisation: str
    address: str
    tls_certificate: bytes
    status: pb.ValidatorStatus.ValueType
    since_epoch: Epoch
    until_epoch: Epoch


# ---------------------------------------------------------------- where records stand


def organisation_key(organisation: str) -> bytes:
    """State key of an organisation's record."""
    return b"membership/organisation/" + organisation.encode()


def signer_key(signer: Signer) -> bytes:
    """State key of a public key's record."""
    return b"membership/key/%d/%s" % (signer.scheme, signer.public_key.hex().encode())


def keyring_key(organisation: str) -> bytes:
    """State key of the list of an organisation's keys."""
    return b"membership/keyring/" + organisation.encode()


def seat_key(bls_key: bytes) -> bytes:
    """State key of a validator's record."""
    return b"membership/validator/" + bls_key.hex().encode()


def evidence_key(bls_key: bytes, epoch: int) -> bytes:
    """State key that says that evidence against a validator in an epoch is recorded."""
    return b"membership/evidence/%s/%d" % (bls_key.hex().encode(), epoch)


def proposal_key(proposal_id: bytes) -> bytes:
    """State key of an open proposal."""
    return b"membership/proposal/" + proposal_id.hex().encode()


# ---------------------------------------------------------------- organisations and keys


def load_organisation(read: ReadState, organisation: str) -> Organisation | None:
    """An organisation by id, or None."""
    raw = read(organisation_key(organisation))
    return None if raw is None else _organisation(raw)


def save_organisation(context: Context, organisation: Organisation) -> None:
    """Write an organisation's record."""
    active, suspended = pb.ORGANISATION_STATUS_ACTIVE, pb.ORGANISATION_STATUS_SUSPENDED
    record = pb.OrganisationRecord(
        id=organisation.id,
        name_zh=organisation.name_zh,
        name_en=organisation.name_en,
        roles=organisation.roles,
        status=active if organisation.is_active else suspended,
        quota_operations_s=organisation.quota_operations_s,
    )
    context.write(organisation_key(organisation.id), encode(record))


def load_key(read: ReadState, signer: Signer) -> Key | None:
    """A public key's standing, or None if it was never registered."""
    raw = read(signer_key(signer))
    return None if raw is None else _key(raw)


def save_key(context: Context, signer: Signer, key: Key) -> None:
    """Write a public key's record."""
    record = pb.KeyRecord(
        organisation=key.organisation,
        purposes=key.purposes,
        valid_from_ms=key.valid_from_ms,
        valid_to_ms=key.valid_to_ms,
        revoked_at_ms=key.revoked_at_ms,
    )
    context.write(signer_key(signer), encode(record))


def load_keyring(read: ReadState, organisation: str) -> tuple[Signer, ...]:
    """An organisation's keys that are not revoked, ascending."""
    raw = read(keyring_key(organisation))
    return () if raw is None else _keyring(raw)


def save_keyring(context: Context, organisation: str, keys: Sequence[Signer]) -> None:
    """Write the list of an organisation's keys; without any there is no record."""
    if not keys:
        context.delete(keyring_key(organisation))
        return
    record = pb.KeyringRecord(keys=[signer_pb(key) for key in sorted(keys)])
    context.write(keyring_key(organisation), encode(record))


def signer_pb(signer: Signer) -> ledger_pb2.Signer:
    """A signer as a protobuf message."""
    return ledger_pb2.Signer(scheme=ledger_pb2.Scheme.ValueType(signer.scheme), public_key=signer.public_key)


# ---------------------------------------------------------------- validators


def load_validators(read: ReadState) -> tuple[Validator, ...]:
    """Who serves the epoch that state names, in bitmap order; empty before genesis."""
    raw = read(VALIDATORS_KEY)
    return () if raw is None else _validators(raw)


def save_validators(context: Context, validators: Sequence[Validator]) -> None:
    """Write who serves the next epoch. Nobody is a passing state within an operation only: limits refuse it."""
    if not validators:
        context.delete(VALIDATORS_KEY)
        return
    record = pb.ValidatorsRecord(
        validators=[ledger_pb2.Validator(bls_key=v.bls_key, organisation=v.organisation) for v in validators]
    )
    context.write(VALIDATORS_KEY, encode(record))


def load_seat(read: ReadState, bls_key: bytes) -> Seat | None:
    """A validator's record, also of a former one; None if the key never served."""
    raw = read(seat_key(bls_key))
    return None if raw is None else _seat(raw)


def save_seat(context: Context, bls_key: bytes, seat: Seat) -> None:
    """Write a validator's record."""
    record = pb.ValidatorRecord(
        organisation=seat.organisation,
        endpoint=pb.Endpoint(address=seat.address, tls_certificate=seat.tls_certificate),
        status=seat.status,
        since_epoch=seat.since_epoch,
        until_epoch=seat.until_epoch,
    )
    context.write(seat_key(bls_key), encode(record))


# ---------------------------------------------------------------- proposals


def load_proposal(read: ReadState, proposal_id: bytes) -> pb.ProposalRecord | None:
    """An open proposal, or None."""
    raw = read(proposal_key(proposal_id))
    return None if raw is None else pb.ProposalRecord.FromString(raw)


def load_open_proposals(read: ReadState) -> tuple[pb.OpenProposal, ...]:
    """The open proposals, oldest first; some may have expired."""
    raw = read(PROPOSALS_KEY)
    return () if raw is None else tuple(pb.ProposalsRecord.FromString(raw).open)


def save_open_proposals(context: Context, proposals: Sequence[pb.OpenProposal]) -> None:
    """Write the list of open proposals; without any there is no record."""
    if proposals:
        context.write(PROPOSALS_KEY, encode(pb.ProposalsRecord(open=proposals)))
    else:
        context.delete(PROPOSALS_KEY)


# ---------------------------------------------------------------- decoding


@lru_cache(maxsize=RECORDS_CACHED_MAX)
def _organisation(raw: bytes) -> Organisation:
    record = pb.OrganisationRecord.FromString(raw)
    return Organisation(
        record.id,
        record.name_zh,
        record.name_en,
        tuple(record.roles),
        record.status == pb.ORGANISATION_STATUS_ACTIVE,
        record.quota_operations_s,
    )


@lru_cache(maxsize=RECORDS_CACHED_MAX)
def _key(raw: bytes) -> Key:
    record = pb.KeyRecord.FromString(raw)
    return Key(
        record.organisation, tuple(record.purposes), record.valid_from_ms, record.valid_to_ms, record.revoked_at_ms
    )


@lru_cache(maxsize=RECORDS_CACHED_MAX // 16)
def _keyring(raw: bytes) -> tuple[Signer, ...]:
    return tuple(Signer(Scheme(key.scheme), key.public_key) for key in pb.KeyringRecord.FromString(raw).keys)


@lru_cache(maxsize=RECORDS_CACHED_MAX // 256)
def _validators(raw: bytes) -> tuple[Validator, ...]:
    record = pb.ValidatorsRecord.FromString(raw)
    return tuple(Validator(BlsKey(v.bls_key), v.organisation) for v in record.validators)


@lru_cache(maxsize=RECORDS_CACHED_MAX // 16)
def _seat(raw: bytes) -> Seat:
    record = pb.ValidatorRecord.FromString(raw)
    return Seat(
        record.organisation,
        record.endpoint.address,
        record.endpoint.tls_certificate,
        record.status,
        Epoch(record.since_epoch),
        Epoch(record.until_epoch),
    )
