# SPDX-License-Identifier: Apache-2.0
"""The page that the server writes and the worker that judges it agree, on every kind of way that goods can take."""

import asyncio
import base64
import json
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.settings import Settings
from service.shell import shell_part
from service.static_files import FOLDER, static_files
from tests.shopper_attacks import ATTACKS
from tests.shopper_rig import COOP, FARM, PLANT, SERIAL, SHOP, STALL, FoodLedger
from tests.trace_rig import CABBAGE, crate, kg, lot, serial, sscc
from traceability.api.context import TRACE_SITE
from traceability.api.shopper.journey import EVENTS_MAX, ITEMS_MAX
from traceability.api.shopper.part import shopper_part
from traceability.pb import traceability_pb2 as pb

JUDGE = Path(__file__).parent / "journey_judge.mjs"
STEPS = {"network", "signatures", "events", "whole", "shown", "recall"}
VOID = frozenset({"br", "circle", "img", "input", "link", "meta", "path", "polyline", "rect"})


class Reader(HTMLParser):
    """Reads of a page what its script would: parts by their names, blocks of data, addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, str] = {}
        self.blocks: dict[str, str] = {}
        self.data: dict[str, str | None] = {}
        self._open: list[tuple[str, str | None]] = []
        self._block = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and given.get("type") == "application/json":
            self._block = given["id"] or ""
        if "data-trace" in given:
            self.data = given
        if tag not in VOID:
            name = given.get("data-proven")
            self._open.append((tag, name))
            if name is not None:
                self.shown.setdefault(name, "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing stands in it."""

    def handle_endtag(self, tag: str) -> None:
        self._block = ""
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._block:
            self.blocks[self._block] = self.blocks.get(self._block, "") + data
        for _, name in self._open:
            if name is not None and not self._block:
                self.shown[name] += data


