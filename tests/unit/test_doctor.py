# SPDX-License-Identifier: Apache-2.0
"""An examination of a node: each fault has its finding, what can't be seen is unknown, and each finding has words."""

import ast
import datetime as dt
import json
import re
import resource
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from chain import genesis
from cli import language, output
from cli.exits import Exit
from cli.main import run
from node import doctor_home, doctor_machine, doctor_network
from node.certificates import make_certificate, to_pem
from node.config import PORTS_PER_NODE, Config, Home, KeysConfig, load_config, render_config, split_address
from node.disk import lock_home, open_disk
from node.doctor import Finding, Level, examine
from node.doctor_findings import ok
from node.doctor_home import certificate_validity
from node.keys import Algorithm, Purpose, generate_key, private_key_pem
from node.leveldb import LevelDatabase
from node.store_keys import FORMAT_KEY
from node.testnet import create_testnet
from tests.certified_ledger import CertifiedLedger
from tests.ports import free_base_port

ROOT = Path(__file__).resolve().parents[2]
NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody answers on these ports; do not wait for it."""
    monkeypatch.setattr(doctor_network, "SECONDS_MAX", 0.3)
    monkeypatch.setattr(doctor_machine, "SYNCS", 2)
    language.select("en")
    yield
    output.use_json(on=False)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A validator's of a network that never ran; its ledger holds the first state."""
    return create_testnet(tmp_path / "net", 4, free_base_port(4 * PORTS_PER_NODE)).homes[0]


def found(home: Home, environment: Mapping[str, str] | None = None, now_ms: int = 0) -> dict[str, Finding]:
    """What an examination finds, by code."""
    findings = list(examine(home, environment or {}, now_ms or int(dt.datetime.now(dt.UTC).timestamp() * 1000)))
    return {finding.code: finding for finding in findings}


def test_new_home_has_no_error_and_what_can_not_be_seen_is_unknown(home: Home) -> None:
    findings = found(home)
    assert {"process.stopped", "settings.ok", "genesis.ok", "keys.ok", "certificate.ok", "dumps.none"} <= set(findings)
    unseen = {code for code, finding in findings.items() if finding.level is Level.UNKNOWN}
    assert {"ledger.not-read", "status.stopped", "peers.unknown"} <= unseen
    assert all("ok" not in code for code in unseen)


def test_folder_without_a_node_is_refused_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--home", str(tmp_path), "--json"]) == Exit.INPUT
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "home.none"


# ---------------------------------------------------------------- the home


def test_keys_that_others_can_read_are_an_error(home: Home) -> None:
    home.validator_key.chmod(0o640)
    assert found(home)["keys.file-open"].level is Level.ERROR
    home.keys.chmod(0o750)
    assert found(home)["keys.folder-open"].level is Level.ERROR


def test_certificate_of_another_key_is_an_error(home: Home) -> None:
    other = generate_key(Purpose.TLS, Algorithm.P256)
    home.tls_certificate.write_bytes(to_pem(make_certificate(other, ("127.0.0.1",), NOW)))
    assert found(home)["certificate.other-key"].level is Level.ERROR


def test_missing_certificate_is_an_error(home: Home) -> None:
    home.tls_certificate.unlink()
    assert found(home)["keys.wrong"].level is Level.ERROR


@pytest.mark.parametrize(
    ("day", "code", "level"),
    [
        (0, "certificate.ok", Level.OK),
        (3_640, "certificate.expires", Level.WARNING),
        (3_660, "certificate.expired", Level.ERROR),
        (-3, "certificate.not-yet", Level.ERROR),
    ],
)
def test_certificate_is_judged_by_the_day(day: int, code: str, level: Level) -> None:
    der = ssl.PEM_cert_to_DER_cert(
        to_pem(make_certificate(generate_key(Purpose.TLS, Algorithm.P256), ("127.0.0.1",), NOW)).decode()
    )
    finding = certificate_validity(der, NOW_MS + day * 86_400_000, "certificate")
    assert (finding.code, finding.level) == (code, level)


def test_wrong_settings_are_an_error_and_the_rest_is_looked_at(home: Home) -> None:
    home.config.write_text("[peer]\nlissen = 1\n")
    findings = found(home)
    assert "did you mean" in str(findings["settings.wrong"].values["reason"]) or "lissen" in str(
        findings["settings.wrong"]
    )
    assert findings["ports.unknown"].level is Level.UNKNOWN
    assert "genesis.ok" in findings


def test_wrong_genesis_is_an_error(home: Home) -> None:
    home.genesis.write_text("{}")
    assert found(home)["genesis.wrong"].level is Level.ERROR


def test_overrides_of_the_environment_are_counted(home: Home) -> None:
    environment = {"ZHIXIN_PEER_LISTEN": "127.0.0.1:1", "ZHIXIN_HOME": "/x", "ZHIXIN_PASSPHRASE": "x"}
    assert found(home, environment)["settings.ok"].values["overrides"] == 1


