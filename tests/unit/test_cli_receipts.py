# SPDX-License-Identifier: Apache-2.0
"""`receipt verify` of receipts that are true and mislead: of a failure, and by the keys of a set that is gone."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_network import FakeNetwork, Ledger

from chain import receipt
from chain.ed25519 import Ed25519Signer
from chain.transaction import Operation
from cli import language, output
from cli.exits import Exit
from cli.main import run
from client.session import Session

SIGNER = Ed25519Signer(b"\x05" * 32)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    language.select("en")
    yield
    output.use_json(on=False)
    language.select("en")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in epoch 2; `failed` is of a failure, `old` of epoch 1, `forged` made later with its keys."""
    root = tmp_path_factory.mktemp("home")

    async def make() -> None:
        async with FakeNetwork() as fake:
            (root / "genesis.json").write_bytes(fake.genesis_raw)
            trust_file = root / "trust.json"
            async with Session(fake.genesis, endpoints=fake.endpoints, trust_file=trust_file) as session:
                note = session.sign([Operation.make("test.Note", b"x")], [SIGNER])
                (root / "old").write_bytes((await session.submit_one(note)).receipt())
                fake.ledger.submit([], close=True)
                failing = session.sign([Operation.make("test.Fail", b"")], [SIGNER])
                (root / "failed").write_bytes((await session.submit_one(failing)).receipt())
                invented = session.sign([Operation.make("test.Note", b"never")], [SIGNER])
            thief = Ledger(fake.genesis)
            thief.submit([invented])
            forged = receipt.make([thief.inclusion(invented.id, 0)], [], thief.newest, [])
            (root / "forged").write_bytes(forged)

    asyncio.run(make())
    return root


def verify(*argv: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    code = run(["receipt", "verify", *argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_receipt_of_a_past_epoch_is_refused_where_a_newer_checkpoint_is_kept(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("old", "forged"):
        code, said = verify(str(home / name), "--home", str(home), capsys=capsys)
        assert (code, said["error"]["code"]) == (Exit.UNPROVEN, "receipt.older-epoch")
        trust = ("--genesis", str(home / "genesis.json"), "--trust", str(home / "trust.json"))
        assert verify(str(home / name), *trust, capsys=capsys)[0] == Exit.UNPROVEN


def test_receipt_of_a_past_epoch_is_accepted_on_request(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verify(str(home / "old"), "--home", str(home), "--older-epochs", capsys=capsys)
    assert (code, said["epoch"], said["kept_height"]) == (0, 1, 4)


def test_verification_from_genesis_alone_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = (str(home / "old"), "--genesis", str(home / "genesis.json"))
    code, said = verify(*argv, capsys=capsys)
    assert (code, said["kept_height"]) == (0, None)
    assert run(["receipt", "verify", *argv]) == 0
    assert "from genesis alone" in capsys.readouterr().out


def test_trust_file_that_is_named_and_absent_is_an_input_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = verify(str(home / "old"), "--home", str(home), "--trust", str(home / "none"), capsys=capsys)
    assert code == Exit.INPUT


def test_home_of_another_network_lends_no_checkpoint(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("genesis.json", "trust.json"):
        (tmp_path / name).write_bytes((home / name).read_bytes() + b"\n")
    argv = (str(home / "old"), "--genesis", str(home / "genesis.json"), "--home", str(tmp_path))
    code, said = verify(*argv, capsys=capsys)
    assert (code, said["kept_height"]) == (0, None)


def test_receipt_of_a_failure_does_not_read_as_success(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verify(str(home / "failed"), "--home", str(home), capsys=capsys)
    assert (code, said["verified"], said["failed"]) == (Exit.NOT_HELD, True, True)
    for name, first in (("en", "It is proven that this FAILED"), ("zh-CN", "已证明该操作失败")):
        argv = ["receipt", "verify", str(home / "failed"), "--home", str(home), "--lang", name]
        assert run(argv) == Exit.NOT_HELD
        assert capsys.readouterr().out.startswith(first)
