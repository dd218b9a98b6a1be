# SPDX-License-Identifier: Apache-2.0
"""Checks a ledger's database: every table of `node.store_keys` against every other, and all of it against genesis.

What is checked is that the database is what executing some certified history leaves; that the history itself was
executed rightly is what an audit finds out. Nothing is changed. Memory is bounded: tables are scanned in key order side
by side, and only one block and one version of the state are held at a time.

Two things can't be seen, for a right database may lack them: certificates (Q) but for those of closing blocks, and
finalizations (F), since both are kept when they come to be known.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from chain.checkpoint import Checkpoint
from chain.errors import InvalidMessage
from chain.genesis import Genesis
from chain.storage import Reader
from node.errors import StorageError
from node.fsck_blocks import BlocksCheck
from node.fsck_findings import PROBLEMS_MAX, EnoughFound, Findings, Kind, Problem, Progress, Span
from node.fsck_proofs import ProofsCheck
from node.fsck_tree import TreeCheck
from node.store_keys import EVERYTHING, FORMAT, FORMAT_KEY, HORIZON_KEY, INSTALL_KEY, NETWORK_KEY, TIP_KEY, Horizon

__all__ = ["Kind", "Problem", "check"]

_TABLES = b"BCDEFHKLMOQRSTVX"
"""First bytes of the keys that a ledger's database may hold, ascending."""
_META = (FORMAT_KEY, HORIZON_KEY, INSTALL_KEY, NETWORK_KEY, TIP_KEY)
_STATE_KINDS = b"nprsv"
_HORIZON_BYTES = 16
T = TypeVar("T")


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def check(
    reader: Reader,
    genesis: Genesis,
    *,
    progress: Progress = _silent,
    signatures: bool = True,
    problems_max: int = PROBLEMS_MAX,
) -> list[Problem]:
    """Check a ledger's database.

    Args:
        reader: One moment of it; see `node.local.open_reader`.
        genesis: Of the network that it should be of.
        progress: Called now and then with the stage, what is done of it, and how much there is.
        signatures: Verify every certificate, a few milliseconds each; else those that lead from genesis to the newest
            one, and of the others only what they are of.
        problems_max: Stop once so many are found.

    Returns:
        What is wrong, empty for a sound database; `problems_max` of them mean that there may be more.
    """
    findings = Findings(problems_max)
    try:
        _read(findings, lambda: _check_unknown(reader, findings))
        span = _read(findings, lambda: _check_meta(reader, findings, genesis))
        if span is not None:
            blocks = _read(findings, lambda: _check_blocks(reader, findings, genesis, span, progress))
            closings = {} if blocks is None else blocks.closings
            proofs = ProofsCheck(reader, findings, genesis, span, progress)
            _read(findings, lambda: proofs.run(closings, signatures=signatures))
        tip = 0 if span is None else span.tip.height
        _read(findings, lambda: _check_tree(reader, findings, tip, progress))
    except EnoughFound:
        pass
    return findings.problems


def _check_blocks(reader: Reader, findings: Findings, genesis: Genesis, span: Span, progress: Progress) -> BlocksCheck:
    """Check blocks and what hangs on them; a second time, slowly, where the quick way shows that something is wrong."""
    blocks = BlocksCheck(reader, findings, genesis.network, span, progress, exact=False)
    blocks.run()
    if blocks.must_be_exact:
        BlocksCheck(reader, findings, genesis.network, span, progress, exact=True).run()
    return blocks


def _check_tree(reader: Reader, findings: Findings, tip: int, progress: Progress) -> None:
    """The same for the state."""
    tree = TreeCheck(reader, findings, tip, progress, exact=False)
    tree.run()
    if tree.must_be_exact:
        TreeCheck(reader, findings, tip, progress, exact=True).run()


