# SPDX-License-Identifier: Apache-2.0
"""GS1 check digits, values of application identifiers, and EPC URNs as canonical links."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceability import gs1
from traceability.epc import canonical_identifier, is_class, is_link, urn_fault
from traceability.gs1_dictionary import identifiers

digits = st.text("0123456789", min_size=1, max_size=17)


@given(digits, st.integers(0, 17), st.integers(1, 9))
def test_one_wrong_digit_never_passes(text, place, shift):
    whole = text + gs1.check_digit(text)
    assert gs1.has_valid_check_digit(whole)
    place %= len(whole)
    wrong = whole[:place] + str((int(whole[place]) + shift) % 10) + whole[place + 1 :]
    assert not gs1.has_valid_check_digit(wrong)


def test_check_characters_of_the_published_model_number():
    assert gs1.check_pair("1987654Ad4X4bL5ttr2310c") == "2K"
    gs1.verify_value("8013", "1987654Ad4X4bL5ttr2310c2K")
    with pytest.raises(gs1.InvalidCode, match="check characters"):
        gs1.verify_value("8013", "1987654Ad4X4bL5ttr2310c2J")


@pytest.mark.parametrize("text", ["", "x", "１２"])
def test_only_digits_have_a_check_digit(text):
    with pytest.raises(gs1.InvalidCode):
        gs1.check_digit(text)


DIGITS_ONLY = next(
    whole
    for whole in (f"4012345{i}" + gs1.check_pair(f"4012345{i}") for i in range(10_000))
    if gs1.codes.DIGITS.issuperset(whole)
)

GOOD = [
    ("00", "006141411234567890"),
    ("02", "09521141012345"),
    ("11", "270200"),
    ("37", "1"),
    ("3105", "000001"),
    ("3912", "156120"),
    ("421", "156528000"),
    ("422", "156"),
    ("423", "156158"),
    ("427", "GD"),
    ("4300", "Foshan%20Market"),
    ("4307", "CN"),
    ("4309", "02790858483015297971"),
    ("4321", "1"),
    ("4324", "2701012359"),
    ("4331", "001234-"),
    ("7007", "270101270103"),
    ("7030", "999ABC"),
    ("7040", "1ABC"),
    ("7241", "10"),
    ("7250", "20001231"),
    ("7252", "9"),
    ("7258", "1/2"),
    ("8001", "00010000100110"),
    ("8007", "DE89370400440532013000"),
    ("8008", "27010112"),
    ("8008", "270101123059"),
    ("8011", "0"),
    ("8014", "1987654Ad4X4bL5ttr2310c2K"),
    ("8110", "123456"),
    ("91", "a" * 90),
]
BAD = [
    ("00", "006141411234567891", "check digit"),
    ("01", "0952114101234A", "not a digit"),
    ("11", "270230", "no date"),
    ("11", "270030", "no date"),
    ("37", "", "too short"),
    ("37", "123456789", "at most 8"),
    ("3912", "000120", "currency"),
    ("401", "ABCD1", "company prefix"),
    ("422", "157", "country"),
    ("423", "156157", "country"),
    ("4300", "100%", "percent"),
    ("4307", "XX", "two-letter"),
    ("4309", "18000000010000000000", "latitude"),
    ("4309", "00000000003600000001", "longitude"),
    ("4321", "2", "neither"),
    ("4324", "2701012400", "time of day"),
    ("4331", "001234+", "minus sign"),
    ("7007", "270101270", "too short"),
    ("7040", "1AB?", "importer"),
    ("7041", "!", "package"),
    ("7241", "11", "media type"),
    ("7250", "20010229", "no date"),
    ("7252", "3", "5218"),
    ("7258", "2/1", "sequence"),
    ("8001", "00000000100010", "zero"),
    ("8001", "00010000100120", "winding"),
    ("8003", "14012345000115", "must be zero"),
    ("8006", "095211410123450302", "beyond the total"),
    ("8007", "DE89370400440532013001", "IBAN"),
    ("8007", "XX89", "IBAN"),
    ("8008", "27010124", "hour"),
    ("8008", "2701011260", "minute"),
    ("8008", "270101123060", "second"),
    ("8010", "4012345ab", "39 characters"),
    ("8011", "01", "start with zero"),
    ("8014", DIGITS_ONLY, "no digit"),
    ("8030", "a+b", "base64url"),
    ("8110", "12A", "no digit"),
    ("10", "a b", "82 characters"),
    ("88", "1", "no assigned"),
]


@pytest.mark.parametrize(("ai", "value"), GOOD)
def test_value_that_fits_is_accepted(ai, value):
    gs1.verify_value(ai, value)


@pytest.mark.parametrize(("ai", "value", "reason"), BAD)
def test_value_that_does_not_fit_is_refused_with_the_reason(ai, value, reason):
    with pytest.raises(gs1.InvalidCode, match=reason):
        gs1.verify_value(ai, value)


@given(st.sampled_from(sorted(identifiers())), st.text(max_size=40))
def test_any_value_is_accepted_or_refused_with_a_reason(ai, value):
    reason = "accepted"
    try:
        gs1.verify_value(ai, value)
    except gs1.InvalidCode as error:
        reason = error.reason
    assert reason


def test_pairings_are_judged_over_all_that_an_item_carries():
    assert gs1.pairing_problems(["01", "10", "21", "3103"]) == []
    assert gs1.pairing_problems(["10"]) == ["(10) needs one of 01, 02, 03, 8006, 8026 beside it"]
    assert gs1.pairing_problems(["01", "3102", "3103"]) == [
        "(3102) must not stand beside (3103)",
        "(3103) must not stand beside (3102)",
    ]
    assert gs1.pairing_problems(["01", "8030"]) != []
    assert gs1.pairing_problems(["01", "21", "8030"]) == []


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("urn:epc:id:sgtin:0614141.011111.987", "01/00614141111114/21/987"),
        ("urn:epc:id:sgtin:0614141.011111.a%2Fb", "01/00614141111114/21/a%2Fb"),
        ("urn:epc:id:sgtin:0614141.011111.a+b", "01/00614141111114/21/a%2Bb"),
        ("urn:epc:id:sgln:4012345.00011.0", "414/4012345000115"),
        ("urn:epc:id:sgln:4012345.00011.x", "414/4012345000115/254/x"),
        ("urn:epc:class:lgtin:4012345.012345.L1", "01/04012345123456/10/L1"),
        ("urn:epc:idpat:sgtin:4012345.012345.*", "01/04012345123456"),
        ("https://shop.example/x/01/04012345123456/22/v/10/L/21/S?17=270101#f", "01/04012345123456/21/S"),
        ("http://shop.example/gtin/4012345123456/lot/a%2fb", "01/04012345123456/10/a%2Fb"),
        ("https://id.gs1.org/8018/401234598765400000/8019/1", "8018/401234598765400000"),
    ],
)
def test_identifier_in_any_form_has_one_canonical_link(text, link):
    assert canonical_identifier(text) == f"https://id.gs1.org/{link}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "urn:epc:id:sgtin:0614141.01111.987",
        "urn:epc:id:sgtin:0614141.011111",
        "urn:epc:id:gid:1.2.3",
        "https://example.com/po/12345",
        "https://example.com/01/12",
        "https://例.example/01/04012345123456",
        "geo:47.5,11.1",
    ],
)
def test_text_that_is_no_known_identifier_has_no_canonical_link(text):
    assert canonical_identifier(text) is None
    assert not is_link(text)


@pytest.mark.parametrize(
    "urn",
    [
        "urn:epc:id:sgtin:4012345.012345.2017",
        "urn:epc:id:sgtin:4012345.012345.12345678901234567890",
        "urn:epc:id:sgtin:4012345.012345.%2Fa-b",
        "urn:epc:id:sscc:4012345.0000000333",
        "urn:epc:id:sgln:401234500001..0",
        "urn:epc:id:sgln:4012345.00001.ext",
        "urn:epc:id:pgln:4012345.00001",
        "urn:epc:id:grai:4012345.55555.1234567890123456",
        "urn:epc:id:giai:4012345.12345678901234567890123",
        "urn:epc:id:gsrn:4012345.0000000333",
        "urn:epc:id:gsrnp:4012345.0000000333",
        "urn:epc:id:gdti:4012345.55555.12345678901234567",
        "urn:epc:id:cpi:4012345.AB-C.1",
        "urn:epc:id:sgcn:4012345.55555.123456789012",
        "urn:epc:id:ginc:4012345.xyz",
        "urn:epc:id:gsin:4012345.123456789",
        "urn:epc:id:itip:4012345.012345.01.02.987",
        "urn:epc:id:upui:4012345.012345.abc",
        "urn:epc:id:gid:95100000.12345.400",
        "urn:epc:id:usdod:2S194.12345678",
        "urn:epc:id:adi:W81X9C.3KL984PX1.2WMA52",
        "urn:epc:id:adi:2S194..%2312345678901234",
        "urn:epc:id:bic:CSQU3054383",
        "urn:epc:id:imovn:9176187",
        "urn:epc:class:lgtin:4012345.012345.L1",
        "urn:epc:idpat:sgtin:4012345.012345.*",
        "urn:epc:idpat:grai:4012345.55555.*",
        "urn:epc:idpat:gid:95100000.12345.*",
        "urn:epc:raw:96.x00E0",
    ],
)
def test_urn_of_each_scheme_names_something(urn):
    """EPC Tag Data Standard 2.0, 6.3."""
    assert urn_fault(urn) == ""


@pytest.mark.parametrize(
    "urn",
    [
        "urn:epc:",
        "urn:epc:id:",
        "urn:epc:id:sgtin",
        "urn:epc:id:foo:1.2",
        "urn:epc:id:sgtin:4012345.012345",
        "urn:epc:id:sgtin:4012345.01234.1",
        "urn:epc:id:sgtin:4012345.012345.123456789012345678901",
        "urn:epc:id:sgtin:4012345.012345.a/b",
        "urn:epc:id:sgtin:40123.01234567.1",
        "urn:epc:id:sscc:4012345.000000033",
        "urn:epc:id:sgln:4012345.0001.0",
        "urn:epc:id:sgln:4012345.00001.123456789012345678901",
        "urn:epc:id:grai:4012345.55555.12345678901234567",
        "urn:epc:id:giai:4012345.123456789012345678901234",
        "urn:epc:id:gdti:4012345.55555.123456789012345678",
        "urn:epc:id:sgcn:4012345.55555.1234567890123",
        "urn:epc:id:sgcn:4012345.55555.abc",
        "urn:epc:id:cpi:4012345.abc.1",
        "urn:epc:id:itip:4012345.012345.02.01.9",
        "urn:epc:id:gid:1.2",
        "urn:epc:id:bic:CSQX3054383",
        "urn:epc:id:imovn:917618",
        "urn:epc:idpat:sgtin:4012345.01234.*",
        "urn:epc:idpat:foo:1",
        "urn:epc:class:sgtin:4012345.012345.1",
        "urn:epc:class:lgtin:4012345.012345.123456789012345678901",
        "urn:epc:tag:sgtin-96:3.4012345.012345.1",
    ],
)
def test_urn_with_wrong_parts_or_sizes_names_nothing(urn):
    """EPC Tag Data Standard 2.0, 6.3, with the sizes of the GS1 General Specifications, section 3."""
    assert urn_fault(urn)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("urn:epc:id:sgtin:4012345.012345.1", False),
        ("urn:epc:class:lgtin:4012345.012345.L1", True),
        ("urn:epc:idpat:sgtin:4012345.012345.*", True),
        ("https://id.gs1.org/01/09521141012345", True),
        ("https://shop.example/01/09521141012345/10/L1", True),
        ("https://shop.example/01/09521141012345/10/L1/21/1", False),
        ("https://id.gs1.org/01/09521141012345/235/1", False),
        ("https://id.gs1.org/00/040123450000003338", False),
        ("https://id.gs1.org/8006/095211410123450102", True),
        ("https://id.gs1.org/8010/4012345ABC", True),
        ("https://id.gs1.org/8010/4012345ABC/8011/1", False),
        ("https://id.gs1.org/8003/04012345555554", True),
        ("https://id.gs1.org/8003/040123455555541", False),
        ("https://shop.example/8003/04012345555554", None),
        ("https://shop.example/goods/1", None),
        ("urn:x:1", None),
    ],
)
def test_identifier_names_one_object_or_a_class_of_them(text, expected):
    """CBV 2.0, 8.2 and 8.3."""
    assert is_class(text) is expected


@given(st.text(max_size=60) | st.text("0149/%?#:.", max_size=30).map(lambda rest: f"https://a/01/{rest}"))
def test_canonical_link_of_any_text_is_its_own_canonical_link(text):
    link = canonical_identifier(text)
    assert link is None or canonical_identifier(link) == link
