# SPDX-License-Identifier: Apache-2.0
"""The shopper's pages over HTTP: proofs that verify outside of a browser, addresses, ages, labels, what is refused."""

import base64
import io
import json
import re
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import zxingcpp
from PIL import Image
from sqlalchemy import select

from chain import receipt
from chain.errors import LedgerError
from chain.pb import ledger_pb2
from chain.types import sha256
from membership.pb import membership_pb2
from service.app import create_app
from service.settings import Settings, local_address
from service.shell import shell_part
from tests.certified_ledger import BODIES, key_of
from tests.shopper_rig import CARRIER, FARM, LOT, SERIAL, STEM, FoodLedger
from tests.trace_rig import BAG, CABBAGE, lot
from traceability.api.context import TRACE_SITE
from traceability.api.kept import Whole, keep, make_owner
from traceability.api.shopper.code import KIND, STREAM, code_digest, code_files, code_part
from traceability.api.shopper.evidence import FRESH_MS, STALE_MS_MAX
from traceability.api.shopper.label_pages import COUNT_MAX, serials_from
from traceability.api.shopper.part import anchor_code, shopper_part
from traceability.api.tables import FoodOwner
from traceability.events import event_key, projection_hash
from traceability.openings import Field, verify_field
from traceability.pb import traceability_pb2 as pb
from traceability.recalls import recall_keys

SERVER_MS_MAX = 100
GENEROUS = 8
"""Neighbours take the machine for moments."""
KILOGRAM = [{"epcClass": STEM + LOT, "quantity": 1, "uom": "KGM"}]


class Shop:
    """A ledger, the pages about it, and a clock that can be set on."""

    def __init__(self, folder: Path) -> None:
        self.food = FoodLedger(folder)
        self.skipped_ms = 0
        self.context = self.food.context(now=lambda: time.time_ns() // 1_000_000 + self.skipped_ms)
        self.origin = self.context.origin
        parts = [shell_part(TRACE_SITE), shopper_part(self.context, self.food)]
        self.app = create_app(parts, Settings(), self.context.address)

    @asynccontextmanager
    async def visitor(self, address: str = "198.51.100.7", **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app, client=(address, 40000))
        given = {"accept-language": "en", **headers}
        async with httpx.AsyncClient(transport=transport, base_url=self.origin, headers=given) as made:
            yield made

    def skip(self, ms: int = FRESH_MS) -> None:
        self.skipped_ms += ms


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("shop"))
    made.food.journey(warm=True)
    yield made
    made.food.close()


def proven(bundle: dict[str, Any], genesis: bytes) -> receipt.Verified:
    return receipt.verify(base64.b64decode(bundle["receipt"]), genesis)


async def test_bundle_verifies_down_to_the_genesis_file_and_proves_that_nothing_is_recalled(shop: Shop) -> None:
    async with shop.visitor() as web:
        answer = await web.get(f"/v1/journeys/{SERIAL}")
        genesis = (await web.get(f"/v1/journey-genesis?network={shop.context.genesis.network.hex()}")).content
    assert answer.headers["cache-control"] == "public, max-age=5"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "set-cookie" not in answer.headers
    bundle = answer.json()
    verified = proven(bundle, genesis)
    states = {state.key: state.value for state in verified.states}
    events = [pb.RecordEvent.FromString(one.operation.body) for one in verified.inclusions]
    assert len(events) == 8
    for event in events:
        kept = pb.EventRecord.FromString(states[event_key(event.projection.id)] or b"")
        assert kept.projection == projection_hash(event.projection)
    for item in (SERIAL, LOT):
        assert [states[key] for key in recall_keys(item)] == [None, None]
    by_id = {event.projection.id.hex(): event for event in events}
    for one in bundle["openings"]:
        path = tuple(bytes.fromhex(step) for step in one["path"])
        field = Field(
            one["pointer"], one["value"].encode(), bytes.fromhex(one["salt"]), one["index"], one["count"], path
        )
        verify_field(field, by_id[one["event"]].fields_root)
    assert {one["pointer"] for one in bundle["openings"]} == {
        "/certificationInfo",
        *(f"/sensorElementList/{index}" for index in range(6)),
    }


