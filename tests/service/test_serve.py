# SPDX-License-Identifier: Apache-2.0
"""Services as a process: they listen, stop without cutting off, and say why they can't start."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter
from starlette.responses import Response

from cli import language, output
from cli.errors import InputError
from cli.exits import Exit
from cli.main import run as command
from cli.services import explained
from service.app import Part
from service.connections import Admission, Connection
from service.errors import ConfigError, ListenError
from service.nodes import read_network
from service.serve import Ground, Service, run
from service.settings import LedgerSettings, parse_settings
from tests.ports import free_base_port

ROOT = Path(__file__).resolve().parents[2]
BUSY_S = 60
"""For what takes a moment on a free machine."""


def slow(entered: threading.Event) -> Part:
    router = APIRouter(tags=["slow"])

    @router.get("/slow", operation_id="getSlow", summary="Answer after a while")
    async def answer() -> dict[str, str]:
        entered.set()
        await asyncio.sleep(1)
        return {"answer": "whole"}

    return Part("slow", [router])


@contextmanager
def signalled(work: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Run something beside the services, which stop when it has ended."""
    errors: list[BaseException] = []

    def act() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=act)
    thread.start()
    yield errors
    thread.join(BUSY_S)


def test_services_answer_on_their_own_ports_and_let_requests_under_way_end() -> None:
    first, entered = free_base_port(2), threading.Event()
    ports = [first, first + 1]
    services = [
        Service(f"test-{name}", port, needs_store=False, build=lambda _ground, _address: [slow(entered)])
        for name, port in zip(("one", "two"), ports, strict=True)
    ]
    listening, answers = threading.Event(), list[httpx.Response]()

    def work() -> None:
        assert listening.wait(BUSY_S)
        for port in ports:
            assert httpx.get(f"http://localhost:{port}/health", timeout=BUSY_S).json() == {"status": "ok"}
        waiting = threading.Thread(
            target=lambda: answers.append(httpx.get(f"http://localhost:{ports[0]}/slow", timeout=BUSY_S))
        )
        waiting.start()
        assert entered.wait(BUSY_S)
        os.kill(os.getpid(), signal.SIGTERM)
        waiting.join(BUSY_S)

    with signalled(work) as errors:
        run(services, Ground(parse_settings("", {}), None), lambda _: listening.set())
    assert errors == []
    assert answers[0].json() == {"answer": "whole"}
    assert "server" not in answers[0].headers
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://localhost:{ports[0]}/health", timeout=2)


def test_connections_held_without_a_whole_request_are_closed_and_others_get_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.serve.IDLE_SECONDS", 1)
    close, seen = Connection.timeout_keep_alive_handler, threading.Event()

    def once_all_were_held(connection: Connection) -> None:
        if seen.is_set():
            close(connection)
        else:  # its time is over; on a busy machine perhaps before the last one has come
            connection._waiting = connection.loop.call_later(0.05, connection.timeout_keep_alive_handler)

    monkeypatch.setattr(Connection, "timeout_keep_alive_handler", once_all_were_held)
    port, listening, entered = free_base_port(1), threading.Event(), threading.Event()
    settings = parse_settings("[http]\nrequests_max = 2\n", {})  # and so eight connections
    one = Service("test-one", port, needs_store=False, build=lambda *_: [slow(entered)])
    late = b"POST /slow HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: 99\r\n\r\n"  # refused before its body has come

    def get(path: str) -> int:
        return httpx.get(f"http://localhost:{port}{path}", timeout=BUSY_S).status_code

    def work() -> None:
        assert listening.wait(BUSY_S)
        heads = [b"", b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHo", b"\r\n", b"\r\n", late, late, b""]
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(socket.create_connection(("localhost", port), timeout=BUSY_S)) for _ in heads]
            for connection, head in zip(held, heads, strict=True):
                connection.sendall(head)
            assert get("/health") == 503
            began = time.monotonic()
            while get("/health") == 503:
                assert time.monotonic() < began + BUSY_S
                for connection in held:
                    with contextlib.suppress(OSError):
                        connection.sendall(b"x")  # a byte now and then gives no more time
                time.sleep(0.1)
                if time.monotonic() > began + 2:
                    seen.set()
            assert seen.is_set()
            assert get("/slow") == 200  # a request under way may take longer
        os.kill(os.getpid(), signal.SIGTERM)

    with signalled(work) as errors:
        run([one], Ground(settings, None), lambda _: listening.set())
    assert errors == []


