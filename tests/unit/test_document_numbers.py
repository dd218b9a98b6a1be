# SPDX-License-Identifier: Apache-2.0
"""Numbers of documents and people's names: what is taken, and what each refused one is told."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.scenes import residents
from identity import documents, names, resident_number
from identity.documents import DocumentKind
from identity.documents import Fault as DocumentFault
from identity.names import NameFault, tidy_name
from identity.resident_number import Fault

TODAY = date(2026, 11, 22)
VALID = "11010519491231002X"
"""The example of GB 11643-1999."""


def with_check(first_17: str) -> str:
    return first_17 + resident_number.check_character(first_17)


def mod_11_2(number: str) -> bool:
    """ISO 7064 MOD 11-2 from its definition: the weighted sum with the check is 1 modulo 11."""
    digits = [10 if c == "X" else int(c) for c in number]
    return sum(digit * pow(2, 17 - i, 11) for i, digit in enumerate(digits)) % 11 == 1


# ---------------------------------------------------------------- resident numbers


@pytest.mark.parametrize("number", [VALID, "440524188001010014"])
def test_standards_examples_have_their_check_characters(number: str) -> None:
    assert mod_11_2(number)
    assert resident_number.check_character(number[:17]) == number[17]


def test_standards_example_is_valid_and_says_region_birth_date_and_sex() -> None:
    assert resident_number.fault(VALID, TODAY) is None
    found = resident_number.read(VALID)
    assert (found.region, found.born, found.is_male) == ("110105", date(1949, 12, 31), False)


def test_check_character_is_that_of_iso_7064() -> None:
    for resident in residents.residents(300, 7):
        assert mod_11_2(resident.id_number)


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (VALID[:-1], Fault.LENGTH),
        (VALID + "0", Fault.LENGTH),
        ("", Fault.LENGTH),
        ("A" + VALID[1:], Fault.CHARACTERS),
        (VALID[:-1] + "x", Fault.CHARACTERS),
        ("１" + VALID[1:], Fault.CHARACTERS),
        ("0" + VALID[1:], Fault.REGION),
        ("99" + VALID[2:], Fault.REGION),
        (with_check("11010519490230002"), Fault.DATE),
        (with_check("11010519490229002"), Fault.DATE),
        (with_check("11010518991231002"), Fault.DATE),
        (with_check("11010520261123002"), Fault.DATE),
        (with_check("11010519491231000"), Fault.SEQUENCE),
        (VALID[:-1] + "0", Fault.CHECK),
    ],
)
def test_faulty_number_is_named_by_its_fault(number: str, fault: Fault) -> None:
    assert resident_number.fault(number, TODAY) is fault


def test_each_single_digit_error_in_a_number_is_found() -> None:
    for position in range(17):
        for digit in "0123456789":
            if digit != VALID[position]:
                assert resident_number.fault(VALID[:position] + digit + VALID[position + 1 :], TODAY) is not None


def test_each_swap_of_two_neighbouring_digits_of_a_number_is_found() -> None:
    for place in range(16):
        if VALID[place] != VALID[place + 1]:
            swapped = VALID[:place] + VALID[place + 1] + VALID[place] + VALID[place + 2 :]
            assert resident_number.fault(swapped, TODAY) is not None


@given(st.text(max_size=20))
def test_any_text_as_a_number_gets_a_verdict(text: str) -> None:
    assert resident_number.fault(text, TODAY) is None or isinstance(resident_number.fault(text, TODAY), Fault)


# ---------------------------------------------------------------- other documents


PERMIT = with_check("81000019800101001")
FOREIGN = with_check("94484019800101001")


@pytest.mark.parametrize(
    ("kind", "number", "country"),
    [
        (DocumentKind.RESIDENT_CARD, VALID, ""),
        (DocumentKind.HOUSEHOLD_REGISTER, VALID, ""),
        (DocumentKind.RESIDENCE_PERMIT, PERMIT, ""),
        (DocumentKind.RESIDENCE_PERMIT, with_check("83000019800101002"), ""),
        (DocumentKind.HK_MO_TRAVEL_PERMIT, "H01234567", ""),
        (DocumentKind.HK_MO_TRAVEL_PERMIT, "M01234567", ""),
        (DocumentKind.TW_TRAVEL_PERMIT, "01234567", ""),
        (DocumentKind.FOREIGN_PERMANENT, FOREIGN, ""),
        (DocumentKind.FOREIGN_PERMANENT, "FRA440080010112", ""),
        (DocumentKind.FOREIGN_PERMANENT, "FRA440000022912", ""),
        (DocumentKind.PASSPORT, "L898902C3", "UTO"),
        (DocumentKind.PASSPORT, "C01X00T47", "D"),
    ],
)
def test_document_of_each_kind_with_a_right_number_is_taken(kind: DocumentKind, number: str, country: str) -> None:
    assert documents.fault(kind, number, TODAY, country=country) is None


@pytest.mark.parametrize(
    ("kind", "number", "country", "fault"),
    [
        (DocumentKind.RESIDENT_CARD, PERMIT, "", DocumentFault.WRONG_DOCUMENT),
        (DocumentKind.RESIDENT_CARD, FOREIGN, "", DocumentFault.WRONG_DOCUMENT),
        (DocumentKind.RESIDENCE_PERMIT, VALID, "", DocumentFault.WRONG_DOCUMENT),
        (DocumentKind.RESIDENCE_PERMIT, PERMIT[:17] + "0", "", Fault.CHECK),
        (DocumentKind.HK_MO_TRAVEL_PERMIT, "X01234567", "", DocumentFault.FORM),
        (DocumentKind.HK_MO_TRAVEL_PERMIT, "H0123456", "", DocumentFault.FORM),
        (DocumentKind.TW_TRAVEL_PERMIT, "0123456A", "", DocumentFault.FORM),
        (DocumentKind.FOREIGN_PERMANENT, VALID, "", DocumentFault.WRONG_DOCUMENT),
        (DocumentKind.FOREIGN_PERMANENT, FOREIGN[:16] + "7" + FOREIGN[17], "", Fault.CHECK),
        (DocumentKind.FOREIGN_PERMANENT, "FRA440080133112", "", Fault.DATE),
        (DocumentKind.FOREIGN_PERMANENT, "FR440080010112", "", DocumentFault.FORM),
        (DocumentKind.PASSPORT, "L8989", "", DocumentFault.COUNTRY_MISSING),
        (DocumentKind.PASSPORT, "L8989", "12", DocumentFault.COUNTRY),
        (DocumentKind.PASSPORT, "L898902C3X", "UTO", DocumentFault.FORM),
        (DocumentKind.PASSPORT, "Ｌ898902C", "UTO", DocumentFault.FORM),
    ],
)
def test_faulty_number_of_a_document_is_named_by_its_fault(
    kind: DocumentKind, number: str, country: str, fault: DocumentFault | Fault
) -> None:
    assert documents.fault(kind, number, TODAY, country=country) is fault


def test_passports_number_is_held_against_its_check_digit_in_the_machine_readable_zone() -> None:
    # ICAO Doc 9303 part 4, appendix B: L898902C3 with the check digit 6, birth date 740812 with 2
    assert documents.mrz_check_digit("L898902C3") == "6"
    assert documents.mrz_check_digit("740812") == "2"
    passport = DocumentKind.PASSPORT
    assert documents.fault(passport, "L898902C3", TODAY, country="UTO", mrz_digit="6") is None
    assert documents.fault(passport, "L898902C8", TODAY, country="UTO", mrz_digit="6") is DocumentFault.MRZ_CHECK


def test_number_is_kept_in_one_form_however_it_was_typed() -> None:
    assert documents.tidy_number(" １１０１０５ 19491231-002x ") == VALID


def test_same_person_by_card_or_register_is_one_to_the_uniqueness_service_and_passports_of_two_states_are_not() -> None:
    kinds = documents.NUMBER_KINDS
    assert kinds[DocumentKind.RESIDENT_CARD] is kinds[DocumentKind.HOUSEHOLD_REGISTER]
    tagged = {documents.tagged_number(DocumentKind.PASSPORT, "L898902C3", country) for country in ("UTO", "FRA")}
    assert len(tagged) == 2


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        "陈小红",
        "\U00020bb7野家",  # plane 2
        "\U0003106c",  # plane 3, Unicode 13
        "\U00031350",  # plane 3, Unicode 15: newer than this program's tables
        "\U000323b0",  # plane 3, Unicode 17
        "㔾\U000e0100",  # with a variation selector
        "买买提·吐尔逊",
        "O'Connor-Müller, José",
        "Nguyễn Thị",
        "〇",
    ],
)
def test_name_with_rare_or_foreign_characters_is_taken_and_kept(name: str) -> None:
    assert names.fault(tidy_name(name)) is None
    assert tidy_name(tidy_name(name)) == tidy_name(name)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", NameFault.EMPTY),
        ("·", NameFault.CHARACTER),
        ("长" * 101, NameFault.LONG),
        ("陈\ue000", NameFault.PRIVATE_USE),
        ("陈\U000f0000", NameFault.PRIVATE_USE),
        ("陈\u202e红", NameFault.CONTROL),
        ("陈\x00红", NameFault.CONTROL),
        ("陈\u200b红", NameFault.CONTROL),
        ("陈\ud800", NameFault.CONTROL),
        ("陈\U0002ffff", NameFault.CHARACTER),
        ("陈7", NameFault.CHARACTER),
        ("<b>陈</b>", NameFault.CHARACTER),
        ("陈😀", NameFault.CHARACTER),
    ],
)
def test_faulty_name_is_named_by_its_fault(name: str, fault: NameFault) -> None:
    assert names.fault(tidy_name(name)) is fault


def test_name_is_kept_in_one_form_however_it_was_typed() -> None:
    assert tidy_name("  买买提•吐尔逊 ") == "买买提·吐尔逊"
    assert tidy_name("José") == tidy_name("Jose\u0301")
    assert tidy_name("陈\u3000小红") == "陈 小红"
