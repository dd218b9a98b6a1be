# SPDX-License-Identifier: Apache-2.0
"""The one canonical form of an identifier, whether it came as EPC URN or as Digital Link URI of any domain.

Pure functions.  The canonical form keeps the finest level only (a serial makes the lot superfluous), no query, and the
domain of GS1; it is what the CBV event hash is taken over.  It is computed from the form alone: a wrong check digit in
a published event must not change its hash (`traceability.digital_link` judges check digits).
Source: EPC Tag Data Standard 2.0, section 6.3; CBV 2.0, section 8.9.2, rules 17 and 18.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote, unquote

from traceability.digital_link import CANONICAL_STEM, CONVENIENCE_NAMES
from traceability.gs1 import check_digit

REMEMBERED_MAX = 4096
"""Identifiers whose canonical form is remembered: an event names a lot several times, and a lot stands in several."""
REMEMBERED_CHARACTERS_MAX = 256
"""Longer texts are worked out each time, so that what is remembered stays below a few MiB."""

_LITERAL = "';="
"""Beside letters, digits and `-._~`, what a canonical link leaves unescaped in a value."""

_URN = re.compile(r"urn:epc:(id|class|idpat):([a-z]+):(.+)", re.DOTALL)
_TEXT = r"(?:%[0-9A-Fa-f]{2}|[!'()*+,.0-9:;=A-Za-z_-])"
_LINK = re.compile(r"https?://[^/?#]+((?:/[^/?#]*)+)(?:\?[^#]*)?(?:#.*)?", re.DOTALL)

_FINAL = {
    "00": r"[0-9]{18}",
    "01": r"[0-9]{14}",
    "253": r"[0-9]{13}[^/]{0,17}",
    "255": r"[0-9]{13,25}",
    "401": r"[0-9]{4}[^/]{1,26}",
    "402": r"[0-9]{17}",
    "414": r"[0-9]{13}",
    "417": r"[0-9]{13}",
    "8003": r"[0-9]{14}[^/]{0,16}",
    "8004": r"[0-9]{4}[^/]{1,26}",
    "8006": r"[0-9]{18}",
    "8010": r"[0-9]{4}[^/]{1,26}",
    "8017": r"[0-9]{18}",
    "8018": r"[0-9]{18}",
}
_KEYS: Mapping[str, re.Pattern[str]] = {ai: re.compile(pattern) for ai, pattern in _FINAL.items()}
"""For each key that events name, the form of its decoded value."""

_FINEST: Mapping[str, tuple[str, ...]] = {
    "01": ("21", "10", "235"),
    "8006": ("21", "10"),
    "414": ("254",),
    "8010": ("8011",),
}
"""Qualifiers that the canonical form keeps, the finest first; others are dropped."""

_QUALIFIERS = frozenset({"21", "10", "22", "235", "254", "8011", "8019"})


def canonical_identifier(text: str) -> str | None:
    """The canonical Digital Link URI of an identifier.

    Args:
        text: Any text, typically an EPC URN, class URN, pattern URN, or Digital Link URI.

    Returns:
        `https://id.gs1.org/…`, or None when the text is no GS1 identifier of a form known here.
    """
    return _remembered(text) if len(text) <= REMEMBERED_CHARACTERS_MAX else _canonical(text)


def _canonical(text: str) -> str | None:
    """The same, worked out."""
    if not text.isascii():
        return None
    if text.startswith("urn:epc:"):
        return _from_urn(text)
    if text.startswith(("https://", "http://")):
        return _from_link(text)
    return None


_remembered = lru_cache(REMEMBERED_MAX)(_canonical)


def is_urn(text: str) -> bool:
    """Whether the text claims to be an EPC URN."""
    return text.startswith("urn:epc:")


def is_link(text: str) -> bool:
    """Whether the text is a web address that has the form of a Digital Link URI."""
    return text.startswith(("https://", "http://")) and canonical_identifier(text) is not None


def path_of(elements: Iterable[tuple[str, str]]) -> str:
    """Keys and values as the ledger names items by them: the path of a canonical link, without a slash before it.

    Args:
        elements: (AI, value), decoded, in their order.
    """
    return "/".join(f"{ai}/{quote(value, safe=_LITERAL)}" for ai, value in elements)


def _escape(text: str) -> str:
    """A value as the canonical form writes it, whatever escapes it came with."""
    return quote(unquote(text, errors="surrogateescape"), safe=_LITERAL, errors="surrogateescape")


def _from_link(text: str) -> str | None:
    """Cut a Digital Link URI down to its finest level."""
    match = _LINK.fullmatch(text)
    if match is None:
        return None
    segments = [CONVENIENCE_NAMES.get(segment, segment) for segment in match[1].split("/")[1:]]
    for index in range(len(segments) - 2, -1, -2):
        ai = segments[index]
        if ai in _KEYS:
            return _finest(ai, match[1].split("/")[index + 2], segments[index + 2 :], match[1].split("/")[index + 3 :])
        if ai not in _QUALIFIERS:
            return None
    return None


def _finest(ai: str, value: str, names: list[str], texts: list[str]) -> str | None:
    """A key with the finest of its qualifiers."""
    decoded = unquote(value, errors="surrogateescape")
    if ai == "01" and len(decoded) in (8, 12, 13):
        decoded = decoded.zfill(14)
    if not _KEYS[ai].fullmatch(decoded):
        return None
    link = f"{CANONICAL_STEM}/{ai}/{_escape(decoded.replace('%', '%25'))}"
    present = dict(zip(names[::2], texts[1::2], strict=True))
    for qualifier in _FINEST.get(ai, ()):
        if present.get(qualifier):
            return f"{link}/{qualifier}/{_escape(present[qualifier])}"
    return link


def _from_urn(text: str) -> str | None:
    """Translate an EPC URN of any scheme that has a GS1 key."""
    match = _URN.fullmatch(text)
    if match is None:
        return None
    form = _FORMS.get((match[1], match[2]))
    if form is None:
        return None
    pattern, digits, translate = form
    parts = pattern.fullmatch(match[3])
    if parts is None:
        return None
    company, reference, *rest = parts.groups()
    if digits is None:
        if not 6 <= len(company) <= 12:
            return None
    elif len(company) + len(reference) != digits:
        return None
    return CANONICAL_STEM + translate(company, reference, *(_escape(part) for part in rest))


def _checked(digits: str) -> str:
    """Digits with their check digit."""
    return digits + check_digit(digits)


def _gtin(company: str, reference: str) -> str:
    """The indicator digit leads the reference in a URN and the whole key in a GTIN or SSCC."""
    return _checked(reference[0] + company + reference[1:])


_COMPANY = r"([0-9]{6,12})\."
_NUMBER = r"([0-9]*)"
_SERIAL = rf"\.({_TEXT}{{1,28}})"
_PIECES = r"\.([0-9]{2})\.([0-9]{2})"

_Form = tuple[re.Pattern[str], int | None, Callable[..., str]]


def _form(rest: str, digits: int | None, translate: Callable[..., str]) -> _Form:
    """What follows the company prefix, how many digits prefix and reference have together, and the path it becomes."""
    return re.compile(_COMPANY + rest), digits, translate


def _sgln(company: str, reference: str, extension: str) -> str:
    """A place; extension 0 means the place itself."""
    place = f"/414/{_checked(company + reference)}"
    return place if extension == "0" else f"{place}/254/{extension}"


_FORMS: Mapping[tuple[str, str], _Form] = {
    ("id", "sgtin"): _form(_NUMBER + _SERIAL, 13, lambda c, r, s: f"/01/{_gtin(c, r)}/21/{s}"),
    ("id", "upui"): _form(_NUMBER + _SERIAL, 13, lambda c, r, s: f"/01/{_gtin(c, r)}/235/{s}"),
    ("id", "itip"): _form(_NUMBER + _PIECES + _SERIAL, 13, lambda c, r, p, t, s: f"/8006/{_gtin(c, r)}{p}{t}/21/{s}"),
    ("id", "sscc"): _form(_NUMBER, 17, lambda c, r: f"/00/{_gtin(c, r)}"),
    ("id", "sgln"): _form(_NUMBER + _SERIAL, 12, _sgln),
    ("id", "pgln"): _form(_NUMBER, 12, lambda c, r: f"/417/{_checked(c + r)}"),
    ("id", "grai"): _form(_NUMBER + _SERIAL, 12, lambda c, r, s: f"/8003/0{_checked(c + r)}{s}"),
    ("id", "giai"): _form(f"({_TEXT}{{1,24}})", None, lambda c, r: f"/8004/{c}{_escape(r)}"),
    ("id", "gsrn"): _form(_NUMBER, 17, lambda c, r: f"/8018/{_checked(c + r)}"),
    ("id", "gsrnp"): _form(_NUMBER, 17, lambda c, r: f"/8017/{_checked(c + r)}"),
    ("id", "gdti"): _form(_NUMBER + _SERIAL, 12, lambda c, r, s: f"/253/{_checked(c + r)}{s}"),
    ("id", "sgcn"): _form(_NUMBER + r"\.([0-9]{1,12})", 12, lambda c, r, s: f"/255/{_checked(c + r)}{s}"),
    ("id", "cpi"): _form(
        r"((?:%[0-9A-Fa-f]{2}|[0-9A-Z-]){1,24})\.([0-9]{1,12})",
        None,
        lambda c, r, s: f"/8010/{c}{_escape(r)}/8011/{s}",
    ),
    ("id", "ginc"): _form(f"({_TEXT}{{1,24}})", None, lambda c, r: f"/401/{c}{_escape(r)}"),
    ("id", "gsin"): _form(_NUMBER, 16, lambda c, r: f"/402/{_checked(c + r)}"),
    ("class", "lgtin"): _form(_NUMBER + _SERIAL, 13, lambda c, r, s: f"/01/{_gtin(c, r)}/10/{s}"),
    ("idpat", "sgtin"): _form(_NUMBER + r"\.\*", 13, lambda c, r: f"/01/{_gtin(c, r)}"),
    ("idpat", "upui"): _form(_NUMBER + r"\.\*", 13, lambda c, r: f"/01/{_gtin(c, r)}"),
    ("idpat", "itip"): _form(_NUMBER + _PIECES + r"\.\*", 13, lambda c, r, p, t: f"/8006/{_gtin(c, r)}{p}{t}"),
    ("idpat", "grai"): _form(_NUMBER + r"\.\*", 12, lambda c, r: f"/8003/0{_checked(c + r)}"),
    ("idpat", "gdti"): _form(_NUMBER + r"\.\*", 12, lambda c, r: f"/253/{_checked(c + r)}"),
    ("idpat", "sgcn"): _form(_NUMBER + r"\.\*", 12, lambda c, r: f"/255/{_checked(c + r)}"),
    ("idpat", "cpi"): _form(r"((?:%[0-9A-Fa-f]{2}|[0-9A-Z-]){1,24})\.\*", None, lambda c, r: f"/8010/{c}{_escape(r)}"),
}


def has_gs1_key(urn: str) -> bool:
    """Whether an EPC URN is of a scheme that stands for a GS1 key; others, such as `gid`, have no canonical link."""
    parts = urn.split(":", 4)
    return len(parts) == 5 and any(scheme == parts[3] for _, scheme in _FORMS)
