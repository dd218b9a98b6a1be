# SPDX-License-Identifier: Apache-2.0
"""Keys by which organisations' own systems use the interface; only digests are kept.

A supervisor makes and ends them. What a key may do, its organisation's rights and people's consents say, each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from credit.api.base import CreditContext
from credit.api.problems import BEARER, NOT_NOW
from credit.api.tables import CreditClient
from service.api_keys import ApiKeys
from service.problems import Problem
from service.store.models import new_id

KEY_PREFIX: Final = "zxc_"
"""Whoever finds one in a place where it should not be knows what it is."""
KEYS: Final = ApiKeys(CreditClient, (KEY_PREFIX,), b"zhixin/credit-bearer/1|", "credit.client", BEARER)
CLIENTS_MAX: Final = 20
"""Keys in use of one organisation: its systems, twice over while they are exchanged."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks."""

    id: str
    organisation: str


def add_client(context: CreditContext, actor: str, organisation: str) -> str:
    """Give an organisation's system a key.

    Returns:
        The key, which is kept nowhere.

    Raises:
        Problem: The organisation has too many.
    """
    key, digest = KEYS.new(KEY_PREFIX)
    own = (CreditClient.organisation == organisation) & CreditClient.ended_ms.is_(None)
    with context.store.write() as session:
        row = CreditClient(id=new_id(), organisation=organisation, key_digest=digest, made_ms=context.now())
        context.record(session, actor, f"{KEYS.word}-added", row.id)
        if (session.scalar(select(func.count()).select_from(CreditClient).where(own)) or 0) >= CLIENTS_MAX:
            raise Problem(NOT_NOW)
        session.add(row)
    return key


def end_client(context: CreditContext, actor: str, organisation: str, client_id: str) -> None:
    """End a key of one's own organisation; the same twice changes nothing."""
    with context.store.write() as session:
        row = session.get(CreditClient, client_id, with_for_update=True)
        if row is not None and row.organisation == organisation and row.ended_ms is None:
            row.ended_ms = context.now()
            context.record(session, actor, f"{KEYS.word}-ended", row.id)


def clients_of(context: CreditContext, organisation: str) -> Sequence[CreditClient]:
    """An organisation's keys in use, oldest first."""
    own = (CreditClient.organisation == organisation) & CreditClient.ended_ms.is_(None)
    with context.store.read() as session:
        return session.scalars(select(CreditClient).where(own).order_by(CreditClient.made_ms)).all()


def find_client(context: CreditContext, key: str) -> Client:
    """Whose key this is.

    Raises:
        Problem: Nobody's, or it was ended.
    """
    row = KEYS.find(context.store, key)
    return Client(row["id"], row["organisation"])