def _read(findings: Findings, work: Callable[[], T]) -> T | None:
    """Do one part of the check; a disk that fails ends that part alone."""
    try:
        return work()
    except StorageError as error:
        findings.add(b"", Kind.UNREADABLE, str(error))
        return None


def _gaps(letters: Iterable[int], prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The ranges of keys between the tables that begin with these bytes, ascending."""
    start = prefix
    for letter in letters:
        yield start, prefix + bytes((letter,))
        start = prefix + bytes((letter + 1,))
    yield start, prefix[:-1] + bytes((prefix[-1] + 1,)) if prefix else b"\xff" * 64


def _check_unknown(reader: Reader, findings: Findings) -> None:
    """Name records that belong to no table."""
    for start, stop in (*_gaps(_TABLES, b""), *_gaps(_STATE_KINDS, b"S")):
        for key, _ in reader.range(start, stop):
            findings.surplus(key, "a record of a table that no ledger has")
    for start, stop, known in ((b"M", b"N", _META), (b"Sp", b"Sq", (b"Sp",))):
        for key, _ in reader.range(start, stop):
            if key not in known:
                findings.surplus(key, "a record of a table that no ledger has")


def _check_meta(reader: Reader, findings: Findings, genesis: Genesis) -> Span | None:
    """What of the ledger's past should be there; None if that can't be said, or nothing was executed yet."""
    raw = reader.get(FORMAT_KEY)
    if raw is None:
        findings.missing(FORMAT_KEY, "the format of the directory is not stored")
        return None
    number = int.from_bytes(raw)
    if len(raw) != 4 or not 1 <= number <= FORMAT:
        findings.wrong(FORMAT_KEY, f"the directory has format {number}; this program knows 1 to {FORMAT}")
        raise EnoughFound
    if reader.get(INSTALL_KEY) is not None:
        findings.surplus(INSTALL_KEY, "a copy of the ledger was begun here and is not whole")
        raise EnoughFound
    network = reader.get(NETWORK_KEY)
    if network is None:
        findings.missing(NETWORK_KEY, "the network is not stored")
    elif network != genesis.network:
        findings.wrong(NETWORK_KEY, f"the ledger is of network {network.hex()}, genesis of {genesis.network.hex()}")
    horizon = _horizon(reader, findings, number)
    raw = reader.get(TIP_KEY)
    if raw is None:
        _check_nothing_executed(reader, findings)
        return None
    try:
        tip = Checkpoint.decode(raw)
    except InvalidMessage as error:
        findings.wrong(TIP_KEY, f"the newest checkpoint is none: {error.reason}")
        return None
    if tip.height + 1 < horizon.oldest_block or tip.log_size < horizon.first_leaf:
        findings.wrong(HORIZON_KEY, f"the past that is held begins after the newest block, {tip.height}")
        return None
    return Span(horizon.oldest_block, horizon.first_leaf, tip)


def _horizon(reader: Reader, findings: Findings, number: int) -> Horizon:
    """Where the held past begins; format 1 had all of it."""
    if number == 1:
        return EVERYTHING
    raw = reader.get(HORIZON_KEY)
    if raw is None:
        findings.missing(HORIZON_KEY, "the horizon is not stored")
        return EVERYTHING
    if len(raw) != _HORIZON_BYTES or Horizon.decode(raw).oldest_block < 1:
        findings.wrong(HORIZON_KEY, "the horizon is two numbers of 8 bytes, the first at least 1")
        return EVERYTHING
    return Horizon.decode(raw)


def _check_nothing_executed(reader: Reader, findings: Findings) -> None:
    """Without a newest checkpoint there are no blocks."""
    if next(iter(reader.range(b"C", b"D")), None) is not None:
        findings.missing(TIP_KEY, "the newest block's checkpoint is not stored")
        return
    for letter in _TABLES:
        if letter not in b"KMQS":
            for key, _ in reader.range(bytes((letter,)), bytes((letter + 1,))):
                findings.surplus(key, "no block has been executed")
