# SPDX-License-Identifier: Apache-2.0
"""How fast a card's answer is checked over HTTP: `python -m benchmarks.verifier` prints one JSON object.

The verifier runs in a process of its own, with its store on disk; this process is the relying party. Challenges are
made and signed before the clock runs, each by another card, so that no certificate was seen before. Then what the cards
signed is posted, one answer each 20 ms, whether those before are done or not. An answer's time runs from when it was
due until its report was read whole: what waits in this process counts, too.

First cards alone, for which no access entry is due, then cards with a credential that is bound to them: their entries
stand at once here, so that the ledger's finality comes on top. The verifier's processor time is that of its process,
for challenges and answers apart; this process's own is told beside it, since both share the machine.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.machine import hashes_per_s
from benchmarks.verifier_world import ORIGIN, PURPOSE, QUERY, Card, City, serve
from identity import offline_qr
from identity.jose import JsonObject, MemorySigner

PER_SECOND = 50
SECONDS = 20
WARM = 50
"""First answers, which are not counted: connections are opened, the lists are fetched."""
CONNECTIONS = 8
"""As a relying party's program keeps open; more are opened while all of them wait."""
CODES = 300
WAIT_S = 120.0
"""For one answer; a verifier that does not keep up is told by its figures."""


class _Program:
    """A relying party's program: HTTP/1.1 over connections that stay open, and next to nothing beside it.

    Args:
        port: Of the verifier on this machine.
        key: Opens its interface.
    """

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._head = f"Host: localhost:{port}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def made(self, path: str, body: JsonObject) -> bytes:
        """A request as it is sent."""
        text = json.dumps(body).encode()
        return f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(text)}\r\n\r\n".encode() + text

    async def send(self, request: bytes, expected: int) -> bytes:
        """Send a request; the body of its answer."""
        async with asyncio.timeout(WAIT_S):
            pair = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = pair
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
        self._free.append(pair)
        assert int(head[9:12]) == expected, f"{head} {body!r}"
        return body

    async def close(self) -> None:
        """Close what is open."""
        for _, writer in self._free:
            writer.close()
            await writer.wait_closed()


async def _signed(program: _Program, cards: Sequence[Card]) -> list[bytes]:
    """An answer of each card to a challenge of its own, ready to be sent; a few at a time."""
    turn, now_s = asyncio.Semaphore(CONNECTIONS), int(time.time())
    asked: JsonObject = {"purpose": PURPOSE, "origin": ORIGIN}

    async def one(card: Card) -> bytes:
        async with turn:
            query = QUERY if card.credential else None
            raw = await program.send(program.made("/v1/card-logins", asked | {"query": query}), 201)
        made = json.loads(raw)
        return program.made(f"/v1/card-logins/{made['id']}/answer", card.answer(made["challenge"], now_s))

    return list(await asyncio.gather(*map(one, cards)))


async def _posted(program: _Program, answers: Sequence[bytes], per_second: int) -> list[float]:
    """Post answers at a fixed rate; sorted milliseconds from when each was due to its report."""
    begun = time.perf_counter() + 0.1

    async def one(number: int, request: bytes) -> tuple[float, bytes]:
        body = await program.send(request, 200)
        return (time.perf_counter() - begun - number / per_second) * 1000, body

    tasks = []
    for i, request in enumerate(answers):
        await asyncio.sleep(max(0.0, begun + i / per_second - time.perf_counter()))
        tasks.append(asyncio.create_task(one(i, request)))
    done = await asyncio.gather(*tasks)
    for _, body in done:
        assert json.loads(body)["report"]["outcome"] == "held", body
    return sorted(elapsed_ms for elapsed_ms, _ in done)


