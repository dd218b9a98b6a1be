# SPDX-License-Identifier: Apache-2.0
"""What the desk tells people, by which channels, and what its officers see of that."""

from collections.abc import AsyncIterator

import pytest
from desk_rig import DeskRig, desk_rig, resident
from prometheus_client import CollectorRegistry
from store_rig import Rig
from test_desk_persons import approved, person_of, proposed

from identity.api.desk.exporting import export
from identity.api.desk.looking_up import HIDDEN_MS, Reason, look_up
from identity.api.desk.notices import tell_of_answer, told_by_desk
from service.notice_settings import NoticeSettings
from service.notices import Message, NotTaken
from service.notices.outbox import DAY_MS
from service.notices.part import Courier
from service.notices.providers import Way
from service.sign_in.roles import Role
from service.store import new_id

MAIL = "chen@example.org"


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[DeskRig]:
    async with desk_rig(sqlite_rig) as made:
        yield made


class Refusing:
    """A mail server that knows nobody, and a gateway of text messages that takes everything."""

    name = "both"
    ways = frozenset(Way)

    def __init__(self) -> None:
        self.taken: list[Message] = []

    async def send(self, message: Message) -> None:
        if message.way is Way.MAIL:
            raise NotTaken("smtp.550", is_final=True)
        self.taken.append(message)

    async def close(self) -> None:
        pass


def kinds(desk: DeskRig, person_id: str) -> list[str]:
    with desk.store.read() as session:
        return sorted(one.kind for one in told_by_desk(desk.context, session, person_id))


async def test_person_is_told_by_each_confirmed_channel_and_officers_see_what_failed_and_not_to_whom(
    desk: DeskRig,
) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    provider = Refusing()
    courier = Courier(desk.store, [provider], NoticeSettings(), desk.rig.now, CollectorRegistry())
    await proposed(desk, clerk, 1)
    assert await courier.deliver() == 0, "what a clerk alone typed is nobody's channel"
    person_id = person_of(desk, await approved(desk, clerk, approver, mail=MAIL))
    assert await courier.deliver() == 2
    assert [one.channel for one in provider.taken] == ["13900001234"]
    assert resident().name not in provider.taken[0].text
    for language, failed in (("en", "failed"), ("zh-CN", "失败")):
        page = (await clerk.get("/notices", language)).text
        assert failed in page
        assert "smtp.550" in page
        assert MAIL not in page
        assert resident().name not in page
        shown = (await clerk.get(f"/persons/{person_id}", language)).text
        assert failed in shown
    told = export(desk.context, "org-r", person_id)["notices"]
    assert {(one["kind"], one["way"], one["state"]) for one in told} == {
        ("enrol-approved", "mail", "failed"),
        ("enrol-approved", "phone", "sent"),
    }


async def test_look_is_told_once_a_day_and_an_investigations_when_the_person_may_see_it(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    person_id = person_of(desk, await approved(desk, clerk, approver))
    number, officers = resident().id_number, [clerk.browser.officer(), approver.browser.officer()]
    look_up(desk.context, officers[0], Reason.INVESTIGATION, number)
    assert kinds(desk, person_id) == ["enrol-approved"], "nobody sees it before its time, at the counter neither"
    look_up(desk.context, officers[0], Reason.COUNTER, number)
    look_up(desk.context, officers[1], Reason.COMPLAINT, number)
    assert kinds(desk, person_id) == ["enrol-approved", "looked-at"]
    desk.rig.clock_ms += DAY_MS
    look_up(desk.context, officers[1], Reason.COMPLAINT, number)
    assert kinds(desk, person_id) == ["enrol-approved", "looked-at", "looked-at"]
    provider = Refusing()
    courier = Courier(desk.store, [provider], NoticeSettings(), desk.rig.now, CollectorRegistry())
    await courier.deliver()
    assert sorted(one.kind for one in provider.taken) == ["enrol-approved", "looked-at", "looked-at"]
    desk.rig.clock_ms += HIDDEN_MS
    await courier.deliver()
    assert "looked-at-later" in kinds(desk, person_id)
    assert provider.taken[-1].text == provider.taken[-2].text, "the words do not tell it apart"


async def test_person_is_told_once_a_day_that_a_relying_party_got_an_answer(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    person_id = person_of(desk, await approved(desk, clerk, approver, mail=MAIL))

    def answered(whom: str) -> int:
        with desk.store.write() as session:
            return tell_of_answer(desk.context, session, whom)

    assert [answered(person_id), answered(person_id), answered(new_id())] == [2, 0, 0], "by telephone and mail"
    desk.rig.clock_ms += DAY_MS
    assert answered(person_id) == 2
    assert kinds(desk, person_id).count("answered") == 4
    provider = Refusing()
    courier = Courier(desk.store, [provider], NoticeSettings(), desk.rig.now, CollectorRegistry())
    await courier.deliver()
    text = provider.taken[-1].text
    assert "查询记录" in text
    assert "list of accesses" in text
    assert resident().name not in text


async def test_export_does_not_tell_by_a_gap_that_somebody_investigates(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    person_id = person_of(desk, await approved(desk, clerk, approver))

    def told() -> list[dict[str, object]]:
        found: list[dict[str, object]] = export(desk.context, "org-r", person_id)["accesses"]
        return [{name: value for name, value in one.items() if name != "at_ms"} for one in found]

    before, officer = told(), clerk.browser.officer()
    look_up(desk.context, officer, Reason.COMPLAINT, resident().id_number)
    seen = told()
    assert len(seen) == len(before) + 1
    look_up(desk.context, officer, Reason.INVESTIGATION, resident().id_number)
    assert told() == seen
    look_up(desk.context, officer, Reason.TELEPHONE, resident().id_number)
    shown = told()
    assert [one["reason"] for one in shown[len(before) :]] == ["complaint", "on-telephone"]
    assert shown[: len(seen)] == seen, "nothing there is counted"
    assert {name for one in shown for name in one} == {"organisation", "role", "reason"}
