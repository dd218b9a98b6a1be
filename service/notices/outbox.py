# SPDX-License-Identifier: Apache-2.0
"""The outbox: notices are put here, claimed by whoever delivers, and settled.

A claim counts a try and moves `due_ms` on by a lease before anything is sent. A crash after it leaves a notice that is
tried again once the lease is over: each is delivered at least once, under an id that never changes. Two processes on
one store never try the same notice at the same time.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog
from sqlalchemy import ColumnElement, Select, delete, func, select
from sqlalchemy.orm import Session

from service.errors import StorageError
from service.language import parse_language
from service.notices.kinds import NoticeKind, known_kinds, wording
from service.notices.providers import Message, Way, way_of
from service.notices.tables import Notice
from service.store import Store

log = structlog.get_logger(__name__)

DAY_MS: Final = 86_400_000
LEASE_MS: Final = 120_000
"""How long one try may take; longer than `part.SEND_SECONDS_MAX`."""
WAITS_MS: Final = tuple(seconds * 1000 for seconds in (30, 120, 600, 1_800, 3_600, 4 * 3_600, 12 * 3_600))
"""Between tries: a restart of a gateway costs half a minute, a night without it nothing is lost. Then it failed."""
TRIES_MAX: Final = len(WAITS_MS) + 1
NOBODY_MS: Final = 600_000
"""Until it is looked again whether there is a provider for a notice's channel; that is no try."""
CLAIMED_MAX: Final = 16
"""Of one claim: they are sent at once, and one gateway that hangs holds up no more than these."""
WAITING_MAX: Final = 50
"""Notices of one kind to one person that wait; whoever makes more floods them, and gains nothing by more. Each kind has
its own, so that a flood of one silences no other."""
CHANNELS_MAX: Final = 8
"""Of one person: a telephone, a mail address, and those that they replace."""
CHANNEL_CHARACTERS_MAX: Final = 254
"""The longest mail address. Source: RFC 5321, section 4.5.3.1.3."""
NO_PROVIDER: Final = "no-provider"
RATE: Final = "rate"
UNREADABLE: Final = "unreadable"
OUT_OF_TRIES: Final = "out-of-tries"


class NoticeState(StrEnum):
    """How far a notice is."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Rates:
    """How many notices of one kind one person gets within 24 hours, by any channel.

    Attributes:
        ordinary: Of what can wait.
        urgent: Of keys, cards and status.
    """

    ordinary: int
    urgent: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A notice that is this process's to send until its lease is over; `tries` tells this claim from later ones."""

    message: Message
    tries: int


def put(
    store: Store,
    session: Session,
    kind: NoticeKind,
    person_id: str,
    channels: Iterable[str],
    now_ms: int,
    *,
    words: Mapping[str, str] | None = None,
    language: str = "",
    due_ms: int = 0,
) -> int:
    """Put a notice to a person into the outbox, once for each channel.

    Args:
        store: Has the person.
        session: A transaction that writes: the one that does what the notice is about.
        kind: What about.
        person_id: Whom.
        channels: Telephone numbers and mail addresses; empty ones are passed over.
        now_ms: Unix time.
        words: For the text's places; nothing personal.
        language: What the person reads, "zh-CN" or "en"; "": both.
        due_ms: Not before; Unix time.

    Returns:
        How many notices wait because of it: none if the person has no channel, was told of the kind just now, or has
        too many waiting.

    Raises:
        PersonErased: There is no such person.
    """
    assert known_kinds().get(kind.name) == kind, f"declare {kind.name!r} with add_kind"
    wanted = sorted({channel for channel in channels if channel})
    assert len(wanted) <= CHANNELS_MAX
    assert all(len(channel) <= CHANNEL_CHARACTERS_MAX for channel in wanted), "forms bound them"
    own = Notice.person_id == person_id
    if kind.every_ms:
        same = own & (Notice.kind == kind.name) & (Notice.at_ms > now_ms - kind.every_ms)
        if session.scalar(select(Notice.id).where(same).limit(1)) is not None:
            return 0
    waiting = own & (Notice.state == NoticeState.WAITING) & (Notice.kind == kind.name)
    count = session.scalar(select(func.count()).select_from(Notice).where(waiting)) or 0
    if wanted and count + len(wanted) > WAITING_MAX:
        log.warning("notices.too-many", kind=kind.name)
        return 0
    for channel in wanted:
        row = Notice(
            person_id=person_id,
            kind=kind.name,
            is_urgent=kind.is_urgent,
            way=way_of(channel),
            language=parse_language(language) or "",
            state=NoticeState.WAITING,
            at_ms=now_ms,
            due_ms=max(now_ms, due_ms),
            tried_ms=0,
            done_ms=0,
            tries=0,
            provider="",
            code="",
        )
        store.people.seal(session, row, Notice.channel, channel)
        store.people.seal(session, row, Notice.words, json.dumps(dict(words or {}), ensure_ascii=False))
    session.flush()
    return len(wanted)


def is_due(session: Session, now_ms: int) -> bool:
    """Whether there may be something to claim, for who would rather not take a writer's turn for nothing."""
    due = (Notice.state == NoticeState.WAITING) & (Notice.due_ms <= now_ms) & Notice.kind.in_(known_kinds())
    return session.scalar(select(Notice.id).where(due).limit(1)) is not None