async def _load(program: _Program, city: City, name: str, per_second: int, count: int, pid: int) -> dict[str, float]:
    """Figures of cards alone, or of cards with credentials."""
    with_credential = name != "card"
    cards = [city.card(i, with_credential=with_credential) for i in range(WARM + count)]
    await _posted(program, await _signed(program, cards[:WARM]), per_second)
    used_ms = _processor_ms(pid)
    answers = await _signed(program, cards[WARM:])
    between_ms, own_s = _processor_ms(pid), time.process_time()
    elapsed = await _posted(program, answers, per_second)
    share = {50: len(elapsed) // 2, 99: len(elapsed) * 99 // 100}
    return {f"{name}_answer_p{part}_ms": round(elapsed[i], 2) for part, i in share.items()} | {
        f"{name}_answer_max_ms": round(elapsed[-1], 2),
        f"{name}_challenge_processor_ms": round((between_ms - used_ms) / count, 2),
        f"{name}_answer_processor_ms": round((_processor_ms(pid) - between_ms) / count, 2),
        f"{name}_program_processor_ms": round((time.process_time() - own_s) * 1000 / count, 2),
    }


async def _wait(get: Callable[[], Awaitable[object]]) -> None:
    for _ in range(200):
        try:
            await get()
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return
    raise TimeoutError("the verifier did not begin")


def _processor_ms(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def _codes() -> list[float]:
    """Milliseconds of each check of an offline code, without HTTP."""
    issuer, holder = (MemorySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    now_s = int(time.time())
    elapsed_ms = []
    for _ in range(CODES):
        token = offline_qr.issue(
            {"family_name": "李", "age_over_18": True},
            issuer,
            b"k" * 8,
            holder.public_key,
            token_id=os.urandom(16),
            issued_s=now_s,
            expires_s=now_s + 3_600,
            status=None,
        )
        text = offline_qr.show(token, holder, now_s=now_s)
        started = time.perf_counter()
        offline_qr.verify(text, lambda _key_id: issuer.public_key, now_s)
        elapsed_ms.append((time.perf_counter() - started) * 1000)
    return sorted(elapsed_ms)


async def _measure(city: City, port: int, key: str, per_second: int, count: int, pid: int) -> dict[str, float]:
    program = _Program(port, key)
    try:
        await _wait(lambda: program.send(program.made("/v1/card-logins", {"purpose": PURPOSE, "origin": ORIGIN}), 201))
        alone = await _load(program, city, "card", per_second, count, pid)
        return alone | await _load(program, city, "credential", per_second, count, pid)
    finally:
        await program.close()


def run(per_second: int = PER_SECOND, seconds_long: int = SECONDS) -> dict[str, float]:
    """Measure card answers under load, and offline codes.

    Args:
        per_second: Answers posted in a second.
        seconds_long: For how long.
    """
    figures: dict[str, float] = {"hashes_per_s": hashes_per_s(), "load_average": os.getloadavg()[0]}
    city = City()
    context = multiprocessing.get_context("fork")
    count = per_second * seconds_long
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as listening,
        multiprocessing.Manager() as shared,
    ):
        keys, ready, port = shared.list(), context.Event(), listening.getsockname()[1]
        server = context.Process(target=serve, args=(Path(folder), listening, city, port, ready, keys))
        server.start()
        try:
            assert ready.wait(60), "the verifier did not begin"
            assert server.pid is not None, "it was started"
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                figures |= runner.run(_measure(city, port, keys[0], per_second, count, server.pid))
        finally:
            server.terminate()
            server.join(20)
    codes = _codes()
    for share in (50, 99):
        figures[f"offline_code_p{share}_ms"] = round(codes[len(codes) * share // 100], 2)
    figures["answers"] = count
    figures["per_second"] = per_second
    figures["hashes_per_s_after"] = hashes_per_s()
    figures["load_average_after"] = os.getloadavg()[0]
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-second", type=int, default=PER_SECOND)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    asked = parser.parse_args()
    print(json.dumps(run(asked.per_second, asked.seconds), indent=2))


if __name__ == "__main__":
    main()
