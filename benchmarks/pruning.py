# SPDX-License-Identifier: Apache-2.0
"""How much disk a pruning node uses as its ledger grows: `python -m benchmarks.pruning [--blocks N]`.

Drives the ledger and its store as a node does, over LevelDB, with a thread that compacts; there is no network, and no
signature is checked or made. Each block issues attestations and revokes one, so that log and state both grow and
change. Sampled are the bytes of the database's files. Appends to `docs/results/pruning.tsv` and draws all of the
last run into `docs/results/pruning.svg`.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import genesis as genesis_file
from chain.codec import encode
from chain.consensus.block import Block
from chain.ledger import Ledger
from chain.signing import Scheme, Signer
from chain.transaction import Operation, SignedTransaction, build
from chain.types import Height, Millis, Network, View, sha256
from identity.pb import identity_pb2
from membership.genesis import key_section, membership_section, organisation_section
from node.collector import tune_collector
from node.compaction import Compactor
from node.leveldb import LevelDatabase
from node.modules import ledger_modules
from node.store import LedgerStore
from sim.instant_ledger import START_MS, secret_of, tls_certificate_of

BLOCKS = 100_000
BLOCKS_KEPT = 2_000
TRANSACTIONS = 5
BLOCK_MS = 1_000
REVOKED_KEPT = 5_000
"""So many ids are revoked and never again: the state stops growing there, and what changes is its past versions."""
SAMPLES = 200
PRUNED_KEYS_MAX = 2_000
"""As `node.ledger_service` does after each block."""
RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
YEAR_MS = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class Sample:
    """The disk after a block."""

    height: int
    disk_bytes: int
    oldest_block: int


class _Shell:
    """Signs with zeros: execution checks no signature."""

    def __init__(self, name: str) -> None:
        self.signer = Signer(Scheme.ED25519, sha256(name.encode()))

    def sign(self, message: bytes) -> bytes:
        """Nothing."""
        del message
        return bytes(64)


def run(blocks: int, blocks_kept: int, transactions: int, folder: Path) -> list[Sample]:
    """Grow a ledger and watch its disk.

    Args:
        blocks: How many to execute.
        blocks_kept: As in the node's settings; 0 prunes none.
        transactions: In each block.
        folder: For the database.
    """
    registrar = _Shell("registrar")
    genesis = genesis_file.load(_genesis(registrar))
    registry, authority = ledger_modules()
    samples: list[Sample] = []
    every = max(1, blocks // SAMPLES)
    with LevelDatabase(folder / "ledger") as database:
        store = LedgerStore(database, blocks_kept=blocks_kept)
        ledger = Ledger(store, genesis, registry, authority)
        compactor = Compactor(database.compact)
        try:
            for number in range(blocks):
                tip = ledger.tip()
                time_ms = Millis(tip.time_ms + BLOCK_MS)
                listed = _transactions(registrar, genesis.network, number, transactions, time_ms)
                block = Block.make(
                    ledger.validators.epoch,
                    View(number + 1),
                    Height(number + 1),
                    tip.block_id,
                    time_ms,
                    tuple(one.digest for one in listed),
                )
                ledger.commit(ledger.execute(block, listed))
                store.prune(PRUNED_KEYS_MAX)
                compactor.add(store.take_compactable())
                if (number + 1) % every == 0:
                    samples.append(Sample(number + 1, _disk_bytes(folder), store.oldest_block))
        finally:
            compactor.stop()
    return samples


def _genesis(registrar: _Shell) -> bytes:
    section = organisation_section(
        "registrar",
        name_en="registrar",
        roles=("registrar",),
        keys=(key_section(registrar.signer, "submit", "govern", "attest"),),
    )
    founder = genesis_file.Founder(
        "registrar", secret_of("registrar").public_key(), b"", tls_certificate_of("registrar"), "127.0.0.1:7000"
    )
    draft = genesis_file.build(
        name="pruning",
        time_ms=START_MS,
        founders=[founder],
        sections={"membership": membership_section((section,))},
    )
    digest = genesis_file.founding_digest(draft)
    proof = secret_of("registrar").prove_possession(digest, "registrar")
    return genesis_file.with_possessions(draft, {founder.bls_key: proof})


def _transactions(
    registrar: _Shell, network: Network, number: int, count: int, time_ms: Millis
) -> tuple[SignedTransaction, ...]:
    """One suspends or reinstates an attestation, the others issue one each."""
    turn, place = divmod(number, REVOKED_KEPT)
    change = identity_pb2.SetStatus(
        id=place.to_bytes(16),
        status=identity_pb2.STATUS_REINSTATED if turn % 2 else identity_pb2.STATUS_SUSPENDED,
        reason=identity_pb2.REASON_INVESTIGATION_CLOSED if turn % 2 else identity_pb2.REASON_UNDER_INVESTIGATION,
    )
    operations = [Operation.make("identity.SetStatus", encode(change))]
    for issued in range(1, count):
        name = number * count + issued
        attest = identity_pb2.Attest(
            id=(1 << 100 | name).to_bytes(16),
            schema=identity_pb2.SCHEMA_RESIDENT,
            schema_version=1,
            commitment=sha256(b"%d" % name),
            assurance_level=identity_pb2.ASSURANCE_LEVEL_HIGH,
            valid_from_ms=time_ms,
            valid_to_ms=time_ms + YEAR_MS,
        )
        operations.append(Operation.make("identity.Attest", encode(attest)))
    expires = Millis(time_ms + 60_000)
    return tuple(
        build([operation], [registrar], expires, (number * count + place).to_bytes(16), network)
        for place, operation in enumerate(operations)
    )


def _disk_bytes(folder: Path) -> int:
    """Of all files; one that LevelDB deletes meanwhile counts as nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


