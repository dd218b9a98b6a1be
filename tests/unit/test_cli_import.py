# SPDX-License-Identifier: Apache-2.0
"""An import that is killed at any point goes on where it was, and no row gets a second record on the ledger."""

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import pytest
from fake_network import FakeNetwork

from chain import receipt
from chain.ed25519 import Ed25519Signer
from chain.errors import Refused
from chain.transaction import decode
from chain.types import Millis
from cli.attestation.claims import commitment
from cli.attestation.importer import Importer
from cli.attestation.journal import Journal, Submission
from cli.attestation.table import FAULTS_SHOWN_MAX, Table, check_lifetimes, load, parse
from cli.errors import InputError
from cli.scenes import residents
from client.pb import node_service_pb2 as pb
from client.session import Session
from client.signing import LIFETIME_MS
from identity.pb import identity_pb2

SIGNER = Ed25519Signer(b"\x09" * 32)
ROWS = 60


class Crash(Exception):
    pass


def test_validity_beyond_the_networks_limit_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    residents.write_table(path, list(residents.residents(3, 1)))
    header, *rows = path.read_text("utf-8").splitlines()
    assert "valid_to" not in header
    ends = ["2027-11-22", "2099-01-01", "2036-11-22"]
    added = [f"{row},{end}" for row, end in zip(rows, ends, strict=True)]
    path.write_text("\n".join([f"{header},valid_to", *added]), encoding="utf-8")
    table = load(path, date(2026, 11, 22))
    check_lifetimes(table, 73 * 366 * 24 * 3600 * 1000, str(path))
    with pytest.raises(InputError) as caught:
        check_lifetimes(table, 20 * 365 * 24 * 3600 * 1000, str(path))
    (fault,) = caught.value.details
    assert "line 3" in fault
    assert "7300" in fault