def test_halt_is_shown(home: Home) -> None:
    home.dumps.mkdir(parents=True)
    (home.dumps / "halt-17.json").write_text("{}")
    finding = found(home)["dumps.found"]
    assert (finding.level, finding.values["names"]) == (Level.WARNING, "halt-17.json")


# ---------------------------------------------------------------- the ledger


@pytest.fixture
def ledger(home: Home) -> CertifiedLedger:
    """Some blocks of another network's ledger, whose genesis the home gets too."""
    with LevelDatabase(home.ledger) as database:
        made = CertifiedLedger(database)
        made.grow(5)
        home.genesis.write_bytes(made.genesis_bytes)
        return made


def test_ledger_of_a_stopped_node_is_looked_at(home: Home, ledger: CertifiedLedger) -> None:
    tip_ms = ledger.checkpoint.time_ms
    findings = found(home, now_ms=tip_ms + 1_000)
    assert findings["format.ok"].level is Level.OK
    assert findings["tip.ok"].values["height"] == 5
    assert findings["seat.none"].level is Level.WARNING
    assert findings["growth.short"].level is Level.UNKNOWN
    assert findings["peers.few"].level is Level.ERROR
    assert findings["peer.unreachable"].level is Level.WARNING
    assert findings["answers.none"].level is Level.UNKNOWN


def test_clock_behind_the_newest_block_is_an_error(home: Home, ledger: CertifiedLedger) -> None:
    tip_ms = ledger.checkpoint.time_ms
    assert found(home, now_ms=tip_ms - 70_000)["tip.ahead"].level is Level.ERROR
    assert found(home, now_ms=tip_ms + 70_000)["tip.old"].level is Level.WARNING


def test_ledger_of_another_network_is_an_error(home: Home) -> None:
    raw = home.genesis.read_bytes()
    with LevelDatabase(home.ledger) as database:
        CertifiedLedger(database)
    assert home.genesis.read_bytes() == raw
    assert found(home)["ledger.other-network"].level is Level.ERROR


def test_newer_format_is_an_error(home: Home, ledger: CertifiedLedger) -> None:
    with LevelDatabase(home.ledger) as database:
        database.write({FORMAT_KEY: (9).to_bytes(4)})
    assert found(home)["format.unknown"].values["format"] == 9


def test_growth_is_told_by_the_last_day(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with LevelDatabase(home.ledger) as database:
        made = CertifiedLedger(database, block_ms=1_800_000)
        made.grow(8)
        home.genesis.write_bytes(made.genesis_bytes)
    (home.ledger / "extra").write_bytes(bytes(9 << 20))
    finding = found(home)["growth.ok"]
    assert finding.values["size_mib"] == 9
    assert 50 <= int(finding.values["mib_day"]) <= 60  # 8 blocks in 3.5 hours
    monkeypatch.setattr(doctor_home, "DAYS_LEFT_WARNING", 1 << 40)
    assert found(home)["growth.fast"].level is Level.WARNING
    config = Config(keys=KeysConfig(allow_plain=True))
    home.config.write_text(render_config(config) + "\n[storage]\nblocks_kept = 100000\n")
    assert found(home)["growth.pruned"].level is Level.OK


# ---------------------------------------------------------------- the machine


def test_little_room_is_found(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "SPACE_ERROR_BYTES", 1 << 60)
    monkeypatch.setattr(doctor_machine, "INODES_WARNING", 1 << 60)
    findings = found(home)
    assert findings["disk-space.full"].level is Level.ERROR
    assert {"disk-inodes.few", "disk-inodes.unlimited"} & set(findings)


def test_slow_disk_is_found(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "SYNC_ERROR_MS", 0)
    assert found(home)["disk-sync.very-slow"].level is Level.ERROR


def test_few_files_are_found(home: Home) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (900, before[1]))
    try:
        assert found(home)["open-files.few"].values["count"] == 900
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_memory_of_a_container_counts(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n")
    (tmp_path / "group").write_text("536870912\n")
    finding = doctor_machine._memory(tmp_path / "proc", tmp_path / "group")
    assert (finding.code, finding.values["total_mib"]) == ("memory.little", 512)
    assert doctor_machine._memory(tmp_path / "proc", tmp_path / "none").code == "memory.ok"
    assert doctor_machine._memory(tmp_path / "none").code == "memory.unknown"


def test_hardware_clock_in_local_time_is_found(tmp_path: Path) -> None:
    (tmp_path / "adjtime").write_text("0.0 0 0.0\n0\nLOCAL\n")
    assert doctor_machine._hardware_clock(tmp_path / "adjtime").code == "hardware-clock.local"
    (tmp_path / "adjtime").write_text("0.0 0 0.0\n0\nUTC\n")
    assert doctor_machine._hardware_clock(tmp_path / "adjtime").code == "hardware-clock.ok"
    assert doctor_machine._hardware_clock(tmp_path / "none").code == "hardware-clock.unknown"


# ---------------------------------------------------------------- the process and its ports


def test_process_that_holds_the_home_and_answers_nothing_is_told(home: Home) -> None:
    release = lock_home(home)
    findings = found(home)
    release()
    assert "process.running" in findings
    assert findings["status.silent"].level is Level.ERROR
    assert findings["port.closed"].level is Level.ERROR


def test_port_that_another_program_has_is_found(home: Home) -> None:
    address = load_config(home, {}).peer.listen
    with socket.socket() as other:
        other.bind(split_address(address))
        other.listen()
        assert found(home)["port.taken"].values["address"] == address


def test_certificate_that_is_shown_is_compared_with_the_pinned_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_network, "SECONDS_MAX", 30.0)  # here somebody answers
    key = generate_key(Purpose.TLS, Algorithm.P256)
    der = make_certificate(key, ("127.0.0.1",), NOW)
    with serving(tmp_path, key, der) as port:
        shown = doctor_network.shown_certificate("127.0.0.1", port)
    assert ssl.DER_cert_to_PEM_cert(shown).encode() == to_pem(der)


