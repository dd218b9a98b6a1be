# SPDX-License-Identifier: Apache-2.0
"""How fast a card's answer is checked over HTTP: `python -m benchmarks.verifier` prints one JSON object.

The verifier runs in a process of its own, with its store on disk; this process is the relying party and holds cards.
Each arrival makes a challenge and posts the card's signature; the arrivals come at a fixed rate, whether those before
are done or not. Measured is from posting the signature to having read the signed report, and the verifier's processor
time for a whole log-in, challenge included, which says how many one core carries when nothing else runs. The ledger is
asked for nothing: a card by itself tells nothing of its holder, so no access entry is due.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import identity.api.verifier.tables  # noqa: F401 - a store has all its tables
from benchmarks.machine import hashes_per_s
from chain.types import sha256
from identity import issuer_keys, offline_qr
from identity.api.verifier import clients
from identity.api.verifier.cards import CardTrust, login_message
from identity.api.verifier.checking import Judge
from identity.api.verifier.ledger import Issuers, Proven
from identity.api.verifier.outbound import NotReached, Outbound
from identity.api.verifier.part import verifier_part
from identity.api.verifier.registered import Purpose
from identity.api.verifier.status_lists import StatusLists
from identity.api.verifier.verifier import Realm, Verifier
from identity.cards.authority import CardAuthority
from identity.cards.objects import Slot
from identity.cards.profile import Places, make_issuing, make_root, seconds
from identity.cards.statuses import StatusTable
from identity.cards.verifying import Chain
from identity.issuer_keys import KeySet, Trust
from identity.jose import MemorySigner
from service.app import create_app
from service.settings import Address, StoreSettings, parse_settings
from service.store import open_store
from service.store.replays import unix_ms

PER_SECOND = 50
SECONDS = 20
WARM = 100
"""First answers, which are not counted: connections, certificates and the list are fetched."""
CARDS = 40
CODES = 300
ORIGIN = "https://bank.example"
DAY_S = 86_400


class _Directory:
    async def purpose(self, relying_party: str, purpose: int) -> Purpose:
        return Purpose(
            relying_party,
            purpose,
            "银行",
            "Bank",
            "contract",
            {},
            is_emergency=False,
            status_age_s_max=3_600,
            per_second_max=1_000,
            valid_to_ms=2**42,
        )


class _Silent:
    async def read(self, keys: Sequence[bytes], *, height: int = 0) -> Proven:
        return Proven(height, 1, dict.fromkeys(keys), dict.fromkeys(keys, b""))


class _Cards:
    """An authority with some cards and an empty list."""

    def __init__(self) -> None:
        now_s = int(time.time())
        today = seconds(now_s // DAY_S * DAY_S)
        root_key, issuing_key = (MemorySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
        places = Places("http://cards.example/i.cer", "http://cards.example/cards.crl", "http://cards.example/ocsp")
        root = make_root(root_key, "District", today)
        issuing = make_issuing(root, root_key, issuing_key.public_key, today, places)
        self.chain = Chain(root, issuing)
        authority = CardAuthority(issuing, issuing_key, places, allows_emulated=True)
        self.revocation_list = authority.revocation_list(StatusTable(1, now_s, {}))
        self.held = [self._card(authority, now_s // DAY_S * DAY_S) for _ in range(CARDS)]

    def _card(self, authority: CardAuthority, begin_s: int) -> tuple[MemorySigner, str]:
        private = ec.generate_private_key(ec.SECP256R1())
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        der = authority.certify(Slot.AUTHENTICATE, point, os.urandom(16), begin_s, begin_s + 900 * DAY_S, emulated=True)
        return MemorySigner(private), b64encode(der).decode()


def _signing() -> tuple[bytes, KeySet]:
    now_s = int(time.time())
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    anchor = issuer_keys.make_registrar("V", root, serial=1, begins_s=now_s - 60, ends_s=now_s + 900 * DAY_S)
    signer = MemorySigner(key)
    leaf = issuer_keys.certify(
        anchor, root, signer.public_key, serial=2, begins_s=now_s - 60, ends_s=now_s + 500 * DAY_S
    )
    made = issuer_keys.issuing_key(leaf, signer, signs_from_s=now_s - 60, signs_until_s=now_s + 100 * DAY_S)
    return anchor, KeySet([made])


def _serve(folder: Path, listening: socket.socket, cards: _Cards, port: int, ready: Event, keys: list[str]) -> None:
    """The verifier, in its own process."""
    store = open_store(
        StoreSettings(folder=str(folder / "data"), keys=str(folder / "keys"), allow_plain=True), {}, unix_ms
    )
    anchor, signing = _signing()
    states = _Silent()

    async def fetch_crl(_url: str) -> bytes:
        return cards.revocation_list

    async def fetch_list(_url: str) -> str:
        raise NotReached("there is none")

    def now_s() -> int:
        return unix_ms() // 1000

    judge = Judge(Trust([anchor]), Issuers(states), StatusLists(fetch_list, now_s))
    origin = f"http://localhost:{port}"
    verifier = Verifier(
        store,
        signing,
        origin,
        Realm(_Directory(), None, judge),
        None,
        CardTrust([cards.chain], fetch_crl, states, now_s),
        Outbound(),
        30,
        unix_ms,
    )
    _, key = clients.add(store, "bank", unix_ms(), origins=[ORIGIN])
    keys.append(key)
    limits = "[http]\nrequests_max = 2000\naddress_requests_max = 2000\naddress_connections_max = 2000\n"
    limits += "[limits]\naddress_per_second = 10000\naddress_burst = 10000\n[logging]\naccess = false\n"
    app = create_app(
        [verifier_part(verifier, states)],
        parse_settings(limits, {}),
        Address("verifier", f"127.0.0.1:{port}", origin),
        replays=store.replays(),
    )
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, loop="uvloop"))
    ready.set()
    server.run(sockets=[listening])


async def _one(http: httpx.AsyncClient, card: tuple[MemorySigner, str]) -> float:
    """One log-in; milliseconds from posting what the card signed to the report."""
    made = (await http.post("/v1/card-logins", json={"purpose": 101, "origin": ORIGIN})).raise_for_status().json()
    signature = card[0].sign(sha256(login_message(ORIGIN, made["challenge"])))
    token = {"unverifiedCertificate": card[1], "signature": b64encode(signature).decode()}
    started = time.perf_counter()
    response = await http.post(f"/v1/card-logins/{made['id']}/answer", json={"token": token})
    elapsed_ms = (time.perf_counter() - started) * 1000
    assert response.raise_for_status().json()["report"]["outcome"] == "held", response.text
    return elapsed_ms


async def _load(
    url: str, key: str, cards: _Cards, per_second: int, seconds_long: int, pid: int
) -> tuple[list[float], float]:
    """Arrivals at a fixed rate: milliseconds of each answer, and the server's processor time for each in ms."""
    headers = {"authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=30) as http:
        await _wait(http)
        for i in range(WARM):
            await _one(http, cards.held[i % CARDS])
        tasks = []
        used_s = _processor_s(pid)
        begun = time.perf_counter()
        for i in range(per_second * seconds_long):
            await asyncio.sleep(max(0.0, begun + i / per_second - time.perf_counter()))
            tasks.append(asyncio.create_task(_one(http, cards.held[i % CARDS])))
        elapsed = sorted(await asyncio.gather(*tasks))
        return elapsed, (_processor_s(pid) - used_s) * 1000 / len(elapsed)


async def _wait(http: httpx.AsyncClient) -> None:
    for _ in range(200):
        try:
            await http.get("/health")
        except httpx.TransportError:
            await asyncio.sleep(0.05)
        else:
            return
    raise TimeoutError("the verifier did not begin")


def _processor_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def run(per_second: int = PER_SECOND, seconds_long: int = SECONDS) -> dict[str, float]:
    """Measure card answers under load, and offline codes.

    Args:
        per_second: Arrivals.
        seconds_long: For how long.
    """
    figures: dict[str, float] = {"hashes_per_s": hashes_per_s(), "load_average": os.getloadavg()[0]}
    cards = _Cards()
    context = multiprocessing.get_context("fork")
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as listening,
        multiprocessing.Manager() as shared,
    ):
        keys, ready, port = shared.list(), context.Event(), listening.getsockname()[1]
        server = context.Process(target=_serve, args=(Path(folder), listening, cards, port, ready, keys))
        server.start()
        try:
            assert ready.wait(30), "the verifier did not begin"
            assert server.pid is not None, "it was started"
            url = f"http://localhost:{port}"
            elapsed, used_ms = asyncio.run(_load(url, keys[0], cards, per_second, seconds_long, server.pid))
        finally:
            server.terminate()
            server.join(20)
    codes = _codes()
    for name, found in (("card_answer", elapsed), ("offline_code", codes)):
        for share in (50, 99):
            figures[f"{name}_p{share}_ms"] = round(found[min(len(found) - 1, len(found) * share // 100)], 2)
    figures["log_in_processor_ms"] = round(used_ms, 2)
    figures["answers"] = len(elapsed)
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
