# SPDX-License-Identifier: Apache-2.0
"""A ledger as a newcomer has it: copied at one certified height from another's parts, each verified."""

from chain import light_client
from chain.certificate import BlsScheme
from chain.checkpoint import Checkpoint
from chain.light_client import TrustAnchor
from chain.memory import MemoryDatabase
from chain.snapshot import Children, verify_head, verify_part, verify_tail
from chain.types import FIRST_EPOCH, Height
from node.copies import Copies
from node.install import Installer
from tests.certified_ledger import CertifiedLedger


class Flushable(MemoryDatabase):
    """Memory is always flushed."""

    def flush(self) -> None:
        """Nothing to do."""


def copy_at(ledger: CertifiedLedger, height: int) -> MemoryDatabase:
    """A database with a copy that begins at this height."""
    copies = Copies(ledger.database)
    closings = [
        closing
        for closing in copies.closings(FIRST_EPOCH, 100)
        if Checkpoint.decode(closing.certified.checkpoint).height <= height
    ]
    anchor = light_client.advance(TrustAnchor.from_genesis(ledger.genesis), closings, BlsScheme())
    epoch = ledger.executions[height - 1].block.epoch
    head = verify_head(copies.head(Height(height)), anchor.at(epoch), BlsScheme())
    database = Flushable()
    installer = Installer(database, head, closings)
    root = head.checkpoint.state_root
    ahead: list[tuple[bytes, bytes]] = [(b"", root)]
    while ahead:
        path, expected = ahead.pop()
        part = verify_part(copies.state(Height(height), path), path, expected, Height(height))
        installer.add_state(part)
        if isinstance(part, Children):
            ahead += part.below()
    while installer.next_leaf < head.checkpoint.log_size:
        leaf = installer.next_leaf
        installer.add_tail(verify_tail(copies.tail(Height(height), leaf), leaf, head.checkpoint))
    installer.finish()
    return MemoryDatabase(database.pairs())
