# SPDX-License-Identifier: Apache-2.0
"""Operations a second an organisation may submit: kept at admission and by proposers, not a rule of validity.

Pure: time is an argument, so that nodes and simulations share it. One that floods is delayed, others are not.
Source: docs/protocol.md, section 2.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from chain.overlay import ReadState
from chain.signing import Signer
from chain.transaction import Operation
from chain.types import Millis
from membership.authority import resolve_key
from membership.parameters import load_parameter
from membership.pb import membership_pb2 as pb
from membership.state import Organisation

BURST_S = 2
"""A quiet organisation can submit this many seconds' quota at once."""

_WEIGHTS = {"membership.ReportEvidence": 50, "membership.Propose": 100, "membership.Approve": 100}
"""What costs every validator pairings, in operations of the ordinary kind (about 0.05 ms)."""
_WEIGHT_BYTES = {"traceability.RecordEvent": 50, "identity.RecordAccesses": 104}
"""What writes the more the longer it is: so many bytes weigh one operation. An event of one line has 200; an access
entry, which is one write, has 104."""
_MILLI = 1000


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left of one organisation's quota.

    Attributes:
        level_milli: Thousandths of an operation; below zero after a transaction larger than the bucket.
        time_ms: As of when.
    """

    level_milli: int
    time_ms: Millis


@dataclass(frozen=True, slots=True)
class Granted:
    """The operations are within the quota."""

    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Delayed:
    """They are not yet.

    Attributes:
        retry_after_ms: When they will be, if nothing else comes.
    """

    retry_after_ms: int


def full(rate_operations_s: int, now_ms: Millis) -> Bucket:
    """The bucket of an organisation that has been quiet."""
    return Bucket(rate_operations_s * BURST_S * _MILLI, now_ms)


def take(bucket: Bucket, operations: int, rate_operations_s: int, now_ms: Millis) -> Granted | Delayed:
    """Take operations out of a bucket if it holds enough.

    A transaction larger than the whole bucket passes when the bucket is full, and is paid off afterwards.

    Args:
        bucket: As the last call left it, or `full`.
        operations: Weighted, at least 1; see `weight`.
        rate_operations_s: The organisation's quota; at least 1.
        now_ms: A time earlier than the bucket's counts as the bucket's.
    """
    capacity = rate_operations_s * BURST_S * _MILLI
    now = max(now_ms, bucket.time_ms)
    level = min(capacity, bucket.level_milli + (now - bucket.time_ms) * rate_operations_s)
    missing = min(operations * _MILLI, capacity) - level
    if missing > 0:
        return Delayed(-(-missing // rate_operations_s))
    return Granted(Bucket(level - operations * _MILLI, Millis(now)))


def weight(operations: Iterable[Operation]) -> int:
    """What a transaction's operations count, each at least 1."""
    return sum(_weight(operation) for operation in operations)


def _weight(operation: Operation) -> int:
    """What one operation counts."""
    if operation.type in _WEIGHT_BYTES:
        return 1 + len(operation.body) // _WEIGHT_BYTES[operation.type]
    return _WEIGHTS.get(operation.type, 1)


def rate_of(read: ReadState, organisation: Organisation) -> int:
    """An organisation's quota in operations a second: its own, or the parameter's."""
    return organisation.quota_operations_s or load_parameter(read, pb.PARAMETER_QUOTA_OPERATIONS_S)


def charged_organisation(read: ReadState, signers: Iterable[Signer], time_ms: int) -> Organisation | None:
    """The organisation that a transaction counts against: the first known signer's; None if nobody is known."""
    for signer in signers:
        member = resolve_key(read, signer.scheme, signer.public_key, time_ms)
        if member is not None and member.organisation.is_active:
            return member.organisation
    return None