def large() -> Part:
    """An answer that no socket's buffer takes whole."""
    router = APIRouter()

    @router.get("/large", include_in_schema=False)
    async def answer() -> Response:
        return Response(bytes(32 * 2**20))

    return Part("large", [router])


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end has ended it, after what it sent before."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(("proxies", "admitted"), [("[]", 3), ('["127.0.0.0/8"]', 16)], ids=["anybody", "proxy"])
def test_connections_of_one_address_are_limited_and_those_of_a_proxy_by_the_total_alone(
    monkeypatch: pytest.MonkeyPatch, proxies: str, admitted: int
) -> None:
    monkeypatch.setattr("service.serve.IDLE_SECONDS", 60)
    port, listening = free_base_port(1), threading.Event()
    text = f"[http]\nrequests_max = 2\naddress_connections_max = 3\nproxies = {proxies}"
    one = Service("test-one", port, needs_store=False, build=lambda *_: [large()])

    def work() -> None:
        assert listening.wait(BUSY_S)
        with contextlib.ExitStack() as stack:
            held = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=BUSY_S))
                for _ in range(admitted + 4)
            ]
            for connection in held[admitted:]:
                assert connection.recv(100).startswith(b"HTTP/1.1 429 ")
                assert is_closed(connection)
            for connection in held[:admitted]:
                connection.settimeout(0.02)
                assert not is_closed(connection)
            held[0].close()
            until = time.monotonic() + BUSY_S
            while is_closed(again := socket.create_connection(("127.0.0.1", port), timeout=0.5)):
                again.close()  # the server has not noticed yet that a place is free again
                assert time.monotonic() < until
            again.close()
        os.kill(os.getpid(), signal.SIGTERM)

    with signalled(work) as errors:
        run([one], Ground(parse_settings(text, {}), None), lambda _: listening.set())
    assert errors == []


def test_reader_who_takes_nothing_of_an_answer_loses_the_connection_and_a_slow_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.connections.READ_SECONDS", 0.5)
    port, listening = free_base_port(1), threading.Event()
    look, looks, looked_at = Connection._look, Counter[int](), Counter[int]()
    taken, aborted = 0, threading.Event()

    def once_the_slow_one_has_read(connection: Connection) -> None:
        """However slow the machine is: it takes so much in such a time elsewhere."""
        peer = connection.transport.get_extra_info("peername")[1]
        if taken - looked_at[peer] < 2**19:
            connection._reading = connection.loop.call_later(0.05, connection._look)
            return
        looked_at[peer] = taken
        looks[peer] += 1
        look(connection)
        if connection.transport.is_closing():
            aborted.set()

    monkeypatch.setattr(Connection, "_look", once_the_slow_one_has_read)
    one = Service("test-one", port, needs_store=False, build=lambda *_: [large()])

    def work() -> None:
        nonlocal taken
        assert listening.wait(BUSY_S)
        request = f"GET /large HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
        with contextlib.ExitStack() as stack:
            stuck, slow = (
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=BUSY_S)) for _ in range(2)
            )
            for connection in (stuck, slow):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
                connection.sendall(request)
            while not aborted.is_set() or looks[slow.getsockname()[1]] < 3:  # longer than who reads nothing has
                assert taken < 16 * 2**20
                taken += len(slow.recv(65_536))
                time.sleep(0.05)
            while chunk := slow.recv(2**20):
                taken += len(chunk)
                if taken > 32 * 2**20:
                    break
            assert taken > 32 * 2**20
            received = 0
            with contextlib.suppress(ConnectionResetError):
                while chunk := stuck.recv(2**20):
                    received += len(chunk)
            assert received < 32 * 2**20
        os.kill(os.getpid(), signal.SIGTERM)

    with signalled(work) as errors:
        run([one], Ground(parse_settings("", {}), None), lambda _: listening.set())
    assert errors == []


def test_address_table_forgets_who_is_gone_and_counts_a_network_of_64_bits_once() -> None:
    admission = Admission(per_address_max=2, total_max=5, proxies=["192.0.2.0/24"])
    names = [admission.enter(f"2001:db8::{number}") for number in range(3)]
    assert names[2] is None
    assert names[0] == names[1] is not None
    assert [admission.enter("192.0.2.9") is not None for _ in range(4)] == [True, True, True, False]
    for name in (*names[:2], *["192.0.2.9"] * 3):
        assert name is not None
        admission.leave(name)
    assert not admission._held


def test_port_that_is_taken_and_one_for_two_services_are_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        services = [Service(name, port, needs_store=False, build=lambda *_: []) for name in ("one", "two")]
        ground = Ground(parse_settings("", {}), None)
        with pytest.raises(ListenError, match="end what does"):
            run(services[:1], ground, print)
        with pytest.raises(ConfigError, match="the same listen address"):
            run(services, ground, print)


