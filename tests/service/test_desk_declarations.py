# SPDX-License-Identifier: Apache-2.0
"""What people declared at kiosks, at the desk: checked, changed under four eyes, or declined with a reason."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio
from desk_cards_rig import ORGANISATION
from desk_rig import REGISTRAR, DeskRig, desk_rig, form, resident
from kiosk_rig import ADDRESS_FIELDS, KioskRig
from sqlalchemy import select
from store_rig import Rig
from test_desk_pages import enrolled, sign

from identity.api.desk import cards, declared
from identity.api.desk.declared import Check, State
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.states import CaseState
from identity.api.desk.tables import DeskAccess, DeskCase, DeskPerson
from identity.api.kiosk.boxes import Signed, seal
from identity.api.kiosk.office import KioskDesk
from identity.api.kiosk.statements import Kind, make
from identity.api.kiosk.tables import RECEIVED, RECORDED, KioskStatement
from identity.api.space.known import declared as told_to_person
from identity.pb import identity_pb2 as pb
from membership.pb import membership_pb2
from service.notices.tables import Notice
from service.problems import Problem
from service.sign_in.roles import Role
from service.store import new_id

SAID = ADDRESS_FIELDS["plate"]


@pytest_asyncio.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[DeskRig]:
    async with desk_rig(sqlite_rig) as made:
        yield made


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KioskRig]:
    folder = tmp_path_factory.mktemp("declared")
    rig = Rig(folder, None)
    yield KioskRig(rig, folder)
    rig.close()


async def filed(kiosk: KioskRig) -> tuple[str, str, str]:
    """Somebody files a change of address at the kiosk; ids of person, card and statement."""
    kiosk.started()
    person_id, card_id, chip = kiosk.holder(other=True)
    await kiosk.address_signed(chip)
    with kiosk.cards.desk.store.write() as session:
        note_access(kiosk.cards.desk, session, kiosk.cards.clerk, person_id, Reason.CORRECTION)
        own = select(KioskStatement.id).where(KioskStatement.person_id == person_id)
        return person_id, card_id, session.scalars(own).one()


def file(desk: DeskRig, person_id: str, organisation: str = REGISTRAR, kind: Kind = Kind.ADDRESS) -> str:
    """A declaration that its person confirmed on a phone, as the office keeps it; its id."""
    fields = ADDRESS_FIELDS if kind is Kind.ADDRESS else {"way": "card", "id": "c", "reference": "K-1"}
    stated = make(kind, fields, language="zh-CN", device=b"\x02" + bytes(32), place="x", now_ms=desk.rig.clock_ms)
    signed = Signed(stated, b"", b"", b"", "the verifier's answer")
    anchor = membership_pb2.Anchor(
        kind=membership_pb2.ANCHOR_KIND_AUDIT, stream=stated.stream_bytes, digest=signed.recorded, size=1
    )
    assert desk.ledger.code("desk@p256", anchor) == ""
    with desk.store.write() as session:
        row = KioskStatement(
            id=new_id(),
            person_id=person_id,
            organisation=organisation,
            stream=stated.stream_bytes,
            kind=kind,
            state=RECORDED,
            received_ms=desk.rig.clock_ms,
            device="02" * 33,
        )
        sealed = seal(signed, KioskDesk(lambda: desk.context).box_key())
        desk.store.people.seal(session, row, KioskStatement.content, sealed)
        return row.id


async def test_declared_address_becomes_the_registered_one_by_two_officers_through_pages(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    _, person_id = await enrolled(desk, clerk, approver)
    statement = file(desk, person_id)
    path = f"/declarations/{statement}"
    clerk = await desk.officer(name="He Yong")  # who has given no reason for anything
    for language, word in (("en", "Waiting"), ("zh-CN", "等待受理")):
        page = await clerk.get("/declarations", language)
        assert word in page.text
        assert SAID not in page.text
        assert resident().name not in page.text
    assert SAID not in (await clerk.get(path)).text  # no reason was given yet
    assert (await clerk.post(f"{path}/open")).headers["location"] == path
    shown = (await clerk.get(path)).text
    assert SAID in shown
    assert "confirmed on the holder&#39;s phone" in shown
    assert "Recorded there on" in shown
    with desk.store.read() as session:
        assert session.scalars(select(DeskAccess.reason).order_by(DeskAccess.number.desc())).first() == "correction"

    edit = (await clerk.post(f"{path}/take")).headers["location"]
    case = edit.removesuffix("/edit")
    assert f"祖庙街道 {SAID} 1203" in (await clerk.get(edit)).text
    assert (await clerk.post(f"{path}/take")).status_code == 409
    assert (await clerk.post(f"{path}/decline", answer="x")).status_code == 409
    sent = await clerk.post(edit, **form(resident(), address=f"祖庙街道 {SAID} 1203"), go="submit")
    assert sent.headers["location"] == case, sent.text
    await sign(desk, clerk, case, "propose")
    assert "In a case" in (await clerk.get("/declarations")).text
    await sign(desk, approver, case, "approve")
    assert "Done" in (await clerk.get("/declarations")).text
    with desk.store.read() as session:
        (row,) = session.scalars(select(DeskPerson).where(DeskPerson.person_id == person_id))
        assert SAID in (desk.store.people.open(session, row, DeskPerson.details) or "")
        assert "change-approved" in set(session.scalars(select(Notice.kind)))
        (told,) = told_to_person.of_person(desk.context, session, person_id)
    assert (told["state"], told["kind"]) == ("done", "address")
    assert SAID in str(told["text"])


async def test_declined_declaration_has_a_reason_that_its_person_reads_and_nothing_is_taken_unchecked(
    desk: DeskRig,
) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    _, person_id = await enrolled(desk, clerk, approver)
    statement = file(desk, person_id)
    elsewhere, stopped = file(desk, person_id, "org-s"), file(desk, person_id, kind=Kind.STOP)
    for other in (elsewhere, stopped):  # another office's, and one that the office itself has dealt with
        assert (await clerk.post(f"/declarations/{other}/open")).status_code == 404
        assert other not in (await clerk.get("/declarations")).text
    assert (await approver.post(f"/declarations/{statement}/open")).status_code == 403
    await clerk.post(f"/declarations/{statement}/open")
    desk.ledger.is_reachable = False
    page = (await clerk.get(f"/declarations/{statement}")).text
    assert "nothing could be checked" in page
    assert f"/declarations/{statement}/take" not in page
    assert (await clerk.post(f"/declarations/{statement}/take")).status_code >= 500
    desk.ledger.is_reachable = True
    assert (await clerk.post(f"/declarations/{statement}/decline", answer=" ")).status_code == 409
    assert (await clerk.post(f"/declarations/{statement}/decline", answer="门牌不存在")).status_code == 303
    assert "门牌不存在" in (await clerk.get(f"/declarations/{statement}")).text
    assert (await clerk.post(f"/declarations/{statement}/take")).status_code == 409
    with desk.store.read() as session:
        assert "declaration-declined" in set(session.scalars(select(Notice.kind)))
        told = {str(one["id"]): one for one in told_to_person.of_person(desk.context, session, person_id)}
    assert (told[statement]["state"], told[statement]["answer"]) == ("declined", "门牌不存在")


async def test_signature_is_judged_by_the_card_its_key_on_the_ledger_and_the_recorded_digest(kiosk: KioskRig) -> None:
    own, clerk = kiosk.cards.desk, kiosk.cards.clerk
    person_id, card_id, statement = await filed(kiosk)
    with own.store.read() as session:
        assert declared.listed(session, "org-s") == []
        with pytest.raises(Problem):
            declared.opened(own, session, kiosk.cards.approver, statement)  # who gave no reason
        found = declared.opened(own, session, clerk, statement)
    assert (found.declared.state, found.address) == (State.WAITING, "祖庙街道 440604001002003 1203")
    judged = await declared.judge(own, clerk, found)
    assert judged.signature is Check.HOLDS
    assert judged.recorded_ms

    altered = replace(found.signed.statement, fields={**ADDRESS_FIELDS, "room": "1"})
    moved = replace(found.signed.statement, stream=secrets.token_hex(16))
    strange = [
        replace(found.signed, statement=altered),
        replace(found.signed, signature=found.signed.signature[::-1]),
        replace(found.signed, guid=secrets.token_bytes(16)),
        replace(found.signed, statement=moved),
    ]
    for signed in strange:
        assert (await declared.judge(own, clerk, replace(found, signed=signed))).signature is Check.WRONG
    for signed in (strange[0], strange[3]):
        assert (await declared.judge(own, clerk, replace(found, signed=signed))).recorded_ms == 0

    with own.store.read() as session:
        keys = cards.opened(own, session, ORGANISATION, card_id).keys
    for key in keys:
        stop = pb.SetPersonStatus(
            id=kiosk.cards.registration(person_id),
            key=key.commitment,
            status=pb.STATUS_SUSPENDED,
            reason=pb.REASON_HOLDER_REQUEST,
        )
        assert kiosk.cards.rules.code("desk@p256", stop) == ""
    assert (await declared.judge(own, clerk, found)).signature is Check.ENDED


async def test_case_that_is_dropped_leaves_the_declaration_waiting_for_another(kiosk: KioskRig) -> None:
    own, clerk = kiosk.cards.desk, kiosk.cards.clerk
    _, _, statement = await filed(kiosk)

    def state() -> State | None:
        with own.store.read() as session:
            return next((one.state for one in declared.listed(session, ORGANISATION) if one.id == statement), None)

    first = declared.take(own, clerk, statement)
    assert state() is State.TAKEN
    with own.store.write() as session:
        case = session.get(DeskCase, first)
        assert case is not None
        case.state = CaseState.DROPPED
    assert state() is State.WAITING
    assert declared.take(own, clerk, statement) != first
    with pytest.raises(Problem):
        declared.take(own, clerk, statement)
    with own.store.write() as session:  # what the ledger does not have yet is no work of the desk
        row = session.get(KioskStatement, statement)
        assert row is not None
        row.state = RECEIVED
    assert state() is None
