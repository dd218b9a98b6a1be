# SPDX-License-Identifier: Apache-2.0
"""Questions to the index: blocks, transactions, operations, signers. Blocking; call them from a thread.

Each reads at most a page and one row more, along an index: a page's cost does not grow with the ledger.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, Select, func, literal_column, select, update
from sqlalchemy.orm import Session

from service.explorer.tables import proposed_table, signers_table
from service.index.ledger_tables import (
    blocks_table,
    operations_table,
    signatures_table,
    split_signers,
    transactions_table,
)
from service.store.engine import transaction

PAGE_SIZE = 25
PAGE_SIZE_MAX = 100
"""Rows of one answer of the interface for programs."""
SIGNERS_MAX = 64
"""Keys of one organisation that a filter follows; each costs one lookup along the index."""
ORGANISATIONS_MAX = 512
"""Organisations that are listed: what one answer of a node proves."""
CHART_BLOCKS = 60
WINDOW_LEAVES = 20_000
"""Entries that a page looks through where filters meet that no index joins; from there the reader goes on."""
LEAF_MAX = 1 << 53
"""Above every leaf; beyond it browsers can't count."""


@dataclass(frozen=True, slots=True)
class BlockRow:
    """One block.

    Attributes:
        certified_at: Height of the checkpoint that covered it when it was indexed.
    """

    height: int
    id: bytes
    epoch: int
    view: int
    time_ms: int
    first_leaf: int
    transactions: int
    operations: int
    certified_at: int


@dataclass(frozen=True, slots=True)
class TransactionRow:
    """One transaction.

    Attributes:
        organisations: Of its signers, as far as they are known.
        failure: Code of the rule that refused it; empty: it took effect.
    """

    leaf_index: int
    id: bytes
    height: int
    time_ms: int
    operations: int
    first_type: str
    signers: tuple[bytes, ...]
    organisations: tuple[str, ...]
    failure: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which transactions are wanted; what is None does not matter."""

    kind: str | None = None
    organisation: str | None = None
    failed: bool | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Transactions, newest first.

    Attributes:
        rows: Those found.
        after: Newer ones stand above this leaf; None: there are none.
        before: Older ones stand below this leaf; None: there are none.
        is_partial: Whether the page ends before it is full, because the filters would have to look too far.
    """

    rows: tuple[TransactionRow, ...]
    after: int | None
    before: int | None
    is_partial: bool = False


class Explored:
    """The index as pages ask it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def totals(self) -> tuple[int, int, int]:
        """Newest height, number of transactions, and that of organisations' signers."""
        with transaction(self._engine, writes=False) as session:
            height = session.scalar(select(func.max(blocks_table.c.height))) or 0
            leaf = session.scalar(select(func.max(transactions_table.c.leaf_index)))
            signers = session.scalar(select(func.count()).select_from(signers_table)) or 0
            return height, 0 if leaf is None else leaf + 1, signers

    def blocks(self, before: int | None, size: int = PAGE_SIZE) -> list[BlockRow]:
        """Blocks below a height, newest first; one more than `size` if there are older ones."""
        query = select(blocks_table).order_by(blocks_table.c.height.desc()).limit(size + 1)
        if before is not None:
            query = query.where(blocks_table.c.height < before)
        with transaction(self._engine, writes=False) as session:
            return [_block(row) for row in session.execute(query)]

    def block(self, reference: int | bytes) -> BlockRow | None:
        """A block by height or id."""
        column = blocks_table.c.id if isinstance(reference, bytes) else blocks_table.c.height
        with transaction(self._engine, writes=False) as session:
            row = session.execute(select(blocks_table).where(column == reference)).one_or_none()
            return None if row is None else _block(row)

    def transaction(self, identifier: bytes) -> TransactionRow | None:
        """A transaction by id."""
        query = select(transactions_table).where(transactions_table.c.id == identifier)
        with transaction(self._engine, writes=False) as session:
            return next(iter(_transactions(session, session.execute(query).all())), None)

    def operation_types(self, leaf_index: int) -> list[str]:
        """Types of a transaction's operations, in their order."""
        table = operations_table
        query = select(table.c.type).where(table.c.leaf_index == leaf_index).order_by(table.c.operation_index)
        with transaction(self._engine, writes=False) as session:
            return list(session.scalars(query))

    def kinds(self) -> list[str]:
        """Types of operations that occur; found by jumping along the index from one to the next."""
        found: list[str] = []
        with transaction(self._engine, writes=False) as session:
            column = operations_table.c.type
            kind = session.scalar(select(func.min(column)))
            while kind is not None and len(found) < PAGE_SIZE_MAX:
                found.append(kind)
                kind = session.scalar(select(func.min(column)).where(column > kind))
        return found

    def transactions(
        self, wanted: Filter, *, before: int | None = None, after: int | None = None, size: int = PAGE_SIZE
    ) -> Page:
        """A page of transactions, newest first.

        Args:
            wanted: Which.
            before: Those below this leaf.
            after: Those above this leaf, the ones next to it; `before` is not looked at then.
            size: At most so many.
        """
        ascending = after is not None
        bound = after if after is not None else LEAF_MAX if before is None else before
        with transaction(self._engine, writes=False) as session:
            newest = session.scalar(select(func.max(transactions_table.c.leaf_index))) or 0
            edge = _edge(wanted, min(bound, newest + 1), ascending=ascending)
            found = _leaves(session, wanted, bound, edge, size + 1, ascending=ascending)
            rows = _transactions(session, found[:size])
        is_partial = len(found) <= size and edge is not None and (edge <= newest if ascending else edge >= 0)
        goes_on = len(found) > size or is_partial
        end = edge if is_partial else rows[-1].leaf_index if rows else None
        if ascending:
            # Whence one came, there are older ones.
            first = rows[0].leaf_index if rows else bound + 1
            return Page(tuple(rows[::-1]), end if goes_on else None, first, is_partial)
        start = rows[0].leaf_index if rows else bound - 1
        return Page(tuple(rows), start if before is not None else None, end if goes_on else None, is_partial)

    def all_transactions(self, wanted: Filter, count_max: int) -> Iterator[TransactionRow]:
        """Transactions for an export, newest first, in pieces."""
        before: int | None = None
        while count_max > 0:
            page = self.transactions(wanted, before=before, size=min(1000, count_max))
            yield from page.rows
            count_max -= len(page.rows)
            if page.before is None:
                return
            before = page.before

    def proposed_organisations(self) -> list[str]:
        """Organisations that proposals have named, oldest first."""
        query = select(proposed_table.c.id).order_by(proposed_table.c.leaf_index).limit(ORGANISATIONS_MAX)
        with transaction(self._engine, writes=False) as session:
            return list(session.scalars(query))

    def unknown_signers(self) -> list[bytes]:
        """Signers whose organisation was not looked up yet; at most a node's answer."""
        table = signers_table
        query = select(table.c.signer).where(table.c.organisation.is_(None)).limit(ORGANISATIONS_MAX)
        with transaction(self._engine, writes=False) as session:
            return list(session.scalars(query))

    def save_signers(self, organisations: dict[bytes, str]) -> None:
        """Keep whose keys these are; an empty name stands for a key without a record."""
        with transaction(self._engine, writes=True) as session:
            for signer, organisation in organisations.items():
                query = update(signers_table).where(signers_table.c.signer == signer)
                session.execute(query.values(organisation=organisation))


