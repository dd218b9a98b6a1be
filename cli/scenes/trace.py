# SPDX-License-Identifier: Apache-2.0
"""The scene `trace`: a small food season on the ledger, what cannot be sold, a label's link, a recall drill.

Traders sign their own events; one is captured through the service of food records, over EPCIS 2.0. What a shopper would
see is verified from receipts and the genesis file alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final
from uuid import UUID

import httpx

from chain.errors import LedgerError
from chain.receipt import verify
from chain.types import SIGNERS_MAX, sha256
from cli.acting import write_file
from cli.language import LANGUAGES, catalogue, t
from cli.scenes.admitting import code_of, office_seed
from cli.scenes.food_people import FoodPeople, admit_food_people, trader_seed
from cli.scenes.serving import Served, serve
from cli.scenes.stage import Stage
from client.answers import ProvenTransaction
from client.session import Session
from node.keys import Algorithm, Purpose, generate_key, save_key
from service.settings import StoreSettings
from service.store import open_store
from service.store.replays import unix_ms
from traceability.api import clients, tables  # noqa: F401 - the store has its tables
from traceability.drill import drill
from traceability.events import event_key, load_event, projection_hash
from traceability.goods import lot_key
from traceability.items import gtin_of
from traceability.pb import traceability_pb2 as pb
from traceability.projection import Projected, project
from traceability.recalls import recall_keys
from traceability.season import CONTEXT, Planted, Season, SeasonEvent
from traceability.season_people import party, products
from traceability.trace_store import EventsInMemory, TraceEvent, trace_event

PORT: Final = 8806
"""Where the service listens, if nobody else does."""
BACKGROUND: Final = 250
"""Events beside those of the contaminated lot."""
EVENTS_PER_TRANSACTION: Final = 100
STEM: Final = "https://id.gs1.org/"
RECALLED: Final = "traceability.recalled"
"""What the ledger says to whoever sells recalled goods."""


@dataclass(slots=True)
class Play:
    """What the scene has in its hands.

    Attributes:
        recorded: Events on the ledger, as searches look at them, in their order.
        first: The contaminated lot's declaration, with the transaction that recorded it.
    """

    stage: Stage
    session: Session
    season: Season
    people: FoodPeople
    recorded: list[TraceEvent] = field(default_factory=list)
    ids: dict[str, bytes] = field(default_factory=dict)
    first: tuple[Projected, ProvenTransaction] | None = None

    def project(self, one: SeasonEvent) -> Projected:
        """What is recorded of an event of the season."""
        units = {product.gtin: product.unit for product in products()}
        return project(
            one.event,
            context=CONTEXT,
            actor=one.actor,
            secret=sha256(self.session.network + one.event["eventID"].encode()),
            unit_of=units.get,
            id_of=self.ids.get,
            carrier=one.carrier,
        )

    async def attempt(self, one: SeasonEvent) -> str:
        """Record an event; the code of the rule that refused, or ""."""
        signers = [self.people.traders[one.actor], self.people.service.signer]
        return await code_of(self.session, signers, *self.project(one).operations)


async def play(stage: Stage) -> None:
    """Play it.

    Raises:
        NotHeldError: A claim does not hold.
        WorldError: The service did not start.
    """
    season = Season(1_000)
    told = list(_chosen(season))
    async with stage.network.home.session() as session:
        with stage.step(t("scene.trace.people")):
            glns = {name for one in told for name in (one.actor, one.carrier, *_parties(one)) if name}
            people = await admit_food_people(stage, session, sorted(glns | {party("market", 0)}))
            stage.hold(t("scene.trace.admitted", count=len(people.traders)), people.traders)
        played = Play(stage, session, season, people)
        served, key = _serve(played)
        with stage.step(t("scene.trace.season")):
            await _load(played, told)
        with stage.step(t("scene.trace.balance")):
            await _balance(played)
        with stage.step(t("scene.trace.capture")):
            await _capture(played, served, key)
        with stage.step(t("scene.trace.drill")):
            await _drill(played)
        with stage.step(t("scene.trace.offline")):
            await _verify(played)


def summary(stage: Stage) -> list[str]:
    """What happened and where to look, in both languages."""
    lines = []
    for language in LANGUAGES:
        words = catalogue(language)
        if stage.is_kept:
            lines += ["", words.say("scene.trace.try", **stage.facts)]
        else:
            lines += ["", words.say("scene.trace.summary", **stage.facts)]
    return lines


# ---------------------------------------------------------------- the season


def _chosen(season: Season) -> Iterator[SeasonEvent]:
    """The beginning of a season, and all that the contaminated lot and what was made of it went through."""
    told = list(season.stream())
    reached, grew = {season.contaminated}, True
    while grew:
        touched = [names for names in map(_names, told) if names & reached and not names <= reached]
        reached.update(*touched)
        grew = bool(touched)
    sold: set[str] = set()
    for index, one in enumerate(told):
        is_reached = bool(_names(one) & reached)
        is_sale = is_reached and one.event.get("bizStep") in ("retail_selling", "destroying")
        if is_sale and one.actor in sold:
            continue  # so that something is left on the shelf when it is recalled
        sold |= {one.actor} if is_sale else set()
        if index < BACKGROUND or is_reached:
            yield one


def _names(one: SeasonEvent) -> set[str]:
    """Goods that an event names."""
    event = one.event
    listed = [event.get(name, ()) for name in ("epcList", "childEPCs", "inputEPCList", "outputEPCList")]
    classes = ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList")
    found = {text for texts in listed for text in texts}
    found |= {element["epcClass"] for name in classes for element in event.get(name, ())}
    found |= {event["parentID"]} if "parentID" in event else set()
    return {text.removeprefix(STEM) for text in found}


def _parties(one: SeasonEvent) -> list[str]:
    """GLNs of both sides of a shipment or receipt."""
    ends = (("sourceList", "source"), ("destinationList", "destination"))
    return [element[name][-13:] for member, name in ends for element in one.event.get(member, ())]


async def _load(played: Play, told: Sequence[SeasonEvent]) -> None:
    """Record the events in their order, many in one transaction; what is planted to be wrong is refused by itself."""
    started, refused = monotonic(), {}
    batch: list[tuple[SeasonEvent, Projected]] = []

    async def flush() -> None:
        if not batch:
            return
        actors = sorted({one.actor for one, _ in batch})
        signers = [*(played.people.traders[gln] for gln in actors), played.people.service.signer]
        operations = [operation for _, projected in batch for operation in projected.operations]
        proven = await played.session.submit_one(played.session.sign(operations, signers))
        assert proven.failed is None, proven.failed
        for _, projected in batch:
            if projected.message is not None:
                number = len(played.recorded)
                played.recorded.append(trace_event(projected.message.projection, number))
                names = [line.item for line in projected.message.projection.lines]
                if played.first is None and played.season.contaminated in names:
                    played.first = (projected, proven)
        batch.clear()

    for one in told:
        if one.planted in (Planted.OVERSOLD, Planted.NOT_HELD):
            await flush()
            refused[one.planted] = await played.attempt(one)
            continue
        if len(batch) == EVENTS_PER_TRANSACTION or len({each.actor for each, _ in batch} | {one.actor}) >= SIGNERS_MAX:
            await flush()
        projected = played.project(one)
        played.ids[projected.event_id] = projected.id
        batch.append((one, projected))
    await flush()
    seconds = monotonic() - started
    claim = t("scene.trace.loaded", count=len(played.recorded), rate=round(len(told) / seconds))
    played.stage.hold(claim, len(played.recorded) > BACKGROUND)
    for planted, code in refused.items():
        played.stage.hold(
            t("scene.trace.planted", kind=planted.name.lower().replace("_", "-"), code=code),
            code.startswith("traceability."),
        )
    played.stage.facts["events"] = len(played.recorded)


# ---------------------------------------------------------------- what cannot be done


def _event(gln: str, name: str, **fields: Any) -> SeasonEvent:
    """An event of our own."""
    event = {
        "type": "ObjectEvent",
        "eventID": f"urn:uuid:{UUID(bytes=sha256(name.encode())[:16], version=4)}",
        "eventTime": "2026-07-01T00:00:00Z",
        "eventTimeZoneOffset": "+08:00",
        **fields,
    }
    return SeasonEvent(event, gln, "", 0, None)


def _kilograms(lot: str, amount: int) -> list[dict[str, Any]]:
    return [{"epcClass": f"{STEM}{lot}", "quantity": amount, "uom": "KGM"}]


async def _balance(played: Play) -> None:
    """A lot of 100 kg: 110 kg cannot leave it, not even in parts."""
    farm, lot = _farm(played), _own_lot(played, "BALANCE")
    step = {"action": "DELETE", "bizStep": "retail_selling"}
    declared = {"action": "ADD", "bizStep": "commissioning", "quantityList": _kilograms(lot, 100)}
    codes = [
        await played.attempt(_event(farm, "declared", **declared)),
        await played.attempt(_event(farm, "all", **step, quantityList=_kilograms(lot, 110))),
        await played.attempt(_event(farm, "part", **step, quantityList=_kilograms(lot, 60))),
        await played.attempt(_event(farm, "rest", **step, quantityList=_kilograms(lot, 50))),
    ]
    hold = played.stage.hold
    hold(t("scene.trace.declared", kilograms=100), codes[0] == "")
    hold(t("scene.trace.oversold", kilograms=110, code=codes[1]), codes[1] == "traceability.exceeds-balance")
    hold(t("scene.trace.in-parts", kilograms=60, more=50, code=codes[3]), (codes[2], bool(codes[3])) == ("", True))


def _farm(played: Play) -> str:
    """The farm of the contaminated lot."""
    assert played.first is not None, "the season was loaded"
    message = played.first[0].message
    assert message is not None, "a declaration of goods"
    return str(message.projection.actor)


def _own_lot(played: Play, name: str) -> str:
    return f"{played.season.contaminated.partition('/10/')[0]}/10/{name}"


# ---------------------------------------------------------------- the service


def _serve(played: Play) -> tuple[Served, str]:
    """Start the service beside the ledger's own work, with the keys of two participants; and a key to it."""
    stage, network = played.stage, played.session.network
    keys = stage.folder / "traders"
    for gln in sorted(played.people.traders)[:2]:
        _save(keys / f"{gln}.key", trader_seed(network, gln))
    submit = stage.folder / "service.key"
    _save(submit, office_seed(network, played.people.service.id))
    store = StoreSettings(folder=str(stage.folder / "store"), keys=str(stage.folder / "keys"), allow_plain=True)
    opened = open_store(store, {})
    try:
        _, key = clients.add(opened, min(played.people.traders), unix_ms())
    finally:
        opened.close()
    more = "\n".join(
        [
            f'[store]\nfolder = "{stage.folder.resolve() / "store"}"\nkeys = "{stage.folder.resolve() / "keys"}"',
            "allow_plain = true",
            f'[signing]\nsubmit_key = "{submit.resolve()}"\nallow_plain = true',
            f'[trace]\ntrader_keys = "{keys.resolve()}"\nallow_plain = true',
        ]
    )
    return serve(stage, "trace", PORT, more), key


