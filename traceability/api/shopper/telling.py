# SPDX-License-Identifier: Apache-2.0
"""What the journey page says, in the reader's language: pure functions of a proof, and of nothing beside it.

Whatever stands in a `…_words` here, `web/trace/telling.ts` writes again from the proof on the phone, and a page that
reads differently fails there. What is only drawn (route, curve) repeats what stands in words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from service.language import Language, translate
from service.wording import instant
from traceability.acts import Act, act_of
from traceability.api.shopper.evidence import Evidence, ShownEvent, record_key
from traceability.api.shopper.opened import certificates, temperatures
from traceability.api.shopper.words import RECALL_KINDS, RECALL_REASONS, Wording
from traceability.cold_chain import Excursion, Reading, excursions
from traceability.items import Kind, gtin_of, kind_of
from traceability.pb import traceability_pb2 as pb
from traceability.recalls import recall_keys

GOODS_SHOWN_MAX: Final = 4
"""Goods that one event names on the page; the others are counted."""
STOPS_MAX: Final = 6
"""Places of the route; of more, the first and the last."""
READINGS_SHOWN_MAX: Final = 200
ORIGINS_MAX: Final = 3
LATE_MS: Final = 6 * 3_600_000
"""An event that is recorded so much later says when."""


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """One entry of the timeline.

    Attributes:
        id: Of the event, in hex.
        act: For its sign.
        words: What it says, in order: act, result, time, who, where, with whom, goods, what is to be noted; none empty.
        kinds: Of each of these words: "act", "result", "time", "text" or "flag".
        is_bad: A check that was not passed.
        in_error: It was declared in error.
    """

    id: str
    act: Act
    words: tuple[str, ...]
    kinds: tuple[str, ...]
    is_bad: bool
    in_error: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """A place of the route."""

    name: str
    district: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Told:
    """The page's content.

    Attributes:
        name: What it is.
        identity: Which one.
        facts: Labels and values.
        recalls: One sentence each; none: it is not recalled.
        events: The timeline.
        stops: The route.
        readings: Of the temperature, by time.
        limits: Of the product; None: it has none.
        alerts: One sentence each.
        papers: Certificates that were opened.
        sold_ms: When the item was sold, for a single piece; 0: it was not.
        hidden: Events of the item that are not shown.
    """

    name: str
    identity: str
    facts: tuple[tuple[str, str], ...]
    recalls: tuple[str, ...]
    events: tuple[ToldEvent, ...]
    stops: tuple[Stop, ...]
    readings: tuple[Reading, ...]
    limits: pb.TemperatureLimits | None
    alerts: tuple[str, ...]
    papers: tuple[str, ...]
    sold_ms: int
    hidden: int


def tell(evidence: Evidence, language: Language) -> Told:
    """Everything that the page says of a journey."""
    words = Wording(language, evidence.states, evidence.checkpoint.time_ms)
    item = evidence.journey.item
    readings = _readings(evidence)
    limits = _limits(words, item)
    found = () if limits is None else excursions(readings, limits)
    alerts = tuple(_alert(words, one) for one in found if one.is_alert)
    ids = evidence.journey.ids.get(item, ())
    shown = {event.message.projection.id for event in evidence.events}
    return Told(
        name=words.name(item),
        identity=words.identity(item),
        facts=tuple(_facts(words, evidence, readings, alerts)),
        recalls=tuple(recall_words(words, evidence)),
        events=tuple(_event(words, event, evidence) for event in evidence.events),
        stops=tuple(_stops(words, evidence)),
        readings=readings,
        limits=limits,
        alerts=alerts,
        papers=tuple(certificates(evidence.openings)),
        sold_ms=_sold_ms(evidence),
        hidden=sum(one not in shown for one in ids),
    )


# ---------------------------------------------------------------- what belongs to it


def goods_of(evidence: Evidence) -> list[str]:
    """The item first, then all that it was made of or holds, as far as the shown events tell, sorted."""
    item = evidence.journey.item
    goods, before = {item}, 0
    while before != len(goods):
        before = len(goods)
        for event in evidence.events:
            made = event.message.projection
            if _act(event) is not Act.TRANSFORM or event.record.declared_ms:
                continue
            if any(line.item in goods for line in made.outputs):
                goods |= {line.item for part in _parts_of(made, evidence) for line in part.lines}
        for one in [one for one in goods if kind_of(one) in (Kind.SHIPMENT, Kind.ASSET)]:
            goods |= _contents(one, evidence)
    return [item, *sorted(goods - {item})]


def items_of(evidence: Evidence) -> set[str]:
    """Goods, and every container that an event names."""
    return {*goods_of(evidence), *(event.message.projection.parent for event in evidence.events)} - {""}


def _parts_of(made: pb.Projection, evidence: Evidence) -> list[pb.Projection]:
    """A transformation, and the events that it is recorded in if there are several."""
    parts = [made]
    if made.process:
        others = (event.message.projection for event in evidence.events)
        parts += [one for one in others if (one.actor, one.process) == (made.actor, made.process)]
    return parts


def _contents(container: str, evidence: Evidence) -> set[str]:
    """What is in a container after these events; of an empty one, all that was."""
    inside: dict[str, int] = {}
    ever: set[str] = set()
    for event in evidence.events:
        projection, act = event.message.projection, _act(event)
        if projection.parent != container or event.record.declared_ms:
            continue
        if act is Act.UNPACK and not projection.lines:
            inside.clear()
        for line in projection.lines:
            left = inside.get(line.item, 0)
            if act is Act.PACK:
                inside[line.item] = left + line.quantity
                ever.add(line.item)
            elif act is Act.UNPACK and left <= line.quantity:
                inside.pop(line.item, None)
            elif act is Act.UNPACK:
                inside[line.item] = left - line.quantity
    return {*inside} or ever


# ---------------------------------------------------------------- what it is


def _facts(
    words: Wording, evidence: Evidence, readings: Sequence[Reading], alerts: Sequence[str]
) -> Iterable[tuple[str, str]]:
    """Where from, since when, checked how, kept how cold."""
    language = words.language
    first = [event for event in evidence.events if _act(event) is Act.DECLARE]
    origins = list(dict.fromkeys(words.place(event.message.projection.place) for event in first))
    named = [place for place in origins if place][:ORIGINS_MAX]
    yield translate(language, "script.trace.origin"), " / ".join(named) or translate(language, "script.trace.unknown")
    if first:
        since = words.day(min(event.message.projection.event_time_ms for event in first))
        yield translate(language, "script.trace.since"), since
    yield translate(language, "script.trace.checks"), _checks(language, evidence)
    yield translate(language, "script.trace.temperature"), _range(words, readings, alerts)


def _checks(language: Language, evidence: Evidence) -> str:
    """How many checks were passed, and how many not."""
    passed = failed = 0
    for event in evidence.events:
        if event.record.declared_ms or _act(event) is not Act.OBSERVE:
            continue
        passed += event.message.projection.disposition == pb.DISPOSITION_CONFORMANT
        failed += event.message.projection.disposition == pb.DISPOSITION_NON_CONFORMANT
    if failed:
        return translate(language, "script.trace.checks-failed", failed=failed, passed=passed)
    if passed:
        return translate(language, "script.trace.checks-passed", count=passed)
    return translate(language, "script.trace.checks-none")


def _range(words: Wording, readings: Sequence[Reading], alerts: Sequence[str]) -> str:
    if not readings:
        return translate(words.language, "script.trace.not-recorded")
    low, high = min(one.low for one in readings), max(one.high for one in readings)
    key = "script.trace.range-alert" if alerts else "script.trace.range"
    return translate(words.language, key, low=words.degrees(low), high=words.degrees(high))


def recall_words(words: Wording, evidence: Evidence) -> list[str]:
    """Each recall in force of the item, its product, or what it was made of."""
    language, item = words.language, evidence.journey.item
    found: dict[str, None] = {}
    for goods in goods_of(evidence):
        for key in recall_keys(goods):
            raw = evidence.states.get(key)
            if raw is None:
                continue
            record = pb.RecallRecord.FromString(raw)
            what = "" if goods == item else f"{words.name(goods)} {words.identity(goods)}"
            by = words.party(record.by) if record.by else translate(language, "script.trace.regulator")
            parts = [
                translate(language, RECALL_KINDS.get(record.kind, "script.trace.recall-recall")),
                what,
                translate(language, RECALL_REASONS.get(record.reason, "script.trace.reason-precaution")),
                by,
                words.day(record.since_ms),
            ]
            found[" · ".join(part for part in parts if part)] = None
    return list(found)


# ---------------------------------------------------------------- the timeline


def _event(words: Wording, shown: ShownEvent, evidence: Evidence) -> ToldEvent:
    """One entry."""
    projection, act = shown.message.projection, _act(shown)
    language = words.language
    parts = [("act", words.act(act, projection)), ("result", words.result(projection))]
    parts.append(("time", words.moment(projection.event_time_ms)))
    parts += [("text", words.party(projection.actor)), ("text", words.place(projection.place))]
    if act in (Act.SHIP, Act.CANCEL):
        whom = words.party(projection.counterparty)
        parts.append(("text", translate(language, "script.trace.to", party=whom)))
    if act is Act.RECEIVE:
        whom = words.party(projection.counterparty)
        parts.append(("text", translate(language, "script.trace.from", party=whom)))
    if projection.carrier:
        parts.append(("text", translate(language, "script.trace.by", party=words.party(projection.carrier))))
    parts += [("text", text) for text in _goods(words, projection, evidence)]
    parts += [("flag", text) for text in _flags(words, shown, evidence)]
    kept = [(kind, text) for kind, text in parts if text]
    return ToldEvent(
        projection.id.hex(),
        act,
        tuple(text for _, text in kept),
        tuple(kind for kind, _ in kept),
        projection.disposition == pb.DISPOSITION_NON_CONFORMANT,
        bool(shown.record.declared_ms),
    )


def _goods(words: Wording, projection: pb.Projection, evidence: Evidence) -> list[str]:
    """What of the journey's goods an event names, and the container."""
    known, own, language = items_of(evidence), evidence.journey.item, words.language
    found: list[str] = []
    inputs = [line for line in projection.lines if line.item in known]
    made = [line for line in projection.outputs if line.item in known]
    named = [words.goods(line.item, line.quantity, own) for line in (*made, *inputs)]
    named = [text for text in named if text]
    found += named[:GOODS_SHOWN_MAX]
    if len(named) > GOODS_SHOWN_MAX:
        found.append(translate(language, "script.trace.more", count=len(named) - GOODS_SHOWN_MAX))
    if projection.parent and projection.parent != own:
        found.append(f"{words.name(projection.parent)} {words.identity(projection.parent)}")
    return found


