# SPDX-License-Identifier: Apache-2.0
"""The model monitor: made by a job from the store, once for each month, shown to the authority as page, PDF and CSV."""

import csv
import io
from collections.abc import AsyncIterator

import pytest
from credit_service_rig import CreditDesk, credit_desk
from sqlalchemy import select
from store_rig import Rig

from chain.types import sha256
from credit.api import monitor_job
from credit.api.base import SCORECARD, date_of
from credit.api.monitor_figures import AGE, SEX, Card, Reference, Scored, before, figures_of, month_of
from credit.api.monitor_job import Monitor
from credit.api.page_tables import CreditMonth
from credit.api.subjects import Kind
from credit.model import scorecard
from credit.monitor import GROUP_MIN, Acts, Standing
from credit.population import LAST_DAY, Population
from credit.score import score
from service.sign_in.roles import Role

ANN = "440601199001011234"


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[CreditDesk]:
    async with credit_desk(sqlite_rig, logs=GROUP_MIN + 1) as made:
        yield made


def monitor(desk: CreditDesk) -> Monitor:
    found = desk.app.state.credit_monitor
    assert isinstance(found, Monitor)
    return found


def city(context: object, day: int) -> Scored:
    """Some of the made-up city on a day."""
    scored = Scored()
    for member in Population(900, 0, seed=7, slant=150).members():
        found = score(member.at(day), scorecard(), day)
        groups = tuple((SEX if name == "sex" else name, value) for name, value in member.groups if name in (AGE, SEX))
        scored.standings.append(Standing(found.points, found.grade, groups))
    return scored


async def test_figures_are_made_by_the_job_when_a_month_is_over_and_compared_with_the_first(desk: CreditDesk) -> None:
    context = desk.service.context
    job = Monitor(context)
    assert await job.round() == []  # nobody has a log
    for i in range(GROUP_MIN):
        await desk.service.open_log(f"44060119900101{i:04}")
    await desk.service.open_log("91440604MA1234567A", "公司", Kind.COMPANY)
    clerk = await desk.officer("org-x", Role.CLERK)
    day = date_of(context.today).isoformat()
    fields = {"event_class": "101", "severity": "serious", "occurred": day, "document": day, "reference": "P-1"}
    await clerk.post_and_sign("/attest", number="440601199001010000", **fields)
    month = month_of(date_of(context.today))
    monitor_job.put_basis(context, "0" * 32, "org-c", SEX, "个人信息保护法第24条")
    assert await job.round() == []
    job.ask()
    assert await job.round() == [month]
    kept = monitor_job.month_kept(context, month)
    assert kept is not None
    figures, _ = kept
    assert (figures.is_over, figures.counted, figures.reference, figures.psi) == (False, GROUP_MIN + 1, "", None)
    assert figures.grades == {"A": 0, "B": 0, "C": GROUP_MIN, "D": 1}
    assert {(line.attribute, line.value): line.count for line in figures.groups} == {(SEX, "f"): None, (SEX, "m"): None}

    desk.service.ledger.pass_blocks(31 * 86_400_000)
    assert await Monitor(context).round() == [month]
    assert await Monitor(context).round() == []  # once, whichever process comes
    kept = monitor_job.month_kept(context, month)
    assert kept is not None
    assert (kept[0].is_over, kept[0].reference) == (True, "")
    document = context.index.scorecard(SCORECARD)
    assert document is not None
    reference = monitor_job.reference_of(context, sha256(document[1]))
    assert reference is not None
    assert (reference.month, len(reference.values())) == (month, GROUP_MIN + 1)
    desk.service.ledger.pass_blocks(31 * 86_400_000)
    (following,) = await Monitor(context).round()
    assert before(following) == month
    kept = monitor_job.month_kept(context, following)
    assert kept is not None
    assert (kept[0].reference, kept[0].psi, kept[0].drift) == (month, 0.0, "stable")


def keep_city(desk: CreditDesk) -> str:
    """A month of a made-up city against the year before; its name."""
    context = desk.service.context
    month = before(month_of(date_of(context.today)))
    then, now = city(context, LAST_DAY - 365), city(context, LAST_DAY)
    acts = Acts(
        granted=40, refused=12, overruled=2, reviewed=5, disputes_decided=20, disputes_upheld=7, disputes_late=1
    )
    figures = figures_of(
        month,
        context.today,
        Card("ab" * 32, 1),
        now,
        acts,
        reference=Reference.of(before(month), then.standings),
        bases={AGE: "个人信息保护法第24条", SEX: "=HYPERLINK(1)"},
        is_over=True,
    )
    monitor_job.keep_month(context, figures)
    return month


async def test_month_is_shown_to_the_authority_alone_as_page_pdf_and_file_with_what_it_does_not_prove(
    desk: CreditDesk,
) -> None:
    month = keep_city(desk)
    authority = await desk.officer("org-c", Role.SUPERVISOR, "He Lan")
    source = await desk.officer("org-x", Role.SUPERVISOR, "Su Min")
    paths = ("/monitor", f"/monitor/{month}", f"/monitor/{month}/report.pdf", f"/monitor/{month}/report.csv")
    assert [(await source.get(path)).status_code for path in paths] == [403] * 4
    for language, words in (("en", "does not prove that the score is unfair"), ("zh-CN", "不证明评分不公平")):
        page = (await authority.get(f"/monitor/{month}", language)).text
        assert words in page
        assert page.count('data-chart="bar"') >= 4
        assert "<table" in page.partition('data-chart="bar"')[2]
        assert (await authority.get("/monitor", language)).status_code == 200
        assert (await authority.get(f"/monitor/{month}/report.pdf", language)).content.startswith(b"%PDF")
    answer = await authority.get(f"/monitor/{month}/report.csv")
    rows = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert all(len(row) == 4 for row in rows)
    assert ["Scored", "", "", "900"] in rows
    assert ["Objections that were right", "", "", "35.0%"] in rows
    assert sum(int(now) for name, _, _, now in rows if name == "Grade") == 900
    for wrong in ("2026-13", "2031-01", "x" * 200):
        assert (await authority.get(f"/monitor/{wrong}")).status_code == 404


async def test_figures_so_far_are_asked_for_once_a_day_and_legal_bases_named_by_the_authority(desk: CreditDesk) -> None:
    context = desk.service.context
    await desk.service.open_log(ANN)
    authority = await desk.officer("org-c", Role.SUPERVISOR, "He Lan")
    source = await desk.officer("org-x", Role.SUPERVISOR, "Su Min")
    basis = {"attribute": "sex", "basis": "个人信息保护法第24条"}
    for path, fields in (("/monitor", {}), ("/monitor/groups", basis)):
        assert (await source.post(path, **fields)).status_code == 403
    assert (await authority.post("/monitor/groups", attribute="religion", basis="none")).status_code == 422
    assert (await authority.post("/monitor/groups", **basis)).status_code == 303
    assert monitor_job.bases_of(context) == {"sex": "个人信息保护法第24条"}
    assert "个人信息保护法第24条" in (await authority.get("/monitor")).text
    assert (await authority.post("/monitor/groups", attribute="sex")).status_code == 303
    assert monitor_job.bases_of(context) == {}

    assert (await authority.post("/monitor")).status_code == 303
    assert "being made" in (await authority.get("/monitor")).text
    await monitor(desk).round()
    month = month_of(date_of(context.today))
    page = (await authority.get(f"/monitor/{month}")).text
    assert "Too few are scored" in page
    assert "data-chart" not in page
    assert (await authority.post("/monitor")).status_code == 409
    with desk.store.read() as session:
        assert session.scalars(select(CreditMonth.month)).all() == [month]
