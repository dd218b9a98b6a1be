# SPDX-License-Identifier: Apache-2.0
"""What the service itself sends to the ledger: nothing that takes an officer, only what any known submitter may."""

import secrets
from collections.abc import Sequence
from typing import Final

from chain.errors import Refused
from chain.transaction import Operation, build
from chain.types import SALT_BYTES, Millis
from client.answers import ProvenTransaction
from identity.api.desk import cards_problems as kinds
from identity.api.desk.base import DeskContext
from service.problems import Problem

EXPIRY_MS: Final = 60_000
"""It reaches the ledger in seconds or is asked for again."""


async def send(desk: DeskContext, operations: Sequence[Operation]) -> ProvenTransaction:
    """Sign operations with the service's own key, submit them, and wait for the verified receipt.

    Raises:
        Problem: The service has no key.
        Refused: A rule said no.
        TransportError: Nothing is known of it yet; what the ledger says later, counts.
    """
    if desk.service_key is None:
        raise Problem(kinds.NO_SERVICE_KEY)
    expires = Millis(desk.now() + EXPIRY_MS)
    salt = secrets.token_bytes(SALT_BYTES)
    proven = await desk.ledger.submit_one(build(operations, [desk.service_key], expires, salt, desk.ledger.network))
    if proven.failed is not None:
        raise Refused("the ledger refused it; open the page again", proven.failed.code)
    return proven
