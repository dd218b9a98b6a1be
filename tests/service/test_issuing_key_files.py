# SPDX-License-Identifier: Apache-2.0
"""Issuing keys on disk and in a token: sealed under the passphrase, rotated, and refused when anything was changed."""

import json
import secrets
from pathlib import Path

import pytest

from identity import sd_jwt
from identity.api.issuer import key_files
from identity.issuer_keys import IssuingKey, Trust
from identity.jose import compressed
from service.errors import KeyFileError
from service.pkcs11 import SigningKey, make_key
from tests import softhsm

NOW_S = 1_790_000_000
DAY_S = 86_400
PASSPHRASE = b"correct horse"
CLAIMS = {"vct": "urn:example:1", "exp": NOW_S + 300 * DAY_S}


def make(folder: Path, now_s: int = NOW_S, **more) -> IssuingKey:
    return key_files.make_issuing_key(folder, PASSPHRASE, allow_plain=False, now_s=now_s, **{"environment": {}} | more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "issuing"
    key_files.make_registrar(made, "Civil affairs", PASSPHRASE, allow_plain=False, now_s=NOW_S)
    return made


def load(folder: Path, passphrase: bytes | None = PASSPHRASE, environment=None) -> key_files.Opened:
    return key_files.load_keys(folder, passphrase, environment or {}, allow_plain=False)


def issued(key: IssuingKey) -> str:
    assert key.signer is not None
    return sd_jwt.issue(CLAIMS, [], key.signer, header=key.header)


def counts(token: str, registrar: bytes) -> bool:
    return sd_jwt.verify(token, lambda header: Trust([registrar]).key_of(header, NOW_S), NOW_S).claims == CLAIMS


def test_key_comes_back_from_its_file_and_signs_what_the_registrars_certificate_proves(folder):
    made = make(folder)
    opened = load(folder)
    assert opened.keys.current(NOW_S).public_key == made.public_key
    assert counts(issued(opened.keys.current(NOW_S)), opened.registrar)


def test_no_file_holds_a_secret_in_the_clear_or_is_open_to_others(folder):
    make(folder)
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0
    document = json.loads(next(folder.glob("issuing-*.json")).read_text())
    assert len(bytes.fromhex(document["secret"])) > 32


def test_next_key_signs_and_the_one_before_still_counts_when_its_secret_is_destroyed(folder):
    before = issued(make(folder))
    later_s = NOW_S + key_files.SIGNS_DAYS * DAY_S
    make(folder, later_s - DAY_S)
    assert key_files.destroy_old_secrets(folder, later_s) == 1
    assert key_files.destroy_old_secrets(folder, later_s) == 0
    opened = load(folder)
    assert len(list(opened.keys)) == 2
    assert opened.keys.current(later_s).signer is not None
    assert counts(before, opened.registrar)
    assert len(opened.keys.jwks(later_s)["keys"]) == 2


def test_registrar_has_one_certificate(folder):
    with pytest.raises(KeyFileError, match="there already"):
        key_files.make_registrar(folder, "Another", PASSPHRASE, allow_plain=False, now_s=NOW_S)


@pytest.mark.parametrize("passphrase", [None, b"wrong"])
def test_keys_do_not_open_without_the_passphrase(folder, passphrase):
    make(folder)
    with pytest.raises(KeyFileError):
        load(folder, passphrase)


def test_folder_without_keys_says_how_to_make_one(folder, tmp_path):
    with pytest.raises(KeyFileError, match="new-key"):
        load(folder)
    with pytest.raises(KeyFileError):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "zhixin-registrar/1"},
        {"certificate": "AAAA"},
        {"certificate": "%"},
        {"certificate": None},
        {"secret": "00" * 60},
        {"secret": "xx"},
        {"signs_from_s": "soon"},
        {"signs_until_s": NOW_S + 5_000 * DAY_S},
        {"signs_from_s": NOW_S - DAY_S},
        {"wrapped_by": "0" * 16},
        {"token": "no-uri"},
    ],
)
def test_key_file_that_was_changed_is_refused(folder, change):
    make(folder)
    path = next(folder.glob("issuing-*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(KeyFileError):
        load(folder)


def test_key_that_another_registrar_certified_is_refused(folder, tmp_path):
    make(folder)
    other = tmp_path / "other"
    key_files.make_registrar(other, "Another", PASSPHRASE, allow_plain=False, now_s=NOW_S)
    (folder / "registrar.json").write_bytes((other / "registrar.json").read_bytes())
    with pytest.raises(KeyFileError, match="did not certify"):
        load(folder)


def test_secret_moved_to_another_keys_file_is_refused(folder):
    make(folder)
    first = next(folder.glob("issuing-*.json"))
    make(folder, NOW_S + 1)
    second = next(path for path in folder.glob("issuing-*.json") if path != first)
    moved = json.loads(first.read_text()) | {"secret": json.loads(second.read_text())["secret"]}
    first.write_text(json.dumps(moved))
    with pytest.raises(KeyFileError):
        load(folder)


def test_key_that_others_may_read_is_refused(folder):
    make(folder)
    next(folder.glob("issuing-*.json")).chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load(folder)


def test_key_in_a_token_issues_and_never_lies_in_the_folder(folder):
    environment = {"ZHIXIN_PKCS11_PIN": softhsm.PIN}
    label = f"issuing-{secrets.token_hex(4)}"
    in_token = make_key(SigningKey, softhsm.address(label), environment)
    made = make(folder, token_uri=softhsm.uri(label), environment=environment)
    assert made.public_key == compressed(in_token.public_key)
    document = json.loads(next(folder.glob("issuing-*.json")).read_text())
    assert "secret" not in document
    opened = load(folder, environment=environment)
    assert counts(issued(opened.keys.current(NOW_S)), opened.registrar)
    with pytest.raises(KeyFileError, match="there already"):
        make(folder, token_uri=softhsm.uri(label), environment=environment)
