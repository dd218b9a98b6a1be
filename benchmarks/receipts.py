# SPDX-License-Identifier: Apache-2.0
"""How fast receipts are verified: `python -m benchmarks.receipts [--validators N]` prints one JSON object.

Cold is one receipt under a checkpoint never seen, by a verifier that has the genesis file loaded and nothing else;
further is another one under the same checkpoint. Figures are processor time.
"""

import argparse
import json
import time

from benchmarks.machine import hashes_per_s
from chain import genesis, receipt, receipt_text
from chain.bls import HASHES_CACHED_MAX
from chain.ed25519 import Ed25519Signer
from chain.receipt import Verifier
from chain.transaction import Operation, build
from chain.types import Millis
from sim.instant_ledger import InstantLedger

CHECKPOINTS = HASHES_CACHED_MAX + 16
"""More than the cache of hashed messages holds, so that what was signed is hashed anew on verifying."""
ENTRIES = 1_000
FURTHER = 500


def run(validators: int = 4) -> dict[str, float]:
    """Measure one receipt cold and warm, state proofs, and the texts.

    Args:
        validators: How many certify.
    """
    ledger = InstantLedger([f"organisation-{i}" for i in range(validators)])
    signer = Ed25519Signer(bytes(32))
    act = Operation.make("identity.Attest", bytes(range(250)))
    expires = Millis(ledger.genesis.time_ms + 60_000)
    outcomes = [
        (build([act], [signer], expires, i.to_bytes(16, "big"), ledger.genesis.network), None) for i in range(ENTRIES)
    ]
    ledger.append(outcomes, {b"status/a/%d" % i: b"revoked" for i in range(ENTRIES)})
    hash_rate = hashes_per_s()
    colds = []
    for _ in range(CHECKPOINTS):
        ledger.append()
        colds.append(ledger.receipt([(7, 0)]))
    start = time.process_time()
    for raw in colds:
        receipt.verify(raw, ledger.genesis)
    cold_s = (time.process_time() - start) / CHECKPOINTS
    verifier = Verifier(ledger.genesis)
    warm = [ledger.receipt([(i, 0)]) for i in range(FURTHER)]
    states = [ledger.receipt([], [b"status/a/%d" % (2 * i)]) for i in range(FURTHER)]
    verifier.verify(warm[0])
    warm_s = _each_s(verifier, warm)
    state_s = _each_s(verifier, states)
    start = time.process_time()
    genesis.load(ledger.genesis_bytes)
    load_s = time.process_time() - start
    return {
        "validators": validators,
        "cold_ms": round(cold_s * 1e3, 3),
        "further_ms": round(warm_s * 1e3, 3),
        "further_state_ms": round(state_s * 1e3, 3),
        "genesis_load_ms": round(load_s * 1e3, 3),
        "receipt_bytes": len(colds[0]),
        "compact_characters": len(receipt_text.to_compact(colds[0])),
        "hashes_per_s": hash_rate,
        "hashes_per_s_after": hashes_per_s(),
    }


def _each_s(verifier: Verifier, receipts: list[bytes]) -> float:
    """Seconds for each receipt."""
    start = time.process_time()
    for raw in receipts:
        verifier.verify(raw)
    return (time.process_time() - start) / len(receipts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--validators", type=int, default=4)
    print(json.dumps(run(parser.parse_args().validators)))


if __name__ == "__main__":
    main()
