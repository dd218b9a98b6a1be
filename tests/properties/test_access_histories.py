# SPDX-License-Identifier: Apache-2.0
"""Random histories of accesses, sealed entries, relying parties and consents keep what the rules promise.

After each block: a slot holds what was written first, batches were written whole or not at all, sealed entries are
counted rightly, terms count exactly when two officers of one registrar signed for them, consents exactly until a side
or their day ends them, and a failed transaction has left no trace. At the end each list is shown in full.
"""

import hashlib
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.protobuf.message import Message

from chain.transaction import SignedTransaction
from identity.access import AccessList, make_batch, make_entry, verify
from identity.access_rules import BATCH_SIZES, DAY_MS, load_access, load_seal_counts, seal_count_key, seal_of
from identity.commitments import anchor_of
from identity.consents import counts, load_consent
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from identity.registrations import proposal_digest
from identity.relying import refused_at
from identity.relying_rules import load_relying_party, load_relying_proposal
from sim.instant_ledger import InstantLedger
from tests.access_rig import Draws, entry, look_up
from tests.identity_rig import OFFICERS, REASON, IdentityRig, hidden, key_of
from tests.rig import BLOCK_MS, START_MS, code_of, organisation

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = 100
SEEDS = range(12)
PARTIES = ("org-a", "org-u")
SEALERS = ("org-p", "org-q")
OFFICER_KEYS = tuple(key for _, key, _, _ in OFFICERS)
WHO = {key_of(key): (owner, person, set(duties)) for owner, key, person, duties in OFFICERS}


