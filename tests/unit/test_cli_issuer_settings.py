# SPDX-License-Identifier: Apache-2.0
"""The issuer as the command builds it: with keys and a network, and with clear words where one of them is missing."""

import pytest

from cli.issuer import opened_keys
from cli.services import SERVICES
from service.errors import ConfigError, KeyFileError
from service.registrar_settings import IssuingSettings
from service.settings import Settings


def test_issuer_without_a_folder_of_keys_says_how_to_make_one():
    with pytest.raises(ConfigError, match="new-key"):
        opened_keys(IssuingSettings())


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(KeyFileError, match="nowhere"):
        opened_keys(IssuingSettings(folder=str(tmp_path / "nowhere")))


def test_issuer_has_its_port_and_is_left_out_of_all_services_without_keys():
    (issuer,) = [service for service in SERVICES if service.name == "issuer"]
    assert issuer.port == 8804
    assert not issuer.is_set_up(Settings())
    assert issuer.is_set_up(Settings(issuing=IssuingSettings(folder="x")))