def test_failure_of_a_part_to_start_reaches_the_caller_and_frees_the_port() -> None:
    async def start(_app: object) -> None:
        raise ConnectionError("no node answers")

    port = free_base_port(1)
    broken = Service("broken", port, needs_store=False, build=lambda *_: [Part("broken", start=start)])
    for _ in range(2):
        with pytest.raises(ConnectionError, match="no node answers"):
            run([broken], Ground(parse_settings("", {}), None), print)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ZHIXIN_SERVE_STORE_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("ZHIXIN_SERVE_STORE_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("ZHIXIN_SERVE_STORE_ALLOW_PLAIN", "true")
    language.select("en")
    yield tmp_path
    output.use_json(on=False)
    language.select("en")


def outcome(capsys: pytest.CaptureFixture[str], *argv: str, code: Exit = Exit.DONE) -> dict[str, object]:
    assert command([*argv, "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_store_commands_make_check_back_up_end_epochs_rotate_and_restore(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome(capsys, "store", "check") == {
        "persons": 0,
        "audit_entries": 0,
        "epoch": 1,
        "erasures_pending": 0,
    }
    old = str(outcome(capsys, "store", "backup", "--to", str(home / "backups"))["backup"])
    assert outcome(capsys, "store", "end-epoch", "--to", str(home / "backups"))["epoch"] == 2
    assert outcome(capsys, "store", "rotate-index") == {"rows": 0}
    assert len(str(outcome(capsys, "store", "rotate-key")["key"])) == 16
    assert outcome(capsys, "store", "check")["audit_entries"] == 2
    new = max((home / "backups").iterdir())
    monkeypatch.setenv("ZHIXIN_SERVE_STORE_FOLDER", str(home / "fresh"))
    assert "has ended" in str(outcome(capsys, "store", "restore", old, code=Exit.WORLD)["error"])
    done = outcome(capsys, "store", "restore", old, "--keys-from", str(new))
    assert {name: done[name] for name in ("persons", "audit_entries", "compared")} == {
        "persons": 0,
        "audit_entries": 0,
        "compared": False,
    }
    assert "error" in outcome(capsys, "store", "restore", str(home / "missing"), code=Exit.INPUT)


def test_commands_about_bad_settings_or_keys_say_what_is_wrong(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "bad.toml").write_text("[htp]")
    found = outcome(capsys, "store", "check", "--settings", str(home / "bad.toml"), code=Exit.INPUT)
    assert "did you mean" in str(found["error"])
    found = outcome(capsys, "serve", "all", "--settings", str(home / "bad.toml"), code=Exit.INPUT)
    assert "did you mean" in str(found["error"])
    monkeypatch.delenv("ZHIXIN_SERVE_STORE_ALLOW_PLAIN")
    found = outcome(capsys, "store", "check", code=Exit.INPUT)
    assert "ZHIXIN_PASSPHRASE" in str(found["error"])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_operators_meet_most_often_is_said_in_the_language_in_use(
    home: Path, lang: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*argv: str) -> tuple[str, str]:
        error = outcome(capsys, *argv, "--lang", lang, code=Exit.INPUT)["error"]
        assert isinstance(error, dict)
        return error["code"], error["reason"]

    check = ("store", "check", "--settings")
    (home / "empty.toml").write_text("")
    (home / "latin.toml").write_bytes(b"\xff")
    missing, unreadable, empty = (str(home / f"{name}.toml") for name in ("nothere", "latin", "empty"))
    assert said(*check, missing) == said("serve", "desk", "--settings", missing)
    told = ("service.settings-unreadable", language.t("service.settings-missing", path=missing))
    assert said(*check, missing) == told
    code, reason = said(*check, unreadable)
    assert code == "service.settings-unreadable"
    assert reason.startswith(language.t("service.settings-unreadable", path=unreadable, text=""))
    monkeypatch.delenv("ZHIXIN_SERVE_STORE_ALLOW_PLAIN")
    found = said(*check, empty)
    assert found == ("key.no-passphrase", language.t("key.no-passphrase-new"))
    monkeypatch.setenv("ZHIXIN_PASSPHRASE", "nine words")
    outcome(capsys, *check, empty)
    monkeypatch.delenv("ZHIXIN_PASSPHRASE")
    (key,) = (home / "keys").glob("kek-*.json")
    found = said(*check, empty)
    assert found == ("key.no-passphrase", language.t("key.no-passphrase", path=key))
    with pytest.raises(InputError) as caught, explained():
        read_network(LedgerSettings())
    assert (caught.value.code, caught.value.reason) == ("service.no-genesis", language.t("service.no-genesis"))
    assert (lang == "zh") == any("\u4e00" <= character <= "\u9fff" for character in caught.value.reason)


def test_service_without_its_own_setting_is_left_out_of_all_and_no_other() -> None:
    needy = Service("needy", 1, needs_store=False, build=lambda *_: [], own_setting="uniqueness.signing_key")
    plain = Service("plain", 2, needs_store=False, build=lambda *_: [])
    set_up = parse_settings('[uniqueness]\nsigning_key = "key.json"', {})
    for settings, wanted in ((parse_settings("", {}), [plain]), (set_up, [needy, plain])):
        assert [one for one in (needy, plain) if one.is_set_up(settings)] == wanted


def test_serve_names_the_services_that_exist() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "serve", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "styles" in done.stdout
    assert "all" in done.stdout