class History:
    """Draws transactions that are often right, and keeps its own account of what must follow."""

    def __init__(self, seed: int) -> None:
        self.random, self.draw = random.Random(seed), Draws(seed)
        self.rig = IdentityRig(
            organisation("org-v", roles=("verifier",)),
            *(organisation(name, roles=("sealing-authority",)) for name in SEALERS),
        )
        self.lists = [AccessList(hidden(f"list {i}")) for i in range(3)]
        self.written: dict[bytes, pb.AccessRecord] = {}
        self.sealed: dict[tuple[str, bytes], bool] = {}
        self.proposed: dict[str, tuple[str, str]] = {}
        self.versions: Counter[str] = Counter()
        self.ended: dict[int, bool] = {}
        self.given: dict[int, int] = {}
        self.numbers: dict[bytes, int] = {}
        self.after: dict[bytes, tuple[int, AccessList]] = {}

    # ------------------------------------------------------------ drawing

    def transaction(self) -> SignedTransaction:
        pick = self.random
        draw = pick.choice([self.batch, self.batch, self.seal, self.party, self.party, self.party, self.consent])
        signers, message = draw()
        if pick.random() < 0.1:
            signers = pick.choice(["org-a:submit", "org-r:submit", "org-p:attest", *OFFICER_KEYS])
        broken = [pb.EndConsent(commitment=bytes(32), proof=bytes(32))] if pick.random() < 0.05 else []
        return self.rig.sign(signers, message, *broken)

    def batch(self) -> tuple[str, Message]:
        """An entry or two of one list with decoys; sometimes a slot that is taken, or another form."""
        pick, which = self.random, self.random.randrange(3)
        one, entries = self.lists[which], []
        for i in range(pick.randrange(1, 3)):
            handed, salt = one.hand_out(self.draw), self.draw(32)
            entries.append(make_entry(handed.slot, handed.link, look_up(i), salt))
            one = one.took(handed, look_up(i), salt)
        if self.written and pick.random() < 0.15:
            entries.append(entry(pick.randrange(9), slot=pick.choice(sorted(self.written))))
        made = make_batch(entries, self.draw)
        if pick.random() < 0.1:
            del made.entries[pick.randrange(len(made.entries))]
        self.after[made.SerializeToString()] = (which, one)
        return pick.choice(["org-r:submit", "org-v:submit"]), made

    def seal(self) -> tuple[str, Message]:
        """Seal what a slot holds, or show that it holds what was sealed."""
        pick, slots = self.random, sorted(self.written)[:4]
        if not slots:
            return self.batch()
        slot, name = pick.choice(slots), pick.choice(SEALERS)
        seal = seal_of(self.written[slot].content, hidden("salt"))
        if pick.random() < 0.5:
            due_day = self.rig.time_ms // DAY_MS + pick.randrange(0, 4)
            return f"{name}:attest", pb.SealAccess(seal=seal, due_day=due_day)
        shown = pick.choice([slot, slot, *slots])
        return f"{name}:attest", pb.JoinSealed(seal=seal, slot=shown, salt=hidden("salt"))

    def party(self) -> tuple[str, Message]:
        """An act on a relying party by some officer."""
        pick, name, rig = self.random, self.random.choice(PARTIES), self.rig
        proposal = load_relying_proposal(rig.state.get, name) or pb.RelyingProposal()
        purpose = pb.RelyingPurpose(
            number=pick.randrange(1, 4), name_en="p", legal_basis="b", attributes=["a/b"], per_second_max=1
        )
        terms = pb.RelyingTerms(purposes=[purpose], valid_from_ms=START_MS, valid_to_ms=START_MS + 300 * DAY_MS)
        message = pick.choice(
            [
                pb.ProposeRelyingParty(organisation=name, terms=terms),
                pb.ConfirmRelyingParty(organisation=name, digest=proposal_digest(proposal)),
                pb.ConfirmRelyingParty(organisation=name, digest=proposal_digest(proposal)),
                pick.choice(
                    [
                        pb.WithdrawRelyingParty(organisation=name),
                        pb.SetRelyingPartyStatus(
                            organisation=name, status=pb.Status.ValueType(pick.randrange(1, 4)), reason=REASON
                        ),
                    ]
                ),
            ]
        )
        return pick.choice(OFFICER_KEYS), message

    def consent(self) -> tuple[str, Message]:
        """Give one, or end one of the last few by a side's secret."""
        pick, what = self.random, max(0, len(self.given) - 1 - self.random.randrange(3))
        if pick.random() < 0.5:
            what += pick.random() < 0.8
            self.numbers[hidden(f"consent {what}")] = what
            return "org-v:submit", pb.GiveConsent(
                commitment=hidden(f"consent {what}"),
                person_anchor=anchor_of(hidden(f"person {what}")),
                party_anchor=anchor_of(hidden(f"party {what}")),
                valid_to_day=self.rig.time_ms // DAY_MS + pick.randrange(0, 3),
            )
        side = pick.choice(["person", "party", "neither"])
        return "org-a:submit", pb.EndConsent(commitment=hidden(f"consent {what}"), proof=hidden(f"{side} {what}"))

    # ------------------------------------------------------------ running and checking

    def block(self) -> list[str]:
        """Run one block, check what must hold, and give the entries' codes."""
        rig = self.rig
        tried = rig.execute(*(self.transaction() for _ in range(self.random.randrange(1, 4))))
        codes = [code_of(one) for one in tried.entries]
        successful = [one for one, code in zip(tried.executed, codes, strict=True) if not code]
        assert rig.execute(*successful).writes == tried.writes, "a failed transaction left a trace"
        for one in successful:
            self.account(one)
            rig.run(one)
            self.check()
        if self.random.random() < 0.05:
            rig.height += self.random.choice([DAY_MS, 40 * DAY_MS]) // BLOCK_MS
        return codes

    def account(self, transaction: SignedTransaction) -> None:
        """What a successful transaction must lead to, by an account that rules have no part in."""
        operation = transaction.operations[0]
        message: Message = getattr(pb, operation.type.removeprefix("identity.")).FromString(operation.body)
        signing = [WHO[signer] for signer in transaction.signers if signer in WHO]
        match message:
            case pb.RecordAccesses():
                self.account_batch(transaction, message)
            case pb.SealAccess() | pb.JoinSealed():
                (authority,) = (n for n in SEALERS if any(s == key_of(f"{n}:attest") for s in transaction.signers))
                self.sealed[authority, message.seal] = isinstance(message, pb.JoinSealed)
            case pb.GiveConsent():
                what = self.numbers[message.commitment]
                self.given[what], self.ended[what] = message.valid_to_day, False
            case pb.EndConsent():
                what = self.numbers[message.commitment]
                assert message.proof in (hidden(f"person {what}"), hidden(f"party {what}"))
                self.ended[what] = True
            case pb.ProposeRelyingParty():
                ((owner, person, duties),) = signing
                assert pb.DUTY_ENROL in duties
                self.proposed[message.organisation] = (owner, person)
            case pb.ConfirmRelyingParty():
                ((owner, person, duties),) = signing
                proposer = self.proposed.pop(message.organisation)
                assert pb.DUTY_CONFIRM in duties
                assert proposer[0] == owner
                assert proposer[1] != person
                self.versions[message.organisation] += 1
            case pb.SetRelyingPartyStatus(status=pb.STATUS_REVOKED):
                self.proposed.pop(message.organisation, None)

    def account_batch(self, transaction: SignedTransaction, message: pb.RecordAccesses) -> None:
        assert len(message.entries) in BATCH_SIZES
        (writer,) = (n for n in ("org-r", "org-v") if any(s == key_of(f"{n}:submit") for s in transaction.signers))
        for one in message.entries:
            assert one.slot not in self.written, "a slot was written twice"
            self.written[one.slot] = pb.AccessRecord(
                writer=registrar_digest(writer), time_ms=self.rig.time_ms, content=one.content, next=one.next
            )
        which, grown = self.after[message.SerializeToString()]
        self.lists[which] = grown

    def check(self) -> None:
        """State says what the account says."""
        read, now_ms = self.rig.state.get, self.rig.time_ms
        assert sum(key.startswith(b"identity/access/") for key in self.rig.state) == len(self.written)
        for slot, record in self.written.items():
            assert load_access(read, slot) == record
        for name in SEALERS:
            own = [joined for (authority, _), joined in self.sealed.items() if authority == name]
            found = load_seal_counts(read, seal_count_key(registrar_digest(name)))
            assert (found.sealed, found.joined) == (own.count(False), own.count(True))
        city = load_seal_counts(read)
        assert city.sealed == list(self.sealed.values()).count(False)
        for name in PARTIES:
            party = load_relying_party(read, name)
            assert (0 if party is None else party.version) == self.versions[name]
            if party is not None and refused_at(party, now_ms) is None:
                assert (party.status, party.terms.valid_from_ms) == (pb.PERSON_STATUS_ACTIVE, START_MS)
            assert party is None or party.HasField("terms") is (party.status != pb.PERSON_STATUS_REVOKED)
        for what, day in self.given.items():
            consent = load_consent(read, hidden(f"consent {what}"))
            for time_ms in (now_ms, day * DAY_MS - 1, day * DAY_MS):
                assert counts(consent, time_ms) is (not self.ended[what] and time_ms < day * DAY_MS)

    def check_lists(self) -> int:
        """Each list is shown in full, and not a slot less; how many entries there were."""
        ledger = InstantLedger(("a", "b", "c", "d"))
        ledger.append([], dict(self.rig.state))
        for one in self.lists:
            found = verify(one.report(ledger.receipt([], list(one.state_keys()))), one.first_slot, ledger.genesis)
            assert [access.slot for access in found.accesses] == list(one.slots[:-1])
            assert found.sealed == list(self.sealed.values()).count(False)
        return sum(len(one.openings) for one in self.lists)


