# SPDX-License-Identifier: Apache-2.0
"""The private store whose key-encryption key is in a PKCS#11 token: rotated both ways, and worth nothing without it."""

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from store_rig import Rig, add, name_of

from cli import language, output
from cli.exits import Exit
from cli.main import run as command
from service.errors import KeyFileError, TokenError
from service.pkcs11 import WrappingKey, open_key, parse_uri
from service.settings import StoreSettings
from service.store.backup import restore_backup, write_backup
from service.store.opening import new_wrapping
from tests import softhsm

HERE = {"ZHIXIN_PKCS11_PIN": softhsm.PIN}


@pytest.fixture
def settings(sqlite_rig: Rig) -> StoreSettings:
    """A store whose key is in the token, under a name of its own."""
    uri = softhsm.uri(f"store-{secrets.token_hex(4)}")
    return replace(sqlite_rig.settings(), wrapping_key=uri, allow_plain=False)


def ring(settings: StoreSettings) -> dict[str, object]:
    found: dict[str, object] = json.loads((Path(settings.keys) / "keys.json").read_text())
    return found


def is_in_token(settings: StoreSettings, name: str) -> bool:
    address = replace(parse_uri(settings.wrapping_key), label="", id=bytes.fromhex(name.removeprefix("token-")))
    try:
        open_key(WrappingKey, address, HERE)
    except TokenError:
        return False
    return True


def test_new_store_has_its_key_in_the_token_and_no_file(sqlite_rig: Rig, settings: StoreSettings) -> None:
    store = sqlite_rig.open(settings, **HERE)
    _, row = add(store, "张三", "13900001111")
    assert not list(Path(settings.keys).glob("kek-*"))
    assert is_in_token(settings, str(ring(settings)["wrapping"]))
    assert name_of(sqlite_rig.open(settings, **HERE), row) == "张三"


def test_store_without_its_token_opens_nothing_and_says_what_to_set(sqlite_rig: Rig, settings: StoreSettings) -> None:
    sqlite_rig.open(settings, **HERE)
    with pytest.raises(KeyFileError, match="there is no PIN"):
        sqlite_rig.open(settings)
    with pytest.raises(KeyFileError, match=r"in a token: set store\.wrapping_key"):
        sqlite_rig.open(replace(settings, wrapping_key=""), **HERE)
    with pytest.raises(KeyFileError, match="no token 'gone'"):
        sqlite_rig.open(replace(settings, wrapping_key=softhsm.uri("key", label="gone")), **HERE)
    shutil.copytree(settings.keys, sqlite_rig.folder / "copy")
    document = ring(settings)
    document["wrapping"] = "token-" + "00" * 8
    (sqlite_rig.folder / "copy" / "keys.json").write_text(json.dumps(document))
    with pytest.raises(KeyFileError, match="key with id 0000000000000000 in token 'zhixin-tests' is not there"):
        sqlite_rig.open(replace(settings, keys=str(sqlite_rig.folder / "copy")), **HERE)


def test_key_rotated_from_file_to_token_and_back_nothing_is_lost_and_old_keys_are_gone(sqlite_rig: Rig) -> None:
    in_file = sqlite_rig.settings()
    in_token = replace(in_file, wrapping_key=softhsm.uri(f"store-{secrets.token_hex(4)}"))
    store = sqlite_rig.open(in_file)
    _, row = add(store, "张三", "13900001111")

    store = sqlite_rig.open(in_token, **HERE)  # set before it is used: the file still opens
    assert store.rotate_wrapping(new_wrapping(in_token, HERE)) == ()
    first = str(ring(in_file)["wrapping"])
    assert not list(Path(in_file.keys).glob("kek-*"))
    assert name_of(sqlite_rig.open(in_token, **HERE), row) == "张三"

    assert store.rotate_wrapping(new_wrapping(in_token, HERE)) == ()  # from one key of the token to the next
    second = str(ring(in_file)["wrapping"])
    assert (is_in_token(in_token, first), is_in_token(in_token, second)) == (False, True)

    assert store.rotate_wrapping(new_wrapping(in_token, HERE, into="")) == ()
    assert not is_in_token(in_token, second)
    assert "retired" not in ring(in_file)
    assert name_of(sqlite_rig.open(in_file), row) == "张三"


def test_old_copy_of_the_keys_folder_opens_no_more_once_the_token_s_key_was_rotated(
    sqlite_rig: Rig, settings: StoreSettings
) -> None:
    store = sqlite_rig.open(settings, **HERE)
    shutil.copytree(settings.keys, sqlite_rig.folder / "stolen")
    store.rotate_wrapping(new_wrapping(settings, HERE))
    with pytest.raises(KeyFileError, match="is not there"):
        sqlite_rig.open(replace(settings, keys=str(sqlite_rig.folder / "stolen")), **HERE)


