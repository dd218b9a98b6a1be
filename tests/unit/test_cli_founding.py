# SPDX-License-Identifier: Apache-2.0
"""Founding a network by files handed from member to member: no secret leaves its home, no proof fits another draft."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chain import genesis
from chain.ledger import Ledger
from chain.memory import MemoryDatabase
from cli.exits import Exit
from cli.main import run
from node.modules import ledger_modules
from node.store import LedgerStore

MEMBERS = ("public-security", "civil-affairs")


@dataclass
class Founders:
    """Each member's folder, as its own machine; files go from one to another by hand."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    def zhixin(self, *argv: str, code: int = 0) -> dict:
        self.capsys.readouterr()
        ended = run([*argv, "--json"])
        printed = self.capsys.readouterr()
        assert ended == code, (argv, printed.out, printed.err)
        return json.loads(printed.out)

    def refused(self, *argv: str) -> dict:
        return self.zhixin(*argv, code=Exit.INPUT)["error"]

    def path(self, name: str) -> str:
        return str(self.root / name)

    def node(self, member: str) -> str:
        return self.path(f"{member}/node")

    def offer(self, member: str, *, port: int | None) -> str:
        desk, out = ("--home", self.path(member)), self.path(f"{member}.offer.json")
        self.zhixin("keys", "new", "desk", *desk, "--plain")
        argv = ["genesis", "offer", member, "--key", "desk", *desk, "--name-en", member.title(), "--out", out]
        if port is None:
            argv += ["--role", "registrar"]
        else:
            peer, client = f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"
            self.zhixin("node", "init", "--home", self.node(member), "--peer", peer, "--client", client, "--plain")
            argv += ["--node-home", self.node(member)]
        self.zhixin(*argv)
        return out

    def draft(self, *offers: str, name: str = "draft.json") -> str:
        self.zhixin("genesis", "draft", *offers, "--name", "a-city", "--out", self.path(name))
        return self.path(name)

    def prove(self, member: str, draft: str) -> str:
        out = self.path(f"{member}.proof.json")
        self.zhixin("genesis", "prove", draft, "--node-home", self.node(member), "--out", out)
        return out


@pytest.fixture
def founders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Founders:
    return Founders(tmp_path, capsys)


@pytest.fixture
def offers(founders: Founders) -> list[str]:
    made = [founders.offer(member, port=29000 + 10 * index) for index, member in enumerate(MEMBERS)]
    return [*made, founders.offer("registry", port=None)]


def test_members_found_a_network_and_no_secret_leaves_its_home(founders: Founders, offers: list[str]) -> None:
    draft = founders.draft(*offers)
    proofs = [founders.prove(member, draft) for member in MEMBERS]
    made = [founders.path("genesis.json"), founders.path("again.json")]
    shown = founders.zhixin("genesis", "assemble", draft, *proofs, "--out", made[0])
    founders.zhixin("genesis", "assemble", draft, *reversed(proofs), "--out", made[1])
    raws = [Path(path).read_bytes() for path in made]
    assert raws[0] == raws[1], "the same file whoever assembles it"
    loaded = genesis.load(raws[0])
    assert loaded.network.hex() == shown["network"]
    assert [(founder.organisation, founder.address) for founder in loaded.founders] == [
        ("public-security", "127.0.0.1:29000"),
        ("civil-affairs", "127.0.0.1:29010"),
    ]
    registry, authority = ledger_modules()
    assert Ledger(LedgerStore(MemoryDatabase()), loaded, registry, authority).validators == loaded.validators
    secrets = [json.loads(path.read_text())["secret"] for path in founders.root.rglob("keys/*.json")]
    assert len(secrets) == 5
    handed = b"".join(Path(path).read_bytes() for path in [*offers, draft, *proofs, *made]).decode()
    assert not [secret for secret in secrets if secret in handed]


def test_genesis_is_not_made_while_a_proof_is_missing(founders: Founders, offers: list[str]) -> None:
    draft = founders.draft(*offers)
    proof = founders.prove(MEMBERS[0], draft)
    error = founders.refused("genesis", "assemble", draft, proof, "--out", founders.path("genesis.json"))
    assert error["code"] == "genesis.invalid"
    assert "civil-affairs" in error["reason"]
    assert not Path(founders.path("genesis.json")).exists()


def test_proof_of_one_draft_is_worth_nothing_for_another(founders: Founders, offers: list[str]) -> None:
    first = founders.draft(*offers)
    proofs = [founders.prove(member, first) for member in MEMBERS]
    document = json.loads(Path(first).read_text())
    document["name"] = "another-city"
    other = founders.path("other.json")
    Path(other).write_text(json.dumps(document))
    out = founders.path("genesis.json")
    assert founders.refused("genesis", "assemble", other, *proofs, "--out", out)["code"] == "founding.other-draft"
    digest = genesis.founding_digest(Path(other).read_bytes()).hex()
    for path in proofs:  # even if it claims to be of that one
        proof = json.loads(Path(path).read_text())
        Path(path).write_text(json.dumps({**proof, "founding_digest": digest}))
    assert founders.refused("genesis", "assemble", other, *proofs, "--out", out)["code"] == "genesis.invalid"


def test_founder_does_not_prove_a_draft_with_another_key_or_certificate(founders: Founders, offers: list[str]) -> None:
    draft = founders.draft(*offers[1:])
    argv = ("genesis", "prove", draft, "--node-home", founders.node(MEMBERS[0]), "--out", founders.path("p"))
    assert founders.refused(*argv)["code"] == "founding.not-ours"
    offer = json.loads(Path(offers[0]).read_text())
    offer["validator"]["tls_certificate"] = Path(f"{founders.node(MEMBERS[1])}/tls/certificate.pem").read_text()
    Path(offers[0]).write_text(json.dumps(offer))
    founders.draft(offers[0], offers[2])
    assert founders.refused(*argv)["code"] == "founding.not-ours"
    assert not Path(founders.path("p")).exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda offer: offer["organisation"].update(id="public-security"),
        lambda offer: offer["organisation"].update(keys=[]),
        lambda offer: offer["organisation"].update(id="Not Kebab"),
        lambda offer: offer["validator"].update(bls_key="00" * 48),
        lambda offer: offer["validator"].update(address="nowhere"),
        lambda offer: offer["validator"].update(bls_key="zz"),
        lambda offer: offer.update(format="zhixin-founder/2"),
        lambda offer: offer.update(organisation=[]),
        lambda offer: offer.update(validator=[]),
    ],
)
def test_no_draft_is_made_from_which_no_network_could_start(
    founders: Founders, offers: list[str], change: Callable[[dict], None]
) -> None:
    offer = json.loads(Path(offers[1]).read_text())
    change(offer)
    Path(offers[1]).write_text(json.dumps(offer))
    argv = ("genesis", "draft", *offers, "--name", "a-city", "--out", founders.path("draft.json"))
    assert founders.refused(*argv)["code"].split(".")[0] in {"genesis", "membership", "founding"}
    assert not Path(founders.path("draft.json")).exists()