async def test_nothing_private_of_an_event_is_in_the_bundle_but_temperatures_and_certificates(shop: Shop) -> None:
    secret = {"ex:farmer": "张三 13900001111", "ex:plot": "23.1801,112.9002"}
    shop.food.record(
        FARM,
        hours=26,
        action="OBSERVE",
        bizStep="storing",
        quantityList=KILOGRAM,
        sensorElementList=[
            {"sensorReport": [{"type": "Temperature", "value": 4, "uom": "CEL"}, {"type": "Latitude", "value": 23.18}]},
            {
                "sensorMetadata": {"deviceID": "urn:x", "ex:driver": "李四"},
                "sensorReport": [{"type": "Temperature", "value": 5}],
            },
        ],
        **{"@context": {"ex": "https://ns.example.org/"}},
        **secret,
    )
    shop.skip()
    async with shop.visitor() as web:
        text = (await web.get(f"/v1/journeys/{LOT}")).text + (await web.get(f"/food/{LOT}")).text
    for word in ("张三", "13900001111", "112.9002", "李四", "23.18", "\\u5f20"):
        assert word not in text, word


async def test_events_that_this_service_captured_are_opened_until_their_owner_is_erased(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.food.journey()
    with shop.food.store.write() as session:
        for one in shop.food.leaves[-8:]:
            event = pb.RecordEvent.FromString(one[0].operations[0].body).projection
            data, secret = shop.food.kept_events[event.id]
            owner = make_owner(shop.food.store, session, event.actor)
            keep(session, owner, event.id.hex(), event.id, Whole(secret, data), 1)
        carrier = session.scalar(select(FoodOwner.person_id).where(FoodOwner.gln == CARRIER))
    shop.app = create_app([shell_part(TRACE_SITE), shopper_part(shop.context)], Settings(), shop.context.address)
    async with shop.visitor() as web:
        bundle = (await web.get(f"/v1/journeys/{SERIAL}")).json()
        assert len(bundle["openings"]) == 7
        assert carrier is not None
        shop.food.store.erase(carrier)
        shop.skip()
        bundle = (await web.get(f"/v1/journeys/{SERIAL}")).json()
        assert [one["pointer"] for one in bundle["openings"]] == ["/certificationInfo"]
        assert "Temperature" in (await web.get(f"/food/{SERIAL}")).text
    shop.food.close()


async def test_epochs_before_the_one_that_a_phone_knows_are_left_out(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.food.journey()
    closing = shop.food.replace_validator("water")
    shop.food.settle()
    async with shop.visitor() as web:
        full = (await web.get(f"/v1/journeys/{SERIAL}")).json()
        short = (await web.get(f"/v1/journeys/{SERIAL}?epoch=2")).json()
    genesis = shop.food.ledger.genesis_bytes
    verified = proven(full, genesis)
    assert verified.epoch == 2
    receipts = [ledger_pb2.Receipt.FromString(base64.b64decode(one["receipt"])) for one in (full, short)]
    assert [len(one.epochs) for one in receipts] == [1, 0]
    with pytest.raises(LedgerError):
        proven(short, genesis)
    verifier = receipt.Verifier(shop.food.ledger.genesis)
    verifier.advance([closing])
    assert verifier.verify(base64.b64decode(short["receipt"])).epoch == 2
    shop.food.close()


async def test_page_tells_what_the_ledger_says_in_both_languages_and_sets_no_cookie(shop: Shop) -> None:
    async with shop.visitor() as web:
        page = await web.get(f"/food/{SERIAL}")
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
        for word in (
            "Leping Farm, Sanshui, Foshan",
            "Harvested",
            "District Produce Laboratory",
            "minutes outside of the",
        ):
            assert word in page.text
        other = (await web.get(f"/food/{SERIAL}?lang=zh-CN")).text
        for word in ("佛山三水 乐平农场", "采收", "区农产品质检站", "分钟超出规定温度"):
            assert word in other


async def test_page_is_made_at_the_server_in_time(shop: Shop) -> None:
    async with shop.visitor() as web:
        for path in (f"/food/{SERIAL}", f"/v1/journeys/{SERIAL}"):
            fresh, again = [], []
            for _ in range(5):
                shop.skip()
                for times in (fresh, again):
                    began = time.perf_counter()
                    assert (await web.get(path)).status_code == 200
                    times.append((time.perf_counter() - began) * 1000)
            first, later = statistics.median(fresh), statistics.median(again)
            print(f"\n{path[:12]}: {first:.0f} ms with its proof, {later:.0f} ms again")
            assert later < GENEROUS * SERVER_MS_MAX


async def test_label_with_batch_and_serial_leads_to_the_finest_that_is_known(shop: Shop) -> None:
    async with shop.visitor() as web:
        both = await web.get(f"/food/01/{BAG}/10/L9/21/000184?17=270101")
        assert (both.status_code, both.headers["location"]) == (307, f"/food/{SERIAL}?17=270101")
        batch = await web.get(f"/food/01/{CABBAGE}/10/L260921-07/21/77")
        assert batch.headers["location"] == f"/food/{LOT}?21=77"
        product = await web.get(f"/food/01/{BAG}")
        assert product.status_code == 200
        assert "500 g" in product.text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"01/{CABBAGE}?10=NOSUCH", ["Batch NOSUCH stands in no record."]),
        (f"01/{CABBAGE}?10=%3Cb%3E&21=NOSUCH", ["Serial NOSUCH stands in no record."]),
        (f"01/{BAG}?10=a%26b&21=%3Cb", ["Batch a&amp;b stands in no record.", "Serial &lt;b stands in no record."]),
        (f"{LOT}?21=77&17=270101", ["Serial 77 stands in no record.", "What follows is of the batch"]),
    ],
)
async def test_label_that_stands_in_no_record_is_said_to_be_none(shop: Shop, path: str, said: list[str]) -> None:
    async with shop.visitor() as web:
        page = await web.get(f"/food/{path}")
        assert page.status_code == 200
        for words in [*said, "Do not rely on this label", "/food-complaint/"]:
            assert words in page.text
        assert "scan its own label" not in page.text
        assert "没有任何记录" in (await web.get(f"/food/{path}&lang=zh-CN")).text


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        (f"01/{BAG}?10=L9&21=000184&17=270101", f"{SERIAL}?17=270101"),
        (f"{LOT}?21=77", ""),
        (f"01/{CABBAGE}?10={LOT.rpartition('/')[2]}&21=77", f"{LOT}?21=77"),
    ],
)
async def test_label_that_is_recorded_leads_to_its_page_whatever_the_address_said(
    shop: Shop, path: str, leads_to: str
) -> None:
    async with shop.visitor() as web:
        page = await web.get(f"/food/{path}")
        assert page.headers.get("location", "/food/") == f"/food/{leads_to}"