def claim(store: Store, session: Session, ways: Collection[Way], rates: Rates, now_ms: int) -> list[Claimed]:
    """Take notices that are due, urgent ones first; each is this caller's until LEASE_MS are over.

    Args:
        store: Of the session.
        session: A transaction that writes; committed before anything is sent.
        ways: Channels of one provider: each has claims of its own, so that one that hangs holds up no other.
        rates: Of one person.
        now_ms: Unix time.

    Returns:
        At most CLAIMED_MAX. Those of a person who got enough of late are put off.
    """
    claimed = []
    for row in session.scalars(_due(Notice.way.in_(ways), now_ms)).all():
        if later_ms := _rate_ends_ms(session, row, rates, now_ms):
            row.due_ms, row.code = later_ms, RATE
        elif row.tries >= TRIES_MAX:  # each try broke off, and nobody was left to count it
            _finish(row, NoticeState.FAILED, OUT_OF_TRIES, now_ms)
        else:
            try:
                message = _message(store, session, row)
            except StorageError:  # somebody changed the row: the others go on
                log.error("notices.unreadable", kind=row.kind)  # noqa: TRY400 - a traceback shows values
                _finish(row, NoticeState.FAILED, UNREADABLE, now_ms)
                continue
            row.tries += 1
            row.tried_ms, row.due_ms = now_ms, now_ms + LEASE_MS
            session.flush()  # the rate counts it for the next row
            claimed.append(Claimed(message, row.tries))
    return claimed


def put_off(session: Session, served: Collection[Way], now_ms: int) -> None:
    """Put off notices that are due and have a channel that nobody serves; that is no try.

    Args:
        session: A transaction that writes.
        served: Channels that there is a provider for.
        now_ms: Unix time.
    """
    for row in session.scalars(_due(Notice.way.not_in(served), now_ms)).all():
        row.due_ms, row.code = now_ms + NOBODY_MS, NO_PROVIDER


def settle(session: Session, claimed: Claimed, provider: str, code: str, now_ms: int, *, is_final: bool) -> NoticeState:
    """Write down how a try ended.

    Args:
        session: A transaction that writes.
        claimed: What was tried.
        provider: By whom.
        code: "": it was taken; else why not.
        now_ms: Unix time.
        is_final: Another try would change nothing.

    Returns:
        What the notice is now. Of an erased person there is none any more; it counts as what the try was.
    """
    outcome = NoticeState.WAITING
    if not code:
        outcome = NoticeState.SENT
    elif is_final or claimed.tries >= TRIES_MAX:
        outcome = NoticeState.FAILED
    row = session.scalar(select(Notice).where(Notice.id == claimed.message.id).with_for_update())
    if row is None or row.state != NoticeState.WAITING or row.tries != claimed.tries:
        return outcome  # erased, or the lease was over and another process tried it since
    row.provider = provider
    if outcome is NoticeState.WAITING:
        row.code, row.due_ms = code, now_ms + WAITS_MS[claimed.tries - 1]
    else:
        _finish(row, outcome, code, now_ms)
    return outcome


def counts(session: Session) -> dict[NoticeState, int]:
    """How many notices are in each state."""
    query = select(Notice.state, func.count()).group_by(Notice.state)
    found = {NoticeState(state): count for state, count in session.execute(query)}
    return {state: found.get(state, 0) for state in NoticeState}


def oldest_ms(session: Session, now_ms: int) -> int:
    """For how long the oldest notice has waited that is due, or was and has been put off since; 0: none is."""
    was_due = (Notice.due_ms <= now_ms) | (Notice.code != "") | (Notice.tries > 0)
    waiting = (Notice.state == NoticeState.WAITING) & was_due
    oldest = session.scalar(select(func.min(Notice.at_ms)).where(waiting))
    return 0 if oldest is None else max(0, now_ms - oldest)


def told(session: Session, person_id: str, limit: int | None = None) -> Sequence[Notice]:
    """A person's notices, newest first."""
    query = select(Notice).where(Notice.person_id == person_id).order_by(Notice.at_ms.desc(), Notice.id)
    return session.scalars(query.limit(limit)).all()


def forget(session: Session, before_ms: int) -> int:
    """Delete what was settled before a time; how many."""
    over = (Notice.state != NoticeState.WAITING) & (Notice.at_ms < before_ms)
    found = session.scalars(select(Notice.id).where(over).limit(1_000)).all()  # of one round: some milliseconds
    session.execute(delete(Notice).where(Notice.id.in_(found)))
    return len(found)


def _due(which: ColumnElement[bool], now_ms: int) -> Select[Notice]:
    due = (Notice.state == NoticeState.WAITING) & (Notice.due_ms <= now_ms) & Notice.kind.in_(known_kinds())
    query = select(Notice).where(due & which).order_by(Notice.is_urgent.desc(), Notice.due_ms)
    return query.limit(CLAIMED_MAX).with_for_update(skip_locked=True)


def _finish(row: Notice, state: NoticeState, code: str, now_ms: int) -> None:
    """Nothing is sent any more, so that where to and what is kept no longer."""
    row.state, row.code, row.done_ms = state, code, now_ms
    row.channel = row.words = None


def _rate_ends_ms(session: Session, row: Notice, rates: Rates, now_ms: int) -> int:
    """When the person may get another notice of its kind; 0: now. Tries of the same notice count once."""
    most = rates.urgent if row.is_urgent else rates.ordinary
    others = (Notice.person_id == row.person_id) & (Notice.id != row.id) & (Notice.kind == row.kind)
    query = select(Notice.tried_ms).where(others & (Notice.tried_ms > now_ms - DAY_MS))
    times = session.scalars(query.order_by(Notice.tried_ms.desc()).limit(most)).all()
    return times[-1] + DAY_MS if len(times) >= most else 0


def _message(store: Store, session: Session, row: Notice) -> Message:
    channel = store.people.open(session, row, Notice.channel) or ""
    words = json.loads(store.people.open(session, row, Notice.words) or "{}")
    subject, text = wording(known_kinds()[row.kind], parse_language(row.language), words)
    return Message(row.id, Way(row.way), channel, row.kind, row.language, subject, text, row.at_ms)
