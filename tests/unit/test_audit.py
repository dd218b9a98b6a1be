# SPDX-License-Identifier: Apache-2.0
"""An audit executes a stored ledger again: a sound one is clean, and whatever is altered anywhere is named."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.memory import MemoryDatabase
from chain.tree import StateTree
from cli import output
from cli.exits import Exit
from cli.main import run
from node import store
from node.audit import AuditReport, Progress, audit
from node.audit_faults import Fault, compare, first_difference
from node.audit_scope import Scope, ScopeError
from node.audit_work import InlineWorkers, SignedRecord, check_piece, open_workers, pieces_of
from node.errors import ConfigError
from node.leveldb import LevelDatabase
from node.store import LedgerStore
from node.store_keys import FORMAT_KEY, HORIZON_KEY, INSTALL_KEY, NETWORK_KEY, STATE_PREFIX, Horizon, Place, numbered
from tests.certified_ledger import CertifiedLedger
from tests.ledger_copy import copy_at

CLOSED_AT = 13
BLOCKS = 24
KEPT_FROM = 9
"""Of the ledger whose older states are pruned."""

Pairs = dict[bytes, bytes]


def grown() -> CertifiedLedger:
    """Two epochs; failed and skipped transactions; finalizations and certificates."""
    ledger = CertifiedLedger(MemoryDatabase())
    ledger.grow(CLOSED_AT - 1)
    ledger.append(*ledger.replace_validator("roads", 1))
    ledger.grow(BLOCKS - CLOSED_AT, first=CLOSED_AT)
    return ledger


MADE = grown()
assert isinstance(MADE.database, MemoryDatabase)
WHOLE = MADE.database.pairs()


def pruned(pairs: Pairs, version: int) -> Pairs:
    database = MemoryDatabase(pairs)
    pruning = StateTree(database, STATE_PREFIX).prune(version)
    database.write(pruning.puts, pruning.deletes)
    return database.pairs()


PRUNED = pruned(WHOLE, KEPT_FROM)
TABLES = (
    "B",
    "C",
    "D",
    "E",
    "F",
    "H",
    "K",
    "L",
    "MH",
    "MN",
    "MT",
    "O",
    "Q",
    "Sn",
    "Sp",
    "Sr",
    "Ss",
    "Sv",
    "T",
    "V",
    "X",
)
"""Those with values; R has keys alone."""


def keys_of(table: str) -> list[bytes]:
    return sorted(key for key, value in PRUNED.items() if key.startswith(table.encode()) and value)


def run_audit(pairs: Pairs, **options: int) -> AuditReport:
    return audit(MemoryDatabase(pairs), MADE.genesis, MemoryDatabase(), InlineWorkers(), **options)


def scope_of(report: AuditReport) -> Scope:
    assert report.scope is not None
    return report.scope


def fault_of(pairs: Pairs) -> Fault:
    fault = run_audit(pairs).fault
    assert fault is not None
    return fault


# ---------------------------------------------------------------- sound ledgers


def test_sound_ledger_with_epochs_failures_and_skips_is_clean() -> None:
    report = run_audit(WHOLE)
    assert report.fault is None
    assert (report.blocks, scope_of(report).base, report.certified_height) == (BLOCKS, None, BLOCKS)
    assert report.transactions > report.entries > BLOCKS
    assert report.certificates == 2 * BLOCKS - 1  # the closing block has no finalization of its own
    indexes = [key for key in WHOLE if key[:1] in b"DHLRST"]
    assert report.records == len(indexes)


def test_ledger_whose_older_states_are_pruned_is_executed_from_genesis_and_clean() -> None:
    assert PRUNED.keys() != WHOLE.keys()
    report = run_audit(PRUNED)
    assert (report.fault, report.blocks, scope_of(report).base) == (None, BLOCKS, None)


@pytest.mark.parametrize("pairs", [WHOLE, PRUNED], ids=["whole", "pruned"])
@pytest.mark.parametrize(("first", "last"), [(10, 24), (CLOSED_AT, CLOSED_AT), (14, 20), (24, 24), (1, 9), (1, 24)])
def test_range_starts_from_the_state_before_it_and_is_clean(pairs: Pairs, first: int, last: int) -> None:
    report = run_audit(pairs, first=first, last=last)
    assert (report.fault, report.blocks) == (None, last - first + 1)
    assert (scope_of(report).base is None) is (first == 1)


def test_range_whose_state_is_not_held_says_from_where_it_can_start() -> None:
    with pytest.raises(ScopeError, match=f"start without --from, or with --from {KEPT_FROM + 1} or later"):
        run_audit(PRUNED, first=5)
    with pytest.raises(ScopeError, match=f"there is no block 99; the newest is {BLOCKS}"):
        run_audit(PRUNED, last=99)


def test_range_that_nothing_certified_vouches_for_is_not_called_clean() -> None:
    pairs = {key: value for key, value in WHOLE.items() if key[:1] != b"Q" or key < numbered(b"Q", 15)}
    assert run_audit(pairs, first=10).fault is None
    with pytest.raises(ScopeError, match="is certified, so nothing vouches"):
        run_audit(pairs, first=18)


def test_ledger_that_joined_by_a_snapshot_is_audited_from_its_oldest_block() -> None:
    pairs = copy_at(MADE, 16).pairs()
    report = run_audit(pairs)
    assert (report.fault, report.blocks, scope_of(report).first) == (None, 0, 17)
    joined = CertifiedLedger(MemoryDatabase(pairs))
    joined.secrets |= MADE.secrets
    joined.salt = 10_000
    joined.grow(6, first=1_000)
    assert isinstance(joined.database, MemoryDatabase)
    grown_on = joined.database.pairs()
    report = run_audit(grown_on)
    assert (report.fault, report.blocks, report.followed) == (None, 6, 1)
    assert scope_of(report).base is not None
    assert scope_of(report).base.height == 16
    with pytest.raises(ScopeError, match="start with --from 17 or later"):
        run_audit(grown_on, first=1)
    later = run_audit(pruned(grown_on, 20))
    assert (later.fault, later.followed, later.blocks) == (None, 5, 2)


def test_ledger_whose_blocks_are_pruned_is_audited_from_its_oldest_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BLOCKS_KEPT_MIN", 10)
    database = prune_blocks(CertifiedLedger(MemoryDatabase(), block_ms=30_000), 10)
    report = audit(database, MADE.genesis, MemoryDatabase(), InlineWorkers())
    assert (report.fault, scope_of(report).horizon.oldest_block, scope_of(report).last) == (None, 30, 40)
    assert (report.followed, report.blocks) == (1, 10)
    later = audit(MemoryDatabase(pruned(database.pairs(), 36)), MADE.genesis, MemoryDatabase(), InlineWorkers())
    assert (later.fault, later.followed, later.blocks) == (None, 7, 4)
    key = next(key for key in sorted(database.pairs()) if key[:1] == b"X")
    for gone in (key, numbered(b"B", 33), numbered(b"E", LedgerStore(database).first_leaf)):
        left = {name: value for name, value in database.pairs().items() if name != gone}
        assert audit(MemoryDatabase(left), MADE.genesis, MemoryDatabase(), InlineWorkers()).fault is not None


def test_record_of_a_block_that_is_pruned_is_still_checked_if_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BLOCKS_KEPT_MIN", 10)
    pairs = prune_blocks(CertifiedLedger(MemoryDatabase(), block_ms=30_000), 10).pairs()
    oldest = Horizon.decode(pairs[HORIZON_KEY]).oldest_block
    older = [key for key in pairs if key[:1] == b"T" and Place.decode(pairs[key]).height < oldest]
    older += [key for key in pairs if key[:1] == b"V" and key < numbered(b"V", oldest)]
    assert {key[:1] for key in older} == {b"T", b"V"}
    for key in older:
        altered = {**pairs, key: pairs[key][:5] + bytes([pairs[key][5] ^ 1]) + pairs[key][6:]}
        fault = audit(MemoryDatabase(altered), MADE.genesis, MemoryDatabase(), InlineWorkers()).fault
        assert fault is not None
        assert fault.record == key.hex()


def prune_blocks(ledger: CertifiedLedger, kept: int) -> MemoryDatabase:
    """Forty blocks, an epoch closed among the older ones, and all but the last ones forgotten."""
    ledger.grow(14)
    ledger.append(*ledger.replace_validator("roads", 1))
    ledger.grow(25, first=15)
    assert isinstance(ledger.database, MemoryDatabase)
    pruning = LedgerStore(ledger.database, blocks_kept=kept)
    while pruning.prune_blocks():
        pass
    return ledger.database


def test_workers_in_processes_of_their_own_find_the_same(tmp_path: Path) -> None:
    told: list[Progress] = []
    key = numbered(b"Q", 20)
    altered = {**WHOLE, key: WHOLE[key][:-1] + bytes([WHOLE[key][-1] ^ 1])}
    with open_workers(2) as workers, LevelDatabase(tmp_path / "scratch") as scratch:
        report = audit(MemoryDatabase(altered), MADE.genesis, scratch, workers, progress=told.append)
    assert report.fault is not None
    assert (report.fault.table, report.fault.place) == ("certified checkpoints", "height 20")
    assert told
    assert all(one.blocks <= other.blocks for one, other in pairwise(told))


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_altered_byte_of_any_table_is_found_and_its_record_named(table: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(keys_of(table)))
    value = PRUNED[key]
    offset = data.draw(st.integers(0, len(value) - 1))
    mask = data.draw(st.integers(1, 255))
    altered = {**PRUNED, key: value[:offset] + bytes([value[offset] ^ mask]) + value[offset + 1 :]}
    fault = fault_of(altered)
    assert fault.record == key.hex()
    assert fault.offset in {None, offset}
    if fault.offset is not None:
        assert fault.found == f"{value[offset] ^ mask:02x}"
    assert len(fault.found) <= len("end of the record")  # one byte, never more of a record


@pytest.mark.parametrize("table", sorted({*TABLES, "R"} - {"MH", "MN", "Sp", "F", "Q"}))
def test_record_that_is_gone_is_named(table: str) -> None:
    keys = [key for key in sorted(PRUNED) if key.startswith(table.encode()) and key != STATE_PREFIX + b"s" + bytes(8)]
    key = keys[len(keys) // 2]
    fault = fault_of({name: value for name, value in PRUNED.items() if name != key})
    if table not in {"B", "C", "MT"}:  # without these it can't be told which of the ledger's ends is the true one
        assert (fault.record, fault.found) == (key.hex(), "no record")


@pytest.mark.parametrize(
    "key",
    [
        numbered(b"B", BLOCKS + 1),
        numbered(b"O", 0),
        numbered(b"B", 5) + b"x",
        numbered(b"X", 5) + (77).to_bytes(4),
        numbered(b"E", 10_000),
        numbered(b"V", 5),
        numbered(b"Q", BLOCKS + 9),
        numbered(b"F", 0),
        b"D" + bytes(32),
        b"H" + bytes(32),
        b"T" + bytes(32),
        numbered(b"R", 1) + bytes(32),
        b"L" + bytes(8) + b"\x07",
        b"Sv" + bytes(32) + (20).to_bytes(8),
        b"Sn" + (20).to_bytes(8) + b"\x01\x02\x03",
        b"Sq",
        b"MZ",
        b"a",
        b"Z",
        b"\x00",
    ],
    ids=repr,
)
def test_record_too_many_is_named(key: bytes) -> None:
    fault = fault_of({**PRUNED, key: bytes(24)})
    assert (fault.record, fault.expected, fault.found) == (key.hex(), "no record", "a record")


def test_first_of_several_faults_is_named() -> None:
    altered = dict(WHOLE)
    for height in (20, 7, 12):
        key = numbered(b"O", height)
        altered[key] = altered[key][:-1] + bytes([altered[key][-1] ^ 1])
    assert fault_of(altered).place == "height 7"


def test_transaction_whose_signature_is_another_is_named_though_its_digest_fits() -> None:
    key, value = next((key, value) for key, value in sorted(WHOLE.items()) if key[:1] == b"X")
    record = SignedRecord(1, key, value, b"")
    assert check_piece(MADE.genesis.network, [record]) is None
    forged = replace_last_byte(value)
    wrong = check_piece(MADE.genesis.network, [record, record._replace(value=forged)])
    assert wrong is not None
    assert wrong.key == key
    assert "signature 0" in wrong.reason


def replace_last_byte(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


def test_pieces_hold_every_record_once_in_bounded_numbers() -> None:
    records = [SignedRecord(n, numbered(b"X" if n % 3 else b"Q", n), b"", b"") for n in range(2_000)]
    pieces = list(pieces_of(records))
    assert sorted(record for piece in pieces for record in piece) == sorted(records)
    assert max(len(piece) for piece in pieces) <= 256


def test_ledger_of_another_network_or_format_or_half_a_copy_is_refused() -> None:
    other = replace(MADE.genesis, network=type(MADE.genesis.network)(bytes(32)))
    with pytest.raises(ConfigError, match="use the genesis file that the ledger was made with"):
        audit(MemoryDatabase(WHOLE), other, MemoryDatabase(), InlineWorkers())
    with pytest.raises(ConfigError, match="if a newer program wrote it"):
        run_audit({**WHOLE, FORMAT_KEY: (9).to_bytes(4)})
    with pytest.raises(ConfigError, match="not whole yet"):
        run_audit({**WHOLE, INSTALL_KEY: b"x"})
    with pytest.raises(ConfigError, match="there is no ledger here"):
        run_audit({})
    assert WHOLE[NETWORK_KEY] == MADE.genesis.network


def test_difference_is_found_at_every_offset() -> None:
    value = bytes(range(200))
    for offset in range(200):
        assert first_difference(value, value[:offset] + b"\xff" + value[offset + 1 :]) == offset
        assert first_difference(value[:offset], value) == offset
    compare(b"B", value, value)


# ---------------------------------------------------------------- the command


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with LevelDatabase(tmp_path / "home" / "data" / "ledger") as database:
        database.write(WHOLE)
    (tmp_path / "home" / "genesis.json").write_bytes(MADE.genesis_bytes)
    return tmp_path / "home"


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, object]]:
    code = run(["audit", "--workers", "0", *argv, "--json"])
    output.use_json(on=False)
    return code, json.loads(capsys.readouterr().out)


def test_command_says_clean_and_what_was_executed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, fields = command(capsys, "--home", str(home), "--from", "10")
    assert code == Exit.DONE
    assert (fields["damaged"], fields["base"], fields["blocks"]) == (False, 9, BLOCKS - 9)


def test_command_names_the_byte_and_ends_with_a_code_of_its_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = numbered(b"E", 7)
    with LevelDatabase(home / "data" / "ledger") as database:
        database.write({key: replace_last_byte(WHOLE[key])})
    code, fields = command(capsys, "--home", str(home))
    assert code == Exit.DAMAGED
    fault = fields["fault"]
    assert isinstance(fault, dict)
    assert (fault["table"], fault["place"], fault["offset"]) == ("entries", "leaf 7", len(WHOLE[key]) - 1)
    assert run(["audit", "--workers", "0", "--home", str(home)]) == Exit.DAMAGED
    assert "DAMAGED: entries, leaf 7" in capsys.readouterr().out


def test_command_on_a_damaged_file_names_the_database(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LevelDatabase(home / "data" / "ledger") as database:
        database.compact(b"", b"\xff")
    table = max((home / "data" / "ledger").glob("*.ldb"), key=lambda path: path.stat().st_size)
    raw = bytearray(table.read_bytes())
    raw[len(raw) // 3] ^= 0x55
    table.write_bytes(bytes(raw))
    code, fields = command(capsys, "--home", str(home))
    assert code == Exit.WORLD
    error = fields["error"]
    assert isinstance(error, dict)
    assert str(home / "data" / "ledger") in str(error["reason"])
    assert "is damaged" in str(error["reason"])


def test_command_without_a_ledger_or_with_a_range_out_of_reach_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, fields = command(capsys, "--home", str(home), "--to", "999")
    assert (code, dict(fields["error"])["code"]) == (Exit.INPUT, "audit.scope")  # type: ignore[call-overload]  # JSON
    code, _ = command(capsys)
    assert code == Exit.USAGE
