# SPDX-License-Identifier: Apache-2.0
"""The command's frame: languages, JSON, exit codes, receipts offline, own processes and ports."""

import ast
import asyncio
import dataclasses
import json
import os
import re
import signal
import socket
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_network import FakeNetwork

from chain import receipt_text
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidReceipt, LedgerError, Refused
from chain.transaction import Operation
from cli import failure, language, output, program, waiting
from cli import home as homes
from cli.app import NOUNS
from cli.devnet import ports, process
from cli.devnet.network import Devnet
from cli.errors import InputError, MissingError, StoppedError, WorldError
from cli.exits import Exit, table
from cli.home import Home, find_home, load_genesis
from cli.main import run
from cli.records import OPERATIONS, lines, operation_of, show_operation
from client.errors import TransportError
from client.pb import node_service_pb2 as pb
from client.session import Session
from node.exits import NodeExit
from node.testnet import create_testnet

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("chain", "membership", "identity", "client", "node", "cli")
SIGNER = Ed25519Signer(b"\x05" * 32)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    language.select("en")
    yield
    output.use_json(on=False)
    language.select("en")


def sources(*packages: str) -> Iterator[ast.Module]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "pb2" not in path.name:
                yield ast.parse(path.read_text("utf-8"))


# ---------------------------------------------------------------- words


def used_keys() -> set[str]:
    found = set()
    for tree in sources("cli"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in {"t", "say"} and isinstance(node.args[0].value, str):
                    found.add(node.args[0].value)
    return found


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_no_text_is_missing_or_unused_in_either_language() -> None:
    for name in language.LANGUAGES:
        assert set(language.catalogue(name).text) == used_keys()


def test_suggested_commands_are_spelt_as_this_one_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program.spelling(".venv/bin/zhixin") == ".venv/bin/zhixin"
    assert program.spelling("/x y/zhixin") == "'/x y/zhixin'"
    assert program.spelling("/somewhere/cli/__main__.py").endswith(" -m cli")
    (tmp_path / "zhixin").touch(mode=0o700)
    assert program.spelling(str(tmp_path / "zhixin")) == "zhixin"
    monkeypatch.setattr(program, "_called", [".venv/bin/zhixin"])
    for name in language.LANGUAGES:
        said = language.catalogue(name).say("proposal.next", id="x")
        assert ".venv/bin/zhixin proposal approve x" in said


def test_no_text_names_the_command_by_a_fixed_path() -> None:
    for name in language.LANGUAGES:
        for key, text in language.catalogue(name).text.items():
            assert not re.search(r"(?<!\{)zhixin (?!\(|--)[a-z]", text), key


def test_both_languages_fill_in_the_same_values_and_differ() -> None:
    english, chinese = (language.catalogue(name) for name in language.LANGUAGES)
    for key, text in english.text.items():
        assert fields(text) == fields(chinese.text[key]), key
        if re.search("[a-z]{4} [a-z]{4}", text):
            assert re.search("[\u4e00-\u9fff]", chinese.text[key]), key


def documented_codes() -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "codes.md").read_text("utf-8"), re.MULTILINE))


def test_every_code_has_plain_words_in_both_languages() -> None:
    codes = documented_codes()
    assert len(codes) > 80
    for name in language.LANGUAGES:
        known = language.catalogue(name).refusals
        assert codes <= known.keys()
        assert {code for code in known if "*" not in code} <= codes
        for words in known.values():
            assert all(len(part) > 3 for part in words)


def test_code_of_a_newer_network_falls_back_to_its_family() -> None:
    words = language.catalogue("en").refusal
    assert words("identity.invented") == words("identity.*")
    assert words("invented.altogether") == words("*")


