# SPDX-License-Identifier: Apache-2.0
"""The page of notices: how many wait, were delivered or failed, and which failed; without to whom or what they said."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from identity.api.desk.base import DAY_MS, Reader, desk_of, show
from identity.api.desk.notice_kinds import SUBJECT_KEYS
from identity.api.desk.tables import DeskPerson
from service.notices.outbox import NO_PROVIDER, NoticeState
from service.notices.providers import Way
from service.notices.tables import Notice

PATH = "/notices"
LISTED_MAX = 100
"""Of notices that failed or wait for another try, newest first."""
SHOWN_MS = 30 * DAY_MS
"""What failed longer ago is told in the person's own list alone."""
STATE_KEYS: Mapping[str, tuple[str, str]] = {
    NoticeState.WAITING: ("info", "told.waiting"),
    NoticeState.SENT: ("good", "told.sent"),
    NoticeState.FAILED: ("bad", "told.failed"),
}
WAY_KEYS: Mapping[str, str] = {Way.PHONE: "told.by-phone", Way.MAIL: "told.by-mail"}


def notice_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get(PATH)
    def notices(request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            own = _of(officer.organisation)
            counted = dict.fromkeys(NoticeState, 0) | _counts(session, own)
            troubled = _troubled(session, own, desk.now())
            nobody = select(Notice.id).where(own & (Notice.state == NoticeState.WAITING) & (Notice.code == NO_PROVIDER))
            is_unserved = session.scalar(nobody.limit(1)) is not None
        return show(
            request,
            officer,
            "desk/notices.html",
            counted=[(STATE_KEYS[state][1], count) for state, count in counted.items()],
            troubled=troubled,
            is_unserved=is_unserved,
            subject_keys=SUBJECT_KEYS,
            way_keys=WAY_KEYS,
            state_keys=STATE_KEYS,
        )

    return router


def _of(organisation: str) -> ColumnElement[bool]:
    own = select(DeskPerson.person_id).where(DeskPerson.organisation == organisation)
    return Notice.person_id.in_(own) & Notice.kind.in_(SUBJECT_KEYS)


def _counts(session: Session, own: ColumnElement[bool]) -> dict[NoticeState, int]:
    query = select(Notice.state, func.count()).where(own).group_by(Notice.state)
    return {NoticeState(state): count for state, count in session.execute(query)}


def _troubled(session: Session, own: ColumnElement[bool], now_ms: int) -> Sequence[Notice]:
    again = (Notice.state == NoticeState.WAITING) & (Notice.code != "")
    wanted = own & ((Notice.state == NoticeState.FAILED) | again) & (Notice.at_ms > now_ms - SHOWN_MS)
    return session.scalars(select(Notice).where(wanted).order_by(Notice.at_ms.desc()).limit(LISTED_MAX)).all()