def _block(row: Row[Any]) -> BlockRow:
    return BlockRow(**row._mapping)  # noqa: SLF001 - the public name of a row's columns has this form


def _edge(wanted: Filter, bound: int, *, ascending: bool) -> int | None:
    """The leaf at which a page stops looking; None: an index leads to each row that is wanted."""
    if wanted.height is not None or wanted in (Filter(), Filter(kind=wanted.kind), Filter(failed=True)):
        return None
    if wanted == Filter(organisation=wanted.organisation):
        return None
    return bound + WINDOW_LEAVES if ascending else bound - WINDOW_LEAVES


def _leaves(
    session: Session, wanted: Filter, bound: int, edge: int | None, count: int, *, ascending: bool
) -> Sequence[Row[Any]]:
    """Rows of the table of transactions beyond a leaf and up to an edge, the nearest first."""
    if wanted.organisation is None:
        return session.execute(_query(wanted, None, bound, edge, count, ascending=ascending)).all()
    query = select(signers_table.c.signer).where(signers_table.c.organisation == wanted.organisation)
    signers = list(session.scalars(query.limit(SIGNERS_MAX)))
    lists = [
        session.execute(_query(wanted, signer, bound, edge, count, ascending=ascending)).all() for signer in signers
    ]
    merged: dict[int, Row[Any]] = {}
    for row in heapq.merge(*lists, key=lambda row: row.leaf_index, reverse=not ascending):
        merged.setdefault(row.leaf_index, row)
        if len(merged) == count:
            break
    return list(merged.values())


def _query(
    wanted: Filter, signer: bytes | None, bound: int, edge: int | None, count: int, *, ascending: bool
) -> Select[Any]:
    """One signer's transactions, or everybody's, driven by the index that fits."""
    table = transactions_table
    leaf, query = table.c.leaf_index, select(table)
    if signer is not None:
        leaf = signatures_table.c.leaf_index
        query = query.join(signatures_table, signatures_table.c.leaf_index == table.c.leaf_index)
        query = query.where(signatures_table.c.signer == signer)
    beyond = leaf > bound if ascending else leaf < bound
    if edge is not None:
        query = query.where(leaf <= edge if ascending else leaf >= edge)
    order = leaf.asc() if ascending else leaf.desc()
    if wanted.kind is not None:
        of_kind = operations_table.c.type == wanted.kind
        if signer is None and wanted.failed is None and wanted.height is None:
            place = operations_table.c.leaf_index
            near = select(place).where(of_kind, place > bound if ascending else place < bound).distinct()
            near = near.order_by(place.asc() if ascending else place.desc()).limit(count)
            return query.where(leaf.in_(near)).order_by(order)
        here = (operations_table.c.leaf_index == table.c.leaf_index) & of_kind
        query = query.where(select(literal_column("1")).where(here).exists())
    if wanted.failed is not None:
        # Written out, so that the partial index over failed ones is taken.
        query = query.where(literal_column("ledger_transaction.failure " + ("!= ''" if wanted.failed else "= ''")))
    if wanted.height is not None:
        query = query.where(table.c.height == wanted.height)
    return query.where(beyond).order_by(order).limit(count)


def _transactions(session: Session, rows: Iterable[Row[Any]]) -> list[TransactionRow]:
    listed = [(row, tuple(split_signers(row.signers))) for row in rows]
    wanted = {signer for _, signers in listed for signer in signers}
    table = signers_table
    known: dict[bytes, str | None] = {}
    if wanted:
        found = session.execute(select(table.c.signer, table.c.organisation).where(table.c.signer.in_(wanted)))
        known = {row.signer: row.organisation for row in found}
    made = []
    for row, signers in listed:
        names = dict.fromkeys(name for signer in signers if (name := known.get(signer)))
        made.append(TransactionRow(**{**row._mapping, "signers": signers, "organisations": tuple(names)}))  # noqa: SLF001 - as in `_block`
    return made
