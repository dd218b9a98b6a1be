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

from traceability import digital_link
from traceability.digital_link import CANONICAL_STEM, CONVENIENCE_NAMES
from traceability.gs1 import InvalidCode, check_digit

REMEMBERED_MAX = 4096
"""Identifiers whose canonical form is remembered: an event names a lot several times, and a lot stands in several."""
REMEMBERED_CHARACTERS_MAX = 256
"""Longer texts are worked out each time, so that what is remembered stays below a few MiB."""

_LITERAL = "';="
"""Beside letters, digits and `-._~`, what a canonical link leaves unescaped in a value."""

_URN = re.compile(r"urn:epc:(id|class|idpat):([a-z]+):(.+)", re.DOTALL)
_TEXT = r"(?:%[0-9A-Fa-f]{2}|[!'()*+,.0-9:;=A-Za-z_-])"
_LINK = re.compile(r"(?:https?|HTTPS?)://[^/?#]+((?:/[^/?#]*)+)(?:\?[^#]*)?(?:#.*)?", re.DOTALL)

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
    if text.startswith(digital_link.SCHEMES):
        return _from_link(text)
    return None


_remembered = lru_cache(REMEMBERED_MAX)(_canonical)


def is_urn(text: str) -> bool:
    """Whether the text claims to be an EPC URN."""
    return text.startswith("urn:epc:")


def is_link(text: str) -> bool:
    """Whether the text is a web address that has the form of a Digital Link URI."""
    return text.startswith(digital_link.SCHEMES) and canonical_identifier(text) is not None


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


_OTHER: Mapping[tuple[str, str], re.Pattern[str]] = {
    ("id", "gid"): re.compile(r"[0-9]+\.[0-9]+\.[0-9]+"),
    ("id", "usdod"): re.compile(r"[0-9A-HJ-NP-Z]{5,6}\.[0-9]+"),
    ("id", "adi"): re.compile(r"[0-9A-HJ-NP-Z]{5,6}\.(?:%2F|[A-Z0-9-])*\.(?:%2[3F]|[A-Z0-9-])+"),
    ("id", "bic"): re.compile(r"[A-Z]{3}[JUZ][0-9]{7}"),
    ("id", "imovn"): re.compile(r"[0-9]{7}"),
    ("idpat", "gid"): re.compile(r"[0-9]+\.[0-9]+\.\*"),
}
"""Schemes that stand for no GS1 key and thus have no canonical link."""

_SERIAL_SIZES = {"253": 13, "255": 13, "8003": 14}
"""Keys whose value ends in a serial number: how long it is without one, when it names a class of objects."""


def urn_fault(urn: str) -> str:
    """Why a text that starts with `urn:epc:` names nothing; empty if it names something.

    Raw forms of tags that nobody could decode are let pass.

    Source: EPC Tag Data Standard 2.0, section 6.3; CBV 2.0, sections 8.2.1 and 8.3.1.
    """
    return _known_fault(urn) if len(urn) <= REMEMBERED_CHARACTERS_MAX else _fault(urn)


def _fault(urn: str) -> str:
    """The same, worked out."""
    kind, _, rest = urn.removeprefix("urn:epc:").partition(":")
    if kind == "raw" and rest:
        return ""
    scheme, _, value = rest.partition(":")
    if (kind, scheme) in _OTHER:
        return "" if _OTHER[kind, scheme].fullmatch(value) else _PARTS
    if (kind, scheme) not in _FORMS:
        return "there is no such scheme"
    link = _canonical(urn)
    if link is None:
        return _PARTS
    try:
        digital_link.parse(link)
    except InvalidCode as error:
        return error.reason
    return ""


_PARTS = "digits or parts are missing or too many"
_known_fault = lru_cache(REMEMBERED_MAX)(_fault)


