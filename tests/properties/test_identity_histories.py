# SPDX-License-Identifier: Apache-2.0
"""Random histories of identity's operations, valid and not, keep what the rules promise.

After each block: tags and living registrations match, nobody has two tags, no act counted without its officers'
signatures, no key or mandate that ended counts again, keys count as recovered exactly as long as they should, no value
of one natural person's record stands in another's, and a failed transaction has left no trace.
"""

import hashlib
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from google.protobuf.message import Message

from chain.transaction import SignedTransaction
from identity.mandates import counts
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from identity.registrations import RECOVERED_MS, counting_key, proposal_digest
from identity.uniqueness import load_seats, load_tag_key
from tests.identity_rig import (
    OFFICERS,
    USCC,
    IdentityRig,
    accepts,
    enrol,
    hidden,
    key_of,
    mandate,
    new_key,
    number,
    person_status,
    random_id,
    register_tag,
    secret,
)
from tests.rig import BLOCK_MS, code_of

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = 100
PEOPLE = 9
SERVICES = ("org-r:submit", "org-r:attest", "desk@p256", "org-a:submit", "org-s:submit")
OFFICER_KEYS = tuple(key for _, key, _, _ in OFFICERS)
WHO = {key_of(key): (organisation, person, set(duties)) for organisation, key, person, duties in OFFICERS}
TWO_MONTHS_BLOCKS = 60 * 86_400_000 // BLOCK_MS
EIGHT_DAYS_BLOCKS = 8 * 86_400_000 // BLOCK_MS
PREFIXES = {b"person": pb.PersonRecord, b"mandate": pb.MandateRecord, b"tag": pb.TagRecord}
BY_ENROLLING = (pb.Enrol, pb.ProposeChange, pb.GrantMandate, pb.ProposeLegalPerson)
BY_CONFIRMING = (pb.Confirm, pb.ConfirmLegalPerson)


