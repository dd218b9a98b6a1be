# SPDX-License-Identifier: Apache-2.0
"""A card authority on disk or in a PKCS#11 token: opened again it is the same, and damaged it says so."""

import json
import secrets
from pathlib import Path

import pytest

from cli.desk import card_keys, card_shop
from identity.api.desk.card_keys import load_card_authority, make_card_authority
from identity.cards.emulator import EmulatedCard
from identity.cards.making import management_key
from identity.cards.personalise import personalise
from identity.cards.piv import Piv
from identity.cards.profile import Places
from identity.cards.statuses import StatusTable
from identity.cards.verifying import load_chain, verify_card
from service.errors import KeyFileError, TokenError
from service.pkcs11 import MacKey, SigningKey, make_key
from service.registrar_settings import CardSettings
from tests import softhsm
from tests.cards.authority_rig import DAY_S, NOW_S, PLACES
from tests.cards.making_rig import EXPIRES, Notes

PASSPHRASE = b"correct horse battery staple"
GUID = bytes(range(16))


def make(folder: Path, **more: object) -> None:
    options = {
        "allow_plain": False,
        "allows_emulated": True,
        "now_s": NOW_S,
        "environment": {"ZHIXIN_PKCS11_PIN": softhsm.PIN},
    }
    make_card_authority(folder, "禅城区", PLACES, PASSPHRASE, **options | more)


def make_plain(folder: Path) -> None:
    """Without a passphrase, and so without the time that one takes."""
    make_card_authority(
        folder, "x", Places(), None, allow_plain=True, allows_emulated=True, now_s=NOW_S, environment={}
    )


def load(folder: Path, passphrase: bytes | None = PASSPHRASE):
    return load_card_authority(folder, passphrase, {"ZHIXIN_PKCS11_PIN": softhsm.PIN}, allow_plain=False)


def test_authority_opened_again_certifies_cards_that_verify_from_its_chain_file(tmp_path: Path) -> None:
    make(tmp_path / "a")
    for _ in range(2):
        keys, card = load(tmp_path / "a"), EmulatedCard()
        made = personalise(card, keys.authority, keys.diversifier, Notes(), now_s=NOW_S, expires=EXPIRES)
        chain = load_chain((tmp_path / "a" / "chain.pem").read_bytes())
        assert verify_card(Piv(card), chain, NOW_S, pin=made.pin).chuid.guid == made.guid
        assert (tmp_path / "a" / "chain.pem").read_bytes() == keys.chain_pem


def test_authority_works_without_its_root(tmp_path: Path) -> None:
    make(tmp_path / "a")
    (tmp_path / "a" / "root").rename(tmp_path / "offline")
    load(tmp_path / "a")
    make(tmp_path / "b", root_from=tmp_path / "offline")
    first, second = load(tmp_path / "a"), load(tmp_path / "b")
    assert first.root == second.root
    assert first.authority.issuing != second.authority.issuing
    assert management_key(first.diversifier, GUID) != management_key(second.diversifier, GUID)


def test_no_secret_stands_in_the_files_in_the_clear(tmp_path: Path) -> None:
    make(tmp_path / "a")
    document = json.loads((tmp_path / "a" / "authority.json").read_text())
    assert len(bytes.fromhex(document["issuing_secret"])) > 32
    assert len(bytes.fromhex(document["master_secret"])) > 32
    for path in (tmp_path / "a").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_authority_with_keys_in_a_token_has_none_in_its_file(tmp_path: Path) -> None:
    here = {"ZHIXIN_PKCS11_PIN": softhsm.PIN}
    issuing, master = (f"card-{secrets.token_hex(4)}" for _ in range(2))
    make_key(SigningKey, softhsm.address(issuing), here)
    make_key(MacKey, softhsm.address(master), here)
    make(tmp_path / "a", issuing_token=softhsm.uri(issuing), master_token=softhsm.uri(master))
    assert "_secret" not in (tmp_path / "a" / "authority.json").read_text()
    keys, card = load(tmp_path / "a"), EmulatedCard()
    made = personalise(card, keys.authority, keys.diversifier, Notes(), now_s=NOW_S, expires=EXPIRES)
    assert verify_card(Piv(card), load_chain(keys.chain_pem), NOW_S).chuid.guid == made.guid
    assert keys.authority.revocation_list(StatusTable(1, NOW_S, {}))


