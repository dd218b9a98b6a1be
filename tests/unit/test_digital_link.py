# SPDX-License-Identifier: Apache-2.0
"""Digital Link URIs: any text is a link or an error, and writing what was read is canonical."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceability import digital_link, gs1
from traceability.digital_link import InvalidCode, build, parse, parse_bracketed

GTIN = "09521141012345"
serials = st.text(st.sampled_from(sorted(gs1.codes.CHARACTERS_82)), min_size=1, max_size=20)
gtins = st.text("0123456789", min_size=13, max_size=13).map(lambda digits: digits + gs1.check_digit(digits))


@given(st.text(max_size=80) | st.text("01/%?&=#2:a.", max_size=40).map(lambda rest: f"https://a/01/{GTIN}{rest}"))
def test_any_text_is_a_link_or_an_error_with_a_reason(text):
    try:
        link = parse(text)
    except InvalidCode as error:
        outcome = error.reason
    else:
        outcome = parse(build(link.elements)).element_string
    assert outcome


@given(gtins, serials, serials, st.dates(), st.booleans())
def test_what_is_built_is_read_back_and_canonical(gtin, lot, serial, day, dated):
    elements = [("21", serial), ("01", gtin), ("10", lot), *([("17", f"{day:%y%m%d}")] if dated else [])]
    uri = build(elements)
    link = parse(uri)
    assert set(link.elements) == set(elements)
    assert link.key == ("01", gtin)
    assert build(link.elements) == uri == link.canonical


@given(serials)
def test_custom_stem_and_extra_parameters_do_not_change_the_canonical_link(serial):
    link = parse(build([("01", GTIN), ("21", serial)], "https://shop.example:8443/cn") + "?linkType=all&17=270101#top")
    assert link.stem == "https://shop.example:8443/cn"
    assert (link.parameters, link.fragment) == (("linkType=all",), "top")
    assert link.canonical == build([("01", GTIN), ("21", serial), ("17", "270101")])


@pytest.mark.parametrize(
    ("uri", "position", "reason"),
    [
        ("ftp://a/01/09521141012345", 0, "scheme"),
        ("https://a/01/0952114101234é", 26, "must not stand in a URI"),
        ("https://a:65536/01/09521141012345", 8, "domain"),
        ("https://a", 9, "no path"),
        ("https://a/b/c", 10, "no GS1 key"),
        ("https://a/01/09521141012344", 13, "wrong check digit"),
        ("https://a/01/9521141012344", 13, "too short"),
        ("https://a/01/09521141012345/21/A%2", 32, "percent sign"),
        ("https://a/01/09521141012345/10/A/22/B", 10, "in the order"),
        ("https://a/01/09521141012345/235/A/21/B", 10, "in the order"),
        ("https://a/01/09521141012345?21=A", 28, "cannot stand in the query"),
        ("https://a/01/09521141012345?10=A", 28, "belongs in the path"),
        ("https://a/01/09521141012345?17=271301", 31, "no date"),
        ("https://a/01/09521141012345?17=270101&17=270102", 38, "twice"),
        ("https://a/01/09521141012345?88=1", 28, "no assigned"),
        ("https://a/01/09521141012345?422=999", 32, "country"),
    ],
)
def test_wrong_link_is_refused_with_position_and_reason(uri, position, reason):
    with pytest.raises(InvalidCode, match=reason) as refused:
        parse(uri)
    assert refused.value.position == position


def test_link_longer_than_the_limit_is_refused():
    with pytest.raises(InvalidCode, match="at most 8000"):
        parse("https://a/01/" + "0" * digital_link.URI_SIZE_MAX)


def test_link_with_more_attributes_than_the_limit_is_refused():
    pairs = "&".join(f"{ai}={'1' * 6}" for ai in range(3100, 3106))
    assert len(parse(f"https://a/01/{GTIN}?{pairs}").attributes) == 6
    unknown = "&".join(f"{ai}=1" for ai in range(5000, 5000 + digital_link.ELEMENTS_MAX + 1))
    with pytest.raises(InvalidCode, match="more than 64"):
        parse(f"https://a/01/{GTIN}?{unknown}", unknown_ais=True)


@pytest.mark.parametrize("stem", ["", "a", "ftp://a", "https://", "https://a?b", "https://a b"])
def test_link_is_not_built_on_a_wrong_stem(stem):
    with pytest.raises(InvalidCode):
        build([("01", GTIN)], stem)


def test_every_primary_key_with_all_its_qualifiers_in_order_is_read_back():
    values = {"22": "A", "10": "B", "21": "C", "235": "D", "254": "E", "7040": "1ABC", "8011": "12", "8019": "7"}
    values["8020"] = "F"
    keys = {"00": "0" * 18, "01": GTIN, "253": "4012345000115", "255": "4012345000115", "401": "4012345X"}
    keys |= {"402": "40123459999876541", "414": "4012345000115", "415": "4012345000115", "417": "4012345000115"}
    keys |= {"8003": "04012345000115", "8004": "4012345X", "8006": f"{GTIN}0102", "8010": "4012345ABC"}
    keys |= {"8013": "1987654Ad4X4bL5ttr2310c2K", "8017": "401234500000987658", "8018": "401234598765400000"}
    assert keys.keys() == gs1.primary_keys().keys()
    for ai, entry in gs1.primary_keys().items():
        for sequence in entry.qualifiers or ():
            elements = [(ai, keys[ai]), *((name, values[name]) for name in sequence)]
            assert list(parse(build(elements)).path) == elements


def test_place_to_pay_to_needs_what_is_paid():
    """GS1 Digital Link URI Syntax 1.6.0, 4.9."""
    place = [("415", "4012345000115")]
    with pytest.raises(InvalidCode, match="in the order"):
        parse("https://a/415/4012345000115")
    with pytest.raises(InvalidCode, match="needs a qualifier"):
        build(place)
    assert parse(build([*place, ("8020", "R7")])).key == place[0]


def test_bracketed_text_needs_an_identifier_first_and_values():
    assert parse_bracketed("(01)1(10)A(B)") == [("01", "1"), ("10", "A(B)")]


@pytest.mark.parametrize("text", ["", "01", "x(01)1", "(01)(10)A"])
def test_text_without_brackets_first_or_without_a_value_is_refused(text):
    with pytest.raises(InvalidCode):
        parse_bracketed(text)
