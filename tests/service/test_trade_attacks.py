# SPDX-License-Identifier: Apache-2.0
"""Attacks on the pages of traders and regulators, each named by what it tries."""

import io
import uuid

import pytest
from PIL import Image
from store_rig import Rig
from trade_rig import At, trade_rig

from service.sign_in.roles import Role
from tests.trace_rig import CABBAGE, TRADERS, kg, lot
from traceability.goods import load_lot
from traceability.pb import traceability_pb2 as pb

FARM, COOP, MARKET = (TRADERS[name][0] for name in ("farm", "coop", "market"))
LOT = lot()


def draft(**changes: object) -> dict[str, object]:
    return {
        "draft": str(uuid.uuid4()),
        "step": "harvest",
        "actor": FARM,
        "at_ms": 0,
        "product": CABBAGE,
        "lot": "L1",
        "lines": [{"item": "", "quantity": "100"}],
        **changes,
    }


async def test_trader_who_records_in_another_s_name_is_refused_by_the_page(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        market = await service.trader("market")
        answer = await market.post("/trade/record/harvest", actor=FARM, product=CABBAGE, quantity="1", lot="L1")
        assert answer.status_code == 403
        sent = await market.draft(**draft(at_ms=service.rig.clock_ms))
        assert sent.json()["code"] == "trade.not-agent"
        assert load_lot(service.ledger.state.get, LOT) is None


async def test_invitation_in_another_s_name_gives_no_rights_without_the_ledger_s_key(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        stranger = await service.somebody(FARM, Role.TRADER)
        assert (await stranger.get("/trade")).status_code == 403
        answer = await stranger.post("/trade/record/harvest", product=CABBAGE, quantity="1", lot="L1")
        assert answer.status_code == 403
        service.give_key(stranger, MARKET)
        page = await stranger.get("/trade")
        assert MARKET in page.text
        assert FARM not in page.text


async def test_key_that_was_ended_records_nothing_more(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        key = service.key_of(farm)
        message = pb.EndTraderKey()
        message.key.scheme, message.key.public_key = int(key.scheme), key.public_key  # type: ignore[assignment]
        assert service.ledger.code("org-f:attest", message) == ""
        answer = await farm.draft(**draft(at_ms=service.rig.clock_ms))
        assert answer.json()["code"] == "trade.no-participant"


async def test_agent_that_was_dropped_between_draft_and_signature_is_refused_by_the_ledger(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        assert service.ledger.signed("farm", pb.SetAgents(participant=FARM, agents=[COOP])) == ""
        coop = await service.trader("coop")
        record = await coop.record("harvest", actor=FARM, product=CABBAGE, quantity="100", lot="L1")
        page = await coop.get(f"/trade/sign/{record}")
        assert "as its agent" in page.text
        assert service.ledger.signed("farm", pb.SetAgents(participant=FARM)) == ""
        await coop.sign(await coop.act_of(record))
        shown = await coop.get(f"/trade/records/{record}")
        assert "does not sign for this participant" in shown.text
        assert load_lot(service.ledger.state.get, LOT) is None


async def test_cooperative_records_for_a_farm_that_named_it(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        assert service.ledger.signed("farm", pb.SetAgents(participant=FARM, agents=[COOP])) == ""
        coop = await service.trader("coop")
        await coop.does("harvest", actor=FARM, product=CABBAGE, quantity="100", lot="L1")
        assert service.ledger.holding(LOT, "farm").quantity == kg(100)


async def test_signed_act_that_is_sent_again_executes_once(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        record = await farm.record("harvest", product=CABBAGE, quantity="100", lot="L1")
        act_id = await farm.act_of(record)
        await farm.sign(act_id)
        again = await farm.sign_again(act_id)
        assert again.status_code == 410
        await farm.post(f"/acts/{act_id}/send")
        (first,) = service.ledger.sent
        await service.ledger.submit_one(first)
        assert service.ledger.holding(LOT, "farm").quantity == kg(100)


async def test_assertion_of_one_record_does_not_sign_another(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        first = await farm.act_of(await farm.record("harvest", product=CABBAGE, quantity="1", lot="L1"))
        second = await farm.act_of(await farm.record("harvest", product=CABBAGE, quantity="999", lot="L2"))
        await farm.browser.confirm(farm.device)
        shown = service.to_sign.find(service.office, farm.browser.officer(), first).shown
        options = await farm.browser.post(f"/acts/{first}/options", {"shown": shown})
        credential = farm.device.get(options.json())
        answer = await farm.browser.post(f"/acts/{second}/verify", {"credential": credential})
        assert answer.status_code == 409
        assert service.ledger.sent == []


async def test_draft_that_is_sent_twice_makes_one_record_and_other_content_under_its_name_is_refused(
    sqlite_rig: Rig,
) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        body = draft(at_ms=service.rig.clock_ms)
        first = (await farm.draft(**body)).json()
        assert (await farm.draft(**body)).json() == first
        other = await farm.draft(**{**body, "lines": [{"item": "", "quantity": "999"}]})
        assert other.json()["code"] == "trade.draft-other"
        listed = await farm.get("/trade/records")
        assert listed.text.count('href="/trade/records/') == 1


async def test_trader_who_prepares_records_without_end_and_signs_none_fills_no_store(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traceability.api.trader.recording.RECORDS_DAY_MAX", 3)
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        known = draft(at_ms=service.rig.clock_ms)
        answers = [(await farm.draft(**known)).status_code]
        answers += [(await farm.draft(**draft(at_ms=service.rig.clock_ms))).status_code for _ in range(4)]
        assert answers == [200, 200, 200, 429, 429]
        assert (await farm.draft(**known)).status_code == 200, "what is there is found again"
        other = await service.trader("farm-2")
        theirs = draft(at_ms=service.rig.clock_ms, actor=TRADERS["farm-2"][0])
        assert (await other.draft(**theirs)).status_code == 200, "nobody else is held up"


async def test_draft_of_somebody_else_under_the_same_name_is_another_record(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm, other = await service.trader("farm"), await service.trader("farm-2")
        body = draft(at_ms=service.rig.clock_ms)
        first = (await farm.draft(**body)).json()
        second = (await other.draft(**{**body, "actor": TRADERS["farm-2"][0]})).json()
        assert first["record"] != second["record"]
        assert (await other.get(f"/trade/records/{first['record']}")).status_code == 404
        assert (await other.get(f"/trade/sign/{first['record']}")).status_code == 404


@pytest.mark.parametrize("shift_ms", [600_000, -31 * 86_400_000])
async def test_draft_of_the_future_or_of_long_ago_is_refused_in_words(sqlite_rig: Rig, shift_ms: int) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        answer = await farm.draft(**draft(at_ms=service.rig.clock_ms + shift_ms))
        assert answer.json()["record"] == ""
        assert "30 days" in answer.json()["errors"][0]


async def test_form_without_its_token_or_from_another_site_changes_nothing(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm, officer = await service.trader("farm"), await service.officer()
        fields = {"product": CABBAGE, "quantity": "100", "lot": "L1"}
        for who, path in ((farm, "/trade/record/harvest"), (officer, "/regulator/recalls"), (farm, "/trade/agents")):
            assert (await who.browser.web.post(path, data=fields)).status_code == 403
            strange = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
            assert (await who.browser.web.post(path, data=fields, headers=strange)).status_code == 403
        strange = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        answer = await farm.browser.web.post("/trade/drafts", json=draft(at_ms=1), headers=strange)
        assert answer.status_code == 403
        assert 'href="/trade/records/' not in (await farm.get("/trade/records")).text


REGULATOR_PAGES = (
    "/regulator",
    "/regulator/search",
    f"/regulator/item?item={LOT}",
    f"/regulator/participant?gln={FARM}",
    "/regulator/recalls",
    "/regulator/drills",
    "/regulator/discrepancies",
    "/regulator/violations",
    "/regulator/cold-chain",
    "/regulator/complaints",
)


async def test_regulator_s_pages_are_closed_to_traders_strangers_and_other_members(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        service.ledger.harvested(100)
        trader = await service.trader("farm")
        other = await service.officer(Role.SUPERVISOR, "org-a")  # an active member without the regulator's role
        stranger = At(service.browser(), trader.device, service)
        for path in REGULATOR_PAGES:
            assert (await trader.get(path)).status_code == 403, path
            assert (await other.get(path)).status_code == 403, path
            assert (await stranger.get(path)).status_code == 303, path
        for who in (trader, other):
            answer = await who.post("/regulator/recalls", items=LOT, kind="2", reason="1")
            assert answer.status_code == 403
            assert (await who.post("/regulator/drills", items=LOT, kind="real")).status_code == 403


async def test_auditor_and_clerk_of_the_regulator_read_and_do_not_recall(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        service.ledger.harvested(100)
        for role in (Role.AUDITOR, Role.CLERK):
            who = await service.officer(role)
            assert (await who.get("/regulator/recalls")).status_code == 200
            assert (await who.post("/regulator/recalls", items=LOT, kind="2", reason="1")).status_code == 403
            assert (await who.post("/regulator/recalls/lift", items=LOT)).status_code == 403
            assert (await who.post("/regulator/drills", items=LOT, kind="drill")).status_code == 403


async def test_officer_of_the_regulator_records_no_goods(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        officer = await service.officer()
        assert (await officer.get("/trade")).status_code == 403
        answer = await officer.post("/trade/record/harvest", product=CABBAGE, quantity="1", lot="L1")
        assert answer.status_code == 403


@pytest.mark.parametrize("items", ["", "nonsense", f"{LOT}\n=cmd()", "\n".join(lot(f"X{n}") for n in range(257))])
async def test_recall_of_nothing_of_nonsense_or_of_too_much_is_explained(sqlite_rig: Rig, items: str) -> None:
    async with trade_rig(sqlite_rig) as service:
        officer = await service.officer()
        answer = await officer.post("/regulator/recalls", items=items, kind="2", reason="1")
        assert answer.status_code == 422
        assert 'id="items-error"' in answer.text


async def test_photo_loses_what_the_camera_wrote_and_its_digest_is_in_the_event(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        made = io.BytesIO()
        exif = Image.Exif()
        exif[0x010F] = "SecretCameraMaker"
        Image.new("RGB", (320, 200), (30, 120, 60)).save(made, "JPEG", exif=exif)
        assert b"SecretCameraMaker" in made.getvalue()
        fields = {"product": CABBAGE, "quantity": "1", "lot": "L1"}
        page = await farm.browser.web.get("/passkeys", headers={"accept": "text/html"})
        fields["csrf_token"] = page.text.partition('name="csrf_token" value="')[2][:64]
        answer = await farm.browser.web.post(
            "/trade/record/harvest",
            data=fields,
            files={"photo": ("plot.jpg", made.getvalue(), "image/jpeg")},
            headers={"accept": "text/html"},
        )
        record = answer.headers["location"].rsplit("/", 1)[1]
        await farm.sign(await farm.act_of(record))
        photo = await farm.get(f"/trade/records/{record}/photo")
        assert photo.content.startswith(b"\xff\xd8")
        assert b"SecretCameraMaker" not in photo.content
        with Image.open(io.BytesIO(photo.content)) as shown:
            assert (shown.size, len(shown.getexif())) == ((320, 200), 0)
        await farm.get(f"/trade/records/{record}")
        kept = service.whole("farm")
        assert kept["zx:photo"] == f"ni:///sha-256;{service.digest(photo.content)}"


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\xff\xd8\xff\xe0 no picture", b"\x89PNG\r\n\x1a\n"])
async def test_file_that_is_no_picture_is_refused_or_left_out(sqlite_rig: Rig, content: bytes) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        body = draft(at_ms=service.rig.clock_ms, photo=service.text(content))
        answer = await farm.draft(**body)
        assert answer.status_code == (422 if content else 200)


async def test_text_that_looks_like_markup_or_a_formula_stays_text(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        answer = await farm.post(
            "/trade/record/ship", code="<script>alert(1)</script>", quantity="=1+1", **{"partner-code": '"><img>'}
        )
        assert answer.status_code == 422
        assert "<script>alert" not in answer.text
        assert '"><img>' not in answer.text


async def test_trader_is_told_in_words_why_the_ledger_refused_and_the_attempt_stays(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        service.ledger.harvested(100)
        farm, officer = await service.trader("farm"), await service.officer()
        page = await farm.does("sell", item=LOT, quantity="110")
        assert "There is not so much of these goods" in page.text
        assert "Weigh again" in page.text
        assert "traceability.exceeds-balance" in (await officer.get("/regulator/violations")).text


async def test_receipt_that_matches_no_shipment_is_recorded_as_a_discrepancy(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        service.ledger.harvested(100)
        market = await service.trader("market")
        page = await market.does("receive", code=LOT, quantity="5", **{"partner-code": FARM})
        assert "does not match what was shipped" in page.text
        assert "5 kg more than was on its way" in page.text
        assert not service.ledger.holding(LOT, "market").quantity


async def test_ledger_that_is_away_ends_in_a_page_that_says_so_and_records_nothing(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        record = await farm.record("harvest", product=CABBAGE, quantity="100", lot="L1")
        service.ledger.is_reachable = False
        assert (await farm.get("/trade")).status_code == 503
        await farm.sign(await farm.act_of(record))
        page = await farm.get(f"/trade/records/{record}")
        assert "Nothing is known yet" in page.text
        service.ledger.is_reachable = True
        act_id = page.text.partition('action="/acts/')[2].partition("/")[0]
        await farm.post(f"/acts/{act_id}/send")
        assert "It stands on the ledger" in (await farm.get(f"/trade/records/{record}")).text


async def test_record_that_was_not_signed_in_time_is_signed_later_under_the_same_id(sqlite_rig: Rig) -> None:
    async with trade_rig(sqlite_rig) as service:
        farm = await service.trader("farm")
        record = await farm.record("harvest", product=CABBAGE, quantity="100", lot="L1")
        first = await farm.act_of(record)
        for _ in range(2):
            service.wait(20 * 60_000)
            await farm.get("/trade/records")
        page = await farm.get(f"/trade/records/{record}")
        assert "not signed in time" in page.text
        assert (await farm.post(f"/trade/records/{record}/again")).status_code == 303
        second = await farm.act_of(record)
        assert second != first
        await farm.sign(second)
        assert service.ledger.holding(LOT, "farm").quantity == kg(100)
        assert (await farm.post(f"/trade/records/{record}/again")).status_code == 404
