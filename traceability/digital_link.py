# SPDX-License-Identifier: Apache-2.0
"""GS1 Digital Link URIs, uncompressed: text to elements and back.

`parse` takes any text and returns a `DigitalLink` or raises `InvalidCode` with position and reason; `build` is its
opposite, and `build(parse(x).elements)` is the canonical form of x.  Nothing is fetched or resolved here.
Source: GS1 Digital Link Standard: URI Syntax 1.6.0, sections 4 and 5; RFC 3986.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from traceability import gs1
from traceability.gs1 import InvalidCode
from traceability.gs1_dictionary import identifiers

__all__ = ["CANONICAL_STEM", "DigitalLink", "InvalidCode", "build", "parse", "parse_bracketed"]

CANONICAL_STEM = "https://id.gs1.org"

URI_SIZE_MAX = 8000
"""Characters; far above what a carrier holds (a QR code 4,296), and what HTTP servers must take (RFC 9110, 4.1)."""

ELEMENTS_MAX = 64
"""As many AIs as one link may carry; an item has a few."""

CONVENIENCE_NAMES = {
    "gtin": "01",
    "itip": "8006",
    "gmn": "8013",
    "cpid": "8010",
    "gln": "414",
    "payTo": "415",
    "partyGln": "417",
    "gsrnp": "8017",
    "gsrn": "8018",
    "gcn": "255",
    "sscc": "00",
    "gdti": "253",
    "ginc": "401",
    "gsin": "402",
    "grai": "8003",
    "giai": "8004",
    "cpv": "22",
    "lot": "10",
    "ser": "21",
    "tpx": "235",
    "cpsn": "8011",
    "glnx": "254",
    "refno": "8020",
    "srin": "8019",
}
"""Words that version 1.2 deprecated; taken only when asked for."""

_ZERO_SUPPRESSED_SIZES = (8, 12, 13)
_URI_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%")
SCHEMES = ("https://", "http://", "HTTPS://", "HTTP://")
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{0,5}))?")
_PORT_MAX = 65535
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_BRACKETED = re.compile(r"\((\d{2,4})\)")


@dataclass(frozen=True, slots=True)
class DigitalLink:
    """A Digital Link URI, understood.

    Attributes:
        stem: Scheme, authority and path before the key, without a slash at its end.
        path: The key and its qualifiers in order, decoded: (AI, value).
        attributes: AIs of the query in the order written, decoded.
        parameters: Other members of the query as written (`linkType=all`, or a word alone).
        fragment: After `#` as written; None when there is none.
    """

    stem: str
    path: tuple[tuple[str, str], ...]
    attributes: tuple[tuple[str, str], ...]
    parameters: tuple[str, ...]
    fragment: str | None

    @property
    def key(self) -> tuple[str, str]:
        """What the link is about: (AI, value)."""
        return self.path[0]

    @property
    def elements(self) -> tuple[tuple[str, str], ...]:
        """Path and attributes together."""
        return self.path + self.attributes

    @property
    def element_string(self) -> str:
        """As a scanner would give it, `^` for FNC1."""
        return gs1.element_string(self.elements)

    @property
    def canonical(self) -> str:
        """The link with the same elements under GS1's own domain, attributes sorted by AI."""
        return build(self.path + tuple(sorted(self.attributes)), unknown_ais=True)


def parse(
    uri: str, *, zero_suppressed: bool = False, convenience_names: bool = False, unknown_ais: bool = False
) -> DigitalLink:
    """Understand a Digital Link URI.

    Args:
        uri: Any text.
        zero_suppressed: Take a GTIN of 8, 12 or 13 digits and fill it up with zeros.
        convenience_names: Take `/gtin/` for `/01/` and the like.
        unknown_ais: Take attributes whose AI is not assigned.

    Raises:
        InvalidCode: Where and why it is none.
    """
    stem_end, path_end, query_end = _cut(uri)
    path_text = uri[stem_end:path_end]
    pieces = [(match.start(1) + stem_end, match[1]) for match in re.finditer(r"/([^/]*)", path_text)]
    first = _key_index(pieces, convenience_names)
    options = _Options(zero_suppressed, unknown_ais)
    path = []
    for index in range(first, len(pieces), 2):
        position, value = pieces[index + 1]
        path.append(_element(uri, _ai(pieces[index][1], convenience_names), value, position, options))
    ais = tuple(ai for ai, _ in path)
    if not _is_sequence(ais):
        reason = f"({'), ('.join(ais)}) is no key with its qualifiers in the order that GS1 gives"
        raise InvalidCode(reason, pieces[first][0])
    attributes, parameters = _query(uri, path_end + 1, query_end, ais, options)
    return DigitalLink(
        stem=uri[: pieces[first][0] - 1],
        path=tuple(path),
        attributes=tuple(attributes),
        parameters=tuple(parameters),
        fragment=uri[query_end + 1 :] if query_end < len(uri) else None,
    )


