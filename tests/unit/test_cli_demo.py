# SPDX-License-Identifier: Apache-2.0
"""What keeps demonstrations and load runs honest and out of one another's way; without a network."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from chain.ed25519 import Ed25519Signer
from chain.transaction import verify_signatures
from chain.types import Network
from cli import main, output
from cli.devnet import process
from cli.devnet.network import Devnet, clean, locked
from cli.errors import InputError, NotHeldError, WorldError
from cli.exits import Exit
from cli.load.measure import SignatureBound, percentile
from cli.load.run import bench_home
from cli.load.transactions import Transactions
from cli.scenes import playing, services, serving
from cli.scenes.registry import Scene, scenes
from cli.scenes.stage import Stage
from service.static_files import PagesNotBuilt


def mark(root: Path, validators: int = 1) -> None:
    root.mkdir(parents=True, exist_ok=True)
    document = {"format": "zhixin-devnet/1", "validators": validators, "base_port": 26600}
    (root / "devnet.json").write_text(json.dumps(document), encoding="utf-8")


def stage(root: Path) -> Stage:
    mark(root)
    return Stage(Devnet(root), root)


def test_claim_that_does_not_hold_ends_the_scene(tmp_path: Path) -> None:
    played = stage(tmp_path)
    played.hold("one is one", 1)
    assert played.held == 1
    with pytest.raises(NotHeldError) as caught:
        played.hold("one is none", 0, "it is 1")
    assert caught.value.details[0] == "it is 1"
    assert str(tmp_path) in caught.value.details[1]
    assert played.held == 1


def test_demo_whose_claim_fails_ends_with_its_exit_code_and_stops_its_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = []

    async def bring_up(root: Path, **_: object) -> Devnet:
        mark(root)
        return Devnet(root)

    async def play(played: Stage) -> None:
        played.hold("false", held=False)

    monkeypatch.setattr(playing, "configure_logging", lambda _level: None)
    monkeypatch.setattr(playing, "bring_up", bring_up)
    monkeypatch.setattr(Devnet, "stop", lambda _self, names: stopped.append(names))
    monkeypatch.setattr(playing, "scenes", lambda: {"x": Scene("x", "title", play, lambda _stage: [])})
    try:
        assert main.run(["demo", "run", "x", "--once", "--home", str(tmp_path / "d"), "--json"]) == Exit.NOT_HELD
    finally:
        output.use_json(on=False)
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "demo.not-held"
    assert stopped == [["node0"]]


def test_measurement_refuses_a_named_folder_that_holds_something(tmp_path: Path) -> None:
    """It deletes its folder in the end: a running network's home must not be that folder."""
    (tmp_path / "devnet.json").write_text("{}")
    with pytest.raises(InputError, match="measurement"):
        bench_home(tmp_path)
    assert bench_home(tmp_path / "new") == tmp_path / "new"
    assert (tmp_path / "devnet.json").exists()


def test_clean_leaves_a_folder_alone_that_is_not_marked_as_ours(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(InputError):
        clean(tmp_path)
    assert (tmp_path / "precious").read_text() == "x"


def test_clean_ends_leftover_processes_and_follows_no_link_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    root = tmp_path / "net"
    mark(root)
    (root / "link").symlink_to(outside)
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    identity = process.spawn(argv, log=root / "logs" / "node0.log", pid_file=root / "run" / "node0.pid")
    assert clean(root) is True
    assert process.identify(identity.pid) is None
    assert list(root.iterdir()) == []
    assert (outside / "kept").exists()
    assert clean(root) is False


def test_second_demo_beside_the_first_takes_the_next_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with playing._own_home(None) as first, playing._own_home(None) as second:
        assert (str(first), str(second)) == (".demo", ".demo-2")
        with pytest.raises(WorldError), playing._own_home(Path(".demo")):
            pass
    with locked(Path(".demo-2")), playing._own_home(None) as again:
        assert str(again) == ".demo"


def test_every_scene_has_a_title_and_its_own_name() -> None:
    known = scenes()
    assert "ledger" in known
    assert all(name == scene.name and scene.title for name, scene in known.items())


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [(0, 0.5, None), (1, 0.5, 0), (1, 0.99, 0), (100, 0.5, 49), (100, 0.99, 98), (2, 1.0, 1)],
)
def test_percentile_is_the_nearest_rank(count: int, fraction: float, expected: float | None) -> None:
    assert percentile(list(range(count)), fraction) == expected


def test_load_transactions_are_signed_and_no_two_alike() -> None:
    network = Network(b"\x01" * 32)
    supply = Transactions(network, Ed25519Signer(bytes(32)), 3)
    supply.prepare(2)
    taken = [supply.take() for _ in range(4)]
    assert supply.ready == 0
    assert len({transaction.id for transaction in taken}) == 4
    assert len({operation.raw for transaction in taken for operation in transaction.operations}) == 12
    for transaction in taken:
        verify_signatures(transaction, network)


async def test_signature_bound_counts_what_it_verified() -> None:

    bound = SignatureBound()
    task = asyncio.create_task(bound.run())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bound.verified >= 100
    assert bound.per_s > 500


def test_service_that_an_earlier_demonstration_left_is_ended_and_a_stranger_with_its_number_is_not(
    tmp_path: Path,
) -> None:
    notes = tmp_path / serving.NOTES
    left = process.spawn(["/bin/sleep", "60"], log=tmp_path / "log", pid_file=notes / "explorer.pid")
    stranger = process.spawn(["/bin/sleep", "60"], log=tmp_path / "log", pid_file=tmp_path / "other.pid")
    try:
        note = {"pid": stranger.pid, "started_ticks": stranger.started_ticks - 1, "boot": stranger.boot}
        (notes / "reused.pid").write_text(json.dumps(note))
        serving.end_services(tmp_path)
        assert process.identify(left.pid) != left
        assert process.identify(stranger.pid) == stranger
        assert list(notes.iterdir()) == []
    finally:
        process.end(stranger, grace_s=5)


async def test_service_that_ends_at_once_is_named_with_its_log(tmp_path: Path) -> None:
    ended = process.spawn(["/bin/false"], log=tmp_path / "log", pid_file=tmp_path / "explorer.pid")
    with pytest.raises(WorldError, match=str(tmp_path / "log")):
        await serving.Served("http://localhost:1", tmp_path / "log", ended).ready()


def test_scene_whose_pages_were_not_built_says_so_before_a_network_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> None:
        raise PagesNotBuilt("run make setup-web")

    monkeypatch.setattr(services, "static_files", absent)
    assert main.run(["demo", "run", "services", "--once", "--home", str(tmp_path / "d"), "--json"]) == Exit.INPUT
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "service.pages"
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("asked", ["desk", "credential"])
def test_offices_stand_beside_a_network_that_runs_alone(
    asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Devnet.create(tmp_path / "net", validators=1, base_port=20000)
    assert main.run(["demo", asked, "--home", str(tmp_path / "net")]) == Exit.MISSING
    assert "does not run" in capsys.readouterr().err
    assert not (tmp_path / "net" / "offices").exists()
    mark(tmp_path / "none")
    (tmp_path / "none" / "devnet.json").unlink()
    (tmp_path / "none" / "genesis.json").write_bytes((tmp_path / "net" / "genesis.json").read_bytes())
    assert main.run(["demo", asked, "--home", str(tmp_path / "none")]) == Exit.MISSING, "nobody's real network"
