# SPDX-License-Identifier: Apache-2.0
"""The issuer at the ledger: records are read at one height, ended keys noticed, digests anchored by its rules."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from anchor_rig import SUBMIT, Ledger
from cryptography.hazmat.primitives.asymmetric import ec

from chain import p256
from chain.codec import encode
from chain.errors import Refused
from chain.signing import Scheme, Signer
from client.session import REQUEST_COUNT_MAX
from identity.api.issuer.publishing import LedgerAnchor, LedgerSource, standing_now
from identity.pb import identity_pb2 as pb
from identity.registrations import person_key
from identity.status_list import Status
from membership.pb import membership_pb2
from membership.state import PARAMETERS_KEY, signer_key

ISSUING = p256.compress(ec.derive_private_key(77, ec.SECP256R1()).public_key())
TIME_MS = 5_000_000


@dataclass
class Session:
    """Answers reads from a state that moves on with each question for the newest."""

    state: dict[bytes, bytes] = field(default_factory=dict)
    height: int = 100
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def read_many(self, keys: list[bytes], *, height: int = 0) -> list[Any]:
        assert 1 <= len(keys) <= REQUEST_COUNT_MAX
        self.asked.append((len(keys), height))
        self.height += 0 if height else 1
        checkpoint = SimpleNamespace(height=height or self.height, time_ms=TIME_MS)
        return [SimpleNamespace(key=key, value=self.state.get(key), checkpoint=checkpoint) for key in keys]


def people(count: int) -> list[bytes]:
    return [person_key(i.to_bytes(16, "big")) for i in range(count)]


def record(status: pb.PersonStatus.ValueType, since_ms: int = 3) -> bytes:
    return encode(pb.PersonRecord(status=status, since_ms=since_ms))


async def test_more_records_than_one_question_takes_are_all_of_one_height():
    keys = people(2 * REQUEST_COUNT_MAX + 3)
    session = Session({key: record(pb.PERSON_STATUS_ACTIVE) for key in keys})
    session.state[keys[-1]] = record(pb.PERSON_STATUS_SUSPENDED)
    session.state[keys[0]] = record(pb.PERSON_STATUS_REVOKED)
    del session.state[keys[5]]
    _, standing = await standing_now(LedgerSource(lambda: session), keys, ISSUING)
    assert [height for _, height in session.asked] == [0, 101, 101]
    assert (standing.height, standing.time_ms) == (101, TIME_MS)
    stopped = {key: status for key, status in standing.statuses.items() if status is not Status.VALID}
    assert stopped == {keys[0]: Status.INVALID, keys[5]: Status.INVALID, keys[-1]: Status.SUSPENDED}
    assert standing.since_ms == {keys[0]: 3, keys[5]: TIME_MS, keys[-1]: 3}


async def test_height_is_known_without_any_record():
    session = Session({PARAMETERS_KEY: b""})
    assert (await LedgerSource(lambda: session).read([])).height == 101


def registered(**changes: Any) -> bytes:
    fields = {"organisation": "org-r", "purposes": [membership_pb2.PURPOSE_ATTEST], "valid_from_ms": 1} | changes
    return encode(membership_pb2.KeyRecord(**fields))


@pytest.mark.parametrize(
    ("value", "ended"),
    [
        (None, False),
        (registered(), False),
        (registered(valid_to_ms=TIME_MS), True),
        (registered(valid_from_ms=TIME_MS + 1), True),
        (registered(purposes=[membership_pb2.PURPOSE_SUBMIT]), True),
    ],
)
async def test_issuing_key_that_the_ledger_has_ended_is_noticed(value, ended):
    key = signer_key(Signer(Scheme.P256, ISSUING))
    session = Session({} if value is None else {key: value})
    _, standing = await standing_now(LedgerSource(lambda: session), people(1), ISSUING)
    assert standing.is_key_ended is ended


async def test_digest_is_anchored_by_the_rules_of_the_ledger():
    ledger = Ledger()
    await LedgerAnchor(lambda: ledger, SUBMIT).anchor(b"s" * 16, b"d" * 32, 131_072)
    (anchored,) = ledger.anchors()
    assert (anchored.kind, anchored.digest) == (membership_pb2.ANCHOR_KIND_STATUS_LIST, b"d" * 32)
    with pytest.raises(Refused):
        await LedgerAnchor(lambda: ledger, SUBMIT).anchor(b"s", b"d" * 32, 1)
