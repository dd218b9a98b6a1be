# SPDX-License-Identifier: Apache-2.0
"""`zhixin trace`: programs' keys are given, listed without being shown, and ended."""

import json
from pathlib import Path

import pytest

from cli import main, output
from cli.exits import Exit
from service.settings import load_settings
from service.store import open_store
from tests.trace_rig import TRADERS, gln
from traceability.api import clients

FARM = TRADERS["farm"][0]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "service.toml"
    path.write_text(f'[store]\nfolder = "{tmp_path / "data"}"\nkeys = "{tmp_path / "keys"}"\nallow_plain = true\n')
    return path


def run(capsys: pytest.CaptureFixture[str], settings: Path, *argv: str) -> tuple[int, dict[str, object]]:
    """Exit code and JSON of a command."""
    try:
        code = main.run(["trace", *argv, "--settings", str(settings), "--json"])
    finally:
        output.use_json(on=False)
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return code, found


def test_key_opens_for_its_participant_until_it_is_ended(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, made = run(capsys, settings, "add-key", FARM)
    assert code == Exit.DONE
    store = open_store(load_settings(settings).store, {})
    try:
        assert clients.find(store, str(made["key"])).gln == FARM
    finally:
        store.close()
    code, listed = run(capsys, settings, "keys")
    assert (code, str(made["key"]) in str(listed), str(made["id"]) in str(listed)) == (Exit.DONE, False, True)
    assert run(capsys, settings, "end-key", str(made["id"]))[0] == Exit.DONE
    assert run(capsys, settings, "end-key", str(made["id"]))[0] == Exit.MISSING


@pytest.mark.parametrize("argv", [(), (FARM, "--regulator"), (FARM[:-1] + "0",), (gln(1)[:12],)])
def test_key_is_for_one_participant_or_a_regulator(
    settings: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]
) -> None:
    code, found = run(capsys, settings, "add-key", *argv)
    assert code == Exit.USAGE
    assert found["error"]


def test_regulators_key_stands_for_no_participant(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, made = run(capsys, settings, "add-key", "--regulator")
    assert (code, made["regulator"], made["gln"]) == (Exit.DONE, True, "")