def run(seed: int) -> tuple[History, Counter[str]]:
    history, seen = History(seed), Counter[str]()
    for _ in range(BLOCKS):
        seen.update(history.block())
    return history, seen


def digest_of(seeds: Sequence[int]) -> str:
    """Everything that these histories yield, as one hash."""
    total = hashlib.sha256()
    for seed in seeds:
        history, seen = run(seed)
        total.update(repr(sorted(seen.items())).encode())
        for key, value in sorted(history.rig.state.items()):
            total.update(key + value)
    return total.hexdigest()


def test_random_histories_keep_the_promises_and_reach_what_they_are_to_test() -> None:
    seen, entries, registered, joined, withdrawn = Counter[str](), 0, 0, 0, 0
    for seed in SEEDS:
        history, codes = run(seed)
        seen += codes
        entries += history.check_lists()
        registered += sum(history.versions.values())
        joined += list(history.sealed.values()).count(True)
        withdrawn += sum(history.ended.values())
    assert min(entries, registered, joined, withdrawn) >= 10, (entries, registered, joined, withdrawn)
    for code in (
        "batch-size",
        "consent-over",
        "consent-used",
        "nothing-proposed",
        "not-writer",
        "own-proposal",
        "party-not-suspended",
        "proposal-open",
        "seal-due",
        "seal-joined",
        "slot-taken",
        "unknown-party",
        "unknown-seal",
        "wrong-proof",
        "wrong-seal",
    ):
        assert seen[f"identity.{code}"], code


@pytest.mark.parametrize("hash_seed", ["1", "31337"])
def test_history_is_the_same_under_another_hash_seed(hash_seed: str) -> None:
    """This process has a seed of its own, so three are compared."""
    code = "from tests.properties.test_access_histories import digest_of; print(digest_of(range(1)))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": hash_seed, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert other.stdout.strip() == digest_of(range(1))