@pytest.mark.parametrize(
    ("argument", "environment", "chosen"),
    [
        (None, {}, "en"),
        ("zh", {"LANG": "en_GB.UTF-8"}, "zh-CN"),
        (None, {"ZHIXIN_LANG": "zh", "LANG": "en_GB"}, "zh-CN"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh-CN"),
        (None, {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        (None, {"LANG": "fr_FR"}, "en"),
    ],
)
def test_language_is_the_option_then_the_variable_then_the_locale(
    argument: str | None, environment: dict[str, str], chosen: str
) -> None:
    assert language.choose(argument, environment) == chosen


@pytest.mark.parametrize("argv", [["--lang", "zh"], ["x", "--lang=zh"], ["a", "b", "--lang", "zh", "--json"]])
def test_language_option_is_found_wherever_it_stands(argv: list[str]) -> None:
    assert language.argument_in(argv) == "zh"
    assert language.argument_in(["--", *argv]) is None


# ---------------------------------------------------------------- help, JSON, exit codes


def zhixin(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "COLUMNS": "100", **environment}
    return subprocess.run(
        [sys.executable, "-m", "cli", *argv], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_names_every_noun_and_exit_code_and_imports_nothing_heavy() -> None:
    done = zhixin("--help")
    assert done.returncode == 0
    for noun in NOUNS:
        assert noun in done.stdout
    for code, _ in table():
        assert re.search(rf"\b{int(code)}\b", done.stdout)
    program = "import sys; from cli.main import run; run(['--help']); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "'grpc'" not in out
    assert "'cryptography'" not in out


def test_help_of_a_noun_is_chinese_when_asked() -> None:
    shown = zhixin("receipt", "--help", "--lang", "zh").stdout
    assert "回执" in shown
    assert "显示本帮助并退出" in shown
    assert "Show this message" not in shown
    assert "Show this message and exit." in zhixin("receipt", "--help").stdout
    assert "交易" in zhixin("tx", "show", "--help", LANG="zh_CN.UTF-8").stdout


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["nonsense"], Exit.USAGE),
        (["receipt", "verify"], Exit.USAGE),
        (["state", "get", "k", "--lang", "xx"], Exit.USAGE),
        (["devnet", "status", "--home", "/nonexistent/home"], Exit.MISSING),
        (["receipt", "verify", "/nonexistent", "--genesis", "/nonexistent"], Exit.INPUT),
        (["demo", "run", "nonsense"], Exit.USAGE),
        (["demo", "list"], Exit.DONE),
    ],
)
def test_exit_code_and_json_say_how_a_command_ended(
    argv: list[str], code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*argv, "--json"]) == code
    printed = json.loads(capsys.readouterr().out)
    assert ("error" in printed) == (code != Exit.DONE)
    if code != Exit.DONE:
        assert printed["error"]["exit_code"] == code
        assert printed["error"]["code"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("r", "identity.not-registrar"), Exit.REFUSED),
        (InvalidReceipt("r"), Exit.UNPROVEN),
        (LedgerError("r"), Exit.UNPROVEN),
        (TransportError("r"), Exit.WORLD),
        (OSError("disk"), Exit.WORLD),
        (MissingError("m", "m"), Exit.MISSING),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (ZeroDivisionError("d"), Exit.DEFECT),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: BaseException, code: Exit) -> None:
    assert failure.classify(error).exit_code == code


def test_refusal_is_shown_in_plain_words_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report(Refused("operation 0 failed", "identity.not-registrar")) == Exit.REFUSED
    shown = capsys.readouterr().err
    words = language.catalogue("en").refusal("identity.not-registrar")
    for part in (*words, "identity.not-registrar", "operation 0 failed"):
        assert part in shown.replace("\n", " ")


def test_interruption_is_said_in_words_and_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report(KeyboardInterrupt()) == Exit.INTERRUPTED
    assert "Interrupted" in capsys.readouterr().err
    assert failure.report(StoppedError("look there")) == Exit.INTERRUPTED
    assert "look there" in capsys.readouterr().err
    output.use_json(on=True)
    failure.report(StoppedError("look there"))
    assert json.loads(capsys.readouterr().out)["error"]["details"] == ["look there"]


def test_interrupted_command_ends_with_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> dict[str, object]:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.scenes.registry.scenes", interrupted)
    assert run(["demo", "list"]) == Exit.INTERRUPTED
    assert "Interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("noun", ["serve", "demo"])
def test_help_of_what_runs_services_imports_none_of_them(noun: str) -> None:
    told = f"""
import sys
from cli.main import run
assert run([{noun!r}, "--help"]) == 0
sys.exit(" ".join(sorted({{"fastapi", "sqlalchemy", "grpc"}} & sys.modules.keys())) or 0)
"""
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert noun in done.stdout


