# SPDX-License-Identifier: Apache-2.0
"""Status lists, revocation lists and OCSP answers of one tick say the same of every person, and are of one height.

Random histories of registrations and mandates as the ledger's state holds them; each tick publishes all three.
"""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.api.issuer.lists import STALE_S, TICK_S
from identity.cards.statuses import Ending, Reason
from identity.pb import identity_pb2 as pb
from identity.standing import AGE_S_MAX, CardCertificate, Standing, certificates_at, since_of, status_of
from identity.status_list import Status, StatusList
from tests.cards.authority_rig import NOW_S, new_authority

AUTHORITY = new_authority()
PEOPLE = 3
PERSONS = [b"identity/person/" + f"{i:032x}".encode() for i in range(PEOPLE)]
MANDATE = b"identity/mandate/" + b"f" * 32
STATUSES = [pb.PERSON_STATUS_ACTIVE, pb.PERSON_STATUS_SUSPENDED, pb.PERSON_STATUS_REVOKED, pb.PERSON_STATUS_WITHDRAWN]
OWN = [None, Reason.HOLD, Reason.LOST, Reason.REPLACED]
NAMES = hashlib.sha256(AUTHORITY.issuing.subject.public_bytes()).digest()
KEY_DIGEST = hashlib.sha256(
    AUTHORITY.issuing.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
).digest()

CHANGES = st.lists(
    st.tuples(st.integers(0, PEOPLE - 1), st.sampled_from([*STATUSES, None]), st.integers(0, TICK_S)), max_size=12
)


def serial_of(person: int) -> int:
    return 1000 + person


def standing_of(state: dict[bytes, bytes], height: int, time_ms: int) -> Standing:
    """What the issuer reads of the ledger at a height."""
    keys = [*PERSONS, MANDATE]
    values = {key: state.get(key) for key in keys}
    statuses = {key: status_of(key, values[key], time_ms) for key in keys}
    since = {key: since_of(key, values[key], time_ms) for key in keys if statuses[key] is not Status.VALID}
    return Standing(height, time_ms, statuses, since)


def published_list(standing: Standing) -> StatusList:
    statuses = StatusList(16)
    for i, person in enumerate(PERSONS):
        statuses.set(i, standing.of([person]))
    return statuses


def answered(view, person: int) -> ocsp.OCSPResponse:
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(NAMES, KEY_DIGEST, serial_of(person), SHA256())
    raw = builder.build().public_bytes(Encoding.DER)
    return ocsp.load_der_ocsp_response(AUTHORITY.responder.answer(raw, view))


@given(CHANGES, st.lists(st.sampled_from(OWN), min_size=PEOPLE, max_size=PEOPLE))
@settings(max_examples=25, deadline=None)
def test_all_that_is_published_at_a_tick_agrees_and_is_of_one_height(changes, own):
    state = {key: pb.PersonRecord(status=pb.PERSON_STATUS_ACTIVE).SerializeToString() for key in PERSONS}
    time_ms = NOW_S * 1000
    for height, (person, status, wait_s) in enumerate(changes, 1):
        time_ms += wait_s * 1000
        if status is None:
            state.pop(PERSONS[person], None)
        else:
            state[PERSONS[person]] = pb.PersonRecord(status=status, since_ms=time_ms).SerializeToString()
        standing = standing_of(state, height, time_ms)
        endings = [None if reason is None else Ending(reason, time_ms // 1000) for reason in own]
        cards = {serial_of(i): CardCertificate((PERSONS[i],), endings[i]) for i in range(PEOPLE)}
        view = certificates_at(standing, cards)
        listed = published_list(standing)
        revoked = x509.load_der_x509_crl(AUTHORITY.authority.revocation_list(view))
        assert revoked.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == standing.height
        for i in range(PEOPLE):
            said, entry = listed.get(i), revoked.get_revoked_certificate_by_serial_number(serial_of(i))
            answer = answered(view, i)
            assert (answer.certificate_status is ocsp.OCSPCertStatus.REVOKED) == (entry is not None)
            if said != Status.VALID:  # whoever's credential does not count, no certificate of theirs does
                assert entry is not None
                reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
                is_held = reason is x509.ReasonFlags.certificate_hold
                assert is_held == (said == Status.SUSPENDED and own[i] in {None, Reason.HOLD})
                assert answer.revocation_reason is reason
            elif own[i] is None:
                assert entry is None
            assert answer.this_update_utc == revoked.last_update_utc


def test_everything_published_is_at_most_a_minute_apart():
    """A tick every half minute, and nothing is issued or ready against what is older than the bound."""
    assert 2 * TICK_S <= STALE_S == AGE_S_MAX == 60


@given(st.booleans(), st.booleans(), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_mandate_counts_while_both_sides_accept_and_neither_ended_it(principal, agent, ended, until, now):
    record = pb.MandateRecord(
        principal_accepted=principal, agent_accepted=agent, ended_at_ms=ended, valid_from_ms=0, valid_to_ms=until
    )
    counts = principal and agent and not ended and (not until or now < until)
    expected = Status.VALID if counts else Status.INVALID
    assert status_of(MANDATE, record.SerializeToString(), now) is expected
    assert since_of(MANDATE, record.SerializeToString(), now) <= now


def test_record_that_is_not_there_speaks_for_nobody():
    for key in (PERSONS[0], MANDATE, b"identity/legal-person/91110000600037341L"):
        assert status_of(key, None, 7) is Status.INVALID


def test_legal_person_stands_as_the_ledger_says():
    key = b"identity/legal-person/91110000600037341L"
    found = [status_of(key, pb.LegalPersonRecord(status=s).SerializeToString(), 7) for s in STATUSES]
    assert found == [Status.VALID, Status.SUSPENDED, Status.INVALID, Status.INVALID]


def test_worst_of_several_records_decides():
    standing = Standing(1, 1000, {b"a": Status.SUSPENDED, b"b": Status.INVALID})
    assert standing.of([]) is standing.of([b"unknown"]) is Status.VALID
    assert standing.of([b"a"]) is Status.SUSPENDED
    assert standing.of([b"a", b"b", b"unknown"]) is Status.INVALID
