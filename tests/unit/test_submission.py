# SPDX-License-Identifier: Apache-2.0
"""A Submit stream owes a receipt for each transaction that it admitted, whenever its block came."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import rig

from chain.transaction import SignedTransaction, decode
from chain.types import Digest, Height, Millis, TransactionId
from client.pb import node_service_pb2 as pb
from identity.pb import identity_pb2
from node.admission import Outcome
from node.config import ClientConfig
from node.submission import SubmitStream
from node.waiters import Executed, Waiters


class Ledger:
    """A node's mempool and log in small: what `orders` names has its entry before its request is answered."""

    def __init__(self) -> None:
        self.waiters = Waiters()
        self.log: dict[TransactionId, Executed] = {}
        self.pool: set[Digest] = set()
        self.orders: list[TransactionId] = []
        self.looked_up: list[TransactionId] = []

    async def submit(self, raws: Sequence[bytes], **_: object) -> list[Outcome]:
        """Admit all; a block executes what was checked first while the rest is checked."""
        admitted = [decode(raw) for raw in raws]
        self.pool |= {one.digest for one in admitted}
        for one in admitted:
            await asyncio.sleep(0)
            if one.id in self.orders:
                self.execute(one)
        return list(admitted)

    def execute(self, one: SignedTransaction) -> None:
        """In a block of its own, certified at once."""
        height = Height(len(self.log) + 1)
        self.log[one.id] = Executed(one, b"entry", height - 1, height)
        self.pool.discard(one.digest)
        checkpoint: Any = SimpleNamespace(height=height, log_size=height)
        execution: Any = SimpleNamespace(transactions=[one], entries=[b"entry"], skipped=[], checkpoint=checkpoint)
        self.waiters.executed(execution)
        self.waiters.certified(checkpoint)

    def holds(self, digest: Digest) -> bool:
        """As the mempool does."""
        return digest in self.pool

    def find(self, ids: Sequence[TransactionId], _log_size: int) -> dict[TransactionId, Executed]:
        """As the store does."""
        self.looked_up += ids
        return {one: self.log[one] for one in ids if one in self.log}

    def bundles(self, executed: Sequence[Executed], *_: object) -> list[bytes]:
        """Their ids stand for their receipts."""
        return [b"".join(one.transaction.id for one in executed)]

    def newest(self) -> Any:
        """All that is executed is certified."""
        return SimpleNamespace(checkpoint=SimpleNamespace(height=len(self.log))) if self.log else None

    @staticmethod
    async def run(work: Any, *arguments: object) -> Any:
        """The ledger's thread."""
        await asyncio.sleep(0)
        return work(*arguments)

    async def receipts_of(self, *transactions: SignedTransaction) -> bytes:
        """What one stream sends of receipts for one request."""
        parts: Any = self  # plays admission, ledger thread and answers
        stream = SubmitStream(
            admission=parts,
            ledger=parts,
            answers=parts,
            waiters=self.waiters,
            newest=self.newest,
            config=ClientConfig(),
        )
        sent: list[pb.SubmitResponse] = []

        async def requests() -> AsyncIterator[pb.SubmitRequest]:
            yield pb.SubmitRequest(transactions=[one.raw for one in transactions], receipts=True)

        async def write(answer: pb.SubmitResponse) -> None:
            sent.append(answer)
            if answer.HasField("admissions"):
                for one in transactions:
                    if one.id not in self.log:
                        self.execute(one)

        async with asyncio.timeout(10):
            await stream.serve(requests(), write)
        return b"".join(answer.receipt for answer in sent)


def made(salt: int) -> SignedTransaction:
    return rig.transaction([identity_pb2.Attest(id=salt.to_bytes(16))], [rig.signer("one")], Millis(2**40), salt)


async def test_transaction_with_its_entry_before_the_rest_of_its_request_is_checked_gets_its_receipt() -> None:
    ledger, first, last = Ledger(), made(1), made(2)
    ledger.orders = [first.id]
    assert await ledger.receipts_of(first, last) == first.id + last.id
    assert ledger.looked_up == [first.id], "what waits in the mempool costs no look-up"
    assert ledger.waiters.count == 0


async def test_whole_request_with_its_entries_before_its_answer_gets_its_receipts() -> None:
    ledger, both = Ledger(), [made(3), made(4)]
    ledger.orders = [one.id for one in both]
    assert await ledger.receipts_of(*both) == both[0].id + both[1].id
