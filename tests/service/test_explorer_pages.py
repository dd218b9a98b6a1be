# SPDX-License-Identifier: Apache-2.0
"""The explorer's pages and interface, in front of nodes that answer, are silent, or lie."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_network import FakeNetwork
from http_rig import ADDRESS, ORIGIN, caller, code
from store_rig import Rig

from chain.ed25519 import Ed25519Signer
from chain.receipt import verify
from chain.receipt_text import decode_any
from chain.transaction import Operation
from cli.explorer.build import DESCRIBERS
from client.answers import SelfReport
from client.session import Session
from membership import state
from membership.pb import membership_pb2 as pb
from node.modules import ledger_modules
from service.app import create_app
from service.explorer import ledger as explorer_ledger
from service.explorer import part as explorer_running
from service.explorer import pulse as explorer_pulse
from service.explorer.api import api_router
from service.explorer.pages import SITE, pages_router
from service.explorer.part import Explorer, drop_index, explorer_part
from service.explorer.pulse import WAIT_S, health
from service.explorer.queries import Explored, Filter
from service.explorer.references import searched
from service.explorer.words import MEMBERSHIP, describe
from service.language import Language
from service.nodes import Network
from service.settings import IndexSettings, LimitSettings, Settings
from service.shell import shell_part
from service.wording import number

SIGNER = Ed25519Signer(bytes(range(32)))
OTHER = Ed25519Signer(bytes(range(1, 33)))
NAME_ZH, NAME_EN = "登记机构", "Registrar <b>&</b>"


def records() -> dict[bytes, bytes]:
    """State of one organisation with one key, as genesis would write it."""
    organisation = pb.OrganisationRecord(
        id="registrar", name_zh=NAME_ZH, name_en=NAME_EN, roles=["registrar"], status=pb.ORGANISATION_STATUS_ACTIVE
    )
    key = pb.KeyRecord(organisation="registrar", purposes=[pb.PURPOSE_SUBMIT])
    ring = pb.KeyringRecord(keys=[state.signer_pb(SIGNER.signer)])
    return {
        state.organisation_key("registrar"): organisation.SerializeToString(),
        state.signer_key(SIGNER.signer): key.SerializeToString(),
        state.keyring_key("registrar"): ring.SerializeToString(),
    }


def submit(fake: FakeNetwork, *kinds: str, signer: Ed25519Signer = SIGNER, **more: Any) -> bytes:
    """A block with one transaction; its id."""
    session = Session(fake.genesis, endpoints=fake.endpoints)
    made = session.sign([Operation.make(kind, b"body") for kind in kinds], [signer])
    fake.ledger.submit([made], **more)
    return bytes(made.id)


@asynccontextmanager
async def exploring(
    fake: FakeNetwork, folder: Path, url: str = "", wait_s: float = 60.0
) -> AsyncIterator[tuple[httpx.AsyncClient, Explorer]]:
    """The explorer of a fake network, which knows one organisation and follows from the start.

    Its pages wait for nodes that answer however busy the machine is; where some are silent, the wait is the product's.
    """
    section = {"membership": {"organisations": [{"id": "registrar"}]}}
    genesis = replace(fake.genesis, sections=section)
    network = Network(fake.genesis_raw, genesis, tuple(fake.endpoints))
    explorer = Explorer(network, IndexSettings(url=url, folder=str(folder)), MEMBERSHIP)
    part = explorer_part(explorer, [pages_router(explorer), api_router(explorer)])
    limits = LimitSettings(address_per_second=1000, address_burst=1000)
    app = create_app([shell_part(SITE), part], replace(Settings(), limits=limits), ADDRESS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer_running, "NAMING_S", 0.05)  # most tests wait until signers are named
        for module in (explorer_ledger, explorer_pulse):
            patch.setattr(module, "WAIT_S", wait_s)
        async with app.router.lifespan_context(app), caller(app, {"accept-language": "en"}) as web:
            yield web, explorer


async def until(held: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not held():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.02)


async def indexed(explorer: Explorer, fake: FakeNetwork) -> None:
    """The index holds all blocks and knows whose keys signed."""
    await until(lambda: explorer.index.height() == fake.ledger.tip.height)
    await until(lambda: not explorer.explored.unknown_signers())


async def test_each_page_shows_what_stands_on_the_ledger(tmp_path: Path) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        identifier = submit(fake, "test.Note", "membership.AddKey", extra=dict(records())).hex()
        await indexed(explorer, fake)
        for path, words in (
            ("/", "validators answer"),
            ("/blocks", "/blocks/2"),
            ("/blocks/2", identifier),
            ("/transactions", "An entry of type test.Note, and one more"),
            (f"/transactions/{identifier}", "Registers another key"),
            (f"/transactions/{identifier}/operations/1", f"/v1/transactions/{identifier}/operations/1/receipt"),
            ("/organisations", "/organisations/registrar"),
            ("/organisations/registrar", SIGNER.signer.public_key.hex()),
            ("/check", "/v1/genesis"),
        ):
            answer = await web.get(path)
            assert answer.status_code == 200, path
            assert words in answer.text, path
            assert "<b>&" not in answer.text.replace("<b>&lt;", ""), path


async def test_names_from_the_ledger_are_escaped(tmp_path: Path) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        submit(fake, "test.<script>", extra=dict(records()))
        await indexed(explorer, fake)
        text = (await web.get("/transactions")).text + (await web.get("/organisations")).text
        assert "<script>," not in text
        assert "test.&lt;script&gt;" in text
        assert "Registrar &lt;b&gt;" in text


async def test_receipt_that_the_interface_gives_is_verified_by_the_library_in_each_form(tmp_path: Path) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        identifier = submit(fake, "test.Note", "test.Other")
        await indexed(explorer, fake)
        for form in ("binary", "json", "compact"):
            path = f"/v1/transactions/{identifier.hex()}/operations/1/receipt?form={form}"
            proven = verify(decode_any((await web.get(path)).content), fake.genesis)
            assert [each.operation.type for each in proven.inclusions] == ["test.Other"]
        drawn = await web.get(f"/v1/transactions/{identifier.hex()}/operations/1/receipt.svg")
        assert drawn.headers["content-type"] == "image/svg+xml"
        assert drawn.text.startswith("<svg")
        assert (await web.get("/v1/genesis")).content == fake.genesis_raw


@pytest.mark.parametrize("size", [40_000, 100_000])
async def test_receipt_too_long_for_a_qr_code_is_refused_in_words(tmp_path: Path, size: int) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        session = Session(fake.genesis, endpoints=fake.endpoints)
        made = session.sign([Operation.make("test.Note", secrets.token_bytes(size))], [SIGNER])
        fake.ledger.submit([made])
        await indexed(explorer, fake)
        path = f"/v1/transactions/{made.id.hex()}/operations/0/receipt"
        assert code(await web.get(f"{path}.svg")) == "explorer.too-long"
        assert (await web.get(f"{path}?form=json")).status_code == 200
        if size > 64 * 1024:
            assert code(await web.get(f"{path}?form=compact")) == "explorer.too-long"


async def test_lists_are_filtered_and_paged_by_place(tmp_path: Path) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        submit(fake, "test.Note", extra=dict(records()))
        for index in range(29):
            submit(fake, "test.Other" if index % 2 else "test.Note", signer=OTHER if index % 3 else SIGNER)
        submit(fake, "test.Fail")
        await indexed(explorer, fake)

        async def leaves(**asked: str | int) -> list[int]:
            found = (await web.get("/v1/transactions", params=asked)).json()
            return [row["leaf_index"] for row in found]

        everything = await leaves(size=100)
        assert everything == list(range(30, -1, -1))
        assert await leaves(before=10, size=3) == [9, 8, 7]
        assert await leaves(kind="test.Other", size=100) == [i for i in everything if 0 < i < 30 and i % 2 == 0]
        assert await leaves(organisation="registrar", size=100) == [
            i for i in everything if i in {0, 30} or (i - 1) % 3 == 0
        ]
        assert await leaves(organisation="registrar", kind="test.Other", size=2) == [28, 22]
        assert await leaves(failed="true") == [30]
        assert 30 not in await leaves(failed="false", size=100)
        assert await leaves(organisation="nobody") == []
        page = (await web.get("/transactions")).text
        older = re.search(r'rel="next"[^>]* href="([^"]+)"', page)
        assert older is not None
        second = (await web.get(older[1])).text
        assert second.count('<th scope="row"><a href="/transactions/') == 31 - 25
        back = re.search(r'rel="prev"[^>]* href="([^"]+)"', second)
        assert back is not None
        assert (await web.get(back[1])).text.count('<th scope="row"><a href="/transactions/') == 25


async def test_export_holds_all_rows_of_the_filter(tmp_path: Path) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        for _ in range(30):
            submit(fake, "test.Note")
        submit(fake, "test.Other")
        await indexed(explorer, fake)
        answer = await web.get("/transactions?format=csv&kind=test.Note&before=3")
        assert answer.headers["content-type"].startswith("text/csv")
        assert len(answer.text.strip().splitlines()) == 31


@pytest.mark.parametrize(
    ("path", "status", "refusal"),
    [
        ("/v1/blocks/999999", 404, "explorer.absent"),
        ("/v1/blocks/abc", 400, "explorer.reference"),
        ("/v1/blocks/99999999999999999", 400, "explorer.reference"),
        ("/v1/blocks/\N{SUPERSCRIPT TWO}", 400, "explorer.reference"),
        (f"/v1/transactions/{'ab' * 32}", 404, "explorer.absent"),
        (f"/v1/transactions/{'zz' * 32}", 400, "explorer.reference"),
        ("/v1/transactions/' OR 1=1 --", 400, "explorer.reference"),
        (f"/v1/transactions/{'ab' * 32}/operations/0/receipt", 404, "explorer.absent"),
        (f"/v1/transactions/{'ab' * 32}/operations/-1/receipt", 422, "request.invalid"),
        ("/v1/transactions?size=101", 422, "request.invalid"),
        ("/v1/transactions?before=-1", 422, "request.invalid"),
        ("/organisations/nobody", 404, "explorer.absent"),
    ],
)
async def test_bad_reference_is_refused_with_its_code(tmp_path: Path, path: str, status: int, refusal: str) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, _):
        fake.ledger.submit([], extra=dict(records()))
        answer = await web.get(path)
        assert answer.status_code == status
        assert code(answer) == refusal


@pytest.mark.parametrize(
    "words", ["", "  ", "nobody", "' OR 1=1 --", "%", "9" * 400, "{{7*7}}", "<img src=x>", "ab" * 32]
)
async def test_search_for_what_is_not_there_is_an_empty_answer(tmp_path: Path, words: str) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, _):
        fake.ledger.submit([], extra=dict(records()))
        answer = await web.get("/search", params={"q": words})
        assert answer.status_code == (404 if words.strip() else 200)
        assert "<img src=x>" not in answer.text
        assert "49" not in re.sub(
            r"<svg.*?</svg>|<script.*?</script>|<head>.*?</head>|/static/\w+/", "", answer.text, flags=re.DOTALL
        )


async def test_search_for_a_height_that_no_block_has_yet_says_so_and_names_the_newest(tmp_path: Path) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        fake.ledger.submit([], extra=dict(records()))
        await indexed(explorer, fake)
        shown = number(99_999_999)
        newest = (await web.get("/v1/blocks")).json()[0]["height"]
        for language, said in (("en", f"There is no block {shown} yet"), ("zh-CN", f"还没有第 {shown} 个区块")):
            answer = await web.get("/search", params={"q": "99,999,999", "lang": language})
            assert answer.status_code == 404
            assert said in answer.text
            assert f'href="/blocks/{newest}"' in answer.text
            assert "missing character" not in answer.text
        assert (await web.get(f"/blocks/{newest}")).status_code == 200


def test_search_words_lose_what_copying_adds() -> None:
    assert searched(" 48\N{NARROW NO-BREAK SPACE}211 ") == "48211"
    assert searched("0x" + "AB" * 32) == "ab" * 32
    assert searched("City  Registry\n") == "City Registry"


async def test_dead_nodes_stop_no_page_and_readiness_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path, wait_s=WAIT_S) as (web, explorer):
        identifier = submit(fake, "test.Note", extra=dict(records())).hex()
        await indexed(explorer, fake)
        assert (await web.get("/ready")).status_code == 200
        for index in range(4):
            await fake.kill(index)
        for path in ("/", "/blocks", "/transactions", f"/transactions/{identifier}", "/check"):
            assert (await web.get(path)).status_code == 200, path
        text = (await web.get(f"/transactions/{identifier}")).text
        assert "No validator answers just now" in text
        refused = await web.get(f"/v1/transactions/{identifier}/operations/0/receipt")
        assert code(refused) == "ledger.unavailable"
        monkeypatch.setattr("service.index.running.RECENT_MS", 0)
        assert code(await web.get("/ready")) == "service.not-ready"


async def test_silent_nodes_delay_no_page_beyond_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.session.CALL_TIMEOUT_S", 60.0)
    async with FakeNetwork() as fake, exploring(fake, tmp_path, wait_s=WAIT_S) as (web, explorer):
        identifier = submit(fake, "test.Note", extra=dict(records())).hex()
        await indexed(explorer, fake)
        for node in fake.nodes:
            node.silent = True
        for path in ("/", "/transactions", f"/transactions/{identifier}"):
            began = time.monotonic()
            assert (await web.get(path)).status_code == 200, path
            assert time.monotonic() - began < 12 * WAIT_S, path
        assert identifier in (await web.get("/transactions")).text


async def test_lying_node_reaches_no_page(tmp_path: Path) -> None:
    def forge(raw: bytes) -> bytes:
        return raw.replace(b"body", b"lies")

    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, explorer):
        fake.nodes[0].lie = forge
        identifier = submit(fake, "test.Note", extra=dict(records())).hex()
        await indexed(explorer, fake)
        shown = (await web.get(f"/v1/transactions/{identifier}")).json()
        assert [bytes.fromhex(each["body"]) for each in shown["content"]] == [b"body"]


async def test_dropped_index_is_made_anew_from_the_chain(tmp_path: Path) -> None:
    async with FakeNetwork() as fake:
        async with exploring(fake, tmp_path) as (_, explorer):
            submit(fake, "test.Note")
            await indexed(explorer, fake)
        drop_index(explorer.index.engine)
        async with exploring(fake, tmp_path) as (web, explorer):
            await indexed(explorer, fake)
            assert len((await web.get("/v1/transactions")).json()) == 1


async def test_index_answers_alike_on_both_databases(rig: Rig) -> None:
    url = rig.new_database()
    async with FakeNetwork() as fake, exploring(fake, rig.folder, url) as (web, explorer):
        submit(fake, "test.Note", "test.Note", extra=dict(records()))
        submit(fake, "test.Fail", signer=OTHER)
        await indexed(explorer, fake)
        explored: Explored = explorer.explored
        pages = [
            explored.transactions(wanted, before=before)
            for wanted in (
                Filter(),
                Filter(kind="test.Note"),
                Filter(kind="test.Note", failed=False),
                Filter(failed=True),
                Filter(organisation="registrar"),
                Filter(organisation="registrar", kind="test.Note"),
                Filter(height=2),
            )
            for before in (None, 1)
        ]
        listed = [[row.leaf_index for row in page.rows] for page in pages]
        assert listed == [[1, 0], [0], [0], [0], [0], [0], [1], [], [0], [0], [0], [0], [0], [0]]
        assert explored.kinds() == ["test.Fail", "test.Note"]
        assert [row["height"] for row in (await web.get("/v1/blocks")).json()] == [3, 2, 1]


async def test_interface_is_described_and_limited(tmp_path: Path) -> None:
    async with FakeNetwork() as fake, exploring(fake, tmp_path) as (web, _):
        document = (await web.get("/openapi.json")).json()
        for path, item in document["paths"].items():
            for operation in item.values():
                assert re.fullmatch(r"[a-z][A-Za-z]+", operation["operationId"]), path
                assert operation["summary"].strip(), path
        assert {"/v1/blocks/{reference}", "/v1/network", "/v1/genesis"} <= set(document["paths"])
        assert not any(not path.startswith(("/v1/", "/health", "/ready", "/problems")) for path in document["paths"])
        assert document["servers"] == [{"url": ORIGIN}]


def test_health_counts_no_more_than_the_set_and_calls_an_old_checkpoint_old() -> None:
    reports = [SelfReport(f"n{i}", None, "silent", "") for i in range(2)]
    assert health(reports, 4, 1_000, 2_000).answering == 0
    assert health(reports, 4, 1_000, 2_000).is_recording
    assert not health(reports, 4, 1_000, 100_000).is_recording
    assert not health(reports, 4, 0, 2_000).is_recording


@pytest.mark.parametrize("body", [None, b"", b"\xff\xff", pb.Propose(acts=[pb.Act()]).SerializeToString()])
def test_every_operation_is_described_whatever_its_body(body: bytes | None) -> None:
    for kind in (*MEMBERSHIP, "unknown.Thing"):
        for language in ("zh-CN", "en"):
            assert describe(MEMBERSHIP, language, kind, body)


def test_proposal_says_what_it_would_change() -> None:
    acts = [pb.Act(add_organisation=pb.AddOrganisation(id="x")), pb.Act(set_parameter=pb.SetParameter(value=1))]
    body = pb.Propose(epoch=1, expires_at_ms=1, acts=acts).SerializeToString()
    words = describe(MEMBERSHIP, "en", "membership.Propose", body)
    assert words == "Proposes: admit an organisation, set a parameter"


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_each_operation_of_each_module_has_words_of_its_own(language: Language) -> None:
    registry, _ = ledger_modules()
    kinds = [kind for module in registry.modules for kind in module.operations]
    said = {kind: DESCRIBERS[kind](language, None) for kind in kinds}
    assert len(kinds) > 20
    assert all(words and kind not in words for kind, words in said.items())
    assert len(set(said.values())) == len(said)