async def test_write_that_waits_says_how_many_answer_and_leaves_a_trace_when_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "SILENCE_S", 0.2)
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        for index in (2, 3):
            await fake.kill(index)
        for node in fake.nodes:
            node.refuse = lambda t: pb.Admission(transaction_id=t.id, code="transaction.pending", reason="waits")
        sent = session.sign([Operation.make("test.Note", b"x")], [SIGNER])

        async def submit() -> None:
            async with waiting.of_one(Home(tmp_path), session, sent):
                await session.submit_one(sent)

        task = asyncio.create_task(submit())
        shown = ""
        while "2 of 4 nodes answer" not in shown:
            await asyncio.sleep(0.05)
            shown += capsys.readouterr().err
        assert "3 of 4 validators" in shown
        task.cancel()
        with pytest.raises(StoppedError) as caught:
            await task
        assert sent.id.hex() in caught.value.details[0]
        with pytest.raises(TransportError) as late:
            async with waiting.of_one(Home(tmp_path), session, sent):
                await session.submit_one(sent, timeout_s=0.3)
        assert sent.id.hex() in failure.classify(late.value).details[0]


def test_exit_codes_shared_with_the_node_are_the_same_numbers() -> None:
    pairs = {
        NodeExit.STOPPED: Exit.DONE,
        NodeExit.DEFECT: Exit.DEFECT,
        NodeExit.REFUSED: Exit.INPUT,
        NodeExit.WORLD: Exit.WORLD,
        NodeExit.HALTED: Exit.HALTED,
    }
    assert pairs.keys() == set(NodeExit)
    assert all(int(ours) == int(theirs) for theirs, ours in pairs.items())


