# SPDX-License-Identifier: Apache-2.0
"""A check of the ledger's database names the record: altered, missing or too many, in every table."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chain.genesis import Genesis
from chain.memory import MemoryDatabase
from chain.types import Height, sha256
from cli import output
from cli.exits import Exit
from cli.main import run
from node import store
from node.config import Home
from node.errors import StorageError
from node.fsck import Kind, check
from node.leveldb import LevelDatabase
from node.store_keys import FORMAT_KEY, HORIZON_KEY, NETWORK_KEY, TIP_KEY, body_key, numbered
from tests.certified_ledger import CertifiedLedger

BLOCKS = 24
KEPT = 8
"""Versions of the state that stay provable."""
EPOCH_CLOSED_AT = 10
RECORDS_TRIED = 3
"""Of each table: the first, the middle, the last."""

Pairs = dict[bytes, bytes]


@pytest.fixture(scope="module")
def made() -> CertifiedLedger:
    """Two epochs, failures and skipped transactions, and a state whose older versions are pruned."""
    ledger = CertifiedLedger(MemoryDatabase())
    ledger.grow(EPOCH_CLOSED_AT - 1)
    ledger.append(*ledger.replace_validator("roads", 2))
    ledger.append()
    ledger.grow(BLOCKS - EPOCH_CLOSED_AT - 1, first=EPOCH_CLOSED_AT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "VERSIONS_KEPT", KEPT)
        assert ledger.store.prune_state()
    return ledger


@pytest.fixture(scope="module")
def pairs(made: CertifiedLedger) -> Pairs:
    """Everything stored."""
    assert isinstance(made.database, MemoryDatabase)
    return made.database.pairs()


@pytest.fixture(scope="module")
def genesis(made: CertifiedLedger) -> Genesis:
    return made.genesis


def found(pairs: Pairs, genesis: Genesis, *, signatures: bool = False) -> dict[bytes, Kind]:
    """What a check says, by key; certificates are verified where one was touched."""
    problems = check(MemoryDatabase(pairs), genesis, signatures=signatures)
    return {problem.key: problem.kind for problem in problems}


TABLES = ("MF", "MN", "MT", "MH", "B", "O", "H", "C", "V", "X", "D", "E", "T", "R", "L", "Q", "K", "F")
TABLES += ("Sp", "Sr", "Sn", "Sv", "Ss")


def keys_of(pairs: Pairs, table: str) -> list[bytes]:
    """Some keys of a table, spread over it."""
    keys = sorted(key for key in pairs if key.startswith(table.encode()))
    assert keys, table
    return list(dict.fromkeys(keys[len(keys) * at // RECORDS_TRIED] for at in range(RECORDS_TRIED))) + keys[-1:]


def test_sound_ledger_has_no_problem(pairs: Pairs, genesis: Genesis) -> None:
    assert check(MemoryDatabase(pairs), genesis) == []


def test_ledger_with_genesis_alone_has_no_problem() -> None:
    ledger = CertifiedLedger(MemoryDatabase())
    assert check(ledger.database, ledger.genesis) == []


def test_ledger_with_every_version_has_no_problem() -> None:
    ledger = CertifiedLedger(MemoryDatabase())
    ledger.grow(4)
    assert check(ledger.database, ledger.genesis) == []


UNSEEN = {"Q", "F"}
"""Certificates and finalizations: a right ledger may lack them, but for those of closing blocks."""


@pytest.mark.parametrize("table", TABLES)
def test_altered_byte_is_found_and_its_record_named(pairs: Pairs, genesis: Genesis, table: str) -> None:
    for key in keys_of(pairs, table):
        value = pairs[key]
        for place in dict.fromkeys((0, len(value) // 2, len(value) - 1)):
            altered = value[:place] + bytes((value[place] ^ 0x40,)) + value[place + 1 :] if value else b"x"
            problems = found({**pairs, key: altered}, genesis, signatures=table in UNSEEN)
            assert key in problems, (key, place, problems)


@pytest.mark.parametrize("table", [table for table in TABLES if table not in UNSEEN])
def test_missing_record_is_found_and_named(pairs: Pairs, genesis: Genesis, table: str) -> None:
    for key in keys_of(pairs, table):
        if key == b"Ss" + bytes(8):
            continue  # genesis makes nothing stale: an empty list that nobody reads
        problems = found({other: value for other, value in pairs.items() if other != key}, genesis)
        assert problems.get(key) is Kind.MISSING, (key, problems)


def test_missing_certificate_of_a_closing_block_is_found(pairs: Pairs, genesis: Genesis) -> None:
    key = numbered(b"Q", EPOCH_CLOSED_AT)
    assert found({other: value for other, value in pairs.items() if other != key}, genesis) == {key: Kind.MISSING}


ABSENT = sha256(b"nobody has this")


def copied(kind: bytes, number: int) -> Callable[[Pairs], tuple[bytes, bytes]]:
    """A record of the newest block under another number."""
    return lambda pairs: (numbered(kind, number), pairs[max(key for key in pairs if key[:1] == kind)])


SURPLUS: dict[str, Callable[[Pairs], tuple[bytes, bytes]]] = {
    "B": copied(b"B", BLOCKS + 1),
    "O": copied(b"O", BLOCKS + 1),
    "C": copied(b"C", BLOCKS + 1),
    "V beside a block that closes nothing": copied(b"V", BLOCKS - 1),
    "E": copied(b"E", 10_000),
    "K": copied(b"K", 9),
    "K before the first epoch": copied(b"K", 0),
    "H": lambda _: (b"H" + ABSENT, BLOCKS.to_bytes(8)),
    "D": lambda _: (b"D" + ABSENT, body_key(BLOCKS, 0)[1:]),
    "T": lambda pairs: (b"T" + ABSENT, next(value for key, value in sorted(pairs.items()) if key[:1] == b"T")),
    "R": lambda pairs: (max(key for key in pairs if key[:1] == b"R")[:9] + ABSENT, b""),
    "R that has expired": lambda _: (b"R" + (5).to_bytes(8) + ABSENT, b""),
    "X behind a block's last": lambda _: (body_key(BLOCKS, 9), b"body"),
    "X after the newest block": lambda _: (body_key(BLOCKS + 1, 0), b"body"),
    "L": lambda _: (b"L" + bytes(1) + (7).to_bytes(8), bytes(32)),
    "L of a level too high": lambda _: (b"L" + b"\x03" + bytes(8), bytes(32)),
    "Sn of the oldest version": lambda pairs: (b"Sn" + bytes(8) + b"\x01\x02\x03\x04\x05\x06", page_of(pairs)),
    "Sn of a later version": lambda pairs: (b"Sn" + BLOCKS.to_bytes(8) + b"\x01\x02\x03\x04\x05\x06", page_of(pairs)),
    "Sn without a path": lambda pairs: (b"Sn" + (1).to_bytes(8), page_of(pairs)),
    "Sv": lambda _: (b"Sv" + ABSENT + bytes(8), b"\x00\x01ab"),
    "Sv of another version": lambda pairs: (
        max(key for key in pairs if key[:2] == b"Sv")[:34] + (5).to_bytes(8),
        b"\0\1ab",
    ),
    "Ss": lambda _: (b"Ss" + (BLOCKS + 1).to_bytes(8), b""),
    "Ss of a pruned version": lambda _: (b"Ss" + (2).to_bytes(8), b"\x01a"),
    "Sr of a pruned version": lambda pairs: (b"Sr" + (2).to_bytes(8), pairs[max(k for k in pairs if k[:2] == b"Sr")]),
    "Sr after the newest": lambda pairs: (b"Sr" + (99).to_bytes(8), pairs[max(k for k in pairs if k[:2] == b"Sr")]),
    "S of no kind": lambda _: (b"Sq", b""),
    "S beside the oldest version": lambda _: (b"Sp\x00", b""),
    "M of no kind": lambda _: (b"MX", b""),
    "M of an unfinished copy": lambda pairs: (b"MI", pairs[TIP_KEY]),
    "a table before all": lambda _: (b"A", b""),
    "a table between two": lambda _: (b"Gx", b""),
    "a table after all": lambda _: (b"journal", b""),
}


def page_of(pairs: Pairs) -> bytes:
    """Any page."""
    return next(value for key, value in pairs.items() if key[:2] == b"Sn")


@pytest.mark.parametrize("case", SURPLUS)
def test_record_too_many_is_found_and_named(pairs: Pairs, genesis: Genesis, case: str) -> None:
    key, value = SURPLUS[case](pairs)
    assert key not in pairs
    problems = found({**pairs, key: value}, genesis)
    assert problems.get(key) in {Kind.SURPLUS, Kind.WRONG}, problems


@pytest.mark.parametrize("kind", [b"Q", b"F"])
def test_certificate_of_another_height_is_named(pairs: Pairs, genesis: Genesis, kind: bytes) -> None:
    key = numbered(kind, BLOCKS - 1)
    assert key in found({**pairs, key: pairs[numbered(kind, BLOCKS - 2)]}, genesis)


def test_certificates_are_not_verified_when_told_so(pairs: Pairs, genesis: Genesis) -> None:
    key = numbered(b"Q", 3)
    altered = {**pairs, key: pairs[key][:-1] + bytes((pairs[key][-1] ^ 1,))}
    assert check(MemoryDatabase(altered), genesis, signatures=False) == []
    assert [problem.key for problem in check(MemoryDatabase(altered), genesis)] == [key]


def test_ledger_of_another_network_is_named(pairs: Pairs, genesis: Genesis) -> None:
    assert NETWORK_KEY in found({**pairs, NETWORK_KEY: ABSENT}, genesis)


def test_newer_format_is_named_and_nothing_else_judged(pairs: Pairs, genesis: Genesis) -> None:
    (problem,) = check(MemoryDatabase({**pairs, FORMAT_KEY: (99).to_bytes(4)}), genesis)
    assert (problem.key, problem.table) == (FORMAT_KEY, "M")
    assert "format 99" in problem.what


def test_what_lies_below_the_horizon_is_no_problem(pairs: Pairs, genesis: Genesis) -> None:
    """A crash between moving the horizon and deleting leaves such records; the node deletes them later."""
    first = 6
    leaf = int.from_bytes(pairs[numbered(b"O", first)][:8])
    horizon = {HORIZON_KEY: first.to_bytes(8) + leaf.to_bytes(8)}
    assert found({**pairs, **horizon}, genesis) == {}
    gone = (b"B", b"O", b"C", b"X", b"E", b"Q", b"F")
    limit = {b"E": leaf}
    left = {key: value for key, value in pairs.items() if not is_below(key, gone, first, limit)}
    assert len(left) < len(pairs)
    assert found({**left, **horizon}, genesis) == {}
    del left[numbered(b"B", first)]
    assert numbered(b"B", first) in found({**left, **horizon}, genesis)


def is_below(key: bytes, kinds: tuple[bytes, ...], first: int, limit: dict[bytes, int]) -> bool:
    return key[:1] in kinds and int.from_bytes(key[1:9]) < limit.get(key[:1], first)


def test_problems_are_bounded_and_name_their_table_and_what_to_do(pairs: Pairs, genesis: Genesis) -> None:
    bare = {key: value for key, value in pairs.items() if key[:1] != b"X"}
    problems = check(MemoryDatabase(bare), genesis, problems_max=5)
    assert [(problem.table, problem.kind) for problem in problems] == [("X", Kind.MISSING)] * 5
    assert "restore a backup" in problems[0].advice


def test_progress_tells_each_stage(pairs: Pairs, genesis: Genesis) -> None:
    stages: list[str] = []
    check(MemoryDatabase(pairs), genesis, progress=lambda stage, _done, _total: stages.append(stage))
    assert list(dict.fromkeys(stages)) == [
        "ids",
        "state",
        "versions",
        "values",
    ]  # blocks and certificates are told by hundreds


class Failing(MemoryDatabase):
    """A disk with a bad place: the bodies can't be read."""

    def range(self, start, stop, *, reverse=False):  # type: ignore[no-untyped-def]
        if start[:1] == b"X":
            raise StorageError("the database in data/ledger is damaged")
        return super().range(start, stop, reverse=reverse)