def test_key_whose_token_is_away_at_rotation_is_named_and_destroyed_later(
    sqlite_rig: Rig, settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sqlite_rig.open(settings, **HERE)
    old = str(ring(settings)["wrapping"])
    with monkeypatch.context() as away:

        def gone(*_: object) -> None:
            raise TokenError("the token is away")

        away.setattr("service.store.token_key.destroy_token_key", gone)
        assert store.rotate_wrapping(new_wrapping(settings, HERE)) == (old,)
        sqlite_rig.open(settings, **HERE)  # a service starts all the same
    assert is_in_token(settings, old)
    sqlite_rig.open(settings, **HERE)
    assert not is_in_token(settings, old)
    assert "retired" not in ring(settings)


def test_rotation_never_touches_a_key_of_another_store_in_the_same_token(
    sqlite_rig: Rig, settings: StoreSettings
) -> None:
    neighbour = replace(settings, url=sqlite_rig.new_database(), keys=str(sqlite_rig.folder / "neighbour"))
    store, other = sqlite_rig.open(settings, **HERE), sqlite_rig.open(neighbour, **HERE)
    _, row = add(other, "李四", "13900002222")
    store.rotate_wrapping(new_wrapping(settings, HERE))
    sqlite_rig.open(settings, **HERE)
    assert name_of(sqlite_rig.open(neighbour, **HERE), row) == "李四"


def test_keys_swapped_within_the_ring_do_not_open(sqlite_rig: Rig, settings: StoreSettings) -> None:
    sqlite_rig.open(settings, **HERE)
    document = ring(settings)
    keys = document["keys"]
    assert isinstance(keys, list)
    keys[0]["wrapped"], keys[1]["wrapped"] = keys[1]["wrapped"], keys[0]["wrapped"]
    (Path(settings.keys) / "keys.json").write_text(json.dumps(document))
    with pytest.raises(KeyFileError, match="does not decrypt"):
        sqlite_rig.open(settings, **HERE)


def test_backup_and_restore_work_with_the_key_in_the_token(sqlite_rig: Rig, settings: StoreSettings) -> None:
    store = sqlite_rig.open(settings, **HERE)
    _, row = add(store, "张三", "13900001111")
    path = write_backup(store, sqlite_rig.folder / "backups", sqlite_rig.now())
    fresh = replace(settings, url=sqlite_rig.new_database())
    assert restore_backup(fresh, HERE, path).persons == 1
    assert name_of(sqlite_rig.open(fresh, **HERE), row) == "张三"


# ---------------------------------------------------------------- commands


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ZHIXIN_SERVE_STORE_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("ZHIXIN_SERVE_STORE_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("ZHIXIN_SERVE_STORE_ALLOW_PLAIN", "true")
    monkeypatch.setenv("ZHIXIN_PKCS11_PIN", softhsm.PIN)
    language.select("en")
    yield tmp_path
    output.use_json(on=False)
    language.select("en")


def outcome(capsys: pytest.CaptureFixture[str], *argv: str, code: Exit = Exit.DONE) -> dict[str, object]:
    assert command([*argv, "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_commands_move_the_store_s_key_into_a_token_and_out_again(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome(capsys, "store", "check")
    uri = softhsm.uri(f"store-{secrets.token_hex(4)}")
    monkeypatch.setenv("ZHIXIN_SERVE_STORE_WRAPPING_KEY", uri)
    assert str(outcome(capsys, "store", "rotate-key")["key"]).startswith("token-")
    assert outcome(capsys, "store", "check")["audit_entries"] == 1
    assert outcome(capsys, "store", "rotate-key", "--into", "file")["left"] == []
    monkeypatch.delenv("ZHIXIN_SERVE_STORE_WRAPPING_KEY")
    assert outcome(capsys, "store", "check")["audit_entries"] == 2
    assert len(list((home / "keys").glob("kek-*"))) == 1


def test_command_makes_keys_of_each_kind_and_never_shows_a_pin(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del home
    for kind in ("wrapping", "mac", "signing"):
        made = outcome(capsys, "store", "make-key", softhsm.uri(f"{kind}-{secrets.token_hex(4)}"), "--kind", kind)
        assert (made["kind"], made["token"], len(str(made["id"]))) == (kind, softhsm.token(), 16)
        assert ("public_key" in made) == (kind == "signing")
    refused = outcome(
        capsys, "store", "make-key", f"{softhsm.uri('a')}&pin-value=8642", "--kind", "mac", code=Exit.INPUT
    )
    assert "8642" not in str(refused)
    monkeypatch.setenv("ZHIXIN_PKCS11_PIN", "8642-wrong")
    refused = outcome(capsys, "store", "make-key", softhsm.uri("a"), "--kind", "mac", code=Exit.INPUT)
    assert "8642" not in str(refused)
    assert "PIN" in str(refused["error"])
