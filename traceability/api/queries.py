# SPDX-License-Identifier: Apache-2.0
"""Named queries: kept for their owner, whom a name belongs to; other owners may have the same name."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import func, select

from service.problems import Problem
from service.store import Store
from service.store.engine import insert_new
from traceability.api.problems import NAME_TAKEN, TOO_MANY_NAMES
from traceability.api.query_parameters import Query, from_json
from traceability.api.tables import FoodQuery

QUERIES_MAX: Final = 200
"""Named queries of one owner; a company's systems have some tens."""
QUERY_CHARACTERS_MAX: Final = 64 * 1024
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,99}$"
"""It stands in addresses."""


class Queries:
    """The named queries of one store.

    Args:
        store: The private store.
        now: Unix time in ms.
    """

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now

    def add(self, gln: str, name: str, parameters: Mapping[str, Any]) -> None:
        """Keep a query that was checked.

        Raises:
            Problem: The owner has one of this name, or too many.
        """
        with self._store.write() as session:
            count = session.scalar(select(func.count()).select_from(FoodQuery).where(FoodQuery.gln == gln)) or 0
            if count >= QUERIES_MAX:
                raise Problem(TOO_MANY_NAMES, {"count": QUERIES_MAX})
            row = FoodQuery(gln=gln, name=name, parameters=json.dumps(dict(parameters)), made_ms=self._now())
            if not insert_new(session, row):
                raise Problem(NAME_TAKEN)

    def find(self, gln: str, name: str) -> tuple[Query, Mapping[str, Any]] | None:
        """An owner's query, ready to be asked, and as it was given; None: there is none of this name."""
        with self._store.read() as session:
            row = session.get(FoodQuery, (gln, name))
            if row is None:
                return None
            parameters: Mapping[str, Any] = json.loads(row.parameters)
        return from_json(parameters), parameters

    def listed(self, gln: str, after: str, size: int) -> list[tuple[str, Mapping[str, Any]]]:
        """An owner's queries by name.

        Args:
            gln: Whose.
            after: Only names behind this one; empty: from the first on.
            size: At most so many.
        """
        with self._store.read() as session:
            rows = session.scalars(
                select(FoodQuery)
                .where(FoodQuery.gln == gln, FoodQuery.name > after)
                .order_by(FoodQuery.name)
                .limit(size)
            ).all()
            return [(row.name, json.loads(row.parameters)) for row in rows]

    def remove(self, gln: str, name: str) -> bool:
        """Delete a query with its subscriptions; False: there is none of this name."""
        with self._store.write() as session:
            row = session.get(FoodQuery, (gln, name))
            if row is None:
                return False
            session.delete(row)
            return True
