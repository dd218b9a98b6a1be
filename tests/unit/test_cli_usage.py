# SPDX-License-Identifier: Apache-2.0
"""What a command says to a wrong command line, and what it refuses to do to a network that is not meant."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import language, output, program
from cli.acts import load_acts
from cli.devnet import network, ports
from cli.devnet.network import Devnet
from cli.errors import InputError, UsageError
from cli.exits import Exit
from cli.home import Home
from cli.main import run
from cli.scenes import ledger
from cli.scenes.stage import Stage
from client.answers import SelfReport
from client.pb import node_service_pb2

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(program, "_called", ["zhixin"])
    language.select("en")
    yield
    output.use_json(on=False)
    language.select("en")


def mark(root: Path, validators: int = 4, base_port: int = 26600) -> Devnet:
    root.mkdir(parents=True, exist_ok=True)
    document = {"format": "zhixin-devnet/1", "validators": validators, "base_port": base_port}
    (root / "devnet.json").write_text(json.dumps(document), encoding="utf-8")
    (root / "genesis.json").write_text("{}", encoding="utf-8")
    return Devnet(root)


@pytest.mark.parametrize(
    ("argv", "english", "chinese"),
    [
        (["receipt", "get", "00"], "Missing option --out.", "缺少选项 --out。"),
        (["devnet", "kill"], "Missing argument NODE.", "缺少参数 NODE。"),
        (["init"], "Missing option --genesis.", "缺少选项 --genesis。"),
        (["devnet", "up", "--validators", "0"], "--validators: must be at least 1", "--validators：不得小于 1"),
        (["devnet", "up", "--validators", "x"], "--validators: must be a number", "--validators：必须是数字"),
        (["receipt", "get", "0", "--out", "o", "--encoding", "x"], "--encoding: must be one of", "--encoding：必须是"),
        (["devnet", "up", "--hom"], "There is no option --hom; near it: --home.", "没有选项 --hom；相近的有：--home。"),
        (["nonsense"], "There is no command nonsense.", "没有命令 nonsense。"),
        (["tx", "show", "a", "b"], "Too many arguments: b", "多余的参数：b"),
    ],
)
def test_wrong_command_line_is_explained_in_both_languages(
    argv: list[str], english: str, chinese: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, words in (("en", english), ("zh", chinese)):
        assert run([*argv, "--lang", name]) == Exit.USAGE
        shown = capsys.readouterr().err
        assert words in shown
        assert f"zhixin {argv[0] if argv != ['nonsense'] else ''}".rstrip() in shown
        assert "--help" in shown
    assert run([*argv, "--json"]) == Exit.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["reason"].startswith(english)


def test_command_that_lacks_everything_has_a_reason_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["receipt", "--json"]) == Exit.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["reason"] == "Missing command."


def test_example_of_acts_in_help_and_guide_can_be_proposed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in language.LANGUAGES:
        example = language.catalogue(name).say("proposal.create.help")
        (tmp_path / "acts.json").write_text(example[example.index("[{") : example.rindex("}]") + 2], encoding="utf-8")
        assert [act.WhichOneof("act") for act in load_acts([tmp_path / "acts.json"])] == ["grant_role"]
    (found,) = re.findall(
        r"^```json\n(.*?)^```", (ROOT / "docs/membership.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "acts.json").write_text(found, encoding="utf-8")
    assert len(load_acts([tmp_path / "acts.json"])) == 3
    assert run(["proposal", "create", "--help"]) == 0
    assert '"grant_role"' in capsys.readouterr().out


def test_each_thing_has_one_chinese_name() -> None:
    chinese = language.catalogue("zh-CN")
    words = [*chinese.text.values(), *(part for refusal in chinese.refusals.values() for part in refusal)]
    words += [part for finding in chinese.findings.values() for part in finding]
    words.append((ROOT / "README.zh-CN.md").read_text("utf-8"))
    for other in ("验证者", "撤销"):
        assert not [text for text in words if other in text], other


def test_key_that_does_not_exist_is_explained_by_those_that_do(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "clinic.json").touch()
    with pytest.raises(InputError) as caught:
        Home(tmp_path).signer("registrar")
    assert caught.value.code == "key.missing"
    assert "clinic" in caught.value.reason


@pytest.mark.parametrize("columns", ["80", "200"])
async def test_node_that_is_down_is_said_to_be_down_at_any_width(
    columns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "PIPE_COLUMNS", int(columns))
    up = node_service_pb2.StatusResponse(
        epoch=3, executed_height=123456, certified_height=123456, organisation="x" * 20
    )
    reports = [
        SelfReport("127.0.0.1:26601", up, "", ""),
        SelfReport("127.0.0.1:26611", None, "127.0.0.1:26611: unavailable: no", ""),
    ]
    (tmp_path / "genesis.json").touch()
    monkeypatch.setattr("cli.commands.node.run_async", lambda coroutine: (coroutine.close(), reports)[1])
    assert await asyncio.to_thread(run, ["node", "status", "--home", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert len(lines) == 3
    assert all(len(line) <= int(columns) for line in lines)
    assert "123456" in lines[1]
    assert lines[2].split() == ["127.0.0.1:26611", "down"]
    assert "127.0.0.1:26611 is down: unavailable: no" in shown.err


# ---------------------------------------------------------------- development networks


def test_delete_without_a_home_touches_nothing_but_the_default_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mark(tmp_path / ".demo")
    assert run(["devnet", "down", "--delete"]) == Exit.MISSING
    assert (tmp_path / ".demo" / "genesis.json").exists()
    mark(tmp_path / ".devnet")
    capsys.readouterr()
    assert run(["devnet", "down", "--delete"]) == Exit.DONE
    assert "Deleted: .devnet" in capsys.readouterr().out
    assert not (tmp_path / ".devnet" / "genesis.json").exists()
    assert (tmp_path / ".demo" / "genesis.json").exists()


@pytest.mark.parametrize(("validators", "base_port"), [(7, None), (None, 30000)])
async def test_another_network_than_the_one_that_is_there_is_refused(
    tmp_path: Path, validators: int | None, base_port: int | None
) -> None:
    mark(tmp_path)
    with pytest.raises(UsageError) as caught:
        await network.bring_up(tmp_path, validators=validators, base_port=base_port)
    assert caught.value.code == "devnet.differs"


@pytest.mark.parametrize("validators", [0, 32, 1000])
async def test_too_many_validators_are_refused_before_any_port_is_looked_for(tmp_path: Path, validators: int) -> None:
    with pytest.raises(UsageError) as caught:
        await network.bring_up(tmp_path, validators=validators, base_port=None)
    assert caught.value.code == "devnet.count"


@pytest.mark.parametrize("base", [-1, 80, 65500, 99999])
def test_ports_that_do_not_exist_are_not_said_to_be_in_use(base: int) -> None:
    with pytest.raises(UsageError) as caught:
        ports.choose_base(40, base)
    assert caught.value.code == "ports.range"
    assert "65496" in caught.value.reason


def test_up_on_a_network_that_runs_says_so_and_leaves_it_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = mark(tmp_path)

    async def bring_up(_root: Path, **_: object) -> Devnet:
        return running

    stopped: list[object] = []
    state = [network.NodeState("node0", 1, "127.0.0.1:1")]
    monkeypatch.setattr(Devnet, "state", lambda _self: state)
    monkeypatch.setattr(Devnet, "stop", lambda _self, names: stopped.append(names))
    monkeypatch.setattr("cli.commands.devnet.bring_up", bring_up)
    monkeypatch.setattr("cli.commands.devnet._show", lambda _network: True)
    assert run(["devnet", "up", "--home", str(tmp_path)]) == Exit.DONE
    assert "It runs already" in capsys.readouterr().err
    assert not stopped


def test_scene_suggests_nothing_in_a_folder_that_is_removed(tmp_path: Path) -> None:
    facts = {"attested": 1, "height": 2, "sample": f"{tmp_path}/a.receipt", "seconds_with_three": 1}
    kept = ledger.summary(Stage(mark(tmp_path), tmp_path, facts=dict(facts)))
    gone = ledger.summary(Stage(mark(tmp_path), tmp_path, is_kept=False, facts=dict(facts)))
    assert any("receipt verify" in line for line in kept)
    assert not any("receipt verify" in line for line in gone)
    assert sum("make demo" in line for line in gone) == len(language.LANGUAGES)


@pytest.mark.parametrize(("language", "words"), [("en", "There is no receipt file"), ("zh-CN", "没有回执文件")])
@pytest.mark.parametrize("command", ["status", "revoke"])
def test_what_is_neither_receipt_nor_id_is_said_to_be_neither(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, language: str, words: str
) -> None:
    (tmp_path / "genesis.json").write_text("{}")
    argv = ["attest", command, "nothere", "--home", str(tmp_path), "--lang", language]
    assert run(argv) == Exit.USAGE
    said = capsys.readouterr().err
    assert words in said
    assert "'nothere'" in said
    assert run([*argv, "--json"]) == Exit.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "attest.neither"
