# SPDX-License-Identifier: Apache-2.0
"""A kiosk put together from settings: what it refuses to start with."""

import json
from pathlib import Path

import pytest

from cli.kiosk import check_loopback, device_of, liveness_of, read_bills
from cli.sealing import seal_of
from identity.api.kiosk.office_client import HttpOffice
from service.document_settings import DocumentSettings
from service.errors import ConfigError
from service.kiosk_settings import KioskSettings
from service.settings import Address, local_address, parse_settings

BILL = {"reference": "B-1", "payee": "水务", "purpose": "水费", "amount_fen": 12_800}


def test_kiosk_that_other_machines_reach_does_not_start() -> None:
    check_loopback(local_address("kiosk", "127.0.0.1:8809"))
    for settings in (
        '[addresses.kiosk]\nlisten = "0.0.0.0:8809"\npublic_origin = "http://localhost:8809"',
        '[addresses.kiosk]\nlisten = "127.0.0.1:8809"\npublic_origin = "https://kiosk.example.org"',
        '[addresses.kiosk]\nlisten = "127.0.0.1:8809"\nhosts = ["kiosk.example.org"]',
    ):
        address: Address = parse_settings(settings, {}).address("kiosk", 8809)
        with pytest.raises(ConfigError, match="its own machine alone"):
            check_loopback(address)


def test_kiosk_without_a_key_of_its_own_does_not_start() -> None:
    with pytest.raises(ConfigError, match=r"kiosk\.device_key"):
        device_of(KioskSettings())


@pytest.mark.parametrize("origin", ["http://desk.example.org", "desk", "https://desk.example.org/kiosks"])
def test_office_that_is_no_encrypted_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"kiosk\.office"):
        HttpOffice(origin, None)  # type: ignore[arg-type]  # the address is looked at first


def test_bills_are_read_and_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bills.json"
    file.write_text(json.dumps([BILL]), encoding="utf-8")
    assert [bill.amount_fen for bill in read_bills(str(file))] == [12_800]
    assert read_bills("") == ()
    for wrong in ("{", "{}x", "[1]", json.dumps([BILL | {"amount_fen": 0}]), json.dumps([BILL | {"payee": ""}])):
        file.write_text(wrong, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"kiosk\.office_bills"):
            read_bills(str(file))
    with pytest.raises(ConfigError, match="can't be read"):
        read_bills(str(tmp_path / "none.json"))


def test_seal_without_time_stamps_is_refused_and_none_at_all_is_no_seal() -> None:
    assert seal_of(DocumentSettings()) is None
    with pytest.raises(ConfigError, match=r"documents\.stamps"):
        seal_of(DocumentSettings(seal="/etc/zhixin/seal"))


def test_liveness_method_without_its_program_or_under_no_name_is_refused() -> None:
    for settings in (
        KioskSettings(liveness_method="vendor/1.0"),
        KioskSettings(liveness_command=("/opt/vendor/look",)),
        KioskSettings(liveness_method="Vendor 1", liveness_command=("/opt/vendor/look",)),
    ):
        with pytest.raises(ConfigError, match=r"kiosk\.liveness_method"):
            liveness_of(settings)
    assert liveness_of(KioskSettings()) is None
