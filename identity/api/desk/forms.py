# SPDX-License-Identifier: Apache-2.0
"""What a clerk types about a person, checked field by field; what is wrong is said beside the field."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from identity import documents, names
from identity.api.desk.details import CHILD_YEARS, Details, Method, Sex
from identity.documents import DocumentKind
from identity.documents import Fault as DocumentFault
from identity.names import NameFault
from identity.resident_number import EARLIEST_BIRTH
from identity.resident_number import Fault as NumberFault
from service.language import Language, translate
from service.notices.smtp import is_address

FIELDS = (
    "document",
    "number",
    "country",
    "mrz_digit",
    "name",
    "latin_name",
    "sex",
    "born",
    "address",
    "phone",
    "mail",
    "document_until",
    "method",
    "guardian_1",
    "guardian_2",
    "guardian_consent",
)
FIELD_CHARACTERS_MAX = 200
"""Of any field; addresses are the longest."""

_CHINA = timedelta(hours=8)
_PHONE = re.compile(r"1[3-9][0-9]{9}|\+[1-9][0-9]{6,14}", re.ASCII)
_SEPARATORS = re.compile(r"[\s().\-]+")
_LATIN = re.compile(r"[A-Za-z<' .,\-]{1,100}", re.ASCII)
_Word = TypeVar("_Word", DocumentKind, Method, Sex)

_NUMBER_KEYS = {
    NumberFault.LENGTH: "desk.number-length",
    NumberFault.CHARACTERS: "desk.number-characters",
    NumberFault.REGION: "desk.number-region",
    NumberFault.DATE: "desk.number-date",
    NumberFault.SEQUENCE: "desk.number-sequence",
    NumberFault.CHECK: "desk.number-check",
    DocumentFault.FORM: "desk.number-form",
    DocumentFault.WRONG_DOCUMENT: "desk.number-wrong-document",
    DocumentFault.COUNTRY: "desk.country-wrong",
    DocumentFault.COUNTRY_MISSING: "desk.country-missing",
    DocumentFault.MRZ_CHECK: "desk.mrz-wrong",
}
_FAULTY: Mapping[DocumentFault | NumberFault, str] = {
    DocumentFault.COUNTRY: "country",
    DocumentFault.COUNTRY_MISSING: "country",
    DocumentFault.MRZ_CHECK: "mrz_digit",
}
"""Beside which field a fault is shown, if not beside the number."""
_NAME_KEYS = {
    NameFault.EMPTY: "desk.name-empty",
    NameFault.LONG: "desk.name-long",
    NameFault.PRIVATE_USE: "desk.name-private-use",
    NameFault.CONTROL: "desk.name-control",
    NameFault.CHARACTER: "desk.name-character",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a form.

    Attributes:
        details: None: something is wrong.
        errors: What, by field.
        notes: What was found right, by field.
        guardian_numbers: Of those who act for a minor; the caller finds them.
    """

    details: Details | None
    errors: Mapping[str, str]
    notes: Mapping[str, str]
    guardian_numbers: tuple[str, ...]


def today_at(now_ms: int) -> date:
    """The day in China."""
    return (datetime.fromtimestamp(now_ms / 1000, UTC) + _CHINA).date()


def tidy(form: Mapping[str, str]) -> dict[str, str]:
    """A form's fields as they are kept in a draft, right or wrong: NFC, without blanks around them."""
    kept = {name: unicodedata.normalize("NFC", form.get(name, "")).strip()[:FIELD_CHARACTERS_MAX] for name in FIELDS}
    for name in ("number", "guardian_1", "guardian_2"):
        kept[name] = documents.tidy_number(kept[name])
    kept["name"] = names.tidy_name(kept["name"])
    kept["country"] = kept["country"].upper()
    kept["phone"] = _SEPARATORS.sub("", kept["phone"])
    return kept