def _save(path: Any, seed: bytes) -> None:
    save_key(path, generate_key(Purpose.ORGANISATION, Algorithm.ED25519, seed), None)


async def _capture(played: Play, served: Served, key: str) -> None:
    """A participant's program captures one event over REST and finds it again; a label's link leads to its page."""
    stage, lot = played.stage, _own_lot(played, "REST")
    await served.ready()
    fields = {"action": "ADD", "bizStep": "commissioning", "quantityList": _kilograms(lot, 20)}
    event = {"@context": CONTEXT, **_event("", "captured", **fields).event}
    async with httpx.AsyncClient(base_url=served.origin, timeout=40) as web:
        headers = {"authorization": f"Bearer {key}"}
        made = await web.post("/epcis/events", json=event, headers=headers)
        is_made = made.status_code == httpx.codes.CREATED
        stage.hold(t("scene.trace.captured", origin=served.origin), is_made, f"{made.status_code}: {made.text}")
        again = await web.post("/epcis/events", json=event, headers=headers)
        stage.hold(t("scene.trace.once"), again.status_code == httpx.codes.CONFLICT)
        label = f"/{played.season.contaminated}"
        link = await web.get(label)
        leads = link.headers.get("location", "")
        stage.hold(t("scene.trace.link", link=served.origin + label), link.status_code == 307 and "/food/" in leads)
    stage.facts |= {"service": served.origin, "label": served.origin + label, "log": str(served.log)}