def _flags(words: Wording, shown: ShownEvent, evidence: Evidence) -> list[str]:
    """What is to be noted of an event."""
    record, projection, language = shown.record, shown.message.projection, words.language
    found: list[str] = []
    known = items_of(evidence)
    if record.declared_ms:
        found.append(translate(language, "script.trace.in-error", day=words.day(record.declared_ms)))
    if any(one.over for one in record.discrepancies if one.item in known):
        found.append(translate(language, "script.trace.over"))
    if any(one.short for one in record.discrepancies if one.item in known):
        found.append(translate(language, "script.trace.short"))
    if record.recorded_ms - projection.event_time_ms > LATE_MS:
        found.append(translate(language, "script.trace.recorded", moment=words.moment(record.recorded_ms)))
    return found


def _stops(words: Wording, evidence: Evidence) -> list[Stop]:
    """The places on the way, each once in a row."""
    places: list[str] = []
    for event in evidence.events:
        place = event.message.projection.place
        if place and not event.record.declared_ms and places[-1:] != [place]:
            places.append(place)
    if len(places) > STOPS_MAX:
        places = [*places[: STOPS_MAX // 2], *places[-STOPS_MAX // 2 :]]
    return [
        Stop(words.place(place), words.place_record(place).district, index == len(places) - 1)
        for index, place in enumerate(places)
    ]


# ---------------------------------------------------------------- how cold


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    """Temperatures on the way; those of events declared in error do not count."""
    times = {
        event.message.projection.id: instant(event.message.projection.event_time_ms).isoformat(timespec="milliseconds")
        for event in evidence.events
        if not event.record.declared_ms
    }
    return tuple(temperatures([one for one in evidence.openings if one.event in times], times))


def _limits(words: Wording, item: str) -> pb.TemperatureLimits | None:
    if kind_of(item) not in (Kind.LOT, Kind.SERIAL):
        return None
    record = words.product(gtin_of(item))
    return record.temperature if record.HasField("temperature") else None


def _alert(words: Wording, one: Excursion) -> str:
    """One stretch outside of the limits."""
    return translate(
        words.language,
        "script.trace.alert",
        moment=words.moment(one.from_ms),
        minutes=(one.to_ms - one.from_ms) // 60_000,
        low=words.degrees(one.low),
        high=words.degrees(one.high),
    )


def _sold_ms(evidence: Evidence) -> int:
    """When the item itself was sold, if it is a single piece."""
    item = evidence.journey.item
    if kind_of(item) is not Kind.SERIAL:
        return 0
    record = pb.ObjectRecord.FromString(evidence.states.get(record_key(item)) or b"")
    sales = [
        event.message.projection.event_time_ms
        for event in evidence.events
        if _act(event) is Act.SELL and not event.record.declared_ms
    ]
    return sales[-1] if record.ended and sales else 0


def _act(event: ShownEvent) -> Act:
    return act_of(event.message.projection)
