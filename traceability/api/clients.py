# SPDX-License-Identifier: Apache-2.0
"""Programs' keys to the service: each acts for one participant, or reads for a food regulator.

A key is 32 random bytes after `zxf_`, shown once; the store has its digest.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from service.problems import Problem
from service.store import Act, Store, audit, new_id
from traceability.api.problems import BEARER
from traceability.api.tables import FoodClient

KEY_PREFIX: Final = "zxf_"
"""Whoever finds one in a place where it should not be knows what it is."""
KEY_CHARACTERS_MAX: Final = 64
REGULATOR: Final = ""
"""Stands in place of a participant's number."""
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks.

    Attributes:
        id: Random; stands in the audit chain.
        gln: Of the participant for which it acts; empty: it reads for a regulator.
    """

    id: str
    gln: str

    @property
    def is_regulator(self) -> bool:
        """Whether it reads everything that is public on the chain, and captures nothing."""
        return self.gln == REGULATOR


def add(store: Store, gln: str, now_ms: int) -> tuple[Client, str]:
    """Give a participant's program a key, or a regulator's.

    Returns:
        Who it is, and the key, which is kept nowhere: only its digest is.
    """
    key = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    client = Client(new_id(), gln)
    with store.write() as session:
        session.add(FoodClient(id=client.id, gln=gln, key_digest=_digest(key), made_ms=now_ms))
        store.record(session, Act(audit.SYSTEM, "food.client-added", client.id))
    return client, key


def end(store: Store, client_id: str, now_ms: int) -> bool:
    """End a key. Returns whether there was one in use."""
    with store.write() as session:
        row = session.get(FoodClient, client_id, with_for_update=True)
        if row is None or row.ended_ms is not None:
            return False
        row.ended_ms = now_ms
        store.record(session, Act(audit.SYSTEM, "food.client-ended", client_id))
        return True


def listed(store: Store) -> Sequence[FoodClient]:
    """All of them, oldest first."""
    with store.read() as session:
        return session.scalars(select(FoodClient).order_by(FoodClient.made_ms)).all()


def find(store: Store, key: str) -> Client:
    """Whose key this is.

    Raises:
        Problem: Nobody's, or it was ended.
    """
    if not key.startswith(KEY_PREFIX) or len(key) > KEY_CHARACTERS_MAX:
        raise _nobody()
    with store.read() as session:
        row = session.scalar(select(FoodClient).where(FoodClient.key_digest == _digest(key)))
        if row is None or row.ended_ms is not None:
            raise _nobody()
        return Client(row.id, row.gln)


def _nobody() -> Problem:
    return Problem(BEARER, headers={"WWW-Authenticate": "Bearer"})


def _digest(key: str) -> bytes:
    return hashlib.sha256(b"zhixin/food-bearer/1|" + key.encode()).digest()
