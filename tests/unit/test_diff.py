# SPDX-License-Identifier: Apache-2.0
"""Two ledgers that part: the tools name block, module, entry and key, from databases and from dumps."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chain.errors import Refused
from chain.memory import MemoryDatabase
from chain.module import Authority, Registry
from cli import language, output
from cli.exits import Exit
from cli.main import run
from identity.pb import identity_pb2
from identity.rules import Identity
from identity.status import status_key
from node import modules
from node.config import Home
from node.diff import NotComparableError, compare_ledgers, differing_keys, facts_of, writes_of
from node.driver import _describe
from node.leveldb import LevelDatabase
from tests import certified_ledger
from tests.certified_ledger import CertifiedLedger

PARTS_AT = 7
"""The first block with a revocation of this attestation."""
REVOKED = 40


@pytest.fixture(autouse=True)
def _english() -> None:
    language.select("en")
    output.use_json(on=False)


class OtherIdentity(Identity):
    """Identity of a program that is wrong: it records another reason for a revocation."""

    def execute(self, context, message) -> None:  # type: ignore[no-untyped-def]
        if isinstance(message, identity_pb2.SetStatus) and message.id == REVOKED.to_bytes(16):
            message = identity_pb2.SetStatus(
                id=message.id, status=message.status, reason=identity_pb2.REASON_ISSUED_IN_ERROR
            )
        super().execute(context, message)


def other_modules() -> tuple[Registry, Authority]:
    """The rules of the wrong program."""
    registry, authority = modules.ledger_modules()
    return Registry([OtherIdentity() if isinstance(m, Identity) else m for m in registry.modules]), authority


def grown(blocks: int = 12) -> CertifiedLedger:
    """A ledger with a revocation on which the two programs differ."""
    ledger = CertifiedLedger(MemoryDatabase())
    for height in range(1, blocks + 1):
        extra = [ledger.revoke(REVOKED)] if height == PARTS_AT else []
        ledger.append(ledger.attest(height), ledger.revoke(height), *extra)
    return ledger


@pytest.fixture
def right() -> CertifiedLedger:
    return grown()


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> CertifiedLedger:
    monkeypatch.setattr(certified_ledger, "ledger_modules", other_modules)
    return grown()


def test_equal_ledgers_are_equal_as_far_as_both_reach(right: CertifiedLedger) -> None:
    comparison = compare_ledgers(right.database, grown(9).database)
    assert comparison.parting is None
    assert (comparison.first_height, comparison.last_height) == (1, 9)


def test_first_block_module_and_key_of_a_divergence_are_named(right: CertifiedLedger, wrong: CertifiedLedger) -> None:
    comparison = compare_ledgers(right.database, wrong.database)
    parting = comparison.parting
    assert parting is not None
    assert (parting.height, parting.fields, parting.modules) == (PARTS_AT, ("state_root",), ("status",))
    (found,) = comparison.keys
    assert (found.key, found.module, comparison.keys_height) == (
        status_key("registrar", REVOKED.to_bytes(16)),
        "status",
        PARTS_AT,
    )
    assert found.first != found.second
    assert comparison.entry is None


def test_writes_of_a_block_are_those_that_it_executed(right: CertifiedLedger) -> None:
    for execution in right.executions:
        assert writes_of(right.database, execution.block.height) == list(execution.writes)


@pytest.mark.parametrize(("one", "other"), [(2, 9), (9, 2), (0, 12), (5, 5)])
def test_differing_keys_are_those_of_the_two_maps(right: CertifiedLedger, one: int, other: int) -> None:
    def state(height: int) -> dict[bytes, bytes]:
        genesis = {
            difference.key: difference.first
            for difference in differing_keys(right.database, 0, MemoryDatabase({b"Sr" + bytes(8): bytes(40)}), 0)
        }
        for execution in right.executions[:height]:
            genesis |= dict(execution.writes)
        return {key: value for key, value in genesis.items() if value is not None}

    before, after = state(one), state(other)
    expected = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    found = {d.key: (d.first, d.second) for d in differing_keys(right.database, one, right.database, other)}
    assert found == {key: (before.get(key), after.get(key)) for key in expected}


def test_entry_that_differs_is_named_with_both_results(right: CertifiedLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stricter(Identity):
        def execute(self, context, message) -> None:  # type: ignore[no-untyped-def]
            if isinstance(message, identity_pb2.SetStatus) and message.id == REVOKED.to_bytes(16):
                raise Refused("a rule that others do not have", "identity.planted")
            super().execute(context, message)

    def stricter() -> tuple[Registry, Authority]:
        registry, authority = modules.ledger_modules()
        return Registry([Stricter() if isinstance(m, Identity) else m for m in registry.modules]), authority

    monkeypatch.setattr(certified_ledger, "ledger_modules", stricter)
    comparison = compare_ledgers(right.database, grown().database)
    assert comparison.parting is not None
    assert comparison.parting.fields == ("log_root", "state_root")
    entry = comparison.entry
    assert entry is not None
    transaction = right.executions[PARTS_AT - 1].transactions[2]
    assert (entry.transaction_id, entry.first, entry.second) == (transaction.id, "success", "identity.planted")


def test_ledgers_of_different_networks_are_not_compared(right: CertifiedLedger) -> None:
    with pytest.raises(NotComparableError, match="different networks"):
        compare_ledgers(right.database, MemoryDatabase({b"MN": bytes(32)}))


def test_ledger_that_executed_nothing_is_not_compared(right: CertifiedLedger) -> None:
    with pytest.raises(NotComparableError, match="no block was executed"):
        compare_ledgers(right.database, CertifiedLedger(MemoryDatabase()).database)


# ---------------------------------------------------------------- the command


def dump_of(ledger: CertifiedLedger, path: Path) -> Path:
    """What the node of this ledger leaves when it halts."""
    blocks = [_describe(execution.checkpoint, execution.writes) for execution in ledger.executions[-8:]]
    path.write_text(json.dumps({"at_ms": 1, "reason": "others certified something else", "blocks": blocks}))
    return path


@pytest.fixture
def homes(right: CertifiedLedger, wrong: CertifiedLedger, tmp_path: Path) -> tuple[Path, Path]:
    made = []
    for name, ledger in (("right", right), ("wrong", wrong)):
        home = Home(tmp_path / name)
        with LevelDatabase(home.ledger) as database:
            assert isinstance(ledger.database, MemoryDatabase)
            database.write(ledger.database.pairs())
        made.append(home.root)
    return made[0], made[1]


Ask = Callable[..., tuple[int, dict[str, object]]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    def call(*arguments: object) -> tuple[int, dict[str, object]]:
        code = run(["diff", *map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_command_names_key_and_digests_and_values_only_when_told(homes: tuple[Path, Path], ask: Ask) -> None:
    code, told = ask(*homes)
    assert (code, told["height"], told["modules"]) == (Exit.NOT_HELD, PARTS_AT, ["status"])
    (found,) = told["keys"]  # type: ignore[misc]
    assert found["key_hex"] == status_key("registrar", REVOKED.to_bytes(16)).hex()
    assert len(set(found["digests"])) == 2
    assert "values" not in found
    _, told = ask(*homes, "--values")
    assert len(set(told["keys"][0]["values"])) == 2  # type: ignore[index]


def test_command_finds_no_difference_between_a_ledger_and_itself(homes: tuple[Path, Path], ask: Ask) -> None:
    dump = dump_of(grown(), homes[0] / "halt-1.json")
    code, told = ask(dump, dump)
    assert (code, told["equal"], told["first_height"], told["last_height"]) == (Exit.DONE, True, 5, 12)


@pytest.mark.parametrize("is_dump", [(True, True), (True, False), (False, True)])
def test_dump_serves_in_place_of_a_ledger(
    right: CertifiedLedger, wrong: CertifiedLedger, homes: tuple[Path, Path], ask: Ask, is_dump: tuple[bool, bool]
) -> None:
    paths = list(homes)
    for index, ledger in enumerate((right, wrong)):
        if is_dump[index]:
            paths[index] = dump_of(ledger, homes[index] / "halt-1.json")
    code, told = ask(*paths)
    assert (code, told["height"], told["fields"]) == (Exit.NOT_HELD, PARTS_AT, ["state_root"])
    assert told["modules"] == ["status"]


@pytest.mark.parametrize("text", ["", "{}", '{"at_ms": 1, "reason": "", "blocks": [{}]}', "[" * 100_000])
def test_file_that_is_no_dump_is_refused(homes: tuple[Path, Path], ask: Ask, text: str) -> None:
    (homes[0] / "x.json").write_text(text)
    code, told = ask(homes[0] / "x.json", homes[1])
    assert code == Exit.INPUT
    assert "data/dumps" in told["error"]["reason"]  # type: ignore[index]


def test_words_name_the_key(homes: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", *map(str, homes)]) == Exit.NOT_HELD
    said = capsys.readouterr().out
    assert f"part at height {PARTS_AT}" in said
    assert "status/" in said
    assert "SHA-256" in said


def test_facts_of_a_block_equal_what_a_halting_node_dumps(right: CertifiedLedger) -> None:
    execution = right.executions[PARTS_AT - 1]
    described = _describe(execution.checkpoint, execution.writes)
    facts = facts_of(right.database, PARTS_AT)
    assert facts.modules == described["writes_by_module"]
    assert {name: facts.checkpoint[name] for name in facts.checkpoint if name in described}.items() <= described.items()