# ---------------------------------------------------------------- the drill


async def _drill(played: Play) -> None:
    """What the contaminated lot reached is found, recalled, and cannot be sold any more."""
    stage, lot = played.stage, played.season.contaminated
    started = monotonic()
    found = drill(EventsInMemory(played.recorded), [lot])
    elapsed_ms = round((monotonic() - started) * 1000)
    goods = [one.item for one in found.goods]
    claim = t("scene.trace.found", goods=len(goods), parties=len(found.participants), ms=elapsed_ms)
    stage.hold(claim, lot in goods and len(goods) > 1 and len(found.participants) > 4)
    recall = pb.Recall(items=sorted(goods), kind=pb.RECALL_KIND_RECALL, reason=pb.RECALL_REASON_RESIDUES)
    code = await code_of(played.session, [played.people.regulator.signer], recall)
    stage.hold(t("scene.trace.recall", count=len(goods)), code == "")
    holder, item = next((gln, one.item) for one in found.goods for gln in one.at_hand)
    refused = await played.attempt(_sale(holder, item))
    stage.hold(t("scene.trace.unsaleable", code=refused), refused == RECALLED)
    stage.facts |= {"affected": len(goods), "lot": lot}


def _sale(gln: str, item: str) -> SeasonEvent:
    """One unit, over the counter."""
    is_weighed = any(one.gtin == gtin_of(item) and one.unit == pb.UNIT_KILOGRAM for one in products())
    element = {"epcClass": STEM + item, "quantity": 1, **({"uom": "KGM"} if is_weighed else {})}
    return _event(gln, "recalled", action="DELETE", bizStep="retail_selling", quantityList=[element])