# ---------------------------------------------------------------- the plot

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 760, 360, 70, 50, 40, 20
_TICKS = 5


def plot(samples: Sequence[Sample], title: str) -> str:
    """A line of megabytes over blocks, as SVG."""
    blocks_max = max(sample.height for sample in samples)
    megabytes_max = _round_up(max(sample.disk_bytes for sample in samples) / 1e6)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(blocks: float) -> float:
        return _LEFT + wide * blocks / blocks_max

    def y(megabytes: float) -> float:
        return _TOP + high * (1 - megabytes / megabytes_max)

    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            f'font-size="12" role="img" aria-label="{title}">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14" fill="#1a1a1a">{title}</text>',
    ]
    for tick in range(_TICKS + 1):
        megabytes, blocks = megabytes_max * tick / _TICKS, blocks_max * tick // _TICKS
        lines += [
            (
                f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(megabytes):.1f}" y2="{y(megabytes):.1f}" '
                'stroke="#d0d0d0"/>'
            ),
            f'<text x="{_LEFT - 8}" y="{y(megabytes) + 4:.1f}" text-anchor="end" fill="#444444">{megabytes:g}</text>',
            (
                f'<text x="{x(blocks):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle" fill="#444444">'
                f"{blocks:,}</text>"
            ),
        ]
    points = " ".join(f"{x(sample.height):.1f},{y(sample.disk_bytes / 1e6):.1f}" for sample in samples)
    lines += [
        f'<polyline points="{points}" fill="none" stroke="#0b6e4f" stroke-width="2"/>',
        f'<text x="{_LEFT + wide / 2:.0f}" y="{_HEIGHT - 12}" text-anchor="middle" fill="#444444">blocks</text>',
        (
            f'<text x="16" y="{_TOP + high / 2:.0f}" text-anchor="middle" fill="#444444" '
            f'transform="rotate(-90 16 {_TOP + high / 2:.0f})">MB on disk</text>'
        ),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, … that is not smaller."""
    scale = 1.0
    while True:
        for step in (1.0, 2.0, 5.0):
            if step * scale >= value:
                return step * scale
        scale *= 10


def main() -> None:
    """Measure, append, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--kept", type=int, default=BLOCKS_KEPT, help="0 prunes no blocks")
    parser.add_argument("--transactions", type=int, default=TRANSACTIONS, help="in each block")
    parser.add_argument("--dry", action="store_true", help="print only, leave docs/results as it is")
    arguments = parser.parse_args()
    tune_collector()  # as a node does
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as room:
        samples = run(arguments.blocks, arguments.kept, arguments.transactions, Path(room))
    seconds = time.monotonic() - began
    half = samples[len(samples) // 2 :]
    row = "\t".join(
        str(value)
        for value in (
            _commit(),
            arguments.blocks,
            arguments.transactions,
            arguments.kept,
            f"{max(sample.disk_bytes for sample in samples) / 1e6:.1f}",
            f"{min(sample.disk_bytes for sample in half) / 1e6:.1f}",
            f"{max(sample.disk_bytes for sample in half) / 1e6:.1f}",
            f"{samples[-1].disk_bytes / 1e6:.1f}",
            f"{seconds:.0f}",
        )
    )
    print(_COLUMNS)
    print(row)
    if arguments.dry:
        return
    table = RESULTS / "pruning.tsv"
    if not table.exists():
        table.write_text(_COLUMNS + "\n")
    with table.open("a") as file:
        file.write(row + "\n")
    title = f"Disk of a node that keeps {arguments.kept:,} blocks, {arguments.transactions} transactions each"
    (RESULTS / "pruning.svg").write_text(plot(samples, title))


_COLUMNS = (
    "commit\tblocks\ttransactions_a_block\tblocks_kept\tdisk_mb_max\tdisk_mb_min_second_half\t"
    "disk_mb_max_second_half\tdisk_mb_end\tseconds"
)


def _commit() -> str:
    """Of the code that ran."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
