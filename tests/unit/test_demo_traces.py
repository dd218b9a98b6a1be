# SPDX-License-Identifier: Apache-2.0
"""What the end of a demonstration would find if somebody's name or number had reached a validator or a log."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.scenes import traces
from cli.scenes.traces import search

NUMBER, NAME = "440604198508261962", "谭子娟"

WRITTEN: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "sha256 in hex": lambda word: hashlib.sha256(word.encode()).hexdigest().encode(),
    "sha256": lambda word: hashlib.sha256(word.encode()).digest(),
    "sha1 in hex": lambda word: hashlib.sha1(word.encode(), usedforsecurity=False).hexdigest().encode(),
    "md5": lambda word: hashlib.md5(word.encode(), usedforsecurity=False).digest(),
}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("word", [NUMBER, NAME])
def test_word_in_a_database_is_found_however_it_was_written(tmp_path: Path, how: str, word: str) -> None:
    (tmp_path / "000003.log").write_bytes(b"\x00" * 100 + WRITTEN[how](word) + b"\xff" * 100)
    (tmp_path / "clean.ldb").write_bytes(b"\x00" * 100)
    found = search(sorted(tmp_path.iterdir()), [NUMBER, NAME])
    assert (found.files, found.found) == (2, ("000003.log",))


def test_trace_that_lies_across_two_pieces_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "CHUNK_BYTES", 128)
    for before in range(100, 140):
        path = tmp_path / f"{before}"
        path.write_bytes(b"." * before + NUMBER.encode() + b"." * 200)
        assert search([path], [NUMBER]) == traces.Search(1, before + 218, (path.name,))


def test_short_word_and_a_file_of_few_bytes_are_looked_through(tmp_path: Path) -> None:
    for before in range(8):
        (tmp_path / f"{before}").write_bytes(b"." * before + b"An Qi")
    (tmp_path / "few").write_bytes(b"..")
    found = search(sorted(tmp_path.iterdir()), ["An Qi", NUMBER])
    assert found.found == tuple(str(before) for before in range(8))


def test_salted_commitments_and_names_of_two_characters_are_no_traces(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(hashlib.sha256(b"salt" + NUMBER.encode()).digest() + "陈伟农场".encode())
    assert search([path, tmp_path / "gone"], [NUMBER, "陈伟"]) == traces.Search(1, 32 + 12, ())
