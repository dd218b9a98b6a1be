# SPDX-License-Identifier: Apache-2.0
"""What must not change an event's hash, however it is written; and that no wrong field of a whole document gets by.

Own cases beside the published ones: instants with odd offsets, carries, forms of numbers and identifiers, words in each
of their forms, contexts outside and inside of events, nested extensions; and each standard member of each published
document replaced by something else.
"""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from traceability import epcis
from traceability import epcis_vocabulary as cbv
from traceability.epcis import Order, event_hash, pre_hash
from traceability.epcis_context import CONTEXTS, STANDARD_PREFIXES
from traceability.epcis_hash import timestamp
from traceability.gs1 import check_digit

PUBLISHED = Path(__file__).parents[1] / "vectors" / "epcis" / "Capture" / "Documents"
CONTEXT = [min(CONTEXTS), {"ex": "https://ns.example.com/"}]
COMMON = {"type": "ObjectEvent", "eventTimeZoneOffset": "+08:00", "action": "OBSERVE"}
offsets = st.integers(-14 * 60, 14 * 60).map(
    lambda minutes: f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
)


def hashes(event: dict[str, Any], context: object = CONTEXT) -> list[str]:
    """In both orders."""
    return [event_hash(event, context, order=order) for order in Order]


# ------------------------------------------------------------------ instants


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),  # noqa: DTZ001 - a zone is added
    st.text("0123456789", max_size=12),
    offsets,
)
@example(datetime(2024, 2, 29, 23, 59, 59), "9995", "+00:00")  # noqa: DTZ001 - likewise
@example(datetime(2026, 12, 31, 23, 59, 59), "99949999", "-00:00")  # noqa: DTZ001 - likewise
@example(datetime(2026, 1, 1, 5, 44, 59), "9995", "+05:45")  # noqa: DTZ001 - likewise
def test_instant_is_rounded_half_up_to_milliseconds_whatever_its_fraction_and_offset(
    moment: datetime, digits: str, offset: str
) -> None:
    text = moment.isoformat() + (f".{digits}" if digits else "") + offset
    minutes = int(offset[1:3]) * 60 + int(offset[4:6])
    utc = moment.replace(tzinfo=UTC) - timedelta(minutes=-minutes if offset[0] == "-" else minutes)
    thousandths = Fraction(int(digits or "0"), 10 ** len(digits)) * 1000
    rounded = int(thousandths) + (thousandths - int(thousandths) >= Fraction(1, 2))
    expected = (utc + timedelta(milliseconds=rounded)).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    assert timestamp(text) == expected
    zulu = {**COMMON, "eventTime": expected, "epcList": ["urn:x:1"]}
    assert hashes({**zulu, "eventTime": text}) == hashes(zulu)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), offsets, offsets)  # noqa: DTZ001 - a zone is added
def test_times_of_sensors_count_as_instants_and_times_in_extensions_as_texts(
    moment: datetime, one: str, other: str
) -> None:
    def written(offset: str) -> str:
        minutes = (int(offset[1:3]) * 60 + int(offset[4:6])) * (-1 if offset[0] == "-" else 1)
        return (moment + timedelta(minutes=minutes)).isoformat(timespec="milliseconds") + offset

    def event(offset: str, name: str) -> dict[str, Any]:
        report = {"type": "Temperature", "value": 4, name: written(offset)}
        element = {
            "sensorMetadata": {"startTime": written(offset), "endTime": written(offset)},
            "sensorReport": [report],
        }
        return {**COMMON, "eventTime": "2026-04-05T00:00:00Z", "sensorElementList": [element]}

    assert hashes(event(one, "time")) == hashes(event(other, "time"))
    if one != other and {one, other} != {"+00:00", "-00:00"}:
        assert hashes(event(one, "ex:time")) != hashes(event(other, "ex:time"))


# ------------------------------------------------------------------ numbers


@given(st.integers(-(10**9), 10**9), st.integers(0, 6), st.integers(0, 4))
def test_number_counts_by_its_value_whatever_zeros_and_exponents_it_has(digits: int, places: int, zeros: int) -> None:
    value = Decimal(digits).scaleb(-places)
    forms = {
        f"{value:f}",
        f"{digits}e-{places}",
        f"{value:f}" + ("0" * zeros if places else ""),
        f"{digits * 10}E-{places + 1}",
    }
    event = '{"type": "ObjectEvent", "quantityList": [{"epcClass": "urn:x:1", "quantity": %s, "uom": "KGM"}]}'
    assert len({tuple(hashes(epcis.parse(event % form))) for form in forms}) == 1
    text = pre_hash(epcis.parse(event % f"{value:f}"), order=Order.SPECIFICATION)
    plain = f"{value:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    assert f"quantity={'0' if plain == '-0' else plain}uom" in text


# ------------------------------------------------------------------ identifiers

digits = st.text("0123456789", min_size=12, max_size=12)
serials = st.text("ABCabc019-._", min_size=1, max_size=12)
queries = st.sampled_from(["", "?17=270101", "?linkType=all", "?3103=000500&x=y#z"])


