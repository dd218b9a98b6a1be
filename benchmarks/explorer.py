# SPDX-License-Identifier: Apache-2.0
"""How long the explorer's pages take at the server: `python -m benchmarks.explorer [--entries N]` prints JSON.

The index holds N transactions on SQLite. No node answers, so what is measured is the index, the templates and the
layers around them; what nodes are asked comes on top of it.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx

from benchmarks.index import _Replayed, make_blocks
from benchmarks.machine import hashes_per_s
from chain.genesis import load
from client.connection import endpoints_of
from node.testnet import create_testnet
from service.app import create_app
from service.explorer.api import api_router
from service.explorer.pages import SITE, pages_router
from service.explorer.part import SUBSCRIBERS, Explorer, explorer_part, index_engine
from service.explorer.words import MEMBERSHIP
from service.index import Indexer
from service.nodes import Network
from service.settings import IndexSettings, LimitSettings, LoggingSettings, Settings, local_address
from service.shell import shell_part

PORT = 8801
REQUESTS = 20
PATHS = (
    "/",
    "/blocks",
    "/blocks/100",
    "/transactions",
    "/transactions?before=1000",
    "/transactions?kind=bench.Nothing",
    "/transactions?outcome=failed",
    "/v1/transactions?size=100",
    "/search?q=nobody",
    "/check",
)


async def fill(network: Network, settings: IndexSettings, entries: int) -> None:
    """Index a chain of so many transactions."""
    blocks = make_blocks(entries)
    source = _Replayed(blocks)
    source.network = network.genesis.network
    engine = index_engine(settings, network.genesis)
    indexer = Indexer(engine, source, SUBSCRIBERS)
    task = asyncio.create_task(indexer.run())
    assert await indexer.wait_for(len(blocks), 600)
    task.cancel()
    await asyncio.wait([task])
    indexer.close()
    engine.dispose()


async def measure(entries: int, folder: Path) -> dict[str, object]:
    """Milliseconds of each page: the median, and the slowest but the first."""
    create_testnet(folder / "net", 4, 48_000, name="bench")
    raw = (folder / "net" / "genesis.json").read_bytes()
    genesis = load(raw)
    network = Network(raw, genesis, endpoints_of(genesis))
    settings = IndexSettings(folder=str(folder / "index"))
    await fill(network, settings, entries)
    explorer = Explorer(network, settings, MEMBERSHIP)
    part = explorer_part(explorer, [pages_router(explorer), api_router(explorer)])
    limits = LimitSettings(address_per_second=10_000, address_burst=10_000)
    own = replace(Settings(), limits=limits, logging=LoggingSettings(access=False))
    app = create_app([shell_part(SITE), part], own, local_address("explorer", f"127.0.0.1:{PORT}"))
    found: dict[str, object] = {}
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=f"http://localhost:{PORT}") as web,
    ):
        for path in PATHS:
            times = []
            for _ in range(REQUESTS + 1):
                began = time.perf_counter()
                answer = await web.get(path)
                times.append((time.perf_counter() - began) * 1000)
                assert answer.status_code in {200, 404}, path
            found[path] = {"median_ms": round(statistics.median(times[1:]), 1), "max_ms": round(max(times[1:]), 1)}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as folder:
        pages = asyncio.run(measure(entries, Path(folder)))
    print(json.dumps({"entries": entries, "hashes_per_s": hashes_per_s(), "pages": pages}, indent=1))


if __name__ == "__main__":
    main()
