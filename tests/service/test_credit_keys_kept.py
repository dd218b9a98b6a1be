# SPDX-License-Identifier: Apache-2.0
"""Keys of organisations' systems outlive a change of their table: those in use open, those that were ended do not."""

import pytest
import sqlalchemy as sa
from store_rig import Rig

from credit.api.clients import KEY_PREFIX, KEYS
from service.problems import Problem
from service.store import migrate
from service.store.engine import make_engine


def test_keys_of_a_store_from_before_the_change_stay_what_they_were(rig: Rig) -> None:
    settings = rig.settings(rig.new_database())
    engine = make_engine(settings)
    migrate.migrate(engine, "credit3")
    before = sa.table("credit_client", *map(sa.column, ("id", "organisation", "key_digest", "made_ms", "ended_ms")))
    (used, used_digest), (ended, ended_digest) = KEYS.new(KEY_PREFIX), KEYS.new(KEY_PREFIX)
    rows = [("a" * 32, "org-x", used_digest, 1, 0), ("b" * 32, "org-x", ended_digest, 1, 2)]
    with engine.begin() as connection:
        for row in rows:
            connection.execute(sa.insert(before).values(row))
    engine.dispose()
    store = rig.open(settings)
    assert KEYS.find(store, used)["organisation"] == "org-x"
    with pytest.raises(Problem, match=r"credit\.bearer"):
        KEYS.find(store, ended)
    assert [(row.id, row.ended_ms) for row in sorted(KEYS.listed(store), key=lambda one: one.id)] == [
        ("a" * 32, None),
        ("b" * 32, 2),
    ]
