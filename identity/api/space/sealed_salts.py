# SPDX-License-Identifier: Apache-2.0
"""The secrets of seals: whoever writes a delayed entry writes just what was sealed."""

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from identity.api.space.tables import SpaceSeal
from service.store import Store


def content_salt_of(session: Session, store: Store, access_id: str) -> bytes | None:
    """The salt with which a delayed look's entry has to be written; None: it was not sealed.

    Raises:
        PersonErased: There is no such person any more.
    """
    row = session.scalar(select(SpaceSeal).where(SpaceSeal.access_id == access_id))
    return None if row is None else salts_of(session, store, row)[0]


def salts_of(session: Session, store: Store, row: SpaceSeal) -> tuple[bytes, bytes]:
    """Salts of the entry's content and of the seal."""
    text = store.people.open(session, row, SpaceSeal.content)
    assert text is not None, "each row has its secrets"
    value = json.loads(text)
    return bytes.fromhex(value["content_salt"]), bytes.fromhex(value["seal_salt"])
