# SPDX-License-Identifier: Apache-2.0
"""Which part of a stored ledger an audit can execute: it needs every block of it, and the state before the first.

A ledger that holds everything since genesis is executed from genesis. One that joined by a snapshot or was pruned holds
perhaps no state as old as its oldest block's; it is executed from the oldest state on, and what lies before that is
followed by hashes, signatures and certificates.
"""

from dataclasses import dataclass

from chain.checkpoint import Checkpoint
from chain.genesis import Genesis
from chain.storage import Reader
from chain.types import BlockId, Epoch, Height
from node.audit_faults import compare, fail, fail_missing
from node.audit_read import decode_checkpoint
from node.audit_scratch import last_height
from node.audit_state import KEYS, oldest_version
from node.errors import ConfigError
from node.store_keys import (
    EVERYTHING,
    FORMAT,
    FORMAT_KEY,
    HORIZON_KEY,
    INSTALL_KEY,
    NETWORK_KEY,
    TIP_KEY,
    Horizon,
    numbered,
)


class ScopeError(Exception):
    """A range of heights that can't be audited; the text says which can."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an audit executes.

    Attributes:
        first: The first block that is executed.
        last: The last one; first - 1 if there is none.
        base: The checkpoint before the first block; None if that is genesis.
        follow_from: The first of the blocks up to the base, itself among them, that are checked by what needs no
            execution; None if none are.
        tip: The newest stored block's checkpoint, or one of height 0.
        forgotten: States before this height are not held.
        horizon: How far back blocks and entries are held.
    """

    first: int
    last: int
    base: Checkpoint | None
    follow_from: int | None
    tip: Checkpoint
    forgotten: int
    horizon: Horizon

    @property
    def is_tip(self) -> bool:
        """Whether the range ends with the newest block."""
        return self.last == self.tip.height

    @property
    def first_leaf(self) -> int:
        """The first entry that is held."""
        return self.horizon.first_leaf


def find_scope(reader: Reader, genesis: Genesis, first: int | None, last: int | None) -> Scope:
    """What can be executed of what is asked for.

    Args:
        reader: Of the ledger's database.
        genesis: Of the network.
        first: The first block to execute; the oldest possible if None.
        last: The last one; the newest if None.

    Raises:
        ScopeError: The state before the first block is not held, or there are no such heights.
        ConfigError: Another network's ledger, another format, or a copy that is not whole yet.
        Damaged: A record that says so is missing or malformed.
    """
    _check_whose(reader, genesis)
    tip = _tip(reader, genesis)
    horizon, forgotten = _horizon(reader), oldest_version(reader)
    if forgotten > tip.height:
        fail(KEYS.oldest, f"the oldest state is said to be {forgotten}, above the newest block {tip.height}")
    is_whole = horizon == EVERYTHING
    oldest = 1 if is_whole else max(horizon.oldest_block, forgotten) + 1
    begin, end = oldest if first is None else first, tip.height if last is None else last
    if not 1 <= end <= tip.height and not (tip.height == 0 and last is None):
        raise ScopeError(f"there is no block {end}; the newest is {tip.height}")
    if first is not None and not 1 <= first <= end:
        raise ScopeError(f"the range from {first} to {end} has no blocks")
    if begin > 1 and not oldest_base(horizon, forgotten) <= begin - 1 <= tip.height:
        at = oldest_base(horizon, forgotten) + 1
        whole = "without --from, or " if is_whole else ""
        raise ScopeError(
            f"the state after block {begin - 1}, from which block {begin} is executed, is not held; start {whole}"
            f"with --from {at} or later"
        )
    if begin == 1 and not is_whole:
        raise ScopeError(
            f"the ledger begins with block {horizon.oldest_block}, and its oldest state is that of {forgotten}; start "
            f"with --from {oldest} or later"
        )
    base = _base(reader, begin - 1)
    follow_from = None if first is not None or is_whole else int(horizon.oldest_block)
    return Scope(begin, end, base, follow_from, tip, forgotten, horizon)


def oldest_base(horizon: Horizon, forgotten: int) -> int:
    """The lowest height whose state and block are both held, so that the blocks after it can be executed."""
    return max(horizon.oldest_block, forgotten)


def _check_whose(reader: Reader, genesis: Genesis) -> None:
    raw, network = reader.get(FORMAT_KEY), reader.get(NETWORK_KEY)
    if raw is None and network is None:
        raise ConfigError("there is no ledger here; name the home of a node that has run, or a backup")
    if raw is None:
        fail_missing(FORMAT_KEY)
    if network is None:
        fail_missing(NETWORK_KEY)
    if not 1 <= int.from_bytes(raw) <= FORMAT or len(raw) != 4:
        raise ConfigError(
            f"the ledger's directory has format {int.from_bytes(raw)}, this program knows 1 to {FORMAT}; if a newer "
            "program wrote it, use that one; else the record is damaged"
        )
    if network != genesis.network:
        newest = reader.get(TIP_KEY)
        if newest is not None and decode_checkpoint(TIP_KEY, newest).network == genesis.network:
            compare(NETWORK_KEY, genesis.network, network)
        raise ConfigError(
            f"the ledger is of the network {network.hex()}, the genesis file of {genesis.network.hex()}; use the "
            "genesis file that the ledger was made with"
        )
    if reader.get(INSTALL_KEY) is not None:
        raise ConfigError("a copy of the ledger is being put in here and is not whole yet; let the node finish first")


def _tip(reader: Reader, genesis: Genesis) -> Checkpoint:
    height = last_height(reader)
    if height == 0:
        if reader.get(TIP_KEY) is not None:
            fail_missing(numbered(b"C", 1))
        return Checkpoint(
            genesis.network, Epoch(0), Height(0), genesis.time_ms, _NO_BLOCK, 0, _NO_BLOCK, _NO_BLOCK, b""
        )
    key = numbered(b"C", height)
    raw = reader.get(key)
    assert raw is not None, "it was found just now"
    tip = reader.get(TIP_KEY)
    if tip is None:
        fail_missing(TIP_KEY)
    return decode_checkpoint(key, raw)


def _horizon(reader: Reader) -> Horizon:
    """How far back blocks and entries reach: what the record says, which must be what is held."""
    raw = reader.get(HORIZON_KEY)
    if raw is None:
        return EVERYTHING
    horizon = Horizon.decode(raw)
    oldest_block = _lowest(reader, b"B", horizon.oldest_block)
    first_leaf = _lowest(reader, b"E", horizon.first_leaf)
    compare(HORIZON_KEY, Horizon(Height(oldest_block), first_leaf).encode(), raw)
    return horizon


def _lowest(reader: Reader, kind: bytes, otherwise: int) -> int:
    """The lowest number in a table's keys."""
    for key, _ in reader.range(kind, bytes([kind[0] + 1])):
        return int.from_bytes(key[1:9])
    return otherwise


def _base(reader: Reader, height: int) -> Checkpoint | None:
    if height == 0:
        return None
    key = numbered(b"C", height)
    raw = reader.get(key)
    if raw is None:
        fail_missing(key)
    return decode_checkpoint(key, raw)


_NO_BLOCK = BlockId(bytes(32))