class Shop:
    """A ledger on which each kind of journey took place."""

    def __init__(self, folder: Path) -> None:
        self.food = FoodLedger(folder)
        context = self.food.context()
        self.app = create_app([shell_part(TRACE_SITE), shopper_part(context, self.food)], Settings(), context.address)

    async def judged(self, items: list[str], language: str = "en") -> list[dict[str, Any]]:
        """What the worker tells of the pages of some items."""
        return await self.judge(await self.cases(items, language))

    async def cases(self, items: list[str], language: str = "en") -> list[dict[str, Any]]:
        """What a phone has of each item: its page and its proof."""
        cases = []
        transport = httpx.ASGITransport(self.app)
        headers = {"accept-language": language, "sec-fetch-dest": "empty"}
        async with httpx.AsyncClient(transport=transport, base_url=self.food.address.public_origin) as web:
            for item in items:
                answer = await web.get(f"/food/{item}", headers=headers)
                assert answer.status_code == 200, item
                page = Reader()
                page.feed(answer.text)
                cases.append(
                    {
                        "network": page.data["data-network"],
                        "bundle": (await web.get(str(page.data["data-bundle"]))).text,
                        "item": item,
                        "language": language,
                        "words": json.loads(page.blocks["messages"]),
                        "districts": json.loads(page.blocks["districts"]),
                        "shown": page.shown,
                    }
                )
        return cases

    async def judge(self, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the worker tells of pages and proofs, one after the other, as one phone that remembers."""
        genesis = base64.b64encode(self.food.ledger.genesis_bytes).decode()
        question = json.dumps({"genesis": genesis, "cases": cases})
        worker = FOLDER / static_files().names["trace-worker.js"]
        return await asyncio.to_thread(run_worker, str(worker), question)


def run_worker(worker: str, question: str) -> list[dict[str, Any]]:
    """Run the worker outside of a browser."""
    command = ["node", str(JUDGE), worker]
    done = subprocess.run(command, input=question, capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


def faults(told: dict[str, Any]) -> list[str]:
    """Steps that did not come out as proved, with why."""
    found = [
        f"{name}: {step['outcome']} {step.get('reason', '')} {step.get('detail', '')}"
        for name, step in told.items()
        if step["outcome"] != "proved"
    ]
    return found + sorted(STEPS - told.keys())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("agreement"))
    by_pallet(made.food)
    in_parts(made.food)
    by_hand(made.food)
    made.food.journey(readings=8, warm=True)
    made.food.sell()
    made.food.settle()
    yield made
    made.food.close()


def by_pallet(food: FoodLedger) -> None:
    """Two lots on a pallet, one of them in a crate; unpacked in part, and whole."""
    a, b = lot("A"), lot("B")
    food.does(FARM, "harvest", lines={a: kg(100), b: kg(80)})
    food.does(FARM, "pack", parent=crate(1), lines={a: kg(10)})
    food.does(FARM, "pack", parent=sscc(1), lines={crate(1): 0, b: kg(40)})
    food.does(FARM, "ship", counterparty=SHOP, lines={sscc(1): 0})
    food.does(SHOP, "receive", counterparty=FARM, lines={sscc(1): 0}, place=STALL)
    food.does(SHOP, "unpack", parent=sscc(1), lines={b: kg(30)})
    food.does(SHOP, "unpack", parent=sscc(1))
    food.does(SHOP, "unpack", parent=crate(1))
    food.does(SHOP, "sell", lines={a: kg(3)})


def in_parts(food: FoodLedger) -> None:
    """A lot goes into bags, by a transformation of three events."""
    raw = lot("C")
    food.does(FARM, "harvest", lines={raw: kg(50)})
    food.does(FARM, "ship", counterparty=PLANT, lines={raw: kg(50)})
    food.does(PLANT, "receive", counterparty=FARM, lines={raw: kg(50)})
    process = bytes([7]) * 32
    food.does(PLANT, "transform", lines={raw: kg(2)}, process=process)
    food.does(PLANT, "transform", lines={raw: kg(1)}, process=process)
    food.does(PLANT, "transform", outputs={serial(f"P{n}"): 0 for n in range(6)}, process=process)


def by_hand(food: FoodLedger) -> None:
    """More received than sent, less received than sent, taken back, and an event declared in error."""
    a = lot("D")
    food.does(FARM, "harvest", lines={a: kg(60)})
    food.does(FARM, "ship", counterparty=SHOP, lines={a: kg(20)})
    food.does(FARM, "cancel", counterparty=SHOP, lines={a: kg(20)})
    food.does(FARM, "ship", counterparty=SHOP, lines={a: kg(20)})
    food.does(SHOP, "receive", counterparty=FARM, lines={a: kg(15)}, complete=True)
    food.does(FARM, "ship", counterparty=PLANT, lines={a: kg(10)})
    food.does(PLANT, "receive", counterparty=FARM, lines={a: kg(11)})
    wrong = food.does(SHOP, "inspect", lines={a: kg(1)}, disposition=pb.DISPOSITION_NON_CONFORMANT)
    food.does(SHOP, "inspect", lines={a: kg(1)}, disposition=pb.DISPOSITION_CONFORMANT)
    food.run(food.signed(["shop"], pb.DeclareError(event=wrong.projection.id, reason=pb.ERROR_REASON_INCORRECT_DATA)))


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_page_of_every_kind_of_goods_is_proved_word_for_word(shop: Shop, language: str) -> None:
    items = [lot("A"), lot("B"), crate(1), sscc(1), lot("C"), serial("P3"), lot("D"), serial("000184")]
    items.append(f"01/{CABBAGE}/10/L260921-07")
    found = await shop.judged(items, language)
    assert {item: faults(told) for item, told in zip(items, found, strict=True)} == {item: [] for item in items}


async def test_each_deception_in_the_proof_is_named_at_its_step_and_nothing_else_is(shop: Shop) -> None:
    (honest,) = await shop.cases([SERIAL])
    cases = []
    for _, change in ATTACKS.values():
        bundle = json.loads(honest["bundle"])
        change(bundle)
        cases.append({**honest, "bundle": json.dumps(bundle)})
    told = await shop.judge([honest, *cases])
    assert faults(told[0]) == []
    found = {
        name: [step for step, how in steps.items() if how["outcome"] != "proved"]
        for name, steps in zip(ATTACKS, told[1:], strict=True)
    }
    assert found == {name: [step] for name, (step, _) in ATTACKS.items()}


async def test_recall_of_what_went_into_goods_is_found_in_all_that_was_made_of_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)  # of its own: tests of one file come in any order, and others read of the same goods
    by_pallet(shop.food)
    in_parts(shop.food)
    shop.food.recall(lot("C"))
    shop.food.settle()
    recalled, other = await shop.judged([serial("P1"), lot("B")])
    shop.food.close()
    assert recalled["recall"]["outcome"] == "failed"
    assert "Batch C" in recalled["recall"]["detail"]
    assert recalled["shown"]["outcome"] == "proved"
    assert faults(other) == []


async def test_proof_of_an_epoch_that_is_over_counts_if_the_phone_kept_it_and_is_asked_for_anew_if_not(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path)
    for name in ("old", "new"):
        shop.food.does(FARM, "harvest", lines={lot(name): kg(10)})
    (old,) = await shop.cases([lot("old")])
    shop.food.replace_validator("water")
    shop.food.settle()
    (new,) = await shop.cases([lot("new")])
    found = await shop.judge([old, new, old, {**old, "isKept": True}])
    assert [faults(told) for told in (found[0], found[1], found[3])] == [[], [], []]
    assert found[2]["signatures"]["outcome"] == "unchecked"
    assert found[2]["signatures"]["reason"] == "script.trace.open-older"
    shop.food.close()


async def test_journey_that_is_too_long_is_not_said_to_be_whole(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    item = lot("long")
    shop.food.does(FARM, "harvest", lines={item: kg(100)})
    looks = [shop.food.event(FARM, "inspect", lines={item: kg(1)}) for _ in range(EVENTS_MAX + 5)]
    for start in range(0, len(looks), 50):
        shop.food.run(shop.food.signed(["farm"], *looks[start : start + 50]))
    shop.food.settle()
    (told,) = await shop.judged([item])
    assert told["whole"]["outcome"] == "unchecked"
    assert [name for name in STEPS if told[name]["outcome"] != "proved"] == ["whole"]
    shop.food.close()


async def test_goods_of_more_ingredients_than_a_page_proves_are_not_said_to_be_free_of_recalls(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    inputs = {lot(f"part-{n}"): kg(1) for n in range(ITEMS_MAX + 10)}
    shop.food.does(COOP, "harvest", lines=inputs)
    shop.food.does(COOP, "transform", lines=inputs, outputs={lot("soup"): kg(60)})
    shop.food.settle()
    (told,) = await shop.judged([lot("soup")])
    assert told["whole"]["outcome"] == "unchecked"
    assert "recall" not in told
    shop.food.close()
