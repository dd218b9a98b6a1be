# SPDX-License-Identifier: Apache-2.0
"""`zhixin document`, as somebody at a terminal or a script meets it: sign with the emulated card, verify offline."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from fpdf import FPDF

from cli import language, output
from cli.exits import Exit
from cli.main import run
from identity.api.desk.card_keys import load_card_authority
from identity.cards.emulator import EmulatedCard
from identity.cards.statuses import Ending, Reason, StatusTable


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    language.select("en")
    yield
    output.use_json(on=False)
    language.select("en")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both authorities, an emulated card in a file, its PIN, a list of now, and a document."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "card.json").write_bytes(EmulatedCard().save())
    (folder / "card.json").chmod(0o600)
    assert run(["card", "authority", str(folder / "cards"), "--name", "Chancheng", "--emulated", "--plain"]) == 0
    files = ["--journal", str(folder / "journal"), "--letter", str(folder / "letter"), "--file"]
    made = ["card", "personalise", "--authority", str(folder / "cards"), "--plain", *files, str(folder / "card.json")]
    assert run(made) == 0
    assert run(["document", "stamps", str(folder / "stamps"), "--name", "Chancheng", "--plain"]) == 0
    write_list(folder / "now.crl", folder, None)
    document = FPDF()
    document.add_page()
    document.output(str(folder / "form.pdf"))
    return folder


def write_list(path: Path, folder: Path, ending: Ending | None) -> None:
    authority = load_card_authority(folder / "cards", None, os.environ, allow_plain=True).authority
    serials = [int(serial, 16) for serial in re.findall(r'"serial": "([0-9a-f]+)"', shown(folder))]
    view = StatusTable(7, int(time.time()), dict.fromkeys(serials, ending))
    path.write_bytes(authority.revocation_list(view))


def shown(folder: Path) -> str:
    said = StringIO()
    with redirect_stdout(said):
        assert run(["card", "info", "--file", str(folder / "card.json"), "--json"]) == 0
    output.use_json(on=False)
    return said.getvalue()


def sign(place: Path, to: Path) -> list[str]:
    options = ["--chain", str(place / "cards" / "chain.pem"), "--stamps", str(place / "stamps"), "--plain"]
    files = [str(place / "form.pdf"), str(to), "--card", str(place / "card.json"), "--list", str(place / "now.crl")]
    return ["document", "sign", *files, *options, "--reason", "Address change", "--place", "Kiosk 7"]


def verify(place: Path, file: Path) -> list[str]:
    pinned = ["--chain", str(place / "cards" / "chain.pem"), "--stamps", str(place / "stamps" / "stamps.pem")]
    return ["document", "verify", str(file), *pinned]


@pytest.fixture(scope="module")
def signed(place: Path) -> Path:
    pin = re.findall(r": (\d{8})$", (place / "letter").read_text(), re.MULTILINE)[0]
    os.environ["ZHIXIN_CARD_PIN"] = pin
    try:
        assert run(sign(place, place / "signed.pdf")) == Exit.DONE
    finally:
        del os.environ["ZHIXIN_CARD_PIN"]
    return place / "signed.pdf"


def test_document_signed_at_a_terminal_verifies_with_the_pinned_files(
    place: Path, signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run([*verify(place, signed), "--json"]) == Exit.DONE
    said = json.loads(capsys.readouterr().out)
    assert (said["outcome"], said["level"], said["emulated"]) == ("passed", "B-LTA", True)
    assert [step["outcome"] for step in said["steps"]] == ["passed"] * 6
    assert b"Address change" in signed.read_bytes()


@pytest.mark.parametrize(("name", "words"), [("en", "counts as signed (B-LTA)"), ("zh", "文件签名有效（B-LTA）")])
def test_outcome_is_told_in_words_with_what_it_is_not_in_law(
    place: Path, signed: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    assert run([*verify(place, signed), "--lang", name]) == Exit.DONE
    said = capsys.readouterr().out
    assert words in said
    assert "docs/documents.md" in said
    assert "emulated" in said.lower() or "模拟" in said, "a card of software is named as one"


def test_document_of_a_card_that_had_been_revoked_exits_with_5_and_names_the_step(
    place: Path, signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = place / "later.crl"
    write_list(later, place, Ending(Reason.LOST, int(time.time()) - 3_600))
    capsys.readouterr()
    assert run([*verify(place, signed), "--list", str(later), "--json"]) == Exit.UNPROVEN
    said = json.loads(capsys.readouterr().out)
    failed = [step for step in said["steps"] if step["outcome"] == "failed"]
    assert [(step["step"], step["code"]) for step in failed] == [("revocation", "identity.document-revoked")]
    output.use_json(on=False)
    assert run([*verify(place, signed), "--list", str(later)]) == Exit.UNPROVEN
    assert "does not count as signed" in capsys.readouterr().out


def test_document_that_nobody_signed_and_a_moment_that_is_none_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*verify(place, place / "form.pdf"), "--json"]) == Exit.UNPROVEN
    assert "identity.document-unsigned" in capsys.readouterr().out
    output.use_json(on=False)
    assert run([*verify(place, place / "form.pdf"), "--at", "yesterday"]) == Exit.USAGE


def test_signed_document_is_never_written_over_another_file(place: Path, signed: Path) -> None:
    assert run(sign(place, signed)) == Exit.USAGE


def test_authority_of_time_stamps_is_never_made_twice_in_a_folder_nor_opened_by_others(place: Path) -> None:
    assert run(["document", "stamps", str(place / "stamps"), "--name", "Chancheng", "--plain"]) == Exit.INPUT
    assert (place / "stamps" / "time-stamps.json").stat().st_mode & 0o077 == 0
    assert run([*sign(place, place / "other.pdf")][:-5]) == Exit.INPUT, "a plain key is opened with --plain alone"


def test_document_is_renewed_by_another_authority_beside_the_old_one(
    place: Path, signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["document", "stamps", str(place / "next"), "--name", "Chancheng", "--plain"]) == Exit.DONE
    old, new, both = place / "stamps" / "stamps.pem", place / "next" / "stamps.pem", place / "both.pem"
    both.write_bytes(old.read_bytes() + new.read_bytes())
    chain = ["--chain", str(place / "cards" / "chain.pem")]
    renew = ["document", "renew", str(signed), str(place / "renewed.pdf"), *chain, "--plain"]
    assert run([*renew, "--stamps", str(place / "next")]) == Exit.UNPROVEN, "nobody said that the old one counts"
    assert run([*renew, "--stamps", str(place / "next"), "--trusted", str(old)]) == Exit.DONE
    capsys.readouterr()
    assert run(["document", "verify", str(place / "renewed.pdf"), *chain, "--stamps", str(both), "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["level"] == "B-LTA"
    output.use_json(on=False)
    assert run([*renew, "--stamps", str(place / "next"), "--trusted", str(old)]) == Exit.USAGE, "it is there already"


def test_authority_at_an_address_counts_by_a_certificate_alone_and_says_where_nobody_is(
    place: Path, signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain, pinned = ["--chain", str(place / "cards" / "chain.pem")], str(place / "stamps" / "stamps.pem")
    far = [
        "document",
        "renew",
        str(signed),
        str(place / "far.pdf"),
        *chain,
        "--stamps",
        "http://127.0.0.1:9/time-stamps",
    ]
    assert run(far) == Exit.USAGE
    assert "--trusted" in capsys.readouterr().err
    assert run([*far, "--trusted", pinned]) == Exit.WORLD
    assert "cannot be asked for a time stamp" in capsys.readouterr().err
    assert not (place / "far.pdf").exists()
