# SPDX-License-Identifier: Apache-2.0
"""A service with sign-in and acts, put together from settings: which network, whose keys, and what is refused."""

from pathlib import Path

import pytest
from store_rig import Rig

from chain.signing import Scheme
from cli.staffing import office_ledger, staffed
from node.keys import Algorithm, KeyPair, Purpose, generate_key, save_key
from service.errors import ConfigError, KeyFileError
from service.serve import Ground
from service.settings import Settings, local_address, parse_settings
from service.sign_in.part import OFFICE_SITE
from tests.certified_ledger import make_genesis

ADDRESS = local_address("office", "127.0.0.1:8802")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network's genesis file and a few keys of an organisation."""
    (tmp_path / "genesis.json").write_bytes(make_genesis())
    for name, algorithm in (("own", Algorithm.ED25519), ("governor", Algorithm.P256)):
        save_key(tmp_path / f"{name}.json", generate_key(Purpose.ORGANISATION, algorithm), None)
    sealed: KeyPair = generate_key(Purpose.ORGANISATION, Algorithm.ED25519)
    save_key(tmp_path / "sealed.json", sealed, b"correct horse")
    return tmp_path


def settings_of(folder: Path, **signing: str | bool) -> Settings:
    """Settings with the network of a folder."""
    lines = [
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for name, value in signing.items()
    ]
    text = "\n".join([f"[ledger]\ngenesis = '{folder}/genesis.json'\n[signing]", *lines])
    return parse_settings(text, {})


def test_keys_in_the_settings_sign_beside_officers_and_nothing_stands_in_for_those_left_out(folder: Path) -> None:
    own, governor = str(folder / "own.json"), str(folder / "governor.json")
    ledger = office_ledger(settings_of(folder, submit_key=own, governing_key=governor, allow_plain=True), "registrar")
    assert [signer.signer.scheme for signer in ledger.cosigners] == [Scheme.ED25519]
    assert ledger.governor is not None
    assert (ledger.governor.signer.scheme, ledger.role) == (Scheme.P256, "registrar")
    bare = office_ledger(settings_of(folder), "")
    assert (bare.cosigners, bare.governor) == ((), None)


@pytest.mark.parametrize(
    ("signing", "complaint"),
    [
        ({"submit_key": "own.json"}, "signing.submit_key: .* set signing.allow_plain for a test network"),
        ({"submit_key": "sealed.json"}, "signing.submit_key: .*passphrase"),
        ({"governing_key": "missing.json"}, "signing.governing_key: .*missing.json"),
    ],
    ids=["plain", "no passphrase", "missing"],
)
def test_key_file_that_cannot_be_used_is_named_with_its_setting(
    folder: Path, signing: dict[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZHIXIN_PASSPHRASE", raising=False)
    placed = {name: str(folder / file) for name, file in signing.items()}
    with pytest.raises(KeyFileError, match=complaint):
        office_ledger(settings_of(folder, **placed), "")


def test_one_key_for_submitting_and_governing_is_refused(folder: Path) -> None:
    own = str(folder / "own.json")
    with pytest.raises(ConfigError, match="same key"):
        office_ledger(settings_of(folder, submit_key=own, governing_key=own, allow_plain=True), "")


def test_service_takes_acts_along_where_a_network_is_named_and_is_refused_where_it_needs_one(
    sqlite_rig: Rig, folder: Path
) -> None:
    store = sqlite_rig.open(sqlite_rig.settings())
    with_ledger = Ground(settings_of(folder), store)
    assert [part.name for part in staffed(with_ledger, ADDRESS, OFFICE_SITE, role="registrar")][-1] == "acts"
    without = Ground(Settings(), store)
    assert "acts" not in [part.name for part in staffed(without, ADDRESS, OFFICE_SITE, needs_ledger=False)]
    with pytest.raises(ConfigError, match=r"ledger\.genesis is missing"):
        staffed(without, ADDRESS, OFFICE_SITE)
