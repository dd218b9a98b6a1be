# SPDX-License-Identifier: Apache-2.0
"""Private compartments at the desk: kept, handed back, gone with the person; nothing here opens one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from desk_rig import At, DeskRig, desk_rig
from sqlalchemy import select
from store_rig import Rig
from test_desk_pages import enrolled

from chain import p256
from identity.api.desk import compartments
from identity.api.desk.exporting import export
from identity.api.desk.tables import DeskCompartment, DeskCompartmentBefore
from identity.compartment import SEALED_BYTES_MAX, agreeing, seal, unseal
from service.notices.tables import Notice
from service.sign_in.roles import Role

CARD, WALLET = (ec.derive_private_key(value, ec.SECP256R1()) for value in (61, 62))
CONTENT = "过敏：青霉素".encode()


def public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return p256.compress(key.public_key())


@pytest_asyncio.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[DeskRig]:
    async with desk_rig(sqlite_rig) as made:
        yield made


async def registered(desk: DeskRig) -> tuple[At, At, str]:
    """A clerk, an approver, and the path of somebody's compartment."""
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    _, person_id = await enrolled(desk, clerk, approver)
    return clerk, approver, f"/compartments/{person_id}"


async def handed_in(at: At, path: str, sealed: bytes) -> int:
    page = await at.get(path)
    token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    files = {"sealed": ("box.jwe", sealed, "application/jose+json")}
    answer = await at.browser.web.post(path, data={"csrf_token": token}, files=files)
    return answer.status_code


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_compartment_is_kept_and_handed_back_as_it_was_sealed_and_the_holder_opens_it(desk: DeskRig) -> None:
    clerk, _, path = await registered(desk)
    assert "Nobody opens it here" in (await clerk.get(path)).text
    for language in ("en", "zh-CN"):
        assert (await clerk.get(path, language)).status_code == 200
    sealed = seal(CONTENT, public(CARD), public(WALLET))
    assert await handed_in(clerk, path, sealed) == 303
    back = await clerk.get(f"{path}/sealed")
    assert back.content == sealed
    for key in (CARD, WALLET):
        assert unseal(back.content, public(key), agreeing(key)) == CONTENT
    person_id = path.rpartition("/")[2]
    assert export(desk.context, "org-r", person_id)["compartment"] == sealed.decode()
    assert CONTENT not in written(desk.rig.folder)


async def test_newer_compartment_takes_the_place_of_the_one_before_and_one_is_removed_for_good(desk: DeskRig) -> None:
    clerk, _, path = await registered(desk)
    first, second = (seal(text, public(CARD), public(WALLET)) for text in (b"one", b"two"))
    assert [await handed_in(clerk, path, one) for one in (first, second)] == [303, 303]
    assert (await clerk.get(f"{path}/sealed")).content == second
    assert (await clerk.post(f"{path}/remove")).status_code == 303
    with desk.store.read() as session:
        told = select(Notice.kind).where(Notice.kind == "compartment-changed")
        assert len(session.scalars(told).all()) == 2, "of the replacement and of the removal"
    assert (await clerk.get(f"{path}/sealed")).status_code == 404
    assert (await clerk.post(f"{path}/remove")).status_code == 404


async def test_compartment_that_a_thief_overwrote_and_flooded_is_handed_back_at_the_counter_for_thirty_days(
    desk: DeskRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    clerk, _, path = await registered(desk)
    person_id, first = path.rpartition("/")[2], seal(CONTENT, public(CARD), public(WALLET))
    assert await handed_in(clerk, path, first) == 303

    def overwrite() -> int:
        """As `compartment.put` does for whoever has the phone; how many are kept."""
        with desk.store.write() as session:
            row = session.scalars(select(DeskCompartment)).one()
            compartments.set_aside(desk.context, session, row)
            desk.store.people.seal(session, row, DeskCompartment.content, "nothing opens this")
            return len(compartments.before(desk.context, session, person_id))

    def put_back() -> None:
        with desk.store.write() as session:
            row = session.scalars(select(DeskCompartment)).one()
            desk.store.people.seal(session, row, DeskCompartment.content, first.decode())

    assert overwrite() == 0, "what stood for a moment is somebody trying"
    put_back()
    monkeypatch.setattr(compartments, "STOOD_MS_MIN", 0)
    monkeypatch.setattr(compartments, "BEFORE_MAX", 2)
    assert [overwrite() for _ in range(4)] == [1, 2, 2, 2]
    put_back()
    with desk.store.read() as session:
        kept = [one.id for one in compartments.before(desk.context, session, person_id)]
    page = (await clerk.get(path)).text
    assert all(f"{path}/before/{one}" in page for one in kept)
    assert first in [(await clerk.get(f"{path}/before/{one}")).content for one in kept]
    assert (await clerk.get(f"{path}/before/{'0' * 32}")).status_code == 404
    assert len(export(desk.context, "org-r", person_id)["compartments_before"]) == 2
    desk.rig.clock_ms += compartments.BEFORE_MS
    with desk.store.read() as session:
        assert compartments.before(desk.context, session, person_id) == []
    assert compartments.forget_before(desk.context) == 2


async def test_removing_a_compartment_removes_those_before_it(desk: DeskRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compartments, "STOOD_MS_MIN", 0)
    clerk, _, path = await registered(desk)
    for _ in range(2):
        assert await handed_in(clerk, path, seal(CONTENT, public(CARD), public(WALLET))) == 303
    with desk.store.read() as session:
        assert len(session.scalars(select(DeskCompartmentBefore)).all()) == 1
    assert (await clerk.post(f"{path}/remove")).status_code == 303
    with desk.store.read() as session:
        assert session.scalars(select(DeskCompartmentBefore)).all() == []


@pytest.mark.parametrize("content", [b"", b"my will, in the clear", b"{}", b"x" * (SEALED_BYTES_MAX + 1)])
async def test_what_is_not_sealed_for_two_keys_is_not_taken(desk: DeskRig, content: bytes) -> None:
    clerk, _, path = await registered(desk)
    assert await handed_in(clerk, path, content) == 422
    with desk.store.read() as session:
        assert session.scalars(select(DeskCompartment)).all() == []


async def test_only_clerks_who_gave_a_reason_handle_a_compartment(desk: DeskRig) -> None:
    clerk, approver, path = await registered(desk)
    assert await handed_in(clerk, path, seal(CONTENT, public(CARD), public(WALLET))) == 303
    assert (await approver.get(f"{path}/sealed")).status_code == 403
    assert (await approver.post(f"{path}/remove")).status_code == 403
    stranger = await desk.officer(name="He Yong")
    assert (await stranger.get(path)).headers["location"].startswith("/look-up?person=")
    assert (await stranger.get(f"{path}/sealed")).status_code == 403


async def test_compartment_goes_with_its_person(desk: DeskRig) -> None:
    clerk, _, path = await registered(desk)
    assert await handed_in(clerk, path, seal(CONTENT, public(CARD), public(WALLET))) == 303
    desk.store.erase(path.rpartition("/")[2])
    with desk.store.read() as session:
        assert session.scalars(select(DeskCompartment)).all() == []
