# SPDX-License-Identifier: Apache-2.0
"""How fast the state tree takes updates and proves, on LevelDB: `python -m benchmarks.tree [--keys N]` prints JSON."""

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.machine import hashes_per_s
from chain.tree import StateTree, verify_ics23
from node.collector import tune_collector
from node.leveldb import LevelDatabase

BLOCK_UPDATES = 1_000
FILL_UPDATES = 20_000
PROOFS = 1_000


def run(keys: int = 1_000_000, blocks: int = 60, seed: int = 1, versions_kept: int | None = None) -> dict[str, float]:
    """Fill a tree, update random keys of it in blocks of 1,000, one synced batch a block, then prove some.

    Args:
        keys: How many the tree holds.
        blocks: How many blocks of updates are timed.
        seed: For the choice of keys.
        versions_kept: Prune to so many versions after each block, as a node does, and count that too; None: never.
    """
    rng = random.Random(seed)
    hash_rate = hashes_per_s()
    with tempfile.TemporaryDirectory() as room, LevelDatabase(Path(room) / "db") as database:
        tree = StateTree(database, b"S")
        version = 0
        start = time.perf_counter()
        for first in range(0, keys, FILL_UPDATES):
            version += 1
            _store(database, tree, [_pair(n, version) for n in range(first, min(keys, first + FILL_UPDATES))], version)
        fill_s = time.perf_counter() - start
        times, cpu_times = [], []
        for _ in range(blocks):
            version += 1
            writes = [_pair(number, version) for number in rng.sample(range(keys), min(keys, BLOCK_UPDATES))]
            start, cpu_start = time.perf_counter(), time.thread_time()
            _store(database, tree, writes, version)
            if versions_kept is not None:
                pruning = tree.prune(max(0, version - versions_kept))
                database.write(pruning.puts, pruning.deletes, sync=False)
                tree.pruned(pruning)
            times.append(time.perf_counter() - start)
            cpu_times.append(time.thread_time() - cpu_start)
        present = [_prove(tree, b"bench/key/%d" % rng.randrange(keys)) for _ in range(PROOFS)]
        absent = [_prove(tree, b"bench/absent/%d" % number) for number in range(PROOFS)]
        reads = []
        for _ in range(PROOFS):
            key = b"bench/key/%d" % rng.randrange(keys)
            start = time.perf_counter()
            tree.get(key)
            reads.append(time.perf_counter() - start)
    return {
        "keys": keys,
        "fill_per_s": round(keys / fill_s),
        "updates_per_s": round(min(keys, BLOCK_UPDATES) * blocks / sum(times)),
        "block_ms_p50": round(statistics.median(times) * 1e3, 1),
        "block_ms_max": round(max(times) * 1e3, 1),
        "block_cpu_ms_p50": round(statistics.median(cpu_times) * 1e3, 1),
        "presence_proof_us": round(statistics.mean(present) * 1e6),
        "presence_proof_us_p99": round(statistics.quantiles(present, n=100)[98] * 1e6),
        "absence_proof_us": round(statistics.mean(absent) * 1e6),
        "absence_proof_us_p99": round(statistics.quantiles(absent, n=100)[98] * 1e6),
        "get_us": round(statistics.mean(reads) * 1e6),
        "hashes_per_s": hash_rate,
        "hashes_per_s_after": hashes_per_s(),
    }


def _pair(number: int, version: int) -> tuple[bytes, bytes | None]:
    return b"bench/key/%d" % number, b"value %d of version %d, of a plausible length: 64 bytes or more" % (
        number,
        version,
    )


def _store(database: LevelDatabase, tree: StateTree, writes: list[tuple[bytes, bytes | None]], version: int) -> None:
    update = tree.update(writes, version)
    database.write(update.puts)
    tree.applied(update)


def _prove(tree: StateTree, key: bytes) -> float:
    """Seconds that one proof takes; it is verified outside of them."""
    start = time.perf_counter()
    value, proof = tree.prove(key)
    taken = time.perf_counter() - start
    verify_ics23(proof, tree.root(), key, value)
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--versions-kept", type=int, default=None, help="prune after each block to so many versions")
    arguments = parser.parse_args()
    tune_collector()  # as a node does
    print(json.dumps(run(arguments.keys, arguments.blocks, versions_kept=arguments.versions_kept)))


if __name__ == "__main__":
    main()
