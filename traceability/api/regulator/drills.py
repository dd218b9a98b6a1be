# SPDX-License-Identifier: Apache-2.0
"""Recall drills as they are carried out and kept: searched once, frozen, and answered by those who had goods.

A drill says what the index knew when it was asked; carried out again it is another one. Its time runs from the question
to the last answer.
"""

import json
import secrets
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.problems import Problem
from service.sign_in.sessions import Officer
from service.store import Act
from service.store.models import new_id
from traceability.api.context import TraceContext
from traceability.api.regulator.problems import TOO_LARGE, UNKNOWN
from traceability.api.regulator.tables import FoodDrill, FoodNotice
from traceability.api.trace_search import IndexedEvents
from traceability.documents.recall_report import Notice, Part, RecallReport, Where, recall_report
from traceability.drill import drill

NUMBER_CHARACTERS: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Nobody takes one of these for another, written or spoken."""
REPORT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Packed: some hundred thousand parts of lots. A larger outcome is searched in parts."""
LISTED_MAX: Final = 200
NOTICES_MAX: Final = 5_000
"""Participants that one drill tells: more than a city has."""


def carry_out(context: TraceContext, officer: Officer, items: Sequence[str], *, is_drill: bool) -> str:
    """Search forward from goods, keep what is found, and lay a notice before everybody who had some.

    Args:
        context: The service's.
        officer: Who asks.
        items: Where the problem is: lots, serials or containers.
        is_drill: Whether it is an exercise; notices say so.

    Returns:
        The drill's id.

    Raises:
        Problem: More was found than one report holds.
    """
    started_ms, began = context.now(), time.monotonic_ns()
    with context.reading() as connection:
        found = drill(IndexedEvents(connection), items)
    took_ms = max(1, (time.monotonic_ns() - began) // 1_000_000)
    number = "".join(secrets.choice(NUMBER_CHARACTERS) for _ in range(8))
    report = recall_report(number, items, found, started_ms=started_ms, took_ms=took_ms)
    packed = pack(report)
    if len(packed) > REPORT_BYTES_MAX or len(found.participants) > NOTICES_MAX:
        raise Problem(TOO_LARGE)
    row = FoodDrill(
        id=new_id(),
        number=number,
        is_drill=is_drill,
        organisation=officer.organisation,
        opened_by=officer.staff_id,
        started_ms=started_ms,
        took_ms=took_ms,
        report=packed,
    )
    with context.store.write() as session:
        session.add(row)
        session.flush()
        for gln in found.participants:
            notice = FoodNotice(
                id=new_id(), drill_id=row.id, gln=gln, sent_ms=context.now(), acknowledged_ms=0, acknowledged_by=""
            )
            session.add(notice)
        session.flush()
        context.store.record(session, Act(officer.person_id, "food.drill", row.id))
        return row.id


def load(context: TraceContext, drill_id: str) -> tuple[RecallReport, bool]:
    """A drill with its notices as they stand now, and whether it is an exercise.

    Raises:
        Problem: There is none of this id.
    """
    with context.store.read() as session:
        row = session.get(FoodDrill, drill_id)
        if row is None:
            raise Problem(UNKNOWN)
        return replace(unpack(row.report), notices=tuple(_notices(session, row.id))), row.is_drill


def listed(context: TraceContext) -> list[tuple[FoodDrill, int, int]]:
    """The newest drills, each with how many notices were sent and acknowledged."""
    with context.store.read() as session:
        rows = session.scalars(select(FoodDrill).order_by(FoodDrill.started_ms.desc()).limit(LISTED_MAX)).all()
        told = {row.id: list(_notices(session, row.id)) for row in rows}
        return [(row, len(told[row.id]), sum(1 for one in told[row.id] if one.acknowledged_ms)) for row in rows]


def pack(report: RecallReport) -> bytes:
    """A report without its notices, as it is kept."""
    values: dict[str, Any] = {
        "number": report.number,
        "items": report.items,
        "started_ms": report.started_ms,
        "took_ms": report.took_ms,
        "lots": report.lots,
        "parts": [[one.item, one.where.value, one.quantity, one.holder, one.towards] for one in report.parts],
        "differences": dict(report.differences),
        "places": report.places,
        "is_complete": report.is_complete,
    }
    return zlib.compress(json.dumps(values).encode())


def unpack(packed: bytes) -> RecallReport:
    """A report as it was kept, without notices."""
    values = json.loads(zlib.decompress(packed))
    return RecallReport(
        number=values["number"],
        items=tuple(values["items"]),
        started_ms=values["started_ms"],
        took_ms=values["took_ms"],
        lots=tuple(values["lots"]),
        parts=tuple(Part(item, Where(where), *rest) for item, where, *rest in values["parts"]),
        differences=values["differences"],
        places=tuple(values["places"]),
        is_complete=values["is_complete"],
        notices=(),
    )


def _notices(session: Session, drill_id: str) -> Sequence[Notice]:
    rows = session.scalars(select(FoodNotice).where(FoodNotice.drill_id == drill_id).order_by(FoodNotice.gln))
    return [Notice(row.gln, row.sent_ms, row.acknowledged_ms) for row in rows]
