# SPDX-License-Identifier: Apache-2.0
"""Officers with staff cards at the desk: they enrol, approve, and sign one transaction beside a passkey."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from desk_rig import DUTIES, REGISTRAR, At, DeskRig, desk_rig
from sign_in_rig import Browser
from staff_card_rig import AGENT, Holder, ceremony, joined, staff_cards
from store_rig import Rig
from test_desk_persons import approved, joint_signed, new_keys, person_of, record_of

from chain.signing import Scheme
from identity.api.desk import recovering
from identity.api.desk.details import Method
from service.sign_in.people import invite
from service.sign_in.roles import Role


class CardBrowser(Browser):
    """The browser of somebody who confirms with a card."""

    async def confirm(self, device: Any) -> httpx.Response:
        return await ceremony(self, "/confirm", device.holder)


class CardDevice:
    """Answers what the page's script hands over, as the card's agent does."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"card": self.holder.answer(options)}


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[DeskRig]:
    async with desk_rig(sqlite_rig, cards=staff_cards()) as made:
        yield made


async def card_officer(desk: DeskRig, role: Role, name: str) -> At:
    """Somebody with a card that the ledger knows, and who was appointed."""
    if desk.boss is None:
        await desk.officer(Role.AUDITOR, name="Wu Lan")
    assert desk.boss is not None
    browser, holder = await joined(desk, invite(desk.office, desk.boss.officer(), name, REGISTRAR, role))
    assert browser.officer().signer.scheme is Scheme.P256
    desk.appoint(browser, DUTIES[role], name)
    return At(CardBrowser(desk, browser.web), CardDevice(holder), desk)  # type: ignore[arg-type]  # answers as a device does


async def test_two_officers_with_cards_register_a_person(desk: DeskRig) -> None:
    clerk = await card_officer(desk, Role.CLERK, "Zhang Min")
    approver = await card_officer(desk, Role.APPROVER, "Chen Hua")
    person_id = person_of(desk, await approved(desk, clerk, approver))
    assert record_of(desk, person_id) is not None


async def test_recovery_is_signed_by_a_card_and_a_passkey_over_one_transaction(desk: DeskRig) -> None:
    clerk = await card_officer(desk, Role.CLERK, "Zhang Min")
    approver = await desk.officer(Role.APPROVER, name="Chen Hua")
    person_id = person_of(desk, await approved(desk, clerk, approver))
    keys = new_keys()
    case_id = recovering.open_recovery(desk.context, clerk.browser.officer(), person_id, Method.INSPECTED, keys)
    recovering.begin(clerk.signing, case_id, approver.browser.officer().staff_id)
    page = await clerk.get(f"/cases/{case_id}")
    assert f"connect-src 'self' {AGENT};" in page.headers["content-security-policy"]
    assert "data-card-agent" in page.text
    for officer in (clerk, approver):
        assert (await joint_signed(desk, officer, case_id)).status_code == 200
    assert desk.case_state(case_id) == "done"
    record = record_of(desk, person_id)
    assert record is not None
    assert [key.commitment for key in record.keys] == [key.commitment for key in keys]


async def test_passkeys_page_at_the_desk_asks_for_no_card(desk: DeskRig) -> None:
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER, name="Chen Hua")
    person_id = person_of(desk, await approved(desk, clerk, approver))
    case_id = recovering.open_recovery(desk.context, clerk.browser.officer(), person_id, Method.INSPECTED, new_keys())
    recovering.begin(clerk.signing, case_id, approver.browser.officer().staff_id)
    page = await clerk.get(f"/cases/{case_id}")
    assert "connect-src 'self';" in page.headers["content-security-policy"]
    assert 'data-ceremony="get"' in page.text