@pytest.mark.parametrize("query", ["", "?10=", f"?10={'x' * 21}", "?10=%E2%80%AE", "?10=a%0Ab", "?21=&10=%01", "?11=1"])
async def test_what_is_no_code_is_not_said_of_any_label(shop: Shop, query: str) -> None:
    async with shop.visitor() as web:
        page = await web.get(f"/food/01/{CABBAGE}{query}")
        assert page.status_code == 200
        assert "stands in no record" not in page.text
        assert "scan its own label" in page.text


async def test_label_that_stands_in_no_record_can_be_complained_of(shop: Shop) -> None:
    async with shop.visitor() as web:
        for path in (f"01/{CABBAGE}?10=NO%22SUCH", f"{LOT}?21=NO%22SUCH"):
            address = f"/food-complaint/{path}"
            assert address.replace("&", "&amp;") in (await web.get(f"/food/{path}")).text
            form = await web.get(address)
            assert "NO&#34;SUCH stands in no record." in form.text
            sent = await post(web, address, {"kind": "label", "district": "", "text": "Batch NOSUCH"})
            assert "Your complaint has been received" in sent.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/food/{lot('nobody')}", 404),
        (f"/v1/journeys/{lot('nobody')}", 404),
        ("/food/01/123/10/x", 400),
        ("/food/", 400),
        (f"/food/01/{CABBAGE}/10/{'x' * 21}", 400),
        (f"/food-labels/{lot('nobody')}", 404),
        (f"/food-complaint/{lot('nobody')}", 404),
        (f"/food-here/{LOT}", 404),
        ("/v1/journey-genesis?network=00", 404),
        (f"/v1/journeys/{SERIAL}?epoch=x", 422),
    ],
)
async def test_unknown_and_malformed_addresses_are_refused(shop: Shop, path: str, status: int) -> None:
    async with shop.visitor() as web:
        assert (await web.get(path)).status_code == status


async def test_recall_shows_within_seconds_and_its_lifting_too(shop: Shop) -> None:
    async with shop.visitor() as web:
        assert "Do not eat" not in (await web.get(f"/food/{SERIAL}")).text
        shop.food.recall(f"01/{CABBAGE}")
        shop.skip()
        page = (await web.get(f"/food/{SERIAL}")).text
        assert "Do not eat" in page
        assert "residues of pesticides" in page
        shop.food.run(shop.food.signed([], pb.LiftRecall(items=[f"01/{CABBAGE}"])))
        shop.skip()
        assert "Do not eat" not in (await web.get(f"/food/{SERIAL}")).text


