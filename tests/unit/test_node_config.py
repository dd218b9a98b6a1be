# SPDX-License-Identifier: Apache-2.0
"""A node's settings and key files: strict, overridable, and silent about secrets."""

import datetime as dt
import json
from dataclasses import fields
from pathlib import Path

import pytest

from node.certificates import certificate_key, certificate_name, from_pem, make_certificate, to_pem
from node.config import Config, Home, load_config, parse_config, render_config, split_address, sync_hints
from node.errors import ConfigError, KeyFileError
from node.keys import Algorithm, KeyPair, Purpose, generate_key, load_key, load_passphrase, save_key

PASSPHRASE = b"correct horse battery staple"


# ---------------------------------------------------------------- settings


def test_home_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    assert load_config(Home(tmp_path), {}) == Config()


def test_file_overrides_defaults_and_environment_overrides_the_file() -> None:
    text = '[peer]\nlisten = "10.0.0.1:1000"\nkeepalive_ms = 5\n'
    config = parse_config(text, {"ZHIXIN_PEER_LISTEN": "10.0.0.2:2000", "ZHIXIN_KEYS_ALLOW_PLAIN": "true"})
    assert config.peer.listen == "10.0.0.2:2000"
    assert config.peer.keepalive_ms == 5
    assert config.keys.allow_plain is True


def test_environment_variables_of_other_purpose_are_left_alone() -> None:
    assert parse_config("", {"ZHIXIN_PASSPHRASE": "x", "ZHIXIN_HOME": "/x", "PATH": "/bin"}) == Config()


@pytest.mark.parametrize(
    ("text", "environment", "hint"),
    [
        ("[mempol]\n", {}, "mempool"),
        ("[mempool]\ncount_maximum = 1\n", {}, "count_max"),
        ("", {"ZHIXIN_MEMPOOL_COUNT_MAXX": "1"}, "count_max"),
        ("mempool = 3\n", {}, "table"),
        ("[mempool]\ncount_max = true\n", {}, "whole number"),
        ("[mempool]\ncount_max = 1.5\n", {}, "whole number"),
        ("[mempool]\ncount_max = 0\n", {}, "at least 1"),
        ("[mempool]\ncount_max = -1\n", {}, "range"),
        ("", {"ZHIXIN_MEMPOOL_COUNT_MAX": "many"}, "whole number"),
        ('[keys]\nallow_plain = "perhaps"\n', {}, "true or false"),
        ("[peer]\nlisten = 7\n", {}, "text"),
        ('[peer]\nlisten = "nowhere"\n', {}, "host:port"),
        ('[metrics]\nlisten = "0.0.0.0:9000"\n', {}, "loopback"),
        ('[logging]\nlevel = "loud"\n', {}, "debug"),
        ("[peer\n", {}, "not TOML"),
    ],
)
def test_settings_that_mean_nothing_are_refused_with_a_hint(text: str, environment: dict[str, str], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        parse_config(text, environment)


def test_rendered_settings_read_back_the_same() -> None:
    text = '[keys]\npassphrase_file = "a \\"b\\" \\u00e9 \\\\ \\u007f"\n[mempool]\ncount_max = 7\n'
    config = parse_config(text + "[client]\nreflection = false\n", {})
    assert parse_config(render_config(config), {}) == config


def test_every_setting_says_why_it_is_what_it_is() -> None:
    for section in fields(Config):
        for setting in fields(type(getattr(Config(), section.name))):
            assert setting.metadata.get("why"), f"{section.name}.{setting.name}"


@pytest.mark.parametrize(
    ("text", "parts"), [("a.example:80", ("a.example", 80)), ("[::1]:9", ("::1", 9)), ("127.0.0.1:0", ("127.0.0.1", 0))]
)
def test_addresses_split_into_host_and_port(text: str, parts: tuple[str, int]) -> None:
    assert split_address(text) == parts


# ---------------------------------------------------------------- key files


@pytest.mark.parametrize(
    ("purpose", "algorithm"),
    [
        (Purpose.VALIDATOR, Algorithm.BLS),
        (Purpose.TLS, Algorithm.P256),
        (Purpose.ORGANISATION, Algorithm.ED25519),
        (Purpose.ORGANISATION, Algorithm.P256),
    ],
)
def test_key_saved_encrypted_loads_with_its_passphrase(tmp_path: Path, purpose: Purpose, algorithm: Algorithm) -> None:
    key, path = generate_key(purpose, algorithm), tmp_path / "keys" / "key.json"
    save_key(path, key, PASSPHRASE)
    assert load_key(path, purpose, PASSPHRASE) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert key.secret.hex() not in path.read_text()
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, KeyPair]:
    key = generate_key(Purpose.ORGANISATION, Algorithm.ED25519)
    save_key(tmp_path / "key.json", key, PASSPHRASE)
    return tmp_path / "key.json", key


def test_key_does_not_open_with_another_passphrase_or_none(saved: tuple[Path, KeyPair]) -> None:
    path, _ = saved
    for wrong in (b"guess", None):
        with pytest.raises(KeyFileError):
            load_key(path, Purpose.ORGANISATION, wrong)


def test_key_of_one_purpose_is_refused_for_another(saved: tuple[Path, KeyPair]) -> None:
    path, _ = saved
    with pytest.raises(KeyFileError, match="not for validator"):
        load_key(path, Purpose.VALIDATOR, PASSPHRASE)


