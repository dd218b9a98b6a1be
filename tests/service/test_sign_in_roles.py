# SPDX-License-Identifier: Apache-2.0
"""Roles that change, administrators who are never lost, and what the ledger says of an organisation and a key."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends
from sign_in_rig import Desk, desk_of
from sqlalchemy import select
from store_rig import Rig

from chain.codec import encode
from chain.signing import Signer
from client.errors import TransportError
from membership.pb import membership_pb2 as pb
from membership.state import organisation_key, signer_key
from service.problems import Problem
from service.sign_in import people
from service.sign_in.access import Require
from service.sign_in.acts import Acts
from service.sign_in.ledger import AGE_MS_MAX
from service.sign_in.people import list_people
from service.sign_in.roles import PERMISSIONS, Duty, Permission, Role, take_duty
from service.sign_in.sessions import Officer
from service.sign_in.standings import AGAIN_MS, FRESH_MS, KEPT_MS_MAX, Standings
from service.sign_in.tables import PreparedAct
from service.store.models import new_id

JSON = {"accept": "application/json"}


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return desk_of(rig)


# ---------------------------------------------------------------- changes of a role


async def test_role_that_changes_counts_at_once_in_open_sessions_after_the_passkey(desk: Desk) -> None:
    administrator, _ = await desk.administrator()
    clerk, device = await desk.colleague(administrator)
    before = clerk.token
    staff = clerk.officer().staff_id
    answer = await administrator.form(f"/people/{staff}/role", role="administrator")
    assert answer.status_code == 303
    assert (await clerk.web.get("/people", headers=JSON)).json()["code"] == "sign-in.confirm"
    assert (await clerk.confirm(device)).status_code == 200
    assert clerk.token != before
    assert (await clerk.web.get("/people", headers=JSON)).status_code == 200
    assert desk.acts().count("people.now-administrator") == 1
    await administrator.form(f"/people/{staff}/role", role="auditor")
    await clerk.confirm(device)
    assert (await clerk.web.get("/people", headers=JSON)).json()["code"] == "role.not-allowed"


async def test_role_is_changed_with_a_fresh_passkey_by_an_administrator_alone(desk: Desk) -> None:
    administrator, _ = await desk.administrator()
    clerk, _ = await desk.colleague(administrator)
    other, _ = await desk.colleague(administrator, "Wang Fang")
    staff = other.officer().staff_id
    assert (await clerk.form(f"/people/{staff}/role", role="administrator")).status_code == 403
    assert (await administrator.form(f"/people/{staff}/role", role="king")).status_code == 422
    desk.wait(6 * 60_000)
    stale = await administrator.form(f"/people/{staff}/role", role="administrator")
    assert stale.headers["location"].startswith("/confirm")
    assert other.officer().role is Role.CLERK


async def test_duties_done_in_the_old_role_still_count_in_the_new_one(desk: Desk) -> None:
    administrator, _ = await desk.administrator()
    clerk, device = await desk.colleague(administrator)
    subject, person = new_id(), clerk.officer().person_id
    with desk.store.write() as session:
        take_duty(session, subject, Duty.ENROL, person)
    people.change_role(desk.office, administrator.officer(), clerk.officer().staff_id, Role.APPROVER)
    await clerk.confirm(device)
    officer = clerk.officer()
    assert officer.may(Permission.APPROVE)
    assert officer.person_id == person
    with pytest.raises(Problem, match="same-person"), desk.store.write() as session:
        take_duty(session, subject, Duty.APPROVE, officer.person_id)


async def test_act_prepared_in_the_old_role_is_not_signed_in_the_new_one(desk: Desk) -> None:
    from test_sign_in_acts import OPERATIONS, WORDS, RefusingLedger  # noqa: PLC0415 - this test alone

    administrator, _ = await desk.administrator()
    clerk, device = await desk.colleague(administrator)
    acts = Acts(RefusingLedger())
    officer = clerk.officer()
    act_id = acts.prepare(desk.office, officer, OPERATIONS, WORDS)
    answer = device.get(acts.ask(desk.office, officer, act_id, acts.find(desk.office, officer, act_id).shown))
    people.change_role(desk.office, administrator.officer(), officer.staff_id, Role.AUDITOR)
    with pytest.raises(Problem, match=r"people\.unknown"):
        acts.sign(desk.office, officer, act_id, answer)
    with desk.store.read() as session:
        assert session.scalars(select(PreparedAct)).all() == []


def test_supervisor_decides_and_neither_enrols_nor_approves_nor_manages_people() -> None:
    may = PERMISSIONS[Role.SUPERVISOR]
    assert {Permission.ADJUDICATE, Permission.MANAGE_STOCK, Permission.ERASE} <= may
    assert not may & {Permission.ENROL, Permission.APPROVE, Permission.MANAGE_PEOPLE}


# ---------------------------------------------------------------- administrators are never lost


Change = Callable[[Desk, Officer, Officer], object]
CHANGES: dict[str, Change] = {
    "remove": lambda desk, by, whom: people.remove(desk.office, by, whom.staff_id),
    "demote": lambda desk, by, whom: people.change_role(desk.office, by, whom.staff_id, Role.CLERK),
    "re-enrol": lambda desk, by, whom: people.re_enrol(desk.office, by, whom.staff_id),
}


def administrators(desk: Desk) -> int:
    return sum(one.role is Role.ADMINISTRATOR and one.state == "active" for one in list_people(desk.office))


@pytest.mark.parametrize("change", CHANGES)
async def test_last_administrator_neither_removes_nor_demotes_nor_re_enrols_themselves(desk: Desk, change: str) -> None:
    browser, _ = await desk.administrator()
    with pytest.raises(Problem, match="not-oneself"):
        CHANGES[change](desk, browser.officer(), browser.officer())
    assert administrators(desk) == 1


@pytest.mark.parametrize("pair", ["remove remove", "demote demote", "remove demote", "demote re-enrol"])
async def test_two_administrators_who_end_one_another_at_the_same_moment_leave_exactly_one(
    desk: Desk, pair: str
) -> None:
    first, _ = await desk.administrator("Li Wei")
    second, _ = await desk.administrator("Wang Fang")
    officers = first.officer(), second.officer()
    ready, outcomes = threading.Barrier(2), []

    def end(change: str, by: Officer, whom: Officer) -> None:
        ready.wait()
        try:
            CHANGES[change](desk, by, whom)
            outcomes.append("done")
        except Problem as problem:
            outcomes.append(problem.kind.code)

    one, other = pair.split()
    threads = [
        threading.Thread(target=end, args=(one, officers[0], officers[1])),
        threading.Thread(target=end, args=(other, officers[1], officers[0])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert administrators(desk) == 1
    assert outcomes.count("done") == 1
    assert set(outcomes) <= {"done", "sign-in.needed", "role.not-allowed"}


REQUESTS: dict[str, Change] = {
    "invite": lambda desk, by, _: people.invite(desk.office, by, "Mallory", "civil-affairs", Role.ADMINISTRATOR),
    "end sessions": lambda desk, by, whom: people.end_sessions_of(desk.office, by, whom.staff_id),
    **CHANGES,
}


@pytest.mark.parametrize("request_", REQUESTS)
async def test_demoted_administrators_request_that_is_under_way_changes_nothing(desk: Desk, request_: str) -> None:
    first, _ = await desk.administrator("Li Wei")
    second, _ = await desk.administrator("Wang Fang")
    clerk, _ = await desk.colleague(first)
    demoted = second.officer()
    people.change_role(desk.office, first.officer(), demoted.staff_id, Role.AUDITOR)
    with pytest.raises(Problem, match=r"role\.not-allowed"):
        REQUESTS[request_](desk, demoted, clerk.officer())
    assert await clerk.is_in()
    assert len(list_people(desk.office)) == 3


# ---------------------------------------------------------------- what the ledger says


@dataclass
class _Clock:
    time_ms: int = 1_000


@dataclass
class _State:
    key: bytes
    value: bytes | None
    checkpoint: _Clock


@dataclass
class Ledger:
    """A ledger that answers, or does not, or takes its time."""

    states: dict[bytes, bytes] = field(default_factory=dict)
    is_up: bool = True
    reads: int = 0
    gate: asyncio.Event | None = None

    async def read_many(self, keys: list[bytes], *, age_ms_max: int) -> list[_State]:
        assert age_ms_max == AGE_MS_MAX
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if not self.is_up:
            raise TransportError("no node answers")
        return [_State(key, self.states.get(key), _Clock()) for key in keys]

    def organisation(self, *roles: str, suspended: bool = False) -> None:
        status = pb.ORGANISATION_STATUS_SUSPENDED if suspended else pb.ORGANISATION_STATUS_ACTIVE
        record = pb.OrganisationRecord(id="civil-affairs", roles=roles, status=status)
        self.states[organisation_key("civil-affairs")] = encode(record)

    def key(self, signer: Signer, *, revoked_at_ms: int = 0, organisation: str = "civil-affairs") -> None:
        purposes = [pb.PURPOSE_SUBMIT, pb.PURPOSE_ATTEST]
        record = pb.KeyRecord(organisation=organisation, purposes=purposes, revoked_at_ms=revoked_at_ms)
        self.states[signer_key(signer)] = encode(record)


@dataclass
class Working:
    """A desk whose officers need a standing, and a ledger."""

    desk: Desk
    ledger: Ledger
    standings: Standings
    clock: list[int]


def working_of(rig: Rig) -> Working:
    desk, ledger, clock = desk_of(rig), Ledger(), [0]
    standings = Standings(lambda: ledger, "registrar", lambda: clock[0])  # type: ignore[arg-type, return-value]  # states stand in for proven ones
    router = APIRouter()

    @router.get("/cases")
    def cases(officer: Annotated[Officer, Depends(Require(Permission.READ_RECORDS))]) -> str:
        return officer.role

    desk.app.include_router(router)
    desk.app.state.standings = standings
    ledger.organisation("registrar")
    return Working(desk, ledger, standings, clock)


async def code_of(browser: object) -> str:
    answer = await browser.web.get("/cases", headers=JSON)  # type: ignore[attr-defined]  # a browser
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


async def test_officer_works_while_the_ledger_knows_their_key_and_organisation(sqlite_rig: Rig) -> None:
    at = working_of(sqlite_rig)
    administrator, _ = await at.desk.administrator()
    clerk, _ = await at.desk.colleague(administrator)
    signer = clerk.officer().signer
    assert await code_of(clerk) == "standing.key"
    at.ledger.key(signer, organisation="trade-office")
    assert await code_of(clerk) == "standing.key"
    at.ledger.key(signer)
    assert await code_of(clerk) == "ok", "no refusal is remembered: the first act after the registration is let in"
    at.ledger.key(signer, revoked_at_ms=1)
    at.clock[0] += FRESH_MS
    assert await code_of(clerk) == "standing.key"


@pytest.mark.parametrize("roles", [(), ("regulator",), None], ids=["no role", "another role", "suspended"])
async def test_officer_of_an_organisation_without_standing_is_kept_out(
    sqlite_rig: Rig, roles: tuple[str, ...] | None
) -> None:
    at = working_of(sqlite_rig)
    administrator, _ = await at.desk.administrator()
    clerk, _ = await at.desk.colleague(administrator)
    at.ledger.key(clerk.officer().signer)
    assert await code_of(clerk) == "ok"
    at.ledger.organisation(*(("registrar",) if roles is None else roles), suspended=roles is None)
    at.clock[0] += FRESH_MS
    assert await code_of(clerk) == "standing.organisation"
    page = await clerk.web.get("/cases", headers={"accept": "text/html"})
    assert "may not work here now" in page.text
    assert (await administrator.web.get("/people", headers=JSON)).status_code == 200


async def test_auditor_who_never_signs_needs_no_key_but_the_organisations_standing(sqlite_rig: Rig) -> None:
    at = working_of(sqlite_rig)
    administrator, _ = await at.desk.administrator()
    auditor, _ = await at.desk.colleague(administrator, role=Role.AUDITOR)
    assert [await code_of(auditor) for _ in range(3)] == ["ok"] * 3
    assert at.ledger.reads == 1, "what counts for good is not asked for by each request"
    at.ledger.organisation()
    at.clock[0] += FRESH_MS
    assert await code_of(auditor) == "standing.organisation"


async def test_answer_of_the_ledger_serves_for_a_while_and_then_nobody_gets_through(sqlite_rig: Rig) -> None:
    at = working_of(sqlite_rig)
    administrator, _ = await at.desk.administrator()
    clerk, _ = await at.desk.colleague(administrator)
    at.ledger.key(clerk.officer().signer)
    assert await code_of(clerk) == "ok"
    at.clock[0] += FRESH_MS - 1
    assert await code_of(clerk) == "ok"
    assert at.ledger.reads == 1
    at.ledger.is_up = False
    at.clock[0] = KEPT_MS_MAX - 1
    assert await code_of(clerk) == "ok"
    assert await code_of(clerk) == "ok"
    assert at.ledger.reads == 2  # a ledger that does not answer is not asked by each request
    at.clock[0] = KEPT_MS_MAX
    assert await code_of(clerk) == "standing.unknown"
    at.ledger.is_up = True
    at.clock[0] += AGAIN_MS
    assert await code_of(clerk) == "ok"


async def test_ledger_that_never_answered_lets_nobody_through(sqlite_rig: Rig) -> None:
    at = working_of(sqlite_rig)
    at.ledger.is_up = False
    administrator, _ = await at.desk.administrator()
    clerk, _ = await at.desk.colleague(administrator)
    page = await clerk.web.get("/cases", headers={"accept": "text/html"})
    assert page.status_code == 503
    assert page.headers["retry-after"] == "5"
    assert "The ledger cannot be reached" in page.text


async def test_slow_ledger_is_asked_once_for_all_and_holds_up_nobody_else(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sign_in.standings.WAIT_SECONDS_MAX", 0.3)
    at = working_of(sqlite_rig)
    administrator, _ = await at.desk.administrator()
    clerk, _ = await at.desk.colleague(administrator)
    at.ledger.key(clerk.officer().signer)
    at.ledger.gate = asyncio.Event()
    waiting = [asyncio.create_task(code_of(clerk)) for _ in range(50)]
    await asyncio.sleep(0)
    assert (await administrator.web.get("/people", headers=JSON)).status_code == 200
    assert set(await asyncio.gather(*waiting)) == {"standing.unknown"}
    assert at.ledger.reads == 1
    at.ledger.gate.set()
    await asyncio.sleep(0.05)
    assert await code_of(clerk) == "ok"
    assert at.ledger.reads == 1
    await at.standings.close()