class History:
    """Draws transactions that are often right, and keeps its own account of what must follow."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rig = IdentityRig()
        self.records = 0
        self.keys = 0
        self.mandates = 0
        self.gone: set[bytes] = set()
        self.held: set[bytes] = set()
        self.ended: set[bytes] = set()
        self.counted: set[bytes] = set()
        self.recovered: dict[bytes, int] = {}

    # ------------------------------------------------------------ drawing

    def officer(self) -> str:
        return self.random.choice(OFFICER_KEYS)

    def key(self) -> pb.NewKey:
        """A new key, or sometimes one that was bound."""
        if self.keys and self.random.random() < 0.1:
            return new_key(self.random.randrange(self.keys))
        self.keys += 1
        return new_key(self.keys - 1, self.random.randrange(1, 4))

    def person(self) -> bytes:
        """One of the last few."""
        return random_id(f"record {max(0, self.records - 1 - self.random.randrange(4))}")

    def some_mandate(self) -> int:
        """One of the last few."""
        return max(0, self.mandates - 1 - self.random.randrange(3))

    def transaction(self) -> SignedTransaction:
        rig, pick = self.rig, self.random
        signers: str | Sequence[str] = self.officer()
        message: Message
        kind = pick.randrange(20)
        if kind <= 2:
            self.records += pick.random() < 0.6
            signers = pick.choice(["ann@p256", "eve@p256", self.officer()])
            message = enrol(random_id(f"record {self.records - 1}"), self.key(), commitment=hidden(f"data {rig.salt}"))
        elif kind <= 6:
            signers = pick.choice(["bob@webauthn", self.officer()])
            message = self.confirmation(self.person())
        elif kind == 7:
            ends = [new_key(pick.randrange(max(1, self.keys))).commitment] if pick.random() < 0.5 else []
            message = pb.ProposeChange(id=self.person(), change=pb.Change(binds=[self.key()], ends=ends))
        elif kind == 8:
            key = new_key(pick.randrange(max(1, self.keys))).commitment if pick.random() < 0.5 else b""
            message = person_status(self.person(), pick.randrange(1, 4), key, pick.randrange(5))
            signers = pick.choice([self.officer(), pick.choice(SERVICES)])
        elif kind == 9:
            signers = pick.choice([("ann@p256", "bob@webauthn"), pick.sample(OFFICER_KEYS, 2)])
            message = pb.Recover(id=self.person(), proofing_method=pick.randrange(1, 4), binds=[self.key()])
        elif kind <= 12:
            version = load_tag_key(rig.state.get).key_version
            what = pick.randrange(PEOPLE)
            previous = hidden(f"tag {version - 1} {what}") if load_tag_key(rig.state.get).previous_tags else b""
            holder = hidden(f"holder {rig.salt}")
            owner = pick.choice(["org-r", "org-r", "org-s"])
            signers = "org-u:attest"
            message = pick.choice(
                [
                    register_tag(what, owner, version, previous_tag=previous, holder=holder),
                    register_tag(what, owner, version, previous_tag=previous, holder=holder),
                    pb.Retag(
                        previous_tag=previous, key_version=version, tag=hidden(f"tag {version} {what}"), holder=holder
                    ),
                    pb.ReleaseTag(key_version=version, tag=hidden(f"tag {version} {what}")),
                ]
            )
            if pick.random() < 0.05:
                message = pb.RotateTagKey(key_version=version + 1)
        elif kind <= 14:
            self.mandates += pick.random() < 0.5
            what = max(0, self.mandates - 1)
            company = {"kind": pb.MANDATE_KIND_LEGAL_PERSON, "legal_person": USCC.encode()}
            message = mandate(what, rig.time_ms, **pick.choice([{}, {}, {"kind": pb.MANDATE_KIND_WARD}, company]))
        elif kind <= 16:
            what, side = self.some_mandate(), pick.choice(["principal", "agent"])
            signers = (self.officer(), "org-a:submit")
            proof = accepts(side, what) if pick.random() < 0.8 else b""
            number_of_side = pb.SIDE_PRINCIPAL if side == "principal" else pb.SIDE_AGENT
            message = pb.AcceptMandate(id=random_id(f"mandate {what}"), side=number_of_side, proof=proof)
        elif kind == 17:
            what, side = self.some_mandate(), pick.choice(["principal", "agent"])
            message = pb.EndMandate(id=random_id(f"mandate {what}"), proof=secret(side, what))
        elif kind == 18:
            message = pick.choice(
                [
                    pb.ProposeLegalPerson(uscc=USCC, name_en="Company", commitment=hidden("company")),
                    pb.SetLegalPersonStatus(uscc=USCC, status=pick.randrange(2, 4), reason=pb.REASON_SUPERSEDED),
                    self.company_confirmation(),
                    self.company_confirmation(),
                ]
            )
        else:
            message = pb.Withdraw(id=self.person())
        if pick.random() < 0.1:
            signers = pick.choice(SERVICES)
        broken = [pb.EndMandate(id=bytes(16), proof=bytes(32))] if pick.random() < 0.05 else []
        return rig.sign(signers, message, *broken)

    def confirmation(self, person: bytes) -> pb.Confirm:
        raw = self.rig.state.get(b"identity/person/" + person.hex().encode())
        record = pb.PersonRecord.FromString(raw or b"")
        return pb.Confirm(id=person, digest=proposal_digest(record.proposal))

    def company_confirmation(self) -> pb.ConfirmLegalPerson:
        raw = self.rig.state.get(f"identity/legal-person/{USCC}".encode())
        record = pb.LegalPersonRecord.FromString(raw or b"")
        return pb.ConfirmLegalPerson(uscc=USCC, digest=proposal_digest(record.proposal))

    # ------------------------------------------------------------ running and checking

    def block(self) -> list[str]:
        """Run one block of one to four transactions, check what must hold, and give the entries' codes."""
        rig = self.rig
        transactions = [self.transaction() for _ in range(self.random.randrange(1, 5))]
        tried = rig.execute(*transactions)
        codes = [code_of(entry) for entry in tried.entries]
        successful = [t for t, code in zip(tried.executed, codes, strict=True) if not code]
        assert rig.execute(*successful).writes == tried.writes, "a failed transaction left a trace"
        for one in successful:
            self.check_signatures(one)
            rig.run(one)
            self.check_keys(one)
            self.check_seats()
            self.check_mandates()
        self.check_apart()
        if self.random.random() < 0.02:
            rig.height += self.random.choice([EIGHT_DAYS_BLOCKS, TWO_MONTHS_BLOCKS])
        return codes

    def check_signatures(self, transaction: SignedTransaction) -> None:
        """That an act which takes officers bears their own signatures, by an account that rules have no part in."""
        signing = [WHO[signer] for signer in transaction.signers if signer in WHO]
        people = {(organisation, person) for organisation, person, _ in signing}
        duties = {duty for _, _, has in signing for duty in has}
        message = _message(transaction)
        if isinstance(message, BY_ENROLLING):
            assert len(people) == 1
            assert pb.DUTY_ENROL in duties
        elif isinstance(message, BY_CONFIRMING):
            assert len(people) == 1
            assert pb.DUTY_CONFIRM in duties
            ((_, person),) = people
            assert number(person) != self.proposer(message), "whoever proposed confirmed"
        elif isinstance(message, pb.Recover):
            assert len(people) == 2
            assert duties == {pb.DUTY_ENROL, pb.DUTY_CONFIRM}
        elif isinstance(message, pb.SetPersonStatus) and message.status != pb.STATUS_SUSPENDED:
            assert len(people) == 1
            assert (pb.DUTY_CONFIRM if message.status == pb.STATUS_REVOKED else pb.DUTY_ENROL) in duties

    def proposer(self, message: pb.Confirm | pb.ConfirmLegalPerson) -> bytes:
        state = self.rig.state
        if isinstance(message, pb.Confirm):
            return self.rig.person(message.id).proposal.officer
        raw = state[f"identity/legal-person/{message.uscc}".encode()]
        return pb.LegalPersonRecord.FromString(raw).proposal.officer

    def check_keys(self, transaction: SignedTransaction) -> None:
        """No key that ended counts again, each has one registration, and each counts as recovered when it should."""
        message, executed_ms = _message(transaction), self.rig.time_ms - BLOCK_MS
        if isinstance(message, pb.Recover):
            self.recovered[message.id] = executed_ms + RECOVERED_MS
            assert {key.commitment for key in self.rig.person(message.id).keys} == {n.commitment for n in message.binds}
        held: list[bytes] = []
        for identifier, record in self.of_kind(b"person"):
            assert isinstance(record, pb.PersonRecord)
            until_ms = self.recovered.get(identifier, 0)
            held.extend(key.commitment for key in record.keys)
            for key in record.keys:
                for time_ms in (executed_ms, until_ms - 1, until_ms):
                    found = counting_key(record, key.commitment, time_ms)
                    assert (found is not None) is (record.status == pb.PERSON_STATUS_ACTIVE and not key.suspended)
                    assert found is None or found.is_recovered is (time_ms < until_ms)
        assert len(held) == len(set(held)), "a key in two registrations"
        self.gone |= self.held - set(held)
        self.held = set(held)
        assert not self.held & self.gone, "a key that ended is back"

    def check_seats(self) -> None:
        """As many tags as seats, as many living registrations as taken ones, and one tag for each person."""
        people = [record for _, record in self.of_kind(b"person") if isinstance(record, pb.PersonRecord)]
        tags = [record for _, record in self.of_kind(b"tag") if isinstance(record, pb.TagRecord)]
        living = (pb.PERSON_STATUS_ACTIVE, pb.PERSON_STATUS_SUSPENDED)
        for name in ("org-r", "org-s"):
            registrar = registrar_digest(name)
            seats = load_seats(self.rig.state.get, registrar)
            assert seats.live == sum(r.registrar == registrar and r.status in living for r in people)
            assert seats.free + seats.live + seats.ended == sum(r.registrar == registrar for r in tags)
        version = load_tag_key(self.rig.state.get).key_version
        for what in range(PEOPLE):
            keys = [b"identity/tag/%d/%s" % (v, hidden(f"tag {v} {what}").hex().encode()) for v in range(version + 1)]
            assert sum(key in self.rig.state for key in keys) <= 1, "one person has two tags"

    def check_mandates(self) -> None:
        """None counts unless both sides accepted and neither ended it, or beyond its time or its company's."""
        raw = self.rig.state.get(f"identity/legal-person/{USCC}".encode())
        company = pb.LegalPersonRecord.FromString(raw or b"").status == pb.PERSON_STATUS_ACTIVE
        for identifier, record in self.of_kind(b"mandate"):
            assert isinstance(record, pb.MandateRecord)
            if record.ended_at_ms:
                self.ended.add(identifier)
                assert not record.principal_anchor, "nothing of it is left"
            for time_ms in (self.rig.time_ms, record.valid_from_ms - 1, record.valid_to_ms):
                if counts(self.rig.state.get, record, time_ms):
                    self.counted.add(identifier)
                    assert identifier not in self.ended
                    assert record.principal_accepted
                    assert record.agent_accepted
                    assert record.valid_from_ms <= time_ms < record.valid_to_ms
                    assert company or not record.legal_person

    def check_apart(self) -> None:
        """No id, commitment, tag or anchor of one natural person's record stands in another's, key or value.

        What is only proposed is left out: of two proposals that name one key, one is refused when it is confirmed.
        """
        seen: Counter[bytes] = Counter()
        public = {registrar_digest(name) for name in ("org-r", "org-s")} | {number(who) for _, _, who, _ in OFFICERS}
        for kind in PREFIXES:
            for identifier, record in self.of_kind(kind):
                if isinstance(record, pb.PersonRecord):
                    record.ClearField("proposal")
                seen.update({identifier, *(value for value in _bytes_in(record) if len(value) >= 16)} - public)
        seen.pop(USCC.encode(), None)
        assert [value.hex() for value, times in seen.items() if times > 1] == []

    def of_kind(self, kind: bytes) -> Iterator[tuple[bytes, Message]]:
        prefix = b"identity/%s/" % kind
        for key, value in self.rig.state.items():
            if key.startswith(prefix):
                yield bytes.fromhex(key.rsplit(b"/", 1)[1].decode()), PREFIXES[kind].FromString(value)


