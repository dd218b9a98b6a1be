# SPDX-License-Identifier: Apache-2.0
"""Settings of the services: strict, and each mistake is named with its place."""

from dataclasses import fields
from pathlib import Path

import pytest

from service.errors import ConfigError
from service.settings import Settings, load_settings, parse_settings
from service.settings_values import LIST_ITEMS_MAX

GOOD = """
[http]
body_bytes_max = 1000
proxies = ["10.0.0.0/8"]
[store]
url = "postgresql://zhixin@/zhixin"
[ledger]
nodes = ["127.0.0.1:26601"]
[addresses.desk]
listen = "0.0.0.0:8801"
public_origin = "https://desk.example.org"
hosts = ["10.0.0.7:8801"]
[addresses.explorer]
listen = "127.0.0.1:9000"
"""


def test_settings_come_from_the_file_then_from_the_environment() -> None:
    environment = {
        "ZHIXIN_SERVE_HTTP_BODY_BYTES_MAX": "2000",
        "ZHIXIN_SERVE_LEDGER_NODES": "a:1, b:2",
        "ZHIXIN_SERVE_LOGGING_ACCESS": "false",
        "ZHIXIN_PASSPHRASE": "not a setting",
    }
    settings = parse_settings(GOOD, environment)
    assert settings.http.body_bytes_max == 2000
    assert settings.ledger.nodes == ("a:1", "b:2")
    assert settings.logging.access is False
    assert settings.store.url == "postgresql://zhixin@/zhixin"


def test_address_of_a_service_is_what_browsers_see_and_defaults_to_this_machine() -> None:
    settings = parse_settings(GOOD, {})
    desk = settings.address("desk", 1)
    assert desk.is_https
    assert desk.known_origins == {"https://desk.example.org", "https://10.0.0.7:8801"}
    assert desk.cookie_name("session") == "__Host-desk-session"
    explorer = settings.address("explorer", 1)
    assert explorer.public_origin == "http://localhost:9000"
    assert explorer.known_hosts == {"localhost:9000", "127.0.0.1:9000", "[::1]:9000"}
    assert settings.address("kiosk", 8805).listen == "127.0.0.1:8805"
    assert settings.address("kiosk", 8805).cookie_name("session") == "kiosk-session"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[http", "is not TOML"),
        ("[htp]", "unknown section [htp]; did you mean 'http'"),
        ("http = 1", "[http] must be a table"),
        ("[http]\nbody_max = 1", "unknown setting http.body_max; did you mean 'body_ms_max'"),
        ("[http]\nbody_ms_max = '1s'", "http.body_ms_max must be a whole number"),
        ("[http]\nbody_ms_max = true", "http.body_ms_max must be a whole number"),
        ("[http]\nbody_ms_max = 0", "http.body_ms_max must be at least 1"),
        ("[http]\nproxies = ['everywhere']", "no address and no network"),
        ("[http]\nproxies = [1]", "http.proxies must be a list of texts"),
        ("[store]\nurl = 'mysql://x'", "store.url must start with"),
        ("[store]\nallow_plain = 'maybe'", "store.allow_plain must be true or false"),
        ("[store]\nfolder = 1", "store.folder must be text"),
        ("[ledger]\nnodes = ['nowhere']", "is not an address"),
        ("[logging]\nlevel = 'loud'", "logging.level is"),
        ("[addresses]\ndesk = 1", "addresses.desk must be a table"),
        ("[addresses.desk]", "is not an address"),
        ("[addresses.desk]\nlisten = 'a:1'", "public_origin is missing"),
        ("[addresses.desk]\nlisten = 'a:1'\norigin = 'x'", "unknown setting addresses.desk.origin"),
        ("[addresses.desk]\nlisten = 'a:1'\npublic_origin = 'https://a/b'", "must read https://host"),
        ("[addresses.desk]\nlisten = 'a:1'\npublic_origin = 'https://A'", "must read https://host"),
        ("[addresses.desk]\nlisten = 'a:1'\npublic_origin = 'https://u@a'", "must read https://host"),
        ("[addresses.desk]\nlisten = '127.0.0.1:1'\nhosts = ['a b']", "is no host"),
        (f"[ledger]\nnodes = {['a:1'] * (LIST_ITEMS_MAX + 1)}", "more than 256 items"),
    ],
)
def test_mistake_in_the_settings_is_named_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, {})
    assert complaint in str(caught.value)


def test_environment_that_names_no_setting_is_refused() -> None:
    for name, complaint in (("ZHIXIN_SERVE_HTPP_X", "names no section"), ("ZHIXIN_SERVE_HTTP_X", "unknown setting")):
        with pytest.raises(ConfigError, match=complaint):
            parse_settings("", {name: "1"})


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "missing.toml", {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "binary.toml", {})
    assert load_settings(None, {}) == Settings()


def test_each_setting_says_why() -> None:
    for section in fields(Settings):
        if section.name != "addresses":
            for item in fields(section.default_factory):  # type: ignore[arg-type]
                assert item.metadata["why"], f"{section.name}.{item.name}"