def is_class(text: str) -> bool | None:
    """Whether an identifier names a class of objects (a product, a lot) rather than one; None: neither is sure.

    Under a domain other than GS1's only products and shipments are looked at, since other addresses may merely look
    like links.

    Source: CBV 2.0, sections 8.2 and 8.3.
    """
    if is_urn(text):
        kind = text.removeprefix("urn:epc:").partition(":")[0]
        return {"id": False, "class": True, "idpat": True}.get(kind)
    link = canonical_identifier(text)
    if link is None:
        return None
    ai, value, *qualifier = link.removeprefix(f"{CANONICAL_STEM}/").split("/")
    if ai not in ("00", "01") and not text.startswith(f"{CANONICAL_STEM}/"):
        return None
    if ai in ("01", "8006"):
        return not qualifier or qualifier[0] == "10"
    if ai == "8010":
        return not qualifier
    if ai in _SERIAL_SIZES:
        return len(unquote(value)) == _SERIAL_SIZES[ai]
    return False


_ANY = "[^/]+"
_WHOLE: Mapping[str, tuple[int, int, str]] = {
    "sgtin": (1, 13, "/01/{}/21/[^/]+"),
    "upui": (1, 13, "/01/{}/235/[^/]+"),
    "itip": (1, 13, "/8006/{}[0-9]{{4}}/21/[^/]+"),
    "sscc": (1, 17, "/00/{}"),
    "sgln": (0, 12, "/414/{}(?:/254/[^/]+)?"),
    "pgln": (0, 12, "/417/{}"),
    "grai": (0, 12, "/8003/0{}[^/]+"),
    "gdti": (0, 12, "/253/{}[^/]+"),
    "sgcn": (0, 12, "/255/{}[0-9]+"),
    "gsrn": (0, 17, "/8018/{}"),
    "gsrnp": (0, 17, "/8017/{}"),
    "gsin": (0, 16, "/402/{}"),
    "giai": (0, 0, "/8004/{}"),
    "ginc": (0, 0, "/401/{}"),
    "cpi": (0, 0, "/8010/{}/8011/[^/]+"),
}
"""For each scheme: digits before the company prefix, digits of both without the check digit (0: any text follows the
prefix), and the path that they stand in."""
_PATTERN = re.compile(r"urn:epc:idpat:([a-z]+):([^:]+)")


def pattern_of(text: str) -> re.Pattern[str] | None:
    """What canonical links of the identifiers that a pattern URN names look like; None: it is no such pattern.

    What follows a wildcard is a wildcard, as `urn:epc:idpat:sgtin:4012345.*.*` has it.

    Source: EPC Tag Data Standard 2.0, section 8; EPCIS 2.0, 8.2.7.1.
    """
    match = _PATTERN.fullmatch(text)
    if match is None or match[1] not in _WHOLE:
        return None
    company, *rest = match[2].split(".")
    before, digits, path = _WHOLE[match[1]]
    size = {"itip": 5, "sscc": 2, "pgln": 2, "gsrn": 2, "gsrnp": 2, "gsin": 2, "giai": 2, "ginc": 2}.get(match[1], 3)
    if len(rest) != size - 1 or rest[-1] != "*":
        return None
    if set(rest) == {"*"}:
        return _of_company(company, before, digits, path)
    if size == 3 and match[1] == "sgln":
        link = _canonical(f"urn:epc:id:sgln:{company}.{rest[0]}.0")
        return None if link is None else re.compile(re.escape(link) + "(?:/254/[^/]+)?")
    return _of_class(text, match[1])


def _of_company(company: str, before: int, digits: int, path: str) -> re.Pattern[str] | None:
    """All of a company, or of all companies."""
    if company == "*":
        value = f"[0-9]{{{digits + 1}}}" if digits else "[0-9]{6,12}[^/]*"
    elif not re.fullmatch("[0-9]{6,12}", company):
        return None
    elif digits:
        value = f"[0-9]{{{before}}}{company}[0-9]{{{digits - before - len(company) + 1}}}"
    else:
        value = company + _ANY
    return re.compile(re.escape(CANONICAL_STEM) + path.format(value))


def _of_class(text: str, scheme: str) -> re.Pattern[str] | None:
    """All of a class that has a canonical link of its own."""
    link = _canonical(text)
    if link is None:
        return None
    below = {"sgtin": "/21/", "itip": "/21/", "upui": "/235/", "cpi": "/8011/"}.get(scheme, "")
    return re.compile(re.escape(link) + below + _ANY)
