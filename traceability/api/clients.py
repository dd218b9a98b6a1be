# SPDX-License-Identifier: Apache-2.0
"""Programs' keys to the service: each acts for one participant, or reads for a food regulator.

A key is 32 random bytes after `zxf_`, shown once; the store has its digest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.api_keys import ApiKeys
from service.store import Store, new_id
from traceability.api.problems import BEARER
from traceability.api.tables import FoodClient

KEY_PREFIX: Final = "zxf_"
KEYS: Final = ApiKeys(FoodClient, (KEY_PREFIX,), b"zhixin/food-bearer/1|", "food.client", BEARER)
REGULATOR: Final = ""
"""Stands in place of a participant's number."""


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
    key, digest = KEYS.new(KEY_PREFIX)
    client = Client(new_id(), gln)
    KEYS.add(store, FoodClient(id=client.id, gln=gln, key_digest=digest, made_ms=now_ms))
    return client, key


def end(store: Store, client_id: str, now_ms: int) -> bool:
    """End a key. Returns whether there was one in use."""
    return KEYS.end(store, client_id, now_ms)


def listed(store: Store) -> Sequence[FoodClient]:
    """All of them, oldest first."""
    return KEYS.listed(store)


def find(store: Store, key: str) -> Client:
    """Whose key this is.

    Raises:
        Problem: Nobody's, or it was ended.
    """
    row = KEYS.find(store, key)
    return Client(row["id"], row["gln"])
