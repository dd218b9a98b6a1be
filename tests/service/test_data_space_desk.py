# SPDX-License-Identifier: Apache-2.0
"""The desk's pages for people's requests: opened with a noted reason, taken, answered; nothing shows without one."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from desk_rig import REGISTRAR, DeskRig, desk_rig
from sqlalchemy import select

from identity.api.desk.persons import Secrets
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskAccess, DeskPerson
from identity.api.space.tables import SpaceRequest
from service.sign_in.roles import Role

SAID = "地址应为祖庙街道 2 号"


@pytest_asyncio.fixture
async def desk(sqlite_rig: Any) -> AsyncIterator[DeskRig]:
    async with desk_rig(sqlite_rig) as made:
        yield made


def asked(desk: DeskRig, organisation: str = REGISTRAR, tail: str = "") -> str:
    """Somebody's request; its id."""
    people, now_ms = desk.store.people, desk.rig.clock_ms
    with desk.store.write() as session:
        person_id = people.add(session)
        person = DeskPerson(
            person_id=person_id,
            organisation=organisation,
            state=PersonState.ACTIVE,
            created_ms=now_ms,
            changed_ms=now_ms,
        )
        people.seal(session, person, DeskPerson.secrets, Secrets.new().encode())
        row = SpaceRequest(
            person_id=person_id,
            organisation=organisation,
            reference=f"D-{organisation}{tail}",
            kind="correct",
            state="open",
            made_ms=now_ms,
            changed_ms=now_ms,
            staff_id="",
        )
        people.seal(session, row, SpaceRequest.text, SAID)
        session.flush()
        return row.id


def state(desk: DeskRig, request_id: str) -> str:
    with desk.store.read() as session:
        row = session.get(SpaceRequest, request_id)
        assert row is not None
        return row.state


async def test_officer_opens_takes_and_answers_a_request_and_the_look_is_noted(desk: DeskRig) -> None:
    request_id, elsewhere = asked(desk), asked(desk, "org-s")
    clerk = await desk.officer()
    for language, word in (("en", "Waiting"), ("zh-CN", "等待受理")):
        page = await clerk.get("/requests", language)
        assert word in page.text
        assert f"D-{REGISTRAR}" in page.text
        assert "D-org-s" not in page.text
        assert SAID not in page.text
    assert SAID not in (await clerk.get(f"/requests/{request_id}")).text  # no reason was given yet
    assert (await clerk.post(f"/requests/{elsewhere}/open")).status_code == 404
    assert (await clerk.post(f"/requests/{request_id}/open")).status_code == 303
    assert SAID in (await clerk.get(f"/requests/{request_id}")).text
    with desk.store.read() as session:
        assert [one.reason for one in session.scalars(select(DeskAccess))] == ["correction"]
    assert (await clerk.post(f"/requests/{request_id}/take")).status_code == 303
    assert (await clerk.post(f"/requests/{request_id}/answer", state="done", answer="")).status_code != 303
    assert (await clerk.post(f"/requests/{request_id}/answer", state="open", answer="x")).status_code != 303
    assert state(desk, request_id) == "taken"
    assert (
        await clerk.post(f"/requests/{request_id}/answer", state="declined", answer="无法定依据")
    ).status_code == 303
    assert state(desk, request_id) == "declined"
    assert "无法定依据" in (await clerk.get(f"/requests/{request_id}")).text


async def test_approver_sees_that_requests_wait_and_opens_none(desk: DeskRig) -> None:
    request_id = asked(desk)
    approver = await desk.officer(Role.APPROVER)
    assert f"D-{REGISTRAR}" in (await approver.get("/requests")).text
    assert (await approver.post(f"/requests/{request_id}/open")).status_code == 403
    assert state(desk, request_id) == "open"
