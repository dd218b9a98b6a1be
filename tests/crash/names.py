# SPDX-License-Identifier: Apache-2.0
"""A name for each kind of durable write, told from its keys alone, so that a plan can say where a process dies.

One batch bears several names when it carries several kinds of record. The keys are those of `chain.consensus.journal`,
`node.disk`, `node.store_keys` and `node.install`.
"""

from collections.abc import Iterable

from chain.pb import ledger_pb2 as pb

_KINDS = {pb.KIND_NOTARIZE: "notarize", pb.KIND_NULLIFY: "nullify", pb.KIND_FINALIZE: "finalize"}
_JOURNAL = {
    b"b": "journal.block",
    b"t": "journal.body",
    b"k": "journal.checkpoint-signature",
    b"n": "journal.newest-checkpoint",
    b"e": "journal.closing",
    b"m": "journal.muted",
    b"\x00": "journal.owner",
}
_LEDGER = {b"Q": "ledger.certified", b"K": "ledger.closing", b"F": "ledger.finalization"}

PRUNE_STATE = "ledger.prune-state"
PRUNE_BLOCKS = "ledger.prune-blocks"
COMPACTION = "ledger.compaction"
"""No batch: LevelDB merges tables, in a thread of the node's."""
MARK_FILE = "mark.file"
MARK_RENAME = "mark.rename"
MARK_FOLDER = "mark.folder"
COPY_READY = "copy.ready"
COPY_ASIDE = "copy.aside"
COPY_PLACED = "copy.placed"
_BY_MARK = (
    (b"MT", "ledger.commit"),
    (b"MN", "ledger.genesis"),
    (b"MF", "ledger.migration"),
    (b"MH", PRUNE_BLOCKS),
)
"""By the first of these keys that a batch writes: some write several."""
RENAMES = {"journal.mark": MARK_RENAME, "ledger.ready": COPY_READY, "ledger.old": COPY_ASIDE, "ledger": COPY_PLACED}
"""Which rename is meant, by what it renames to; see `node.exchange` for those of a copied ledger."""

NAMES = (
    "journal.owner",
    MARK_FILE,
    MARK_RENAME,
    MARK_FOLDER,
    "ledger.genesis",
    "journal.vote-notarize",
    "journal.vote-nullify",
    "journal.vote-finalize",
    "journal.certificate-notarize",
    "journal.certificate-nullify",
    "journal.certificate-finalize",
    "journal.block",
    "journal.body",
    "journal.checkpoint-signature",
    "journal.newest-checkpoint",
    "journal.forget",
    "ledger.commit",
    "ledger.certified",
    "ledger.finalization",
    "journal.closing",
    "ledger.closing",
    "ledger.migration",
    PRUNE_STATE,
    PRUNE_BLOCKS,
    COMPACTION,
    "journal.muted",
    "copy.begin",
    "copy.part",
    "copy.last",
    COPY_READY,
    COPY_ASIDE,
    COPY_PLACED,
)
"""Every name, in about the order in which a node's life meets them."""


def names_of(database: str, puts: Iterable[bytes], deletes: Iterable[bytes]) -> frozenset[str]:
    """What a batch is called.

    Args:
        database: The name of its folder: "journal", "ledger", or "ledger.new" while a copy is made.
        puts: Keys that it writes.
        deletes: Keys that it deletes.
    """
    if database == "journal":
        names = {_journal_name(key) for key in puts}
        return frozenset(names) or frozenset({"journal.forget"})
    keys = set(puts)
    if database.endswith(".new"):
        return frozenset({"copy.begin" if b"MI" in keys else "copy.last" if b"MT" in keys else "copy.part"})
    for key, name in _BY_MARK:
        if key in keys:
            return frozenset({name})
    names = {_LEDGER[key[:1]] for key in keys if key[:1] in _LEDGER}
    if "ledger.closing" in names:
        return frozenset({"ledger.closing"})
    if names:
        return frozenset(names)
    is_pruning = any(True for _ in deletes) or b"Sp" in keys
    return frozenset({PRUNE_STATE if is_pruning else "ledger.other"})


def _journal_name(key: bytes) -> str:
    first = key[:1]
    if first in {b"v", b"c"} and len(key) == 18:
        return f"journal.{'vote' if first == b'v' else 'certificate'}-{_KINDS.get(key[17], 'unknown')}"  # type: ignore[call-overload]  # an int is a key of an enum's table
    return _JOURNAL.get(first, "journal.other")
