# SPDX-License-Identifier: Apache-2.0
"""Registrars' keys to the uniqueness service, and the budget of questions that each has.

A question costs the same whether it is answered with a known tag or an unknown one. The budget stands in the database,
so that neither a restart nor a second process gives a registrar another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from identity.api.tagging.problems import BEARER, RATE
from identity.api.tagging.tables import UniquenessRegistrar, UniquenessUsage
from service.api_keys import ApiKeys
from service.problems import Problem
from service.store import Act, Store, new_id

KEY_PREFIX: Final = "zxu_"
KEYS: Final = ApiKeys(
    UniquenessRegistrar, (KEY_PREFIX,), b"zhixin/uniqueness-bearer/1|", "uniqueness.registrar", BEARER
)
_MINUTE_MS = 60_000
_DAY_MS = 24 * 60 * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class Registrar:
    """Who asks.

    Attributes:
        id: Random; stands in the audit chain.
        organisation: On the ledger.
    """

    id: str
    organisation: str


@dataclass(frozen=True, slots=True)
class Budget:
    """How many questions of a sort a registrar may ask.

    Attributes:
        name: Of the sort; stands in the database.
    """

    name: str
    per_minute: int
    per_day: int


def add(store: Store, organisation: str, now_ms: int) -> tuple[Registrar, str]:
    """Give a registrar a key.

    Returns:
        Who it is, and the key, which is kept nowhere: only its digest is.
    """
    key, digest = KEYS.new(KEY_PREFIX)
    registrar = Registrar(new_id(), organisation)
    KEYS.add(
        store,
        UniquenessRegistrar(id=registrar.id, organisation=organisation, key_digest=digest, made_ms=now_ms),
    )
    return registrar, key


def end(store: Store, registrar_id: str, now_ms: int) -> bool:
    """End a registrar's key; its budget and its rows in the audit chain stay.

    Returns:
        Whether there was one in use.
    """
    return KEYS.end(store, registrar_id, now_ms)


def listed(store: Store) -> Sequence[UniquenessRegistrar]:
    """All of them, oldest first."""
    return KEYS.listed(store)


def find(store: Store, key: str) -> Registrar:
    """Whose key this is.

    Raises:
        Problem: Nobody's, or it was ended.
    """
    row = KEYS.find(store, key)
    return Registrar(row["id"], row["organisation"])


def check_budget(store: Store, registrar: Registrar, budget: Budget, now_ms: int) -> None:
    """Whether a question could be paid for now; `charge` decides.

    Raises:
        Problem: The budget is used up.
    """
    with store.read() as session:
        usage = session.get(UniquenessUsage, (registrar.id, budget.name))
        wait_ms = 0 if usage is None else _wait_ms(usage, budget, now_ms)
        is_noted = usage is not None and usage.is_refusal_noted
    if wait_ms and not is_noted:
        _note_refusal(store, registrar, budget)
    if wait_ms:
        raise _used_up(wait_ms)


def charge(store: Store, registrar: Registrar, budget: Budget, now_ms: int, act: Act) -> None:
    """Pay for a question, in one transaction with its row in the audit chain.

    Raises:
        Problem: The budget is used up: nothing is answered.
    """
    with store.write() as session:
        usage = _held(session, registrar, budget)
        wait_ms = _wait_ms(usage, budget, now_ms)
        if not wait_ms:
            minute, day = now_ms // _MINUTE_MS, now_ms // _DAY_MS
            usage.minute_count = usage.minute_count + 1 if usage.minute == minute else 1
            usage.day_count = usage.day_count + 1 if usage.day == day else 1
            usage.minute, usage.day, usage.is_refusal_noted = minute, day, False
            store.record(session, act)
    if wait_ms:
        _note_refusal(store, registrar, budget)
        raise _used_up(wait_ms)


def _note_refusal(store: Store, registrar: Registrar, budget: Budget) -> None:
    """Note once, until questions are answered again, that a budget is used up: refusals alone fill no table."""
    with store.write() as session:
        usage = _held(session, registrar, budget)
        if not usage.is_refusal_noted:
            usage.is_refusal_noted = True
            store.record(session, Act(registrar.id, "uniqueness.budget-used-up", "-"))


def _used_up(wait_ms: int) -> Problem:
    seconds = -(-wait_ms // 1000)
    return Problem(RATE, {"seconds": seconds}, headers={"Retry-After": str(seconds)})


def _held(session: Session, registrar: Registrar, budget: Budget) -> UniquenessUsage:
    """What a registrar has used, held until this transaction ends; a key that was ended meanwhile pays for nothing."""
    row = session.get(UniquenessRegistrar, registrar.id, with_for_update=True)
    if row is None or row.ended_ms is not None:
        raise KEYS.nobody()
    usage = session.get(UniquenessUsage, (registrar.id, budget.name))
    if usage is None:
        usage = UniquenessUsage(
            registrar_id=registrar.id,
            budget=budget.name,
            minute=0,
            minute_count=0,
            day=0,
            day_count=0,
            is_refusal_noted=False,
        )
        session.add(usage)
    return usage


def _wait_ms(usage: UniquenessUsage, budget: Budget, now_ms: int) -> int:
    """Until a question can be paid for; 0: now."""
    if usage.day == now_ms // _DAY_MS and usage.day_count >= budget.per_day:
        return _DAY_MS - now_ms % _DAY_MS
    if usage.minute == now_ms // _MINUTE_MS and usage.minute_count >= budget.per_minute:
        return _MINUTE_MS - now_ms % _MINUTE_MS
    return 0