async def test_silent_nodes_leave_the_last_answer_for_a_day_and_then_a_problem(shop: Shop) -> None:
    async with shop.visitor() as web:
        before = (await web.get(f"/v1/journeys/{SERIAL}")).content
        shop.food.session.is_silent = True
        try:
            shop.skip()
            assert (await web.get(f"/v1/journeys/{SERIAL}")).content == before
            assert (await web.get(f"/v1/journeys/{lot('other')}")).status_code == 404
            shop.skip(STALE_MS_MAX)
            assert (await web.get(f"/v1/journeys/{SERIAL}")).status_code == 503
        finally:
            shop.food.session.is_silent = False


async def test_many_who_look_at_once_cost_the_nodes_one_question(shop: Shop) -> None:
    async with shop.visitor() as web:
        await web.get(f"/v1/journeys/{SERIAL}")
        shop.skip()
        before = shop.food.session.asked
        for _ in range(10):
            await web.get(f"/v1/journeys/{SERIAL}")
        assert shop.food.session.asked - before <= 2


async def test_event_declared_in_error_stays_and_is_marked(shop: Shop) -> None:
    wrong = shop.food.record(FARM, hours=27, action="OBSERVE", bizStep="storing", quantityList=KILOGRAM)
    declared = pb.DeclareError(event=wrong.projection.id, reason=pb.ERROR_REASON_INCORRECT_DATA)
    shop.food.run(shop.food.signed(["farm"], declared))
    shop.skip()
    async with shop.visitor() as web:
        page = (await web.get(f"/food/{LOT}")).text
    assert 'class="wrong-one"' in page
    assert "Declared wrong on" in page


# ---------------------------------------------------------------- the page's program


async def test_digest_of_the_program_is_anchored_once_and_proven_with_each_journey(tmp_path: Path) -> None:
    food = FoodLedger(tmp_path)
    food.journey()
    context = food.context(key=key_of(BODIES[0]))
    assert await anchor_code(context) == BODIES[0]
    size = len(food.leaves)
    await anchor_code(context)
    assert len(food.leaves) == size, "what is anchored is not anchored again"
    app = create_app([shell_part(TRACE_SITE), shopper_part(context, food)], Settings(), context.address)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=context.origin) as web:
        bundle = (await web.get(f"/v1/journeys/{SERIAL}")).json()
        listed = (await web.get("/v1/journey-code")).json()
        files = {path: (await web.get(path)).content for path in listed["files"]}
    states = {state.key: state.value for state in proven(bundle, food.ledger.genesis_bytes).states}
    anchored = {key: value for key, value in states.items() if key.startswith(b"membership/anchor/")}
    assert len(anchored) == len(BODIES)
    (found,) = [value for value in anchored.values() if value is not None]
    record = membership_pb2.AnchorRecord.FromString(found)
    lines = "".join(f"{path} {sha256(content).hex()}\n" for path, content in sorted(files.items()))
    assert record.digest == code_digest() == sha256(lines.encode()) == bytes.fromhex(listed["digest"])
    assert record.size == len(code_files())
    assert f"membership/anchor/{BODIES[0]}/{KIND}/{STREAM.hex()}".encode() in anchored
    food.close()


async def test_explorer_of_another_organisation_serves_and_lists_the_same_program(shop: Shop) -> None:
    elsewhere = local_address("explorer", "127.0.0.1:8801")
    app = create_app([shell_part(TRACE_SITE), code_part()], Settings(), elsewhere)
    async with (
        shop.visitor() as here,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=elsewhere.public_origin) as there,
    ):
        listed = await there.get("/v1/journey-code", headers={"origin": "https://somebody.example"})
        assert listed.headers["access-control-allow-origin"] == "*"
        assert listed.content == (await here.get("/v1/journey-code")).content
        for path, digest in listed.json()["files"].items():
            assert sha256((await there.get(path)).content).hex() == digest