def _message(transaction: SignedTransaction) -> Message:
    """The first operation's."""
    operation = transaction.operations[0]
    found: Message = getattr(pb, operation.type.removeprefix("identity.")).FromString(operation.body)
    return found


def _bytes_in(message: Message) -> Iterator[bytes]:
    """Every byte string at any depth."""
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if isinstance(one, Message):
                yield from _bytes_in(one)
            elif isinstance(one, bytes):
                yield one


def digest_of(seeds: range) -> str:
    """Everything that these histories yield, as one hash."""
    total = hashlib.sha256()
    for seed in seeds:
        history = History(seed)
        for _ in range(BLOCKS):
            total.update("/".join(history.block()).encode())
        for key, value in sorted(history.rig.state.items()):
            total.update(key + value)
    return total.hexdigest()


@pytest.mark.parametrize("seed", range(25))
def test_random_history_keeps_the_invariants(seed: int) -> None:
    history = History(seed)
    for _ in range(BLOCKS):
        history.block()


def test_histories_reach_what_they_are_to_test() -> None:
    seen: Counter[str] = Counter()
    gone = ended = recovered = rotated = counted = 0
    for seed in range(25):
        history = History(seed)
        for _ in range(BLOCKS):
            seen.update(history.block())
        gone, ended, recovered = (
            gone + len(history.gone),
            ended + len(history.ended),
            recovered + len(history.recovered),
        )
        counted += len(history.counted)
        rotated += load_tag_key(history.rig.state.get).key_version - 1
    assert seen[""] >= 300
    assert min(gone, ended, recovered, rotated, counted) >= 5, (gone, ended, recovered, rotated, counted)
    for code in (
        "id-used",
        "key-used",
        "mandate-over",
        "no-officer",
        "no-seat",
        "not-on-duty",
        "own-proposal",
        "tag-taken",
        "two-officers",
        "wrong-proof",
    ):
        assert seen[f"identity.{code}"], code


@pytest.mark.parametrize("hash_seed", ["1", "31337"])
def test_history_is_the_same_under_another_hash_seed(hash_seed: str) -> None:
    """This process has a seed of its own, so three are compared."""
    code = "from tests.properties.test_identity_histories import digest_of; print(digest_of(range(2)))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": hash_seed, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert other.stdout.strip() == digest_of(range(2))