# ---------------------------------------------------------------- receipts offline


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with genesis.json and a receipt."""

    async def make() -> None:
        async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
            proven = await session.submit_one(session.sign([Operation.make("test.Note", b"x")], [SIGNER]))
            (tmp_path / "genesis.json").write_bytes(fake.genesis_raw)
            (tmp_path / "a.receipt").write_bytes(proven.receipt())

    asyncio.run(make())
    return tmp_path


def offline(kept: Path, name: str) -> subprocess.CompletedProcess[str]:
    genesis = str(kept / "genesis.json")
    argv = ["-m", "cli.offline", "receipt", "verify", str(kept / name), "--genesis", genesis, "--json"]
    return subprocess.run([sys.executable, *argv], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_receipt_verifies_without_any_network_and_an_altered_one_does_not(kept: Path) -> None:
    done = offline(kept, "a.receipt")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["operations"][0]["succeeded"] is True
    raw = bytearray((kept / "a.receipt").read_bytes())
    raw[40] ^= 1
    (kept / "b.receipt").write_bytes(raw)
    done = offline(kept, "b.receipt")
    assert done.returncode == Exit.UNPROVEN
    assert "error" in json.loads(done.stdout)


def test_offline_runner_refuses_the_network() -> None:
    program = "import sys; sys.argv = ['x', '--version']; import cli.offline; cli.offline.main()"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False).returncode == 0
    program = (
        "import sys, socket; sys.argv = ['x', '--version']\n"
        "import cli.offline\n"
        "try:\n    cli.offline.main()\nexcept SystemExit:\n    pass\n"
        "socket.create_connection(('127.0.0.1', 9))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr


@pytest.mark.parametrize("encode", [receipt_text.to_json, receipt_text.to_compact])
def test_receipt_in_each_encoding_verifies(kept: Path, encode, capsys: pytest.CaptureFixture[str]) -> None:
    (kept / "c").write_text(encode((kept / "a.receipt").read_bytes()), encoding="utf-8")
    assert run(["receipt", "verify", str(kept / "c"), "--genesis", str(kept / "genesis.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True


def test_receipt_show_says_that_nothing_is_verified(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["receipt", "show", str(kept / "a.receipt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is False
    (kept / "junk").write_bytes(b"\xff" * 50)
    assert run(["receipt", "show", str(kept / "junk"), "--json"]) == Exit.UNPROVEN


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_file_that_is_no_whole_receipt_is_called_that(kept: Path, cut: int, capsys: pytest.CaptureFixture[str]) -> None:
    (kept / "cut").write_bytes((kept / "a.receipt").read_bytes()[:cut])
    for verb in (["verify", str(kept / "cut"), "--genesis", str(kept / "genesis.json")], ["show", str(kept / "cut")]):
        assert run(["receipt", *verb, "--json"]) == Exit.UNPROVEN
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["code"] == "receipt.unreadable"
        assert "not a whole receipt" in error["reason"]


def test_receipt_of_another_network_is_no_lie_but_a_mix_up(
    kept: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    other = create_testnet(tmp_path_factory.mktemp("n"), 1, 20000).genesis
    assert run(["receipt", "verify", str(kept / "a.receipt"), "--genesis", str(other), "--json"]) == Exit.UNPROVEN
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "receipt.other-network"
    assert load_genesis(kept / "genesis.json").network.hex() in error["reason"]
    assert load_genesis(other).network.hex() in error["reason"]
    assert str(other) in error["reason"]


def test_network_that_runs_goes_before_one_that_is_stopped_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, port in ((".devnet", 20000), (".demo", 21000)):
        Devnet.create(Path(name), validators=1, base_port=port)
    assert find_home(None).root == Path(".devnet"), "neither runs"
    assert run(["devnet", "status"]) == Exit.NOT_HELD
    assert "The network in .devnet:" in capsys.readouterr().err
    own = process.identify(os.getpid())
    assert own is not None
    (tmp_path / ".demo" / "run").mkdir()
    (tmp_path / ".demo" / "run" / "node0.pid").write_text(json.dumps(dataclasses.asdict(own)), encoding="utf-8")
    assert find_home(None).root == Path(".demo")
    assert find_home(None, running_first=False).root == Path(".devnet"), "no node of another home is ever ended"
    assert find_home(Path(".devnet")).root == Path(".devnet")
    assert run(["devnet", "status"]) == Exit.NOT_HELD
    assert "The network in .demo:" in capsys.readouterr().err


def test_second_demonstration_is_found_and_of_several_homes_it_is_said_which_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(homes, "USER_HOME", tmp_path / "nobody")
    Devnet.create(Path(".demo-2"), validators=1, base_port=20000)
    assert find_home(None).root == Path(".demo-2")
    assert not capsys.readouterr().err, "no other can be meant"
    Devnet.create(Path(".demo"), validators=1, base_port=21000)
    own = process.identify(os.getpid())
    assert own is not None
    for name in (".demo-2", ".demo"):
        (tmp_path / name / "run").mkdir()
        (tmp_path / name / "run" / "node0.pid").write_text(json.dumps(dataclasses.asdict(own)), encoding="utf-8")
        if name == ".demo-2":
            assert find_home(None).root == Path(".demo-2"), "it alone runs"
            assert not capsys.readouterr().err
            assert find_home(None, running_first=False).root == Path(".demo")
            assert ".demo (stopped), .demo-2 (runs). Taking .demo;" in capsys.readouterr().err
    assert find_home(None).root == Path(".demo")
    assert ".demo (runs), .demo-2 (runs). Taking .demo;" in capsys.readouterr().err
    assert find_home(Path(".demo-2")).root == Path(".demo-2")
    assert not capsys.readouterr().err, "it was named"


def test_people_read_dates_and_programs_milliseconds(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["receipt", "verify", str(kept / "a.receipt"), "--genesis", str(kept / "genesis.json")]
    assert run(argv) == 0
    shown = capsys.readouterr().out
    assert re.search(r"time_ms: 20\d\d-\d\d-\d\d ", shown)
    assert run([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["time_ms"] > 10**12
    fields = {"valid_to_ms": 0, "operation": {"valid_to_ms": 4_102_444_800_000}, "ends_ms": [1 << 63], "flag_ms": True}
    first, second, third, fourth = lines(fields)
    assert (first, third, fourth) == ("valid_to_ms: 0", f"ends_ms: [{1 << 63}]", "flag_ms: true")
    assert re.search("2100-01-01|2099-12-31", second)


# ---------------------------------------------------------------- homes, keys, records


def test_init_keeps_genesis_and_refuses_another_network(
    kept: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path_factory.mktemp("h") / "home"
    genesis = str(kept / "genesis.json")
    assert run(["init", "--genesis", genesis, "--home", str(home), "--node", "127.0.0.1:5=org-2", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert Home(home).genesis().network.hex() == made["network"]
    (endpoint,) = Home(home).endpoints(Home(home).genesis()) or []
    assert (endpoint.address, endpoint.certificate.decode()) == (
        "127.0.0.1:5",
        Home(home).genesis().founders[2].tls_certificate,
    )
    assert run(["init", "--genesis", genesis, "--home", str(home), "--expect", "00" * 32, "--json"]) == Exit.INPUT
    other = create_testnet(tmp_path_factory.mktemp("n"), 1, 20000).genesis
    assert run(["init", "--genesis", str(other), "--home", str(home), "--json"]) == Exit.INPUT


def test_keys_are_made_encrypted_listed_and_never_overwritten(
    kept: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ["--home", str(kept), "--json"]
    monkeypatch.delenv("ZHIXIN_PASSPHRASE", raising=False)
    assert run(["keys", "new", "a", *home]) == Exit.USAGE
    monkeypatch.setenv("ZHIXIN_PASSPHRASE", "correct horse")
    capsys.readouterr()
    assert run(["keys", "new", "a", *home]) == 0
    made = json.loads(capsys.readouterr().out)
    assert run(["keys", "new", "a", *home]) == Exit.INPUT
    capsys.readouterr()
    assert run(["keys", "list", *home]) == 0
    assert json.loads(capsys.readouterr().out)["keys"][0]["public_key"] == made["public_key"]
    assert Home(kept).signer("a").signer.public_key.hex() == made["public_key"]
    assert run(["keys", "new", "../a", *home]) == Exit.USAGE
    monkeypatch.setenv("ZHIXIN_PASSPHRASE", "wrong")
    with pytest.raises(InputError):
        Home(kept).signer("a")


def test_operation_from_json_shows_back_as_the_same_fields() -> None:
    body = {"id": "ab" * 16, "status": "STATUS_REVOKED", "reason": "REASON_SUPERSEDED"}
    assert show_operation(operation_of("identity.SetStatus", body)) == {"type": "identity.SetStatus", **body}
    acts = {"epoch": 1, "expires_at_ms": 5, "acts": [{"grant_role": {"organisation": "a", "role": "b"}}]}
    assert show_operation(operation_of("membership.Propose", acts)) == {"type": "membership.Propose", **acts}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("no.Such", {}),
        ("identity.SetStatus", {"nonsense": 1}),
        ("identity.SetStatus", {"id": "zz"}),
        ("identity.SetStatus", {"id": 5}),
        ("identity.SetStatus", {"status": "STATUS_INVENTED"}),
        ("identity.Attest", {"valid_from_ms": -1}),
        ("identity.Attest", {"valid_from_ms": 1 << 70}),
        ("membership.Propose", {"acts": {}}),
        ("membership.Propose", {"acts": [5]}),
    ],
)
def test_operation_from_json_that_does_not_fit_is_refused(kind: str, body: dict[str, object]) -> None:
    with pytest.raises(InputError):
        operation_of(kind, body)


def test_every_operation_type_is_known_to_the_command() -> None:
    assert {"identity.Attest", "identity.SetStatus", "membership.Propose", "membership.Approve"} <= OPERATIONS.keys()


# ---------------------------------------------------------------- processes and ports


def test_process_is_found_by_its_pid_file_signalled_and_reaped(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"]
    pid_file, log = tmp_path / "p.pid", tmp_path / "log"
    identity = process.spawn(argv, log=log, pid_file=pid_file)
    try:
        assert process.find(pid_file) == identity
        assert (process.cpu_seconds(identity) or 0.0) >= 0.0
        while log.read_text() != "up\n":
            time.sleep(0.01)
    finally:
        assert process.send(identity, signal.SIGKILL)
    assert process.wait_gone(identity, 30)
    assert process.find(pid_file) is None
    assert not process.send(identity, signal.SIGTERM)


def test_process_of_the_same_number_but_another_start_is_never_signalled(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    pid_file = tmp_path / "p.pid"
    identity = process.spawn(argv, log=tmp_path / "log", pid_file=pid_file)
    stranger = process.Identity(identity.pid, identity.started_ticks - 1, identity.boot)
    pid_file.write_text(
        json.dumps({"pid": stranger.pid, "started_ticks": stranger.started_ticks, "boot": stranger.boot})
    )
    assert process.find(pid_file) is None
    assert not process.send(stranger, signal.SIGKILL)
    assert process.identify(identity.pid) == identity
    process.end(identity, grace_s=5)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started_ticks": 0, "boot": ""}'])
def test_damaged_pid_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.pid").write_text(content)
    assert process.find(tmp_path / "p.pid") is None


def test_taken_port_is_seen_and_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        with pytest.raises(WorldError):
            ports.choose_base(1, port)
    with ports.reservation():  # nor does another network start between the choice and the look
        base = ports.choose_base(40, None)
        assert all(ports.is_free(port) for port in range(base, base + 40))