async def test_worker_holds_each_file_to_its_digest(shop: Shop) -> None:
    async with shop.visitor() as web:
        script = (await web.get("/food/offline.js")).text
        plan = json.loads(re.match(r"self\.offlinePlan = (.*);\n", script)[1])  # type: ignore[index]  # it matches
        for path, integrity in plan["files"].items():
            content = (await web.get(path)).content
            assert integrity == "sha256-" + base64.b64encode(sha256(content)).decode()
    assert any("trace-worker" in path for path in plan["files"])


# ---------------------------------------------------------------- labels


async def test_label_is_given_as_svg_png_and_page(shop: Shop) -> None:
    async with shop.visitor() as web:
        page = await web.get(f"/food-labels/{SERIAL}")
        assert f"{shop.origin}/{SERIAL}" in page.text
        drawn = await web.get(f"/food-labels/{SERIAL}?form=svg")
        assert drawn.headers["content-type"].startswith("image/svg+xml")
        picture = await web.get(f"/food-labels/{LOT}?form=png")
    with Image.open(io.BytesIO(picture.content)) as shown:
        assert zxingcpp.read_barcode(shown.convert("L")).text == f"{shop.origin}/{LOT}"


@pytest.mark.parametrize(
    ("fields", "links"),
    [
        ({"mode": "batch", "count": "3"}, [LOT] * 3),
        ({"mode": "serials", "count": "3", "first": "A-098"}, [f"01/{CABBAGE}/21/A-{n:03}" for n in (98, 99, 100)]),
    ],
)
async def test_sheet_of_labels_is_read_back(
    shop: Shop, fields: dict[str, str], links: list[str], tmp_path: Path
) -> None:
    async with shop.visitor() as web:
        answer = await post(web, f"/food-labels/{LOT}", fields)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert codes_of(answer.content, tmp_path) == sorted(f"{shop.origin}/{link}" for link in links)


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "batch", "count": "0"},
        {"mode": "batch", "count": str(COUNT_MAX + 1)},
        {"mode": "batch", "count": "1e3"},
        {"mode": "batch", "count": "٣"},
        {"mode": "serials", "count": "3", "first": "98"},
        {"mode": "serials", "count": "3", "first": "<b>1"},
        {"mode": "x", "count": "3"},
        {},
    ],
)
async def test_sheet_that_cannot_be_made_says_why(shop: Shop, fields: dict[str, str]) -> None:
    async with shop.visitor() as web:
        answer = await post(web, f"/food-labels/{LOT}", fields)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_serials_count_up_within_their_digits() -> None:
    assert serials_from("007", 3) == ["007", "008", "009"]
    assert serials_from("998", 3) is None
    assert serials_from("L-1-08", 2) == ["L-1-08", "L-1-09"]
    assert serials_from("x", 1) is None
    assert serials_from("1" * 21, 1) is None


def codes_of(content: bytes, folder: Path) -> list[str]:
    """What an independent reader reads off a document's first page."""
    command = ["pdftoppm", "-png", "-r", "200", "-singlefile", "-", str(folder / "p")]
    subprocess.run(command, input=content, check=True)
    with Image.open(folder / "p.png") as picture:
        return sorted(one.text for one in zxingcpp.read_barcodes(picture.convert("L")))


async def post(web: httpx.AsyncClient, path: str, fields: dict[str, str]) -> httpx.Response:
    """Send a form as a browser does that has opened its page."""
    page = (await web.get(path)).text
    token = re.search(r'name="csrf_token" value="([0-9a-f]+)"', page)
    assert token is not None
    return await web.post(path, data={"csrf_token": token[1], **fields}, headers={"sec-fetch-site": "same-origin"})


async def test_lot_with_a_slash_in_its_name_has_page_proof_and_labels(shop: Shop) -> None:
    item = f"01/{CABBAGE}/10/a%2Fb';="
    shop.food.does(FARM, "harvest", lines={item: 5_000_000})
    shop.skip()
    async with shop.visitor() as visitor:
        page = await visitor.get(f"/food/{item}")
        assert page.status_code == 200
        assert "a/b&#39;;=" in page.text
        other = await visitor.get(f"/food/01/{CABBAGE}/10/a%2fb%27%3B%3D")
        assert (other.status_code, other.headers["location"]) == (307, f"/food/{item}")
        assert (await visitor.get(f"/v1/journeys/{item}")).json()["item"] == item
        drawn = await visitor.get(f"/food-labels/{item}?form=png")
        (read,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(drawn.content)))
        assert read.text == f"{shop.origin}/{item}"
        assert (await visitor.get(f"/food/01/{CABBAGE}/10/a%2F..%2Fb")).status_code == 404
