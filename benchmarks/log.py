# SPDX-License-Identifier: Apache-2.0
"""How fast the log grows and proves, on LevelDB: `python -m benchmarks.log [--entries N]` prints one JSON object."""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from benchmarks.machine import hashes_per_s
from chain.log import leaf_hash, verify_inclusion
from chain.log_tiles import Log
from node.leveldb import LevelDatabase

BLOCK_ENTRIES = 1_000
ENTRY_BYTES = 300
PROOFS = 2_000


def run(entries: int = 200_000, seed: int = 1) -> dict[str, float]:
    """Append entries in blocks of 1,000, one synced batch a block; then prove some of them at random.

    Args:
        entries: How many; a multiple of 1,000.
        seed: For the entries' bytes and the choice of proofs.
    """
    rng = random.Random(seed)
    blocks = [
        [rng.randbytes(ENTRY_BYTES) for _ in range(BLOCK_ENTRIES)] for _ in range(max(1, entries // BLOCK_ENTRIES))
    ]
    hash_rate = hashes_per_s()
    with tempfile.TemporaryDirectory() as room, LevelDatabase(Path(room) / "db") as database:
        log = Log(database, b"L", 0)
        start = time.perf_counter()
        for block in blocks:
            append = log.append(block)
            database.write(append.puts)
            log.applied(append)
        append_s = time.perf_counter() - start
        root, size = log.root(), log.size
        indexes = [rng.randrange(size) for _ in range(PROOFS)]
        start = time.perf_counter()
        paths = [log.prove_inclusion(index, size) for index in indexes]
        prove_s = time.perf_counter() - start
        start = time.perf_counter()
        for index, path in zip(indexes, paths, strict=True):
            entry = blocks[index // BLOCK_ENTRIES][index % BLOCK_ENTRIES]
            verify_inclusion(leaf_hash(entry), index, size, path, root)
        verify_s = time.perf_counter() - start
    return {
        "entries": size,
        "appends_per_s": round(size / append_s),
        "proof_us": round(prove_s / PROOFS * 1e6, 1),
        "verify_us": round(verify_s / PROOFS * 1e6, 1),
        "hashes_per_s": hash_rate,
        "hashes_per_s_after": hashes_per_s(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=200_000)
    print(json.dumps(run(parser.parse_args().entries)))


if __name__ == "__main__":
    main()
