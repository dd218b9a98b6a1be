# SPDX-License-Identifier: Apache-2.0
"""Attests each row of a table once, whatever happens on the way.

Order of durability: record ids and salts are in the journal before a transaction is built, transactions are in it
before they are sent, receipts before their files are written. So at each crash a rerun knows what may be on the chain:
it looks for what was sent, sends the same bytes again while they can still execute, and makes a new transaction (for
the same record) only when f + 1 validators show that the old one never executed and its time is over.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from chain.codec import encode
from chain.errors import Refused
from chain.signing import TransactionSigner
from chain.transaction import Operation, SignedTransaction, decode
from chain.types import TransactionId
from cli.acting import write_file
from cli.attestation import claims
from cli.attestation.journal import Journal, Record, Submission
from cli.attestation.table import Person, Table
from client.answers import Outcome
from client.errors import TransportError
from client.session import REQUEST_COUNT_MAX, Session
from client.signing import LIFETIME_MS
from identity.pb import identity_pb2

T = TypeVar("T")

RECORD_ID_BYTES = 16
SCHEMA_VERSION = 1
IN_FLIGHT_MAX = 1024
RECEIPTS_PER_COMMIT = 64
"""One synced write for so many rows."""
OPERATIONS_PER_TRANSACTION_MAX = 1024


@dataclass(frozen=True, slots=True)
class Report:
    """How an import ended.

    Attributes:
        attested: Rows attested by this run.
        before: Rows that an earlier run had done.
        transactions: How many this run settled.
    """

    attested: int
    before: int
    transactions: int


class Importer:
    """One table's way onto the chain."""

    def __init__(
        self,
        session: Session,
        journal: Journal,
        table: Table,
        signer: TransactionSigner,
        *,
        receipts: Path,
        operations_per_transaction: int,
        progress: Callable[[int], None],
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        assert 1 <= operations_per_transaction <= OPERATIONS_PER_TRANSACTION_MAX
        self._session = session
        self._journal = journal
        self._table = table
        self._signer = signer
        self._receipts = receipts
        self._group = operations_per_transaction
        self._progress = progress
        self._in_flight_max = max(1, in_flight_max // operations_per_transaction)
        self._sent: dict[bytes, Submission] = {}
        self._fresh: list[tuple[int, bytes]] = []
        self._done = 0
        self._transactions = 0

    async def run(self) -> Report:
        """Go on from where the journal stands until each row is attested.

        Raises:
            Refused: The network does not take attestations from this key.
            TransportError: No node is of use any more; a rerun goes on.
        """
        self._journal.begin(
            (person.index, secrets.token_bytes(RECORD_ID_BYTES), secrets.token_bytes(claims.SALT_BYTES))
            for person in self._table.people
        )
        before = self._done = self._journal.count_done()
        self._progress(before)
        await self._settle_earlier()
        async for outcome in self._session.submit(self._new(), in_flight_max=self._in_flight_max):
            self._take(outcome)
        self._keep()
        self._write_missing()
        return Report(self._done - before, before, self._transactions)

    async def _settle_earlier(self) -> None:
        """Find out what became of transactions that an earlier run noted, and send those again that still can run."""
        await self._find([submission.id for submission in self._journal.open_submissions()])
        still_open = self._journal.open_submissions()
        if not still_open:
            return
        checkpoint = await self._session.checkpoint()
        alive = []
        for submission in still_open:
            if submission.expires_at_ms >= checkpoint.time_ms:
                alive.append(submission)
            elif await self._session.is_missing_everywhere(TransactionId(submission.id), submission.expires_at_ms):
                self._journal.release(submission.id)
            else:
                reason = "it is not known whether an earlier transaction was executed; run the import again later"
                raise TransportError(reason, "transport.behind")
        self._sent |= {submission.id: submission for submission in alive}
        async for outcome in self._session.submit(decode(submission.raw) for submission in alive):
            if isinstance(outcome.error, Refused) and outcome.error.code == "transaction.expired":
                self._journal.release(outcome.transaction.id)
            else:
                self._take(outcome)
        self._keep()

    async def _find(self, identifiers: Sequence[bytes]) -> None:
        """Take receipts of transactions that have one already."""
        submissions = {submission.id: submission for submission in self._journal.open_submissions()}
        for start in range(0, len(identifiers), REQUEST_COUNT_MAX):
            chunk = [TransactionId(identifier) for identifier in identifiers[start : start + REQUEST_COUNT_MAX]]
            for identifier, proven in (await self._session.receipts(chunk)).items():
                submission = submissions[identifier]
                self._sent[identifier] = submission
                self._take(Outcome(decode(submission.raw), proven=proven[0]))
        self._keep()

    async def _new(self) -> AsyncIterator[SignedTransaction]:
        """Transactions for rows that none carries, each noted before it is handed out."""
        for batch in _groups(_groups(self._journal.unsent(), self._group), 32):
            made = [(self._transaction(records), records) for records in batch]
            submissions = [
                Submission(each.id, each.raw, each.expires_at_ms, tuple(record.row for record in records))
                for each, records in made
            ]
            self._journal.sending(submissions)
            self._sent |= {submission.id: submission for submission in submissions}
            for each, _ in made:
                yield each

    def _transaction(self, records: Sequence[Record]) -> SignedTransaction:
        operations = [self._operation(self._table.people[record.row], record) for record in records]
        return self._session.sign(operations, [self._signer], lifetime_ms=LIFETIME_MS)

    def _operation(self, person: Person, record: Record) -> Operation:
        attest = identity_pb2.Attest(
            id=record.id,
            schema=identity_pb2.SCHEMA_RESIDENT,
            schema_version=SCHEMA_VERSION,
            commitment=claims.commitment(person.claims, record.salt),
            assurance_level=identity_pb2.AssuranceLevel.ValueType(person.assurance_level),
            valid_from_ms=person.valid_from_ms,
            valid_to_ms=person.valid_to_ms,
        )
        return Operation.make("identity.Attest", encode(attest))

    def _take(self, outcome: Outcome) -> None:
        """Keep one outcome: a receipt for each of the transaction's rows, or why there is none."""
        submission = self._sent[outcome.transaction.id]
        if outcome.proven is None:
            assert outcome.error is not None
            if isinstance(outcome.error, Refused):
                self._journal.release(submission.id)
            raise outcome.error
        self._transactions += 1
        if outcome.proven.failed is not None:
            # The rows stay with a record and without a transaction: a rerun tries them again.
            self._journal.release(submission.id)
            raise Refused(f"the attestation of {len(submission.rows)} row(s) failed", outcome.proven.failed.code)
        self._fresh += zip(submission.rows, outcome.proven.receipts(outcome.transaction), strict=True)
        del self._sent[outcome.transaction.id]
        self._progress(self._done + len(self._fresh))
        if len(self._fresh) >= RECEIPTS_PER_COMMIT:
            self._keep()

    def _keep(self) -> None:
        """Put receipts into the journal; those that a crash loses before are found again by a rerun."""
        self._journal.done(self._fresh)
        self._done += len(self._fresh)
        self._fresh = []

    def _write_missing(self) -> None:
        """Write a receipt file for each record that has none; the name is the record's id."""
        self._receipts.mkdir(mode=0o700, parents=True, exist_ok=True)
        for record in self._journal.records():
            path = self._receipts / f"{record.id.hex()}.receipt"
            if record.receipt is not None and not path.exists():
                write_file(path, record.receipt, sync=False)


def _groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in lists of `size`, the last one perhaps shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