def build(elements: Iterable[tuple[str, str]], stem: str = CANONICAL_STEM, *, unknown_ais: bool = False) -> str:
    """Write elements as a Digital Link URI.

    The first element that is a primary key becomes the link's subject, its qualifiers follow in GS1's order, the rest
    goes to the query: those of predefined length first, else in the order given. Equal elements are written once.

    Args:
        elements: (AI, value), decoded.
        stem: Scheme and authority, perhaps a path.
        unknown_ais: Take attributes whose AI is not assigned.

    Raises:
        InvalidCode: No key, a value that does not fit, an AI that cannot stand in a link, or one AI with two values.
    """
    unique: dict[str, str] = {}
    for ai, value in elements:
        if unique.setdefault(ai, value) != value:
            raise InvalidCode(f"({ai}) is there twice with different values")
        if ai not in identifiers() and unknown_ais:
            gs1.verify_unknown_value(ai, value)
        else:
            gs1.verify_value(ai, value)
    _verify_stem(stem)
    key = next((ai for ai in unique if ai in gs1.primary_keys()), None)
    if key is None:
        raise InvalidCode("there is no primary key, such as (01) or (00), for a link to be about")
    path = _best_path(key, unique)
    if not _is_sequence(path):
        raise InvalidCode(f"({key}) needs a qualifier in the path")
    attributes = [ai for ai in unique if ai not in path]
    for ai in attributes:
        _verify_attribute(ai, path, None)
    attributes.sort(key=lambda ai: ai not in identifiers() or not identifiers()[ai].predefined_length)
    uri = stem.removesuffix("/") + "".join(f"/{ai}/{quote(unique[ai], safe='')}" for ai in path)
    query = "&".join(f"{ai}={quote(unique[ai], safe='')}" for ai in attributes)
    return f"{uri}?{query}" if query else uri


