# SPDX-License-Identifier: Apache-2.0
"""`zhixin card`, as somebody at a terminal or a script meets it, in both languages."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chain import p256
from cli import language, output
from cli.cards import _outcome
from cli.exits import Exit
from cli.main import run
from identity.cards import card as errors
from identity.cards.emulator import EMULATED_ATR, EmulatedCard
from identity.cards.personalise import CardVoid, KeyNotHeld, OtherCard
from identity.compartment import agreeing, unseal
from identity.jose import jwk_of, thumbprint
from tests.cards.reader_rig import READER, shared_reader


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    language.select("en")
    yield
    output.use_json(on=False)
    language.select("en")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority") / "cards"
    assert run(["card", "authority", str(folder), "--name", "Chancheng", "--emulated", "--plain", "--json"]) == 0
    output.use_json(on=False)
    return folder


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.json"
    path.write_bytes(EmulatedCard().save())
    path.chmod(0o600)
    return path


def personalise(authority: Path, card: Path) -> list[str]:
    there = card.parent
    files = ["--journal", str(there / "journal"), "--letter", str(there / "letter")]
    return ["card", "personalise", "--authority", str(authority), "--plain", "--file", str(card), *files, "--json"]


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def letter(card: Path) -> tuple[str, str]:
    found = re.findall(r": (\d{8})$", (card.parent / "letter").read_text(), re.MULTILINE)
    return found[0], found[1]


def test_blank_card_is_shown_as_one(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["card", "info", "--file", str(card), "--json"]) == Exit.DONE
    assert said(capsys) == {
        "verified": False,
        "atr": EMULATED_ATR.hex(),
        "emulated": True,
        "guid": None,
        "expires": None,
        "pin_tries_left": 3,
        "certificates": [],
    }


def test_card_made_is_shown_and_verified_and_its_letter_opens_it(
    authority: Path, card: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run([*personalise(authority, card), "--expires", "2030-06-30"]) == Exit.DONE
    made = said(capsys)
    pin, puk = letter(card)
    assert (card.parent / "letter").stat().st_mode & 0o077 == 0
    assert pin not in json.dumps(made)
    assert puk not in json.dumps(made)
    assert run(["card", "info", "--file", str(card), "--json"]) == Exit.DONE
    shown = said(capsys)
    assert (shown["guid"], shown["expires"]) == (made["guid"], "2030-06-30")
    chain = ["--chain", str(authority / "chain.pem"), "--file", str(card)]
    assert run(["card", "verify", *chain, "--json"]) == Exit.DONE
    verified = said(capsys)
    assert (verified["proven"], verified["status_checked"], verified["emulated"]) == (["9E"], False, True)
    monkeypatch.setenv("ZHIXIN_CARD_PIN", pin)
    assert run(["card", "verify", *chain, "--pin", "--json"]) == Exit.DONE
    assert said(capsys)["proven"] == ["9A", "9C", "9D", "9E"]


def test_card_made_again_from_the_same_journal_is_the_same(
    authority: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(personalise(authority, card)) == Exit.DONE
    first = said(capsys)
    assert run(personalise(authority, card)) == Exit.DONE
    assert said(capsys) == first


def test_card_voided_is_blank_and_names_what_to_revoke(
    authority: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(personalise(authority, card)) == Exit.DONE
    made = said(capsys)
    there = ["--authority", str(authority), "--plain", "--journal", str(card.parent / "journal"), "--json"]
    assert run(["card", "void", *there, "--lost"]) == Exit.DONE
    assert said(capsys) == {"guid": made["guid"], "revoke": made["serials"], "reusable": False}
    assert run(["card", "void", *there, "--file", str(card)]) == Exit.DONE
    assert said(capsys)["reusable"] is True
    assert run(["card", "info", "--file", str(card), "--json"]) == Exit.DONE
    assert said(capsys)["guid"] is None
    assert run(personalise(authority, card)) == Exit.INPUT
    assert said(capsys)["error"]["code"] == "card.void"


def test_wrong_pin_says_how_many_tries_are_left_in_either_language(
    authority: Path, card: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(personalise(authority, card)) == Exit.DONE
    output.use_json(on=False)
    monkeypatch.setenv("ZHIXIN_CARD_PIN", "000000")
    command = ["card", "verify", "--chain", str(authority / "chain.pem"), "--file", str(card), "--pin"]
    capsys.readouterr()
    assert run([*command, "--lang", "zh"]) == Exit.INPUT
    assert "PIN 错误。剩余次数：2。" in capsys.readouterr().err
    assert run([*command, "--lang", "en"]) == Exit.INPUT
    assert "Wrong PIN. Tries left: 1." in capsys.readouterr().err


def test_card_of_another_authority_proves_nothing(
    authority: Path, card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(personalise(authority, card)) == Exit.DONE
    assert run(["card", "authority", str(tmp_path / "other"), "--name", "x", "--plain", "--json"]) == Exit.DONE
    capsys.readouterr()
    assert run(["card", "verify", "--chain", str(tmp_path / "other" / "chain.pem"), "--file", str(card), "--json"]) == (
        Exit.UNPROVEN
    )
    assert said(capsys)["error"]["code"] == "identity.card-certificate"


def test_authority_that_is_not_for_tests_makes_no_emulated_card(
    card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["card", "authority", str(tmp_path / "real"), "--name", "x", "--plain", "--json"]) == Exit.DONE
    before = card.read_bytes()
    assert run(personalise(tmp_path / "real", card)) == Exit.UNPROVEN
    assert card.read_bytes() == before
    assert not (card.parent / "journal").exists()


@pytest.mark.parametrize(
    ("command", "code", "exit_code"),
    [
        (["info", "--reader", "x", "--file", "y"], "usage.card", Exit.USAGE),
        (["info", "--file", "missing.json"], "file.unreadable", Exit.INPUT),
        (["void", "--authority", "a", "--journal", "missing"], "card.journal", Exit.INPUT),
        (["personalise", "--authority", "a", "--journal", "j", "--letter", "l"], "key.unusable", Exit.INPUT),
        (
            ["personalise", "--authority", "a", "--journal", "j", "--letter", "l", "--expires", "2031-02-30"],
            "usage.day",
            Exit.USAGE,
        ),
        (["emulator", "new/card.json", "--port", "1"], "card.none", Exit.MISSING),
    ],
)
def test_command_that_can_not_be_done_says_why(
    command: list[str],
    code: str,
    exit_code: Exit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["card", *command, "--json"]) == exit_code
    error = said(capsys)["error"]
    assert error["code"] == code
    assert error["exit_code"] == exit_code


def test_file_that_is_no_emulated_card_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "card.json").write_text("{}")
    assert run(["card", "info", "--file", str(tmp_path / "card.json"), "--json"]) == Exit.INPUT
    assert said(capsys)["error"]["code"] == "card.file"


def test_pin_for_a_script_comes_from_the_environment(
    authority: Path, card: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZHIXIN_CARD_PIN", raising=False)
    chain = str(authority / "chain.pem")
    assert run(["card", "verify", "--chain", chain, "--file", str(card), "--pin", "--json"]) == Exit.USAGE
    assert said(capsys)["error"]["code"] == "usage.card-pin"


def test_each_card_error_has_a_code_and_words_in_both_languages() -> None:
    made = [
        errors.CardRemoved(),
        errors.ReaderUnplugged(),
        errors.WrongPin("PIN", 2),
        *(
            kind("x")
            for kind in (
                errors.CardError,
                errors.NoCard,
                errors.PcscMissing,
                errors.InvalidPin,
                errors.PinBlocked,
                errors.PukBlocked,
                errors.NotAuthenticated,
                errors.WrongManagementKey,
                errors.Unsupported,
                errors.InvalidResponse,
                OtherCard,
                CardVoid,
                KeyNotHeld,
            )
        ),
        errors.CardRefused("x", 0x6F00),
    ]
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CardError)}
    assert kinds <= {type(error) for error in made}
    assert len({error.code for error in made}) == len(made)
    english = [_outcome(error) for error in made]
    language.select("zh-CN")
    for each, chinese in zip(english, map(_outcome, made), strict=True):
        assert each.code == chinese.code
        assert re.search("[\u4e00-\u9fff]", chinese.reason)
        assert each.exit_code in {Exit.WORLD, Exit.MISSING, Exit.INPUT}


def test_emulator_puts_a_new_card_into_the_reader_and_keeps_what_happens_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[bytes] = []
    path = tmp_path / "new" / "card.json"

    def drive(server: socket.socket) -> None:
        link, _ = server.accept()
        with link:
            for message in (b"\x01", b"\x04", bytes.fromhex("0020008008303030303030FFFF")):
                link.sendall(len(message).to_bytes(2, "big") + message)
                if len(message) > 1 or message == b"\x04":
                    size = int.from_bytes(link.recv(2, socket.MSG_WAITALL), "big")
                    heard.append(link.recv(size, socket.MSG_WAITALL))
            heard.append(path.read_bytes())

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        driver = threading.Thread(target=drive, args=(server,))
        driver.start()
        assert run(["card", "emulator", str(path), "--port", str(server.getsockname()[1]), "--json"]) == Exit.DONE
        driver.join(10)
    assert heard[:2] == [EMULATED_ATR, bytes.fromhex("63C2")]
    assert json.loads(heard[2])["pin_tries"] == 2, "on disk before the answer went out"
    assert said(capsys) == {"file": str(path), "removed": True}
    assert path.stat().st_mode & 0o077 == 0


def test_card_in_a_real_reader_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with shared_reader().inserted(EmulatedCard()):
        assert run(["card", "info", "--reader", READER, "--json"]) == Exit.DONE
    assert said(capsys)["atr"] == EMULATED_ATR.hex()


def test_file_is_sealed_for_card_and_wallet_and_opened_by_the_card_with_its_pin(
    authority: Path, card: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(personalise(authority, card)) == 0
    there = card.parent
    wallet_key = ec.derive_private_key(91, ec.SECP256R1())
    wallet = p256.compress(wallet_key.public_key())
    (there / "wallet.jwk").write_text(json.dumps(jwk_of(wallet)))
    (there / "will.txt").write_text("过敏：青霉素")
    use = ["--file", str(card), "--json"]
    sealing = ["card", "seal", str(there / "will.txt"), "--wallet", str(there / "wallet.jwk"), *use]
    capsys.readouterr()
    assert run([*sealing, "--out", str(there / "will.jwe")]) == 0
    assert thumbprint(wallet) in str(said(capsys)["keys"])
    assert run([*sealing, "--out", str(there / "will.jwe")]) == Exit.INPUT, "nothing is written over"
    monkeypatch.setenv("ZHIXIN_CARD_PIN", "00000000")
    opening = ["card", "open", str(there / "will.jwe"), "--out", str(there / "opened"), *use]
    assert run(opening) == Exit.INPUT
    assert not (there / "opened").exists()
    monkeypatch.setenv("ZHIXIN_CARD_PIN", letter(card)[0])
    assert run(opening) == 0
    assert (there / "opened").read_text() == "过敏：青霉素"
    assert (there / "opened").stat().st_mode & 0o777 == 0o600
    assert unseal((there / "will.jwe").read_bytes(), wallet, agreeing(wallet_key)).decode() == "过敏：青霉素"


def test_blank_card_and_what_is_no_compartment_are_refused(card: Path) -> None:
    there = card.parent
    wallet = p256.compress(ec.derive_private_key(91, ec.SECP256R1()).public_key())
    (there / "wallet.jwk").write_text(json.dumps(jwk_of(wallet)))
    (there / "plain").write_text("x")
    use = ["--file", str(card), "--out", str(there / "out"), "--json"]
    assert run(["card", "seal", str(there / "plain"), "--wallet", str(there / "wallet.jwk"), *use]) == Exit.INPUT
    assert run(["card", "open", str(there / "plain"), *use]) != 0
    assert not (there / "out").exists()
