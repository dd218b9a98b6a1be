# SPDX-License-Identifier: Apache-2.0
"""The explorer as somebody sees it who wants to deceive its readers or to keep them out."""

import asyncio
import re
import threading
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_network import FakeNetwork, FakeNode
from http_rig import code
from store_rig import Rig
from test_explorer_pages import NAME_ZH, OTHER, SIGNER, exploring, indexed, records, submit, until

from client.pb import node_service_pb2
from membership import state
from membership.pb import membership_pb2 as pb
from service.explorer import ledger, pages, queries
from service.explorer.pulse import WAIT_S
from service.explorer.queries import Filter

MARKUP = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"' onmouseover='alert(1) {{7*7}} </title></textarea>--><!--"
)
PAGES = ("/", "/blocks", "/blocks/2", "/transactions", "/organisations", "/organisations/registrar", "/check")
ALLOWED_LINKS = re.compile(r"(/|#|\?)")


class Inert(HTMLParser):
    """Collects what a page would run or load that no template of ours wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.found.append(f"<{tag} {name}={value}>")
            if name in {"href", "src", "action"} and not ALLOWED_LINKS.match(value or ""):
                self.found.append(f"<{tag} {name}={value}>")
        if tag in {"iframe", "object", "embed", "base", "meta"} and "http-equiv" in given:
            self.found.append(f"<{tag}>")
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.found.append("<script>")
        if tag == "img" and given.get("src") == "x":
            self.found.append("<img src=x>")


def runs(text: str) -> list[str]:
    parser = Inert()
    parser.feed(text)
    return parser.found


def test_judge_of_pages_finds_what_would_run() -> None:
    assert len(runs(f"<a href='javascript:x' style='y'>{MARKUP}<script src=//evil></script>")) >= 4


async def test_xss_in_each_field_from_the_chain_and_from_nodes_stays_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def status(self: FakeNode, _request: Any, _context: Any) -> node_service_pb2.StatusResponse:
        return node_service_pb2.StatusResponse(network=self.ledger.network, network_name=MARKUP, version=MARKUP)

    monkeypatch.setattr(FakeNode, "Status", status)
    organisation = pb.OrganisationRecord(
        id="registrar", name_zh=MARKUP, name_en=MARKUP, roles=[MARKUP], status=pb.ORGANISATION_STATUS_ACTIVE
    )
    hostile = records() | {state.organisation_key("registrar"): organisation.SerializeToString()}
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        identifier = submit(fake, f"test.{MARKUP[:80]}", "membership.AddKey", extra=dict(hostile)).hex()
        failed = submit(fake, "test.Fail", f"test.{MARKUP[:80]}").hex()
        await indexed(explorer, fake)
        paths = [f"/transactions/{one}{more}" for one in (identifier, failed) for more in ("", "/operations/0")]
        for path in (*PAGES, *paths, "/transactions?outcome=failed", "/search?q=script"):
            for language in ("en", "zh-CN"):
                answer = await web.get(path, headers={"accept-language": language})
                assert answer.status_code in {200, 303}, path
                assert runs(answer.text) == [], path
        for path in ("/", "/organisations"):
            assert "&lt;script&gt;" in (await web.get(path)).text


@pytest.mark.parametrize(
    "words", [MARKUP, "javascript:alert(1)", "\u202egnp.exe", "%0d%0aSet-Cookie: a=b", "//evil.example"]
)
async def test_xss_and_redirects_through_the_search_lead_nowhere(tmp_path: Path, words: str) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        submit(fake, "test.Note", extra=dict(records()))
        await indexed(explorer, fake)
        for name in ("q", "kind", "organisation", "outcome", "before", "lang", "theme", "unknown"):
            path = "/search" if name == "q" else "/transactions"
            answer = await web.get(path, params={name: words})
            assert answer.status_code in {200, 404}, name
            assert runs(answer.text) == [], name
            assert "set-cookie" not in answer.headers


async def test_node_that_lies_about_itself_harms_neither_the_page_nor_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = FakeNode.Status

    async def status(self: FakeNode, request: Any, context: Any) -> node_service_pb2.StatusResponse:
        if self is not liar[0]:
            answer = await honest(self, request, context)
            answer.certified_height = self.ledger.tip.height
            return answer
        most = 2**64 - 1
        return node_service_pb2.StatusResponse(
            network=self.ledger.network, epoch=most, view=most, certified_height=most, version="x" * 1_000_000
        )

    liar: list[FakeNode] = []
    monkeypatch.setattr(FakeNode, "Status", status)
    async with FakeNetwork() as fake:
        liar.append(fake.nodes[0])
        async with exploring(fake, tmp_path) as (web, explorer):
            submit(fake, "test.Note", extra=dict(records()))
            await indexed(explorer, fake)
            text = (await web.get("/")).text
            assert len(text) < 100_000
            lags = re.findall(r'<td class="num">([^<]*)</td>', text)[1::4]
            assert set(lags) <= {"0", "1"}, "a block may have come between the nodes' answers"
            nodes = (await web.get("/v1/network")).json()["nodes"]
            assert max(len(node["version"]) for node in nodes) == 40


async def test_node_that_forges_proven_state_changes_no_name_and_no_key(tmp_path: Path) -> None:
    def forge(raw: bytes) -> bytes:
        return raw.replace(NAME_ZH.encode(), "冒名中心".encode()).replace(SIGNER.signer.public_key, bytes(32))

    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        submit(fake, "test.Note", extra=dict(records()))
        await indexed(explorer, fake)
        fake.nodes[0].lie = forge
        for path in ("/organisations", "/organisations/registrar"):
            text = (await web.get(path, headers={"accept-language": "zh-CN"})).text
            assert NAME_ZH in text
            assert "冒名中心" not in text
            assert "00" * 32 not in text


@pytest.mark.parametrize("name", ["before", "after", "size"])
@pytest.mark.parametrize(
    "place", ["0", "-1", "1e3", "9" * 15, "9" * 16, "9" * 4000, "١٢", "1;drop table", "0x10", "", " 1", "1\t", "NaN"]
)
async def test_huge_and_odd_places_read_one_page_or_are_refused(tmp_path: Path, name: str, place: str) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        for _ in range(3):
            submit(fake, "test.Note")
        await indexed(explorer, fake)
        for path in ("/transactions", "/blocks", "/blocks/2", "/v1/transactions", "/v1/blocks"):
            answer = await web.get(path, params={name: place})
            assert answer.status_code in {200, 422}, (path, answer.text[:200])
            assert len(answer.content) < 60_000


@pytest.mark.parametrize("path", ["/transactions", "/v1/transactions", "/search"])
async def test_bytes_that_no_database_takes_are_refused_before_it_is_asked(rig: Rig, path: str) -> None:
    url = rig.new_database()
    async with FakeNetwork() as fake, exploring(fake, rig.folder, url) as (web, explorer):
        submit(fake, "test.Note")
        await indexed(explorer, fake)
        for bad in ("%00", "a%00b", "%ED%A0%80", "%FF%FE", "%F4%90%80%80", "'; DROP TABLE ledger_block; --", "%25%00"):
            for name in ("q", "kind", "organisation"):
                answer = await web.get(httpx.URL(f"{web.base_url}{path}?{name}={bad}"))
                assert answer.status_code in {200, 400, 404}, (bad, name)
        assert len((await web.get("/v1/transactions")).json()) == 1


@pytest.mark.parametrize("host", ["evil.example", "desk.example.org.evil", "desk.example.org:1", "10.0.0.7", ""])
async def test_host_header_attack_reaches_no_page_of_the_explorer(tmp_path: Path, host: str) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, _):
        for path in (*PAGES, "/v1/network", "/check/offline.js", "/search?q=1"):
            answer = await web.get(path, headers={"host": host})
            assert answer.status_code == 421, path
            assert not host or host not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/%2e%2e/settings.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/..%2fapp.py",
        "/static/%5c..%5capp.py", "/static/manifest.json", "/static/.env", "/check/%2e%2e/transactions",
        "/check/offline.js/%2e%2e", "/check/offline.js%00.css", "/transactions/%2e%2e/blocks",
        "/organisations/..%2f..%2fetc",
        "/organisations/%E2%80%AEx", "/blocks/%EF%BC%91", "/v1/genesis/%2e%2e/network",
    ],
)  # fmt: skip
async def test_path_tricks_reach_no_file_and_no_other_page(tmp_path: Path, path: str) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        submit(fake, "test.Note", extra=dict(records()))
        await indexed(explorer, fake)
        request = web.build_request("GET", "/")
        request.url = httpx.URL(str(web.base_url)).copy_with(raw_path=path.encode())
        answer = await web.send(request)
        assert answer.status_code in {400, 404}, answer.text[:200]


async def test_exports_asked_for_all_at_once_leave_the_pages_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, made = threading.Event(), Counter[str]()
    export = pages.export_of

    def slow(*arguments: Any) -> Any:
        made["now"] += 1
        made["most"] = max(made["most"], made["now"])
        assert go_on.wait(60)
        made["now"] -= 1
        return export(*arguments)

    monkeypatch.setattr(pages, "export_of", slow)
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        submit(fake, "test.Note")
        await indexed(explorer, fake)
        asked = [asyncio.create_task(web.get("/transactions?format=csv")) for _ in range(20)]
        await until(lambda: sum(one.done() for one in asked) == 19 - pages.EXPORTS_WAITING_MAX)  # the others wait
        assert (await web.get("/transactions")).status_code == 200
        go_on.set()
        statuses = Counter([(await one).status_code for one in asked])
        assert statuses == {200: 1 + pages.EXPORTS_WAITING_MAX, 503: 19 - pages.EXPORTS_WAITING_MAX}
        assert made["most"] == 1


async def test_questions_to_silent_nodes_are_few_at_once_and_hold_no_page_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.session.CALL_TIMEOUT_S", 60.0)
    async with FakeNetwork() as fake, exploring(fake, tmp_path, wait_s=WAIT_S) as (web, explorer):
        identifier = submit(fake, "test.Note", extra=dict(records())).hex()
        await indexed(explorer, fake)
        for node in fake.nodes:
            node.silent = True
            node.calls.clear()
        path = f"/v1/transactions/{identifier}/operations/0/receipt"
        asked = [asyncio.create_task(web.get(path)) for _ in range(100)]
        await until(lambda: sum(one.done() for one in asked) >= 100 - 64)  # beyond an address's places: told at once
        await until(lambda: any(node.calls.count("Receipts") for node in fake.nodes))
        assert sum(node.calls.count("Receipts") for node in fake.nodes) <= ledger.ASKED_AT_ONCE
        refused = [one.result() for one in asked if one.done()]
        assert {one.status_code for one in refused} <= {429, 503}
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        began = time.monotonic()
        assert (await web.get("/")).status_code == 200
        assert time.monotonic() - began < 12 * WAIT_S


async def test_live_figures_asked_for_without_end_ask_each_node_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.session.CALL_TIMEOUT_S", 60.0)
    async with FakeNetwork() as fake, exploring(fake, tmp_path, wait_s=WAIT_S) as (web, explorer):
        submit(fake, "test.Note")
        await indexed(explorer, fake)
        for node in fake.nodes:
            node.silent = True
            node.calls.clear()
        began = time.monotonic()
        answers = await asyncio.gather(*(web.get("/v1/network/live") for _ in range(60)))
        assert time.monotonic() - began < 20 * WAIT_S, "asked one after the other they would take 60"
        assert {answer.status_code for answer in answers} == {200}
        assert max(node.calls.count("Status") for node in fake.nodes) <= 2


async def test_proven_transaction_is_asked_for_once_however_often_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "KEPT_MAX", 2)
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        several = [submit(fake, f"test.Note{number}").hex() for number in range(4)]
        await indexed(explorer, fake)
        for node in fake.nodes:
            node.calls.clear()
        for _ in range(5):
            assert (await web.get(f"/transactions/{several[0]}")).status_code == 200
        assert sum(node.calls.count("Receipts") for node in fake.nodes) == 1
        for each in several:
            await web.get(f"/transactions/{each}")
        assert len(explorer.ledger._kept) == 2


async def test_filters_that_no_index_joins_look_through_a_window_and_still_find_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WINDOW_LEAVES", 7)
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        for index in range(60):
            kinds = ["test.Rare" if index in {2, 3, 41} else "test.Note", *(["test.Fail"] if index % 20 == 1 else [])]
            submit(fake, *kinds, signer=OTHER if index % 3 else SIGNER, extra=dict(records()) if not index else {})
        await indexed(explorer, fake)
        everything = explorer.explored.transactions(Filter(), size=100).rows
        assert len(everything) == 60
        for wanted in (
            Filter(kind="test.Rare", failed=False),
            Filter(kind="test.Rare", failed=True),
            Filter(kind="test.Rare", organisation="registrar"),
            Filter(failed=True, organisation="registrar"),
            Filter(failed=False),
            Filter(kind="test.Nothing", failed=True),
        ):
            naive = [
                row.leaf_index
                for row in everything
                if (wanted.kind is None or row.first_type == wanted.kind)
                and (wanted.failed is None or bool(row.failure) == wanted.failed)
                and (wanted.organisation is None or wanted.organisation in row.organisations)
            ]
            found, place, looks = [], None, 0
            while looks == 0 or place is not None:
                page = explorer.explored.transactions(wanted, before=place, size=2)
                found += [row.leaf_index for row in page.rows]
                place, looks = page.before, looks + 1
            assert found == naive, wanted
            assert looks <= 60 // 7 + 2 + len(naive)
            back, place = [], -1
            while place is not None:
                page = explorer.explored.transactions(wanted, after=place, size=2)
                back = [row.leaf_index for row in page.rows] + back
                place = page.after
            assert back == naive, wanted
        asked = "/transactions?kind=test.Rare&outcome=failed"
        text = (await web.get(asked)).text
        assert "were looked through for this combination" in text
        assert "Look further back" in text
        answer = await web.get("/v1/transactions?kind=test.Rare&failed=true")
        assert answer.json() == []
        assert re.fullmatch(
            r'</v1/transactions\?kind=test\.Rare&failed=true&before=\d+>; rel="next"', answer.headers["link"]
        )


async def test_method_that_changes_something_is_refused_everywhere(tmp_path: Path) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, _):
        for path in (*PAGES, "/v1/transactions", "/check/offline.js"):
            for method in ("POST", "PUT", "DELETE"):
                answer = await web.request(method, path, headers={"origin": "https://evil.example"})
                assert code(answer) in {"request.cross-site", "request.method-not-allowed"}
