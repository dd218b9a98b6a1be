# SPDX-License-Identifier: Apache-2.0
"""A credential at the counter: the desk offers it, the holder's wallet fetches it with digits that were said aloud."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from desk_rig import ISSUER, At, DeskRig, desk_rig, resident
from sqlalchemy import func, select
from store_rig import Rig
from test_desk_pages import enrolled

from identity.api.desk import deciding
from identity.api.desk.offer_pages import offer
from identity.api.desk.states import CaseKind
from identity.api.issuer.confirmed import check_confirmed
from identity.api.issuer.denied import Denied
from identity.api.issuer.offers import GRANT, content_of, offer_document, redeem, redeemed
from identity.api.issuer.tables import IssuerOffer
from service.language import LANGUAGES
from service.problems import Problem
from service.sign_in.roles import Role


@pytest_asyncio.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[DeskRig]:
    async with desk_rig(sqlite_rig) as made:
        yield made


async def registered(desk: DeskRig) -> tuple[At, At, str]:
    """A clerk, an approver, and somebody whom they registered."""
    clerk, approver = await desk.officer(), await desk.officer(Role.APPROVER)
    _, person_id = await enrolled(desk, clerk, approver)
    return clerk, approver, person_id


def offers(desk: DeskRig) -> int:
    with desk.store.read() as session:
        return session.scalar(select(func.count()).select_from(IssuerOffer)) or 0


async def test_wallet_gets_what_officers_confirmed_with_the_digits_alone(desk: DeskRig) -> None:
    clerk, _, person_id = await registered(desk)
    made = offer(desk.context, clerk.browser.officer(), person_id, ISSUER)
    address = parse_qs(urlsplit(made.uri).query)["credential_offer_uri"][0]
    assert address.startswith(f"{ISSUER}/oid4vci/offers/")
    now_ms = desk.context.now()
    with desk.store.write() as session:
        document = offer_document(session, desk.store, address.rpartition("/")[2], ISSUER, now_ms)
        assert document is not None
        code = document["grants"][GRANT]["pre-authorized_code"]  # type: ignore[index,call-overload]  # JSON of our own
        wrong = "000000" if made.tx_code != "000000" else "000001"
        assert redeem(session, desk.store, code, wrong, now_ms) is None  # type: ignore[arg-type]  # likewise
        token = redeem(session, desk.store, code, made.tx_code, now_ms)  # type: ignore[arg-type]  # likewise
        assert token is not None
        found = redeemed(session, token, now_ms)
        content = content_of(session, desk.store, found)
        with pytest.raises(Denied):
            redeem(session, desk.store, code, made.tx_code, now_ms)  # type: ignore[arg-type]  # likewise
    assert found.person_id == person_id
    assert resident().name == f"{content.claims.claims['family_name']}{content.claims.claims['given_name']}"
    records = {key: desk.ledger.state.get(key) for key in content.subjects}
    check_confirmed(content.claims, content.subjects, content.opening, records)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_page_shows_the_code_and_the_digits_and_keeps_neither(desk: DeskRig, language: str) -> None:
    clerk, approver, person_id = await registered(desk)
    page = await clerk.get(f"/persons/{person_id}", language)
    assert f'action="/persons/{person_id}/credential"' in page.text
    shown = await clerk.browser.form(f"/persons/{person_id}/credential")
    assert shown.status_code == 200, shown.text
    assert "<svg" in shown.text
    assert shown.headers["cache-control"] == "no-store"
    assert offers(desk) == 1
    refused = await approver.post(f"/persons/{person_id}/credential")
    assert refused.status_code == 403, "who confirms offers nothing"


async def test_nothing_is_offered_without_a_reason_or_of_somebody_who_does_not_count(desk: DeskRig) -> None:
    clerk, _, person_id = await registered(desk)
    other = await desk.officer(name="He Yong")
    with pytest.raises(Problem):
        offer(desk.context, other.browser.officer(), person_id, ISSUER)
    officer = clerk.browser.officer()
    case_id = deciding.open_status_case(desk.context, officer, person_id, CaseKind.SUSPEND, "holder-request")
    deciding.set_status(clerk.signing, case_id)
    assert (await clerk.sign(desk.case(case_id).act_id)).status_code == 200
    await clerk.get(f"/cases/{case_id}")
    with pytest.raises(Problem):
        offer(desk.context, officer, person_id, ISSUER)
    assert offers(desk) == 0