@given(digits, st.integers(6, 11), serials, queries)
def test_product_shipment_and_place_count_the_same_as_urn_and_as_link_of_any_domain(
    number: str, company: int, serial: str, query: str
) -> None:
    indicator, rest = "5", number
    gtin = indicator + rest
    gtin += check_digit(gtin)
    prefix, reference = rest[:company], rest[company:]
    sscc = "5" + number + "0000"
    sscc += check_digit(sscc)
    gln = number + check_digit(number)
    same = [
        (f"urn:epc:id:sgtin:{prefix}.{indicator}{reference}.{serial}", f"/01/{gtin}/10/L/21/{serial}"),
        (f"urn:epc:id:sscc:{prefix}.5{reference}0000", f"/00/{sscc}"),
        (f"urn:epc:id:sgln:{prefix}.{reference}.{serial}", f"/414/{gln}/254/{serial}"),
    ]
    for urn, path in same:
        if serial == "0" and "sgln" in urn:
            continue  # which says that there is no extension
        found = {
            tuple(hashes({**COMMON, "epcList": [one]}))
            for one in (urn, f"https://id.gs1.org{path}", f"http://shop.example/x{path}{query}")
        }
        assert len(found) == 1, (urn, path)
    lot = [
        f"urn:epc:class:lgtin:{prefix}.{indicator}{reference}.{serial}",
        f"https://a.example/01/{gtin}/10/{serial}{query}",
    ]
    assert len({tuple(hashes({**COMMON, "quantityList": [{"epcClass": one, "quantity": 1}]})) for one in lot}) == 1


# ------------------------------------------------------------------ words and contexts

WORDS = [
    ("bizStep", cbv.BIZ_STEP, lambda word: {"bizStep": word}),
    ("disposition", cbv.DISPOSITION, lambda word: {"disposition": word}),
    ("persistent", cbv.DISPOSITION, lambda word: {"persistentDisposition": {"set": [word], "unset": [word]}}),
    (
        "transaction",
        cbv.BIZ_TRANSACTION_TYPE,
        lambda word: {"bizTransactionList": [{"type": word, "bizTransaction": "urn:x:1"}]},
    ),
    ("source", cbv.SOURCE_DESTINATION_TYPE, lambda word: {"sourceList": [{"type": word, "source": "urn:x:1"}]}),
]


@pytest.mark.parametrize(
    ("name", "vocabulary", "field"), WORDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_standard_word_counts_the_same_bare_and_as_address_of_either_context(
    name: str, vocabulary: cbv.Vocabulary, field: Any
) -> None:
    del name
    times = {"eventTime": "2026-04-05T00:00:00Z", "epcList": ["urn:x:1"]}
    for word in sorted(vocabulary.words):
        forms = [word, vocabulary.web + word, (vocabulary.web + word).replace(STANDARD_PREFIXES["cbv"], "cbv:")]
        events = [{**COMMON, **times, **field(form)} for form in forms]
        assert len({tuple(hashes(event)) for event in events}) == 1, word
        for event in events:
            for address in sorted(CONTEXTS):
                assert epcis.problems({"@context": [address], **event}) == [], (word, address)


extensions = st.recursive(
    st.booleans() | st.integers(-99, 99) | st.text("abc xyz.:/", min_size=1, max_size=6),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(["p:a", "p:b", "q:a", "plain"]), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(extensions, extensions, st.randoms(use_true_random=False))
def test_nested_extensions_count_by_namespace_wherever_it_is_declared_and_in_whatever_order(
    one: object, other: object, random: Any
) -> None:
    spaces = {"p": "https://one.example/", "q": "https://two.example/"}
    event = {**COMMON, "eventTime": "2026-04-05T00:00:00Z", "p:x": one, "ilmd": {"q:y": other}}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            members = [
                (name.replace("p:", "first:").replace("q:", "second:"), renamed(item)) for name, item in value.items()
            ]
            random.shuffle(members)
            return dict(members)
        return [renamed(item) for item in value] if isinstance(value, list) else value

    def is_prefixed(value: Any) -> bool:
        """Whether a text would be read as a compact address."""
        if isinstance(value, dict):
            return any(is_prefixed(item) for item in value.values())
        return (
            any(is_prefixed(item) for item in value)
            if isinstance(value, list)
            else isinstance(value, str) and ":" in value
        )

    if is_prefixed([one, other]):
        return
    outside = hashes(event, [CONTEXT[0], spaces])
    inside = {**event, "@context": [spaces]}
    again = {**renamed(event), "@context": [{"first": spaces["p"]}, {"second": {"@id": spaces["q"]}}]}
    assert hashes(inside, [CONTEXT[0]]) == outside == hashes(again, CONTEXT)


# ------------------------------------------------------------------ whole documents

FREE = ("ilmd", "@context", "@value", "comment", "rdfs:comment")
"""What stands below may be anything, but for dates."""


def members(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Each standard member of an event, from the outermost on."""
    if isinstance(value, dict):
        for name, item in value.items():
            if ":" not in name and name not in FREE:
                yield (*path, name)
                yield from members(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from members(item, (*path, index))


def replaced(document: Any, path: tuple[str | int, ...], value: object) -> Any:
    made = copy.deepcopy(document)
    at = made
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return made


def pointer_of(path: tuple[str | int, ...]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


@pytest.mark.parametrize("file", sorted(PUBLISHED.glob("*.json")), ids=lambda file: file.stem)
def test_each_standard_member_of_a_published_document_is_refused_by_name_when_it_is_something_else(file: Path) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    assert epcis.problems(document) == []
    looked = 0
    for path in members(document["epcisBody"], ("epcisBody",)):
        if path[-1] in ("epcisBody", "eventList"):
            continue
        for wrong in (7.5 if not isinstance(_at(document, path), int | float) else "7.5", None, {"": []}):
            problems = epcis.problems(replaced(document, path, wrong))
            where = pointer_of(path)
            assert any(one.path.startswith(where) or where.startswith(one.path) for one in problems), (
                where,
                wrong,
                problems,
            )
            assert all(one.reason for one in problems)
            looked += 1
    assert looked > 10


def _at(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        document = document[step]
    return document