@pytest.mark.parametrize("field", ["purpose", "public_key", "algorithm", "protection", "secret", "format"])
def test_key_file_with_any_field_exchanged_does_not_open(saved: tuple[Path, KeyPair], field: str) -> None:
    path, _ = saved
    other = path.with_name("other.json")
    save_key(other, generate_key(Purpose.ORGANISATION, Algorithm.P256), PASSPHRASE)
    document, donor = json.loads(path.read_text()), json.loads(other.read_text())
    document[field] = {"purpose": "tls", "format": "zhixin-key/2"}.get(field, donor[field])
    path.write_text(json.dumps(document))
    for purpose in Purpose:
        with pytest.raises(KeyFileError):
            load_key(path, purpose, PASSPHRASE)


def test_key_file_that_others_can_read_is_refused(saved: tuple[Path, KeyPair]) -> None:
    path, _ = saved
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_key(path, Purpose.ORGANISATION, PASSPHRASE)


def test_key_is_never_overwritten(saved: tuple[Path, KeyPair]) -> None:
    path, key = saved
    with pytest.raises(KeyFileError, match="exists"):
        save_key(path, generate_key(Purpose.ORGANISATION, Algorithm.ED25519), PASSPHRASE)
    assert load_key(path, Purpose.ORGANISATION, PASSPHRASE) == key


def test_plain_key_opens_only_where_that_is_said(tmp_path: Path) -> None:
    key, path = generate_key(Purpose.VALIDATOR, Algorithm.BLS), tmp_path / "key.json"
    save_key(path, key, None)
    with pytest.raises(KeyFileError, match="not encrypted"):
        load_key(path, Purpose.VALIDATOR, PASSPHRASE)
    assert load_key(path, Purpose.VALIDATOR, None, allow_plain=True) == key


@pytest.mark.parametrize("parameters", [{"n": 2**30}, {"n": 3}, {"r": 10**9}, {"p": 10**9}, {"n": "x"}])
def test_key_file_that_asks_for_unreasonable_work_is_refused(
    saved: tuple[Path, KeyPair], parameters: dict[str, object]
) -> None:
    path, _ = saved
    document = json.loads(path.read_text())
    document["protection"].update(parameters)
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFileError):
        load_key(path, Purpose.ORGANISATION, PASSPHRASE)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"format": 1}', b"[" * 4000, b" " * 5000]
)
def test_any_other_file_is_refused_as_a_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        load_key(path, Purpose.TLS, PASSPHRASE)


def test_secrets_do_not_show_in_a_repr() -> None:
    key = generate_key(Purpose.VALIDATOR, Algorithm.BLS)
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)


def test_passphrase_comes_from_its_file_else_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(PASSPHRASE + b"\n")
    file.chmod(0o600)
    assert load_passphrase(str(file), {"ZHIXIN_PASSPHRASE": "other"}) == PASSPHRASE
    assert load_passphrase("", {"ZHIXIN_PASSPHRASE": "other"}) == b"other"
    assert load_passphrase("", {}) is None
    file.chmod(0o644)
    with pytest.raises(KeyFileError):
        load_passphrase(str(file), {})


# ---------------------------------------------------------------- certificates


def test_certificate_bears_its_key_and_survives_pem() -> None:
    key = generate_key(Purpose.TLS, Algorithm.P256)
    der = make_certificate(key, ("127.0.0.1", "node.example"), dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert from_pem(to_pem(der)) == der
    assert certificate_key(der) == key.public_key
    other = make_certificate(generate_key(Purpose.TLS, Algorithm.P256), (), dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert certificate_name(other) != certificate_name(der)


@pytest.mark.parametrize("data", [b"", b"\x30\x82", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"])
def test_anything_else_is_no_certificate(data: bytes) -> None:
    for reader in (from_pem, to_pem, certificate_key):
        with pytest.raises(ConfigError):
            reader(data)


# ---------------------------------------------------------------- pruning and joining


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[storage]\narchive = true\nblocks_kept = 5000", "set one of them"),
        ("[storage]\nblocks_kept = 999", "at least 1000"),
        ("[sync]\nsnapshot_every_blocks = 0", "sync.snapshot_every_blocks must be at least 1"),
        ("[sync]\nsnapshot_kept_seconds = 0", "sync.snapshot_kept_seconds must be at least 1"),
        ("[sync]\nbehind_blocks = 0", "sync.behind_blocks must be at least 1"),
        ('[sync]\npeers = "10.0.0.1:26600"', "HOST:PORT=CERTIFICATE.pem"),
        ('[sync]\npeers = "10.0.0.1:26600="', "HOST:PORT=CERTIFICATE.pem"),
        ('[sync]\npeers = "10.0.0.1=a.pem"', "not an address"),
    ],
)
def test_settings_of_pruning_and_joining_that_fit_no_node_are_refused_with_what_to_write(
    text: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_config(text, {})


def test_peers_to_join_by_are_read_with_their_certificates() -> None:
    config = parse_config('[sync]\npeers = "10.0.0.1:26600=a.pem, [::1]:7=/etc/b=c.pem,"', {})
    assert sync_hints(config.sync) == (("10.0.0.1:26600", Path("a.pem")), ("[::1]:7", Path("/etc/b=c.pem")))
    assert sync_hints(parse_config("", {}).sync) == ()
