# SPDX-License-Identifier: Apache-2.0
"""How fast goods' events execute: `python -m benchmarks.trace_rules [--events N]` prints one JSON object.

A farm harvests, ships to a market with a carrier, the market receives, cuts into bags and sells: five events and twenty
state writes a lot. Execution is over a dict; signatures are checked elsewhere. The ratio says how much of the state
tree's own rate the writes of those events would use, measured in the same run.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import hashes_per_s
from benchmarks.tree import BLOCK_UPDATES
from benchmarks.tree import run as run_tree
from chain.checkpoint import ValidatorSet
from chain.codec import encode
from chain.module import BlockFacts, Context
from chain.overlay import Overlay
from chain.signing import Scheme, Signer
from chain.tree import StateTree
from chain.types import FIRST_EPOCH, Height, Millis, Network, TransactionId, sha256
from node.leveldb import LevelDatabase
from traceability.gs1 import check_digit
from traceability.participants import participant_key, trader_key
from traceability.pb import traceability_pb2 as pb
from traceability.products import product_key
from traceability.rules import NAME, Traceability

TIME_MS = 1_800_000_000_000
MICRO = 1_000_000
TREE_KEYS = 20_000


def gln(number: int) -> str:
    """A party's number."""
    body = f"69012340{number:04}"
    return body + check_digit(body)


def gtin(number: int) -> str:
    """A product's number."""
    body = f"069012340{number:04}"
    return body + check_digit(body)


FARM, CARRIER, MARKET = gln(1), gln(2), gln(3)
CABBAGE, BAG = gtin(1), gtin(2)
SIGNERS = tuple(Signer(Scheme.ED25519, sha256(who.encode())) for who in (FARM, MARKET))


def first_state() -> dict[bytes, bytes]:
    """Three participants with keys, and two products."""
    roles = {FARM: pb.ROLE_FARM, CARRIER: pb.ROLE_CARRIER, MARKET: pb.ROLE_MARKET}
    state = {
        participant_key(who): encode(pb.ParticipantRecord(kind=pb.PARTICIPANT_KIND_COMPANY, roles=[role], keys=1))
        for who, role in roles.items()
    }
    for signer, who in zip(SIGNERS, (FARM, MARKET), strict=True):
        state[trader_key(signer)] = encode(pb.TraderKeyRecord(participant=who, since_ms=1))
    state[product_key(CABBAGE)] = encode(pb.RecordProduct(gtin=CABBAGE, unit=pb.UNIT_KILOGRAM, mass_mg=MICRO))
    state[product_key(BAG)] = encode(pb.RecordProduct(gtin=BAG, unit=pb.UNIT_PIECE, mass_mg=MICRO // 2))
    return state


def journey(number: int) -> Iterator[pb.RecordEvent]:
    """One lot from field to shopper."""
    lot, bags = f"01/{CABBAGE}/10/L{number}", f"01/{BAG}/10/B{number}"
    cabbage = [pb.Line(item=lot, quantity=100 * MICRO)]
    packed = [pb.Line(item=bags, quantity=200 * MICRO)]
    observe, add, delete = pb.ACTION_OBSERVE, pb.ACTION_ADD, pb.ACTION_DELETE
    thing, step = pb.EVENT_TYPE_OBJECT, pb.BusinessStep.Value
    acts = (
        pb.Projection(actor=FARM, type=thing, action=add, lines=cabbage),
        pb.Projection(
            actor=FARM,
            type=thing,
            action=observe,
            step=step("BUSINESS_STEP_SHIPPING"),
            counterparty=MARKET,
            carrier=CARRIER,
            lines=cabbage,
        ),
        pb.Projection(
            actor=MARKET,
            type=thing,
            action=observe,
            step=step("BUSINESS_STEP_RECEIVING"),
            counterparty=FARM,
            lines=cabbage,
        ),
        pb.Projection(actor=MARKET, type=pb.EVENT_TYPE_TRANSFORMATION, lines=cabbage, outputs=packed),
        pb.Projection(actor=MARKET, type=thing, action=delete, step=step("BUSINESS_STEP_RETAIL_SELLING"), lines=packed),
    )
    for index, projection in enumerate(acts):
        projection.id = sha256(b"%d %d" % (number, index))
        projection.event_time_ms = TIME_MS
        projection.offset_minutes = 480
        yield pb.RecordEvent(projection=projection, event_commitment=bytes(32), fields_root=bytes(32))


def run(events: int = 10_000) -> dict[str, float]:
    """Execute events, then write what they left into a state tree.

    Args:
        events: How many; rounded down to whole journeys of five.
    """
    messages = [message for number in range(max(1, events // 5)) for message in journey(number)]
    module, state = Traceability(), first_state()
    prefixes = (f"{NAME}/".encode(),)
    network = Network(bytes(32))
    facts = BlockFacts(network, Height(1), Millis(TIME_MS), ValidatorSet(FIRST_EPOCH, ()))
    writes = 0
    touched: list[tuple[bytes, bytes | None]] = []
    start = time.process_time()
    for index, message in enumerate(messages):
        overlay = Overlay(state.get)
        transaction = TransactionId(index.to_bytes(32))
        module.execute(Context(facts, transaction, SIGNERS, 0, 1, prefixes, overlay), message)
        for key, value in overlay.writes.items():
            writes += 1
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        touched.extend(overlay.writes.items())
    events_per_s = len(messages) / (time.process_time() - start)
    tree_per_s = run_tree(keys=TREE_KEYS, blocks=10)["updates_per_s"]
    return {
        "events": len(messages),
        "writes_per_event": round(writes / len(messages), 2),
        "events_per_s": round(events_per_s),
        "tree_updates_per_s": tree_per_s,
        "stored_events_per_s": round(len(messages) / _store_s(touched)),
        "execution_to_tree": round(events_per_s * writes / len(messages) / tree_per_s, 2),
        "hashes_per_s": hashes_per_s(),
    }


def _store_s(touched: list[tuple[bytes, bytes | None]]) -> float:
    """Seconds that the state tree takes for those writes, in blocks of 1,000, on LevelDB."""
    with tempfile.TemporaryDirectory() as room, LevelDatabase(Path(room) / "db") as database:
        tree = StateTree(database, b"S")
        start = time.perf_counter()
        for version, first in enumerate(range(0, len(touched), BLOCK_UPDATES), 1):
            block = dict(touched[first : first + BLOCK_UPDATES])
            update = tree.update(sorted(block.items()), version)
            database.write(update.puts)
            tree.applied(update)
        return time.perf_counter() - start


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    print(json.dumps(run(parser.parse_args().events)))


if __name__ == "__main__":
    main()