class serving:  # noqa: N801 - reads as the context manager that it is
    """A TLS server that shows a certificate and says nothing else."""

    def __init__(self, folder: Path, key, der: bytes) -> None:  # type: ignore[no-untyped-def]
        (folder / "cert").write_bytes(to_pem(der))
        (folder / "key").write_bytes(private_key_pem(key))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "cert", folder / "key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve)

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with self.context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    def __enter__(self) -> int:
        self.thread.start()
        return int(self.listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self.thread.join(30)
        self.listener.close()


# ---------------------------------------------------------------- words


def codes_in_source() -> set[str]:
    """Every code that the examination can give: all of this shape but a file system's name, which is none."""
    codes: set[str] = set()
    for path in sorted((ROOT / "node").glob("doctor*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Constant(value=str(text)) if re.fullmatch(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*", text):
                    codes.add(text)
                case ast.JoinedStr(values=[*_, ast.Constant(value=str(ending))]) if re.fullmatch(r"\.[a-z-]+", ending):
                    codes |= {f"{subject}{ending}" for subject in ("certificate", "peer")}
                case _:
                    pass
    return codes - {"fuse.sshfs"}


@pytest.mark.parametrize("name", language.LANGUAGES)
def test_each_finding_has_words_and_no_words_are_left_over(name: language.Language) -> None:
    assert set(language.catalogue(name).findings) == codes_in_source()


def test_words_of_both_languages_want_the_same_values() -> None:
    english, chinese = (language.catalogue(name).findings for name in language.LANGUAGES)
    for code, words in english.items():
        fields = [set(re.findall(r"{(\w+)}", text.found)) for text in (words, chinese[code])]
        assert fields[0] == fields[1], code
        assert bool(words.do) == bool(chinese[code].do), code


def test_words_of_each_finding_that_is_not_well_say_what_to_do(home: Home) -> None:
    findings = found(home)
    for code, finding in findings.items():
        words = language.catalogue("en").findings[code]
        assert words.found.format(**finding.values)
        assert bool(words.do) == (finding.level is not Level.OK), code


def test_command_ends_with_its_code_by_what_is_found(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.commands.doctor.examine", lambda *_: iter([ok("process.stopped")]))
    assert run(["doctor", "--home", str(home.root)]) == Exit.DONE
    assert "1 ok, 0 warnings" in capsys.readouterr().out
    warned = Finding("settings.plain-keys", Level.WARNING, {})
    monkeypatch.setattr("cli.commands.doctor.examine", lambda *_: iter([warned]))
    assert run(["doctor", "--home", str(home.root)]) == Exit.DONE
    assert run(["doctor", "--home", str(home.root), "--strict", "--json"]) == Exit.NOT_HELD
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["findings"][0]["check"], told["findings"][0]["level"]) == ("settings", "warning")
    failed = Finding("dumps.found", Level.ERROR, {"count": 1, "names": "halt-1.json"})
    monkeypatch.setattr("cli.commands.doctor.examine", lambda *_: iter([failed]))
    assert run(["doctor", "--home", str(home.root), "--lang", "zh"]) == Exit.NOT_HELD
    assert "错误" in capsys.readouterr().out


def test_home_that_a_disk_opened_is_still_readable(home: Home) -> None:
    network = genesis.load(home.genesis.read_bytes()).network
    open_disk(home, network, None, archive=False).close()
    assert found(home)["process.stopped"].level is Level.OK
    assert any(home.journal.iterdir())