def check(form: Mapping[str, str], today: date, language: Language) -> Checked:
    """Check a form that `tidy` made.

    Args:
        form: Its fields.
        today: The day in China.
        language: Of what is said.
    """
    errors: dict[str, str] = {}
    notes: dict[str, str] = {}
    document = _one_of(DocumentKind, form, "document", errors, language)
    method = _one_of(Method, form, "method", errors, language)
    sex = _one_of(Sex, form, "sex", errors, language) if form["sex"] else Sex.UNSTATED
    reading = documents.Reading()
    if document is not None:
        fault = documents.fault(document, form["number"], today, country=form["country"], mrz_digit=form["mrz_digit"])
        if fault is None:
            reading = documents.read(document, form["number"])
            notes["number"] = translate(language, "desk.number-right")
        else:
            errors[_FAULTY.get(fault, "number")] = translate(language, _NUMBER_KEYS[fault])
    _check_texts(form, errors, language)
    born = _born(form, reading, today, errors, language)
    _check_until(form, today, errors, language)
    guardians = tuple(number for number in (form["guardian_1"], form["guardian_2"]) if number)
    if reading.is_male is not None:
        said = Sex.MALE if reading.is_male else Sex.FEMALE
        if sex not in {said, Sex.UNSTATED, None}:
            errors["sex"] = translate(language, "desk.sex-differs")
        sex = said
    if errors or document is None or method is None or born is None or sex is None:
        return Checked(None, errors, notes, guardians)
    details = Details(
        document=document,
        number=form["number"],
        name=form["name"],
        born=born.isoformat(),
        sex=sex,
        country=form["country"] if document is DocumentKind.PASSPORT else "",
        latin_name=form["latin_name"],
        address=form["address"],
        phone=form["phone"],
        mail=form["mail"],
        document_until=form["document_until"],
        method=method,
    )
    _check_guardians(details, form, guardians, today, errors, language)
    return Checked(None if errors else details, errors, notes, guardians)


def form_of(details: Details) -> dict[str, str]:
    """The form that a person's details fill; guardians are not repeated."""
    values = {name: str(getattr(details, name, "")) for name in FIELDS}
    return values | {"mrz_digit": "", "guardian_1": "", "guardian_2": "", "guardian_consent": ""}


def _one_of(
    kind: type[_Word], form: Mapping[str, str], name: str, errors: dict[str, str], language: Language
) -> _Word | None:
    try:
        return kind(form[name])
    except ValueError:
        errors[name] = translate(language, "desk.choose")
        return None


def _check_texts(form: Mapping[str, str], errors: dict[str, str], language: Language) -> None:
    fault = names.fault(form["name"])
    if fault is not None:
        errors["name"] = translate(language, _NAME_KEYS[fault], count=names.NAME_CHARACTERS_MAX)
    if form["latin_name"] and not _LATIN.fullmatch(form["latin_name"]):
        errors["latin_name"] = translate(language, "desk.latin-wrong")
    if form["phone"] and not _PHONE.fullmatch(form["phone"]):
        errors["phone"] = translate(language, "desk.phone-wrong")
    if form["mail"] and not is_address(form["mail"]):
        errors["mail"] = translate(language, "desk.mail-wrong")
    if not all(character.isprintable() or character == " " for character in form["address"]):
        errors["address"] = translate(language, "desk.address-wrong")


def _born(
    form: Mapping[str, str], reading: documents.Reading, today: date, errors: dict[str, str], language: Language
) -> date | None:
    """The birth date: from the number where it says it, and then nothing else may be typed."""
    typed = _day(form["born"])
    if form["born"] and (typed is None or not EARLIEST_BIRTH <= typed <= today):
        errors["born"] = translate(language, "desk.born-wrong")
        return None
    if reading.born is not None:
        if typed not in {None, reading.born}:
            errors["born"] = translate(language, "desk.born-differs")
        return reading.born
    if typed is None and "number" not in errors:
        errors["born"] = translate(language, "desk.born-missing")
    return typed


def _check_until(form: Mapping[str, str], today: date, errors: dict[str, str], language: Language) -> None:
    if not form["document_until"]:
        return
    until = _day(form["document_until"])
    if until is None:
        errors["document_until"] = translate(language, "desk.day-wrong")
    elif until < today:
        errors["document_until"] = translate(language, "desk.document-over")


def _check_guardians(
    details: Details,
    form: Mapping[str, str],
    guardians: tuple[str, ...],
    today: date,
    errors: dict[str, str],
    language: Language,
) -> None:
    if details.is_minor(today) and not guardians:
        errors["guardian_1"] = translate(language, "desk.guardian-missing")
    if details.number in guardians:
        errors["guardian_1"] = translate(language, "desk.guardian-oneself")
    if details.age(today) < CHILD_YEARS and form["guardian_consent"] != "yes":
        errors["guardian_consent"] = translate(language, "desk.consent-missing", count=CHILD_YEARS)


def _day(text: str) -> date | None:
    """A day as forms send it, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def is_past_day(text: str, today: date) -> bool:
    """Whether a text is a day as forms send it, today or before."""
    found = _day(text)
    return found is not None and EARLIEST_BIRTH <= found <= today
