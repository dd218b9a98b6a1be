# SPDX-License-Identifier: Apache-2.0
"""What operators hand to one another without a network: node homes, requests, files of acts, folders of followers."""

import json
import os
from pathlib import Path

import pytest

from chain import bls
from cli.acts import load_acts
from cli.errors import InputError
from cli.exits import Exit
from cli.home import Home as Desk
from cli.main import run
from membership.pb import membership_pb2
from node.certificates import from_pem
from node.config import Home, load_config
from node.errors import ConfigError
from node.keyring import NodeKeys
from node.peers import Followers
from node.testnet import Testnet as Network
from node.testnet import create_testnet

PASSPHRASE = "correct horse"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return create_testnet(tmp_path_factory.mktemp("net"), 1, 20000)


@pytest.fixture(autouse=True)
def _passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHIXIN_PASSPHRASE", PASSPHRASE)


def zhixin(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> dict:
    capsys.readouterr()
    ended = run([*argv, "--json"])
    printed = capsys.readouterr()
    assert ended == code, (argv, printed.out, printed.err)
    return json.loads(printed.out)


def make_node(capsys: pytest.CaptureFixture[str], home: Path, network: Network, *options: str) -> dict:
    return zhixin(capsys, "node", "init", "--home", str(home), "--genesis", str(network.genesis), *options)


def test_node_home_holds_encrypted_keys_that_the_node_opens(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "node")
    listen = ("--peer", "127.0.0.1:29000", "--client", "127.0.0.1:29001")
    made = make_node(capsys, home.root, network, *listen, "--host", "node.example")
    assert made["encrypted"]
    config = load_config(home, {})
    assert (config.peer.listen, config.client.listen, config.keys.allow_plain) == (*listen[1::2], False)
    keys = NodeKeys(home, config, {"ZHIXIN_PASSPHRASE": PASSPHRASE})
    assert keys.bls_key is not None
    assert keys.bls_key.hex() == made["bls_key"]
    assert b"node.example" in keys.certificate
    assert home.genesis.read_bytes() == network.genesis.read_bytes()
    for path in (home.validator_key, home.tls_key):
        assert path.stat().st_mode & 0o077 == 0
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    assert zhixin(capsys, "node", "init", "--home", str(home.root), code=Exit.INPUT)["error"]["code"] == "node.invalid"
    assert {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()} == before


def test_node_home_is_not_made_without_passphrase_or_from_a_file_that_is_no_genesis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "node"
    junk = tmp_path / "genesis.json"
    junk.write_text("{}")
    zhixin(capsys, "node", "init", "--home", str(home), "--genesis", str(junk), code=Exit.INPUT)
    zhixin(capsys, "node", "init", "--home", str(home), "--peer", "nowhere", code=Exit.INPUT)
    monkeypatch.delenv("ZHIXIN_PASSPHRASE")
    zhixin(capsys, "node", "init", "--home", str(home), code=Exit.USAGE)
    assert not home.exists()


def test_follower_has_no_key_that_votes(network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_node(capsys, tmp_path / "node", network, "--follower", "--plain")
    home = Home(tmp_path / "node")
    assert made["bls_key"] is None
    assert not home.validator_key.exists()
    assert NodeKeys(home, load_config(home, {}), {}).bls_key is None
    argv = ("--node-home", str(home.root), "--organisation", "a", "--out", str(tmp_path / "out"))
    assert zhixin(capsys, "validator", "request", *argv, code=Exit.INPUT)["error"]["code"] == "key.unusable"


def test_request_to_join_proves_possession_for_this_network_and_organisation_and_holds_no_secret(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_node(capsys, tmp_path / "node", network)
    out = tmp_path / "join.json"
    argv = ("--node-home", str(tmp_path / "node"), "--organisation", "water", "--address", "10.0.0.5:26600")
    zhixin(capsys, "validator", "request", *argv, "--out", str(out))
    (act,) = load_acts([out])
    join = act.add_validator
    bls.verify_possession(join.bls_key, Desk(tmp_path / "node").genesis().network, "water", join.possession)
    home = Home(tmp_path / "node")
    assert join.endpoint.address == "10.0.0.5:26600"
    assert join.endpoint.tls_certificate == from_pem(home.tls_certificate.read_bytes())
    keys = NodeKeys(home, load_config(home, {}), os.environ)
    assert keys.validator is not None
    assert keys.validator.secret.hex() not in out.read_text()


def test_organisation_asks_with_the_public_half_of_its_keys_before_it_has_a_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = ("--home", str(tmp_path))
    made = zhixin(capsys, "keys", "new", "water", *desk)
    out = tmp_path / "organisation.json"
    names = ("--name-zh", "水务局", "--name-en", "Water Authority", "--role", "b", "--role", "a", "--role", "b")
    zhixin(capsys, "org", "request", "water-authority", "--key", "water", *names, *desk, "--out", str(out))
    (act,) = load_acts([out])
    assert list(act.add_organisation.roles) == ["a", "b"]
    (grant,) = act.add_organisation.keys
    assert grant.key.public_key.hex() == made["public_key"]
    assert list(grant.purposes) == [
        membership_pb2.PURPOSE_SUBMIT,
        membership_pb2.PURPOSE_GOVERN,
        membership_pb2.PURPOSE_ATTEST,
    ]
    absent = ("org", "request", "water-authority", "--key", "other", *desk, "--out", str(out))
    assert zhixin(capsys, *absent, code=Exit.INPUT)["error"]["code"] == "key.unusable"


@pytest.mark.parametrize(
    "text", ["", "[1]", '"x"', '[{"add_validator": {"bls_key": "zz"}}]', '[{"no_such_act": {}}]', "[" * 5000]
)
def test_any_other_file_is_no_list_of_acts(text: str, tmp_path: Path) -> None:
    (tmp_path / "acts.json").write_text(text)
    with pytest.raises(InputError):
        load_acts([tmp_path / "acts.json"])


def test_propose_join_takes_one_request_and_nothing_else(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acts.json").write_text('[{"grant_role": {"organisation": "a", "role": "b"}}]')
    argv = ("validator", "propose-join", str(tmp_path / "acts.json"), "--home", str(network.directory), "--key", "k")
    assert zhixin(capsys, *argv, code=Exit.INPUT)["error"]["code"] == "validator.no-request"


@pytest.mark.parametrize("text", ["abcd", "", "zz" * 48])
def test_validator_is_named_by_enough_digits(text: str, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("validator", "propose-leave", text, "--home", str(network.directory), "--key", "public-security")
    zhixin(capsys, *argv, code=Exit.USAGE)


def test_home_of_the_command_takes_a_node_by_its_certificate(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pem = network.homes[0].tls_certificate
    where = ("--genesis", str(network.genesis), "--home", str(tmp_path / "h"))
    zhixin(capsys, "init", *where, "--node", f"10.0.0.9:26601={pem}")
    home = Desk(tmp_path / "h")
    (endpoint,) = home.endpoints(home.genesis()) or []
    assert (endpoint.address, endpoint.certificate) == ("10.0.0.9:26601", pem.read_bytes())
    zhixin(capsys, "init", *where, "--node", f"10.0.0.9:26601={network.genesis}", code=Exit.INPUT)
    zhixin(capsys, "init", *where, "--node", "10.0.0.9:26601=nobody", code=Exit.USAGE)


def test_folder_of_followers_is_taken_over_when_it_changes_and_a_wrong_file_changes_nothing(
    network: Network, tmp_path: Path
) -> None:
    followers = Followers(tmp_path)
    assert followers.peers == ()
    assert not followers.have_changed()
    pem = network.homes[0].tls_certificate.read_bytes()
    (tmp_path / "10.0.0.5:26600.pem").write_bytes(pem)
    assert followers.have_changed()
    assert [(peer.address, peer.certificate) for peer in followers.peers] == [("10.0.0.5:26600", from_pem(pem))]
    assert not followers.have_changed()
    (tmp_path / "nonsense.pem").write_bytes(pem)
    assert not followers.have_changed()
    assert len(followers.peers) == 1
    with pytest.raises(ConfigError, match="nonsense"):
        Followers(tmp_path)
    (tmp_path / "nonsense.pem").unlink()
    (tmp_path / "10.0.0.5:26600.pem").unlink()
    assert followers.have_changed()
    assert followers.peers == ()


def test_certificate_that_is_half_written_at_one_look_is_taken_at_the_next(network: Network, tmp_path: Path) -> None:
    """The system's clock of files stands still for milliseconds: its time may be the same before and after."""
    followers, path = Followers(tmp_path), tmp_path / "10.0.0.5:26600.pem"
    pem = network.homes[0].tls_certificate.read_bytes()
    path.write_bytes(pem[:100])
    os.utime(path, ns=(10**18, 10**18))
    assert not followers.have_changed()
    path.write_bytes(pem)
    os.utime(path, ns=(10**18, 10**18))
    assert followers.have_changed()
    assert [peer.address for peer in followers.peers] == ["10.0.0.5:26600"]
