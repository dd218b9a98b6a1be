# SPDX-License-Identifier: Apache-2.0
"""The resolver over HTTP: methods, headers, problems, and that every site may ask."""

from urllib.parse import quote

import pytest

from tests.service.http_rig import ORIGIN, Counter, caller, code, service
from tests.trace_rig import CABBAGE, gtin
from traceability.api.resolving import resolver_part
from traceability.resolver import LINKSET_MEDIA, VOC, PageLinks

PAGES = "https://pages.example"
LOT = f"/01/{CABBAGE}/10/L1"
KNOWN = {
    f"01/{CABBAGE}": "菜心",
    f"01/{CABBAGE}/10/L1": "菜心，批次 L1",
    f"01/{CABBAGE}/10/a%2Bb": "加号",
    f"01/{CABBAGE}/10/a%2Fb';=": "斜线",
}
PARTS = [resolver_part(PageLinks(PAGES, KNOWN.get), ORIGIN, "Food")]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_scan_is_redirected_and_every_site_may_ask(method: str) -> None:
    async with caller(service(Counter(), parts=PARTS), {"origin": "https://elsewhere.example"}) as somebody:
        answer = await somebody.request(method, LOT + "?17=270101", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{PAGES}/food/01/{CABBAGE}/10/L1?17=270101"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert 'rel="linkset"' in answer.headers["link"]
    assert "set-cookie" not in answer.headers
    assert answer.content == b""


async def test_linkset_has_its_media_type_and_anchors_of_this_root() -> None:
    async with caller(service(Counter(), parts=PARTS)) as somebody:
        for path, headers in ((LOT + "?linkType=linkset", {}), (LOT, {"accept": LINKSET_MEDIA})):
            answer = await somebody.get(path, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (200, LINKSET_MEDIA)
            entries = answer.json()["linkset"]
            assert [entry["anchor"] for entry in entries] == [ORIGIN + LOT, f"{ORIGIN}/01/{CABBAGE}"]
            assert entries[0][f"{VOC}defaultLink"][0]["title"].endswith("菜心，批次 L1")


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        (f"/01/{CABBAGE[:-1]}x", 400, "food.no-digital-link"),
        ("/01/", 400, "food.no-digital-link"),
        (f"/01/{gtin(9)}", 404, "food.no-link"),
        (f"{LOT}?linkType=gs1:dpp", 404, "food.no-link"),
        (f"/01/{CABBAGE}/10/{quote('c/d', safe='')}?linkType=gs1:dpp", 404, "food.no-link"),
        (f"/01/{CABBAGE}/10/%2e%2e/21/7", 400, "request.path"),
        (f"/01/{CABBAGE}/10/a%5Cb", 400, "request.path"),
        (f"/01/{CABBAGE}/10/a%00b", 400, "request.path"),
        (f"/01/{CABBAGE}/ARFKk4XBoCwxOao", 400, "food.no-digital-link"),  # as a compressed link ends
    ],
)
async def test_refusal_is_a_problem_document_and_never_200(path: str, status: int, expected: str) -> None:
    async with caller(service(Counter(), parts=PARTS), {"accept-language": "zh-CN"}) as somebody:
        answer = await somebody.get(path)
    assert (answer.status_code, code(answer)) == (status, expected)
    if expected.startswith("food."):
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_preflight_is_answered_and_nothing_can_be_posted() -> None:
    async with caller(service(Counter(), parts=PARTS)) as somebody:
        answer = await somebody.options(LOT, headers={"origin": "https://elsewhere.example"})
        assert (answer.status_code, answer.headers["access-control-allow-methods"]) == (204, "GET, HEAD, OPTIONS")
        assert (await somebody.post(LOT)).status_code in (403, 405)


async def test_description_stands_at_its_well_known_place() -> None:
    async with caller(service(Counter(), parts=PARTS)) as somebody:
        answer = await somebody.get("/.well-known/gs1resolver")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["resolverRoot"] == ORIGIN


async def test_escaped_characters_reach_the_item_as_they_are() -> None:
    async with caller(service(Counter(), parts=PARTS)) as somebody:
        answer = await somebody.get(f"/01/{CABBAGE}/10/a%2Bb/")
    assert answer.headers["location"] == f"{PAGES}/food/01/{CABBAGE}/10/a%2Bb"


async def test_lot_with_a_slash_in_its_name_leads_to_its_page_however_it_was_escaped() -> None:
    async with caller(service(Counter(), parts=PARTS)) as somebody:
        for written in ("a%2Fb%27%3B%3D", "a%2fb';="):
            answer = await somebody.get(f"/01/{CABBAGE}/10/{written}")
            assert (answer.status_code, answer.headers["location"]) == (307, f"{PAGES}/food/01/{CABBAGE}/10/a%2Fb';=")
