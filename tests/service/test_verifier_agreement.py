# SPDX-License-Identifier: Apache-2.0
"""A wallet that is not ours (npm's @openid4vc/openid4vp with dcql and @sd-jwt/sd-jwt-vc) answers over HTTP."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from store_rig import Rig
from verifier_rig import LOGIN, Citizen, Office, code_of, query

from identity.jose import MemorySigner, encode_base64url, jwk_of

MODULES = Path(__file__).resolve().parents[2] / "web" / "node_modules"
JUDGE = Path(__file__).parent / "presenting_judge.mjs"
NODE_S_MAX = 60
SECRET = 424_242


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    """A missing judge is a failure, not a pass."""
    assert (MODULES / "@openid4vc" / "openid4vp").is_dir(), "`make setup-web` installs the wallet"


@contextlib.contextmanager
def served(rig: Rig) -> Iterator[Office]:
    """The verifier on a port of this machine."""
    rig.clock_ms = time.time_ns() // 1_000_000  # the wallet looks at this machine's clock
    with socket.create_server(("127.0.0.1", 0)) as listening:
        office = Office(rig, origin=f"http://localhost:{listening.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(office.app(), log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                thread.join(0.01)
            yield office
        finally:
            server.should_exit = True
            thread.join(60)


async def answered(
    office: Office, asked: dict, mode: str, enc: str = "A256GCM", payment: dict | None = None, **changes: object
) -> tuple[dict, dict]:
    """What the wallet says, and the result."""
    headers = {"authorization": f"Bearer {office.bank_key}"}
    body = {"purpose": LOGIN, "query": asked, "response_mode": mode, "payment": payment}
    key = MemorySigner(ec.derive_private_key(SECRET, ec.SECP256R1()))
    async with httpx.AsyncClient(base_url=office.origin, headers=headers, timeout=NODE_S_MAX) as bank:
        made = (await bank.post("/v1/verifications", json=body)).json()
        question = {
            "link": made["wallet_link"],
            "credential": office.credential(Citizen(3), key),
            "key": jwk_of(key.public_key) | {"d": encode_base64url(SECRET.to_bytes(32, "big"))},
            "now": office.now_s,
            "enc": enc,
        } | changes
        process = await asyncio.create_subprocess_exec(
            "node", str(JUDGE), str(MODULES), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(NODE_S_MAX):
            out, _ = await process.communicate(json.dumps(question).encode())
        return json.loads(out), (await bank.get(f"/v1/verifications/{made['id']}")).json()


@pytest.mark.parametrize(
    ("mode", "enc"), [("direct_post", "A256GCM"), ("direct_post.jwt", "A256GCM"), ("direct_post.jwt", "A128GCM")]
)
async def test_other_wallet_understands_what_is_asked_and_its_answer_holds(sqlite_rig, mode, enc):
    asked = query("age_over_18", ("address", "region"))
    with served(sqlite_rig) as office:
        told, result = await answered(office, asked, mode, enc)
    assert told == {"version": 100, "prefix": "x509_hash", "status": 200, "body": {}}, told
    assert result["state"] == "answered", result
    assert result["report"]["claims"] == {"person": {"age_over_18": True, "address": {"region": "广东省"}}}


async def test_other_wallet_whose_clock_is_an_hour_behind_is_refused_with_the_reason(sqlite_rig):
    with served(sqlite_rig) as office:
        told, result = await answered(office, query("age_over_18"), "direct_post", now=office.now_s - 3_600)
    assert told["status"] == 200, told
    assert code_of(result["report"], "bound") == "identity.binding-time"


async def test_other_wallet_reads_the_payment_and_its_library_finds_the_hash_that_ours_finds(sqlite_rig):
    payment = {"amount": "128.00", "currency": "CNY", "payee": "禅城供水有限公司", "reference": "2026-11"}
    with served(sqlite_rig) as office:
        told, result = await answered(office, query("age_over_18"), "direct_post.jwt", payment=payment)
    assert told.get("status") == 200, told
    assert {name: told["shown"][name] for name in payment} == payment
    assert told["shown"]["credential_ids"] == ["person"]
    assert told["hashes"] == [result["report"]["facts"]["transaction"]["hash"]]
    assert result["state"] == "answered"