@pytest.mark.parametrize("day", ["1900-01-01", "1970-12-31", "3000-01-01", "9999-06-01", "9999-12-31", "2026-02-30"])
@pytest.mark.parametrize("column", ["valid_from", "valid_to"])
def test_day_of_a_year_that_cannot_be_meant_is_named_with_its_line(tmp_path: Path, column: str, day: str) -> None:
    path = tmp_path / "t.csv"
    residents.write_table(path, list(residents.residents(1, 1)))
    header, row = path.read_text("utf-8").splitlines()
    path.write_text(f"{header},{column}\n{row},{day}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(path, date(2026, 11, 22))
    assert caught.value.code == "table.faults"
    assert any("line 2" in fault and column in fault and "1971" in fault for fault in caught.value.details)


def test_table_full_of_faults_keeps_the_first_and_counts_the_rest() -> None:
    raw = b"name,id_number\n" + b",\n" * 20_000
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            parse(raw, "t.csv", date(2026, 11, 22))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(caught.value.details) == FAULTS_SHOWN_MAX + 1
    assert str(40_000 - FAULTS_SHOWN_MAX) in caught.value.details[-1]
    assert peak < 1_000_000


@asynccontextmanager
async def importing(fake: FakeNetwork, folder: Path, *, group: int = 1, progress: Callable[[int], None] = id):
    path = folder / "t.csv"
    if not path.exists():
        residents.write_table(path, list(residents.residents(ROWS, 1)))
    table = load(path, date(2026, 11, 22))
    journal = Journal(
        folder / "t.csv.journal",
        table=table.digest,
        network=fake.genesis.network,
        issuer=SIGNER.signer.public_key,
    )
    try:
        async with Session(fake.genesis, endpoints=fake.endpoints) as session:
            importer = Importer(
                session,
                journal,
                table,
                SIGNER,
                receipts=folder / "r",
                operations_per_transaction=group,
                progress=progress,
                in_flight_max=8,
            )
            yield importer, journal, table
    finally:
        journal.close()


def on_ledger(fake: FakeNetwork) -> Counter[bytes]:
    """How often each record id stands on the ledger."""
    return Counter(
        identity_pb2.Attest.FromString(operation.body).id
        for transaction, _, _ in fake.ledger.entries.values()
        for operation in transaction.operations
    )


def check_complete(fake: FakeNetwork, journal: Journal, table: Table, folder: Path) -> None:
    records = journal.records()
    assert on_ledger(fake) == Counter(record.id for record in records)
    assert len(records) == ROWS
    for record in records:
        proven = receipt.verify((folder / "r" / f"{record.id.hex()}.receipt").read_bytes(), fake.genesis)
        attest = identity_pb2.Attest.FromString(proven.inclusions[0].operation.body)
        assert attest.id == record.id
        assert attest.commitment == commitment(table.people[record.row].claims, record.salt)


@pytest.mark.parametrize("group", [1, 7, 1000])
async def test_import_attests_each_row_once_and_a_rerun_nothing(tmp_path: Path, group: int) -> None:
    async with FakeNetwork() as fake:
        async with importing(fake, tmp_path, group=group) as (importer, journal, table):
            report = await importer.run()
            assert (report.attested, report.before, report.transactions) == (ROWS, 0, -(-ROWS // group))
            check_complete(fake, journal, table, tmp_path)
        async with importing(fake, tmp_path, group=group) as (importer, journal, table):
            report = await importer.run()
            assert (report.attested, report.before) == (0, ROWS)
            check_complete(fake, journal, table, tmp_path)


@pytest.mark.parametrize("stop_at", [0, 1, 9, 33, ROWS - 1])
async def test_import_killed_between_outcomes_goes_on(tmp_path: Path, stop_at: int) -> None:
    def crash(position: int) -> None:
        if position >= stop_at:
            raise Crash

    async with FakeNetwork() as fake:
        async with importing(fake, tmp_path, progress=crash) as (importer, _journal, _table):
            with pytest.raises(Crash):
                await importer.run()
        async with importing(fake, tmp_path) as (importer, journal, table):
            await importer.run()
            check_complete(fake, journal, table, tmp_path)


async def test_import_killed_at_each_journal_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = ("begin", "sending", "done")
    async with FakeNetwork() as fake:
        for name in writes:
            for after in (False, True):
                original = getattr(Journal, name)

                def crash(journal: Journal, *args: object, _original=original, _after=after) -> None:
                    if _after:
                        _original(journal, *args)
                    raise Crash

                with monkeypatch.context() as patch:
                    patch.setattr(Journal, name, crash)
                    async with importing(fake, tmp_path, group=2) as (importer, _journal, _table):
                        with pytest.raises(Crash):
                            await importer.run()
        async with importing(fake, tmp_path, group=2) as (importer, journal, table):
            await importer.run()
            check_complete(fake, journal, table, tmp_path)


async def test_import_cancelled_anywhere_goes_on(tmp_path: Path) -> None:
    async with FakeNetwork() as fake:
        for delay_s in (0.005, 0.02, 0.04, 0.08):
            async with importing(fake, tmp_path) as (importer, _journal, _table):
                task = asyncio.create_task(importer.run())
                await asyncio.wait({task}, timeout=delay_s)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        async with importing(fake, tmp_path) as (importer, journal, table):
            await importer.run()
            check_complete(fake, journal, table, tmp_path)


async def test_transaction_that_was_noted_and_ran_out_unsent_is_made_anew_for_the_same_record(tmp_path: Path) -> None:
    async with FakeNetwork() as fake:
        async with importing(fake, tmp_path) as (importer, journal, _table):
            session = importer._session
            journal.begin((row, bytes([row]) * 16, bytes(32)) for row in range(ROWS))
            old = importer._transaction(journal.records()[:1])
            journal.sending([Submission(old.id, old.raw, 1, (0,))])
            assert decode(old.raw).id not in fake.ledger.entries
            assert session is not None
        async with importing(fake, tmp_path) as (importer, journal, table):
            await importer.run()
            check_complete(fake, journal, table, tmp_path)
            assert old.id not in fake.ledger.entries
            assert on_ledger(fake)[bytes(16)] == 1


async def test_import_that_the_network_refuses_can_be_run_again_later(tmp_path: Path) -> None:
    async with FakeNetwork() as fake:
        for node in fake.nodes:
            node.refuse = lambda t: pb.Admission(transaction_id=t.id, code="transaction.unknown-signer", reason="no")
        async with importing(fake, tmp_path) as (importer, _journal, _table):
            with pytest.raises(Refused):
                await importer.run()
        for node in fake.nodes:
            node.refuse = lambda _t: None
        async with importing(fake, tmp_path) as (importer, journal, table):
            await importer.run()
            check_complete(fake, journal, table, tmp_path)


def test_lifetime_of_an_imports_transactions_is_within_the_ledgers() -> None:
    assert Millis(LIFETIME_MS) < 300_000
