# SPDX-License-Identifier: Apache-2.0
"""A wallet that is not ours (npm's @openid4vc/openid4vci) fetches credentials of the issuer over HTTP."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from issuer_rig import Office
from store_rig import Rig

MODULES = Path(__file__).resolve().parents[2] / "web" / "node_modules"
JUDGE = Path(__file__).parent / "wallet_judge.mjs"
NODE_S_MAX = 60


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    """A missing judge is a failure, not a pass."""
    assert (MODULES / "@openid4vc" / "openid4vci").is_dir(), "`make setup-web` installs the wallet"


@contextlib.contextmanager
def served(rig: Rig) -> Iterator[Office]:
    """The issuer on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        office = Office(rig, f"http://localhost:{listening.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(office.app, log_config=None, lifespan="on"))
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


async def fetched(office: Office, tx_code: str | None = None, count: int = 3) -> dict:
    """What the wallet got, or why it did not."""
    offer = office.offer()
    asked = {"offer": offer.uri, "tx_code": tx_code or offer.tx_code, "count": count, "now": office.now_s}
    process = await asyncio.create_subprocess_exec(
        "node", str(JUDGE), str(MODULES), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(NODE_S_MAX):
        out, _ = await process.communicate(json.dumps(asked).encode())
    return json.loads(out)


async def test_other_wallet_fetches_a_batch_of_credentials_that_verify(sqlite_rig):
    with served(sqlite_rig) as office:
        answer = await fetched(office)
        assert "error" not in answer, answer
        verified = [office.verify(each["credential"]) for each in answer["credentials"]]
        assert len({each.holder_key for each in verified}) == 3
        assert verified[0].claims["family_name"] == "李"


async def test_other_wallet_is_told_that_its_digits_are_wrong(sqlite_rig):
    with served(sqlite_rig) as office:
        assert "invalid_grant" in json.dumps(await fetched(office, "nodigits"))