def test_responder_is_kept_and_made_anew_in_time(tmp_path: Path) -> None:
    make(tmp_path / "a")
    keys = load(tmp_path / "a")
    first = keys.responder(NOW_S)
    assert keys.responder(NOW_S + 44 * DAY_S) is first
    assert keys.responder(NOW_S + 46 * DAY_S) is not first


@pytest.mark.parametrize("passphrase", [None, b"another"])
def test_authority_with_a_wrong_passphrase_stays_closed(tmp_path: Path, passphrase: bytes | None) -> None:
    make(tmp_path / "a")
    with pytest.raises(KeyFileError):
        load(tmp_path / "a", passphrase)


def test_authority_without_passphrase_is_made_only_where_that_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="passphrase"):
        make_card_authority(
            tmp_path, "x", PLACES, None, allow_plain=False, allows_emulated=True, now_s=NOW_S, environment={}
        )
    make_plain(tmp_path / "b")
    load_card_authority(tmp_path / "b", None, {}, allow_plain=True)


def test_authority_is_never_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "a")
    with pytest.raises(KeyFileError, match="is there already"):
        make(tmp_path / "a")


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_name_that_no_certificate_takes_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyFileError, match="1 to 64"):
        make_card_authority(
            tmp_path, name, Places(), PASSPHRASE, allow_plain=False, allows_emulated=True, now_s=NOW_S, environment={}
        )


def test_token_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = softhsm.uri("nothing-of-this-name")
    with pytest.raises(TokenError):
        make(tmp_path / "a", master_token=missing)
    with pytest.raises(KeyFileError, match="pkcs11: URI"):
        make(tmp_path / "b", issuing_token="file.pem")


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "other"},
        {"wrapped_by": 1},
        {"root": "!"},
        {"issuing": "AAAA"},
        {"issuing_secret": "zz"},
        {"issuing_secret": "00"},
        {"master_secret": "00"},
        {"places": []},
        {"places": {"issuer": ""}},
        {"allows_emulated": "yes"},
    ],
)
def test_authority_that_was_damaged_is_refused(tmp_path: Path, damage: dict[str, object]) -> None:
    make_plain(tmp_path)
    path = tmp_path / "authority.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(KeyFileError):
        load_card_authority(tmp_path, None, {}, allow_plain=True)


def test_keys_of_two_authorities_do_not_open_for_one_another(tmp_path: Path) -> None:
    make_plain(tmp_path / "a")
    make_plain(tmp_path / "b")
    path = tmp_path / "a" / "authority.json"
    theirs = json.loads((tmp_path / "b" / "authority.json").read_text())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"issuing_secret": theirs["issuing_secret"]}))
    with pytest.raises(KeyFileError):
        load_card_authority(tmp_path / "a", None, {}, allow_plain=True)


def test_desk_without_an_authority_makes_no_cards_and_one_with_it_does(tmp_path: Path) -> None:
    assert card_keys(CardSettings()) is None
    make_plain(tmp_path / "a")
    settings = CardSettings(folder=str(tmp_path / "a"), allow_plain=True, emulated=str(tmp_path / "tray"))
    logged: list[tuple[bytes, bytes]] = []
    keys = card_keys(settings, lambda guid, der: logged.append((guid, der)))
    assert keys is not None
    shop = card_shop(settings, keys)
    assert shop.counter.names()[0] == "emulated"
    with shop.counter.card("emulated", "CC-1") as card:
        made = personalise(card, shop.authority, shop.diversifier, Notes(), now_s=NOW_S, expires=EXPIRES)
        chain = load_chain((tmp_path / "a" / "chain.pem").read_bytes())
        assert verify_card(Piv(card), chain, NOW_S).chuid.guid == made.guid
    assert logged == [(made.guid, der) for der in made.certificates.values()]
    with pytest.raises(KeyFileError, match="allow_plain"):
        card_keys(CardSettings(folder=str(tmp_path / "a")))