def test_disk_that_fails_is_told_and_the_rest_checked(pairs: Pairs, genesis: Genesis) -> None:
    key = max(key for key in pairs if key[:2] == b"Sv")
    problems = check(Failing({**pairs, key: b"\x00\x01ab"}), genesis)
    assert {problem.kind for problem in problems} == {Kind.UNREADABLE, Kind.WRONG}
    assert key in {problem.key for problem in problems}


def test_ledger_on_disk_has_no_problem(pairs: Pairs, genesis: Genesis, tmp_path: Path) -> None:
    with LevelDatabase(tmp_path / "ledger") as database:
        database.write(pairs)
        assert check(database.snapshot(), genesis) == []
    assert Height(BLOCKS) == max(int.from_bytes(key[1:]) for key in pairs if key[:1] == b"B")


# ---------------------------------------------------------------- the command


def run_command(
    home: Home, pairs: Pairs, genesis_bytes: bytes, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str]:
    with LevelDatabase(home.ledger) as database:
        database.write(pairs)
    home.genesis.write_bytes(genesis_bytes)
    code = run(["fsck", "--home", str(home.root), *options])
    output.use_json(on=False)
    return code, capsys.readouterr().out


def test_command_says_that_a_sound_ledger_is_sound(
    made: CertifiedLedger, pairs: Pairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path)
    code, said = run_command(home, pairs, made.genesis_bytes, capsys, "--lang", "en")
    assert (code, "Sound" in said) == (Exit.DONE, True)
    code, said = run_command(home, pairs, made.genesis_bytes, capsys, "--json", "--quick")
    assert (code, json.loads(said)["sound"], json.loads(said)["signatures"]) == (Exit.DONE, True, False)


def test_command_names_what_is_wrong_and_ends_with_its_own_code(
    made: CertifiedLedger, pairs: Pairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    altered = {**pairs, numbered(b"E", 7): b"another entry", numbered(b"B", BLOCKS + 1): b""}
    code, said = run_command(Home(tmp_path), altered, made.genesis_bytes, capsys, "--json")
    told = json.loads(said)
    assert (code, told["sound"], told["more"]) == (Exit.DAMAGED, False, False)
    assert {(p["key"], p["kind"]) for p in told["problems"]} >= {
        (numbered(b"E", 7).hex(), "wrong"),
        (numbered(b"B", BLOCKS + 1).hex(), "surplus"),
    }
    code, said = run_command(Home(tmp_path), altered, made.genesis_bytes, capsys, "--lang", "en")
    assert code == Exit.DAMAGED
    assert "WRONG: E 0000000000000007" in said
    assert "restore a backup" in said