# ---------------------------------------------------------------- a shopper's view


async def _verify(played: Play) -> None:
    """From receipts and the genesis file alone: the event stands as it was signed, and the lot is recalled."""
    stage, lot = played.stage, played.season.contaminated
    genesis = stage.network.home.genesis()
    assert played.first is not None, "the season was loaded"
    projected, proven = played.first
    found = (await played.session.receipts([proven.id], all_operations=True))[proven.id]
    body = projected.operations[0].body
    shown = next(one for one in found if one.inclusion.operation is not None and one.inclusion.operation.body == body)
    event = verify(shown.receipt(), genesis).inclusions[0]
    message = pb.RecordEvent.FromString(event.operation.body)
    keys = [event_key(projected.id), lot_key(lot), *recall_keys(lot)]
    states = await played.session.read_many(keys)
    values: dict[bytes, bytes | None] = {}
    for state in states:
        values |= {one.key: one.value for one in verify(state.receipt(), genesis).states}
    record = load_event(values.get, projected.id)
    stands = record is not None and record.projection == projection_hash(message.projection)
    stage.hold(t("scene.trace.stands", height=event.height), stands)
    stage.hold(t("scene.trace.shown-recalled"), values[recall_keys(lot)[0]] is not None)
    path = stage.folder / "label.receipt"
    write_file(path, shown.receipt())
    altered = bytearray(shown.receipt())
    altered[len(altered) // 2] ^= 1
    try:
        verify(bytes(altered), genesis)
    except LedgerError:
        is_refused = True
    else:
        is_refused = False
    stage.hold(t("scene.trace.altered"), is_refused)
    stage.facts["receipt"] = str(path)