def parse_bracketed(text: str) -> list[tuple[str, str]]:
    """`(01)09521234543213(10)ABC` as elements; values are not checked.

    Raises:
        InvalidCode: It does not start with an AI in brackets, or a value is missing.
    """
    marks = list(_BRACKETED.finditer(text))
    if not marks or marks[0].start() != 0:
        raise InvalidCode("an application identifier in brackets must come first", 0)
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    elements = [(mark[1], text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    for (ai, value), mark in zip(elements, marks, strict=True):
        if not value:
            raise InvalidCode(f"({ai}) has no value", mark.end())
    return elements


@dataclass(frozen=True, slots=True)
class _Options:
    """What `parse` was told to take beyond the standard's default."""

    zero_suppressed: bool
    unknown_ais: bool


def _cut(uri: str) -> tuple[int, int, int]:
    """Where the authority, the path and the query end."""
    if len(uri) > URI_SIZE_MAX:
        raise InvalidCode(f"the URI has {len(uri)} characters; at most {URI_SIZE_MAX} are allowed")
    for position, character in enumerate(uri):
        if character not in _URI_CHARACTERS:
            raise InvalidCode(f"{character!r} must not stand in a URI; percent-encode it", position)
    query_end = (uri + "#").index("#")
    path_end = (uri[:query_end] + "?").index("?")
    stem_end = _authority_end(uri[:path_end])
    if stem_end == path_end:
        raise InvalidCode("there is no path after the domain", path_end)
    return stem_end, path_end, query_end


def _authority_end(text: str) -> int:
    """Check scheme and authority of a URI without query; where they end."""
    scheme = next((scheme for scheme in SCHEMES if text.startswith(scheme)), None)
    if scheme is None:
        raise InvalidCode("the scheme must be http:// or https://", 0)
    end = (text + "/").index("/", len(scheme))
    match = _AUTHORITY.fullmatch(text, len(scheme), end)
    if match is None or (match[1] and int(match[1]) > _PORT_MAX):
        raise InvalidCode("there is no valid domain after the scheme", len(scheme))
    return end


def _verify_stem(stem: str) -> None:
    """A stem that `parse` would take in front of a key."""
    for position, character in enumerate(stem):
        if character not in _URI_CHARACTERS or character in "?#":
            raise InvalidCode(f"{character!r} must not stand in the stem of a link", position)
    _authority_end(stem)


def _ai(segment: str, convenience_names: bool) -> str:
    """A path segment as AI; itself when it is none."""
    return CONVENIENCE_NAMES.get(segment, segment) if convenience_names else segment


def _key_index(pieces: Sequence[tuple[int, str]], convenience_names: bool) -> int:
    """Index of the segment with the key: the last from which AIs and values alternate to the end."""
    for index in range(len(pieces) - 2, -1, -2):
        ai = _ai(pieces[index][1], convenience_names)
        if ai not in identifiers():
            break
        if ai in gs1.primary_keys():
            return index
    raise InvalidCode(
        "there is no GS1 key, such as /01/ with a GTIN, at the end of the path (compressed links are not understood)",
        pieces[0][0],
    )


def _element(uri: str, ai: str, text: str, position: int, options: _Options, *, query: bool = False) -> tuple[str, str]:
    """Decode and check one value that starts at `position` of the URI."""
    escape = text.find("%")
    while escape >= 0:
        if not _ESCAPE.match(text, escape):
            raise InvalidCode("a percent sign without two hexadecimal digits", position + escape)
        escape = text.find("%", escape + 1)
    if query:
        text = text.replace("+", " ")
    value = _ESCAPE.sub(lambda match: chr(int(match[0][1:], 16)), text)
    if ai == "01" and options.zero_suppressed and len(value) in _ZERO_SUPPRESSED_SIZES:
        value = value.zfill(14)
    try:
        if ai in identifiers():
            gs1.verify_value(ai, value)
        else:
            gs1.verify_unknown_value(ai, value)
    except InvalidCode as error:
        raise InvalidCode(error.reason.rpartition(" (at position")[0] or error.reason, position) from None
    assert position <= len(uri)
    return ai, value


def _query(
    uri: str, start: int, end: int, path: tuple[str, ...], options: _Options
) -> tuple[list[tuple[str, str]], list[str]]:
    """Attributes and other parameters between two positions of the URI."""
    attributes: dict[str, str] = {}
    parameters: list[str] = []
    position = start
    for pair in uri[start:end].split("&") if start < end else []:
        name, equals, text = pair.partition("=")
        if equals and name.isdigit():
            if name not in identifiers() and not options.unknown_ais:
                raise InvalidCode(f"({name}) is no assigned application identifier", position)
            _verify_attribute(name, path, position)
            ai, value = _element(uri, name, text, position + len(name) + 1, options, query=True)
            if attributes.setdefault(ai, value) != value:
                raise InvalidCode(f"({ai}) is there twice with different values", position)
            if len(attributes) > ELEMENTS_MAX:
                raise InvalidCode(f"more than {ELEMENTS_MAX} application identifiers", position)
        elif pair:
            parameters.append(pair)
        position += len(pair) + 1
    return list(attributes.items()), parameters


def _verify_attribute(ai: str, path: tuple[str, ...], position: int | None) -> None:
    """An AI that may stand in the query beside this path."""
    entry = identifiers().get(ai)
    if entry is not None and not entry.attribute:
        raise InvalidCode(f"({ai}) cannot stand in the query of a link", position)
    if ai in path:
        raise InvalidCode(f"({ai}) stands in the path already", position)
    if any(_is_sequence((*path[:index], ai, *path[index:])) for index in range(1, len(path) + 1)):
        raise InvalidCode(f"({ai}) qualifies the key and belongs in the path", position)


def _is_sequence(ais: tuple[str, ...]) -> bool:
    """Whether this is a key, followed by qualifiers of one of its sequences in their order.

    A place to pay to is nothing without what is paid (URI Syntax 1.6.0, 4.9).
    """
    entry = identifiers().get(ais[0])
    if entry is None or entry.qualifiers is None or ais == ("415",):
        return False
    return any(_is_subsequence(ais[1:], sequence) for sequence in entry.qualifiers)


def _is_subsequence(ais: tuple[str, ...], sequence: tuple[str, ...]) -> bool:
    """Whether `ais` is `sequence` with some left out."""
    rest = iter(sequence)
    return all(ai in rest for ai in ais)


def _best_path(key: str, present: Iterable[str]) -> tuple[str, ...]:
    """The key and those of its qualifiers that are there, of the sequence that takes the most."""
    there = set(present)
    candidates = [
        tuple(ai for ai in sequence if ai in there) for sequence in gs1.primary_keys()[key].qualifiers or ((),)
    ]
    return (key, *max(candidates, key=len))
