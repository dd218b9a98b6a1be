# SPDX-License-Identifier: Apache-2.0
"""What a GS1 resolver answers: from a request's address and headers to a redirect, a linkset, a choice, or a refusal.

Pure; which links there are, a `Links` says, and HTTP is put around it by a service. An error never has status 200, and
a redirect goes only where a link of ours leads.  Not done: compressed links, which have a standard of their own.
A link of a wider level than was asked for names the rest in its query (`?10=L7`), where it leads to a page.
Source: GS1-Conformant Resolver Standard 1.2.0; RFC 9264 (linksets); RFC 9110, 12.5 and 15.4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote

from traceability import digital_link
from traceability.epc import path_of
from traceability.gs1 import InvalidCode

VOC: Final = "https://ref.gs1.org/voc/"
LINKSET_MEDIA: Final = "application/linkset+json"
LINKSET_CONTEXT: Final = "https://ref.gs1.org/standards/resolver/linkset-context"
"""What makes a linkset JSON-LD."""
WELL_KNOWN: Final = "/.well-known/gs1resolver"
PRIMARY_KEYS: Final = ("00", "01", "414", "417", "8003", "8004")
"""Keys whose links a food resolver knows; others are well-formed and have none."""

_PREFIXES = (VOC, "https://gs1.org/voc/", "http://gs1.org/voc/", "gs1:")
_LINKSETS = ("linkset", "all")
_JSON_LD = "application/ld+json"
_CONTEXT_HEADER = f'<{LINKSET_CONTEXT}>; rel="http://www.w3.org/ns/json-ld#context"; type="{_JSON_LD}"'
_ACCEPTED_MAX = 32
"""Items of one Accept header that are looked at; browsers send six."""

Path = tuple[tuple[str, str], ...]
"""Key and qualifiers, decoded, in their order."""


@dataclass(frozen=True, slots=True)
class Link:
    """One thing there is about an item.

    Attributes:
        kind: Link type without its prefix, e.g. "traceability".
        href: Where it leads.
        title: For people.
        media: Media type there.
        languages: Language tags; none: any.
    """

    kind: str
    href: str
    title: str
    media: str = "text/html"
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Level:
    """What there is at one level of an identifier.

    Attributes:
        description: Of the item, for people.
        links: The first is the default.
    """

    description: str
    links: tuple[Link, ...]


class Links(Protocol):
    """Knows what there is about items."""

    def at(self, path: Path) -> Level | None:
        """The links of exactly this level; None: there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send.

    Attributes:
        status: 200 with a linkset, 300 with one of those that suit, 307, 400 or 404.
        location: Of a redirect.
        body: JSON; None where the status says all.
        media: Of the body.
        reason: Of a refusal, in English.
        link: Value of the Link header; empty: none.
    """

    status: int
    location: str = ""
    body: dict[str, Any] | None = field(default=None, hash=False)
    media: str = ""
    reason: str = ""
    link: str = ""


def resolve(target: str, links: Links, root: str, *, accept: str = "", accept_language: str = "") -> Answer:
    """Answer a request for an identifier.

    Args:
        target: Path and query as they came, still escaped; one slash at the path's end is let pass.
        links: What there is.
        root: This resolver's address, without a slash at its end.
        accept: The Accept header.
        accept_language: The Accept-Language header.
    """
    path_text, mark, query = target.partition("?")
    try:
        link = digital_link.parse(root + path_text.removesuffix("/") + mark + query)
    except InvalidCode as error:
        return Answer(400, reason=error.reason)
    if link.stem != root:
        return Answer(400, reason="the address has something before the key")
    asked = [unquote(one.partition("=")[2]) for one in link.parameters if one.partition("=")[0] == "linkType"]
    if len(asked) > 1:
        return Answer(400, reason="linkType stands twice")
    levels = [(path, level) for path, level in _levels(link.path, links) if level.links]
    if not levels:
        return Answer(404, reason="nothing is known of this item here")
    header = f'<{root}{_path(link.path)}?linkType=linkset>; rel="linkset"; type="{LINKSET_MEDIA}"'
    if (asked and asked[0] in _LINKSETS) or _wants_linkset(accept):
        return _linkset_answer(200, linkset(levels, root), header, accept)
    kind = _kind(asked[0]) if asked else "defaultLink"
    unknown = link.path[len(levels[0][0]) :]
    if kind == "defaultLink":
        return Answer(307, location=_followed(levels[0][1].links[0], unknown, query), link=header)
    wanted = _Wanted(kind, unknown, query, accept, accept_language)
    return _by_kind(levels, root, wanted, header)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked of a link type: the path's end that nothing is known of, the query, and what suits."""

    kind: str
    unknown: Path
    query: str
    accept: str
    accept_language: str


def _by_kind(levels: Sequence[tuple[Path, Level]], root: str, wanted: _Wanted, header: str) -> Answer:
    """The link of one type, of the finest level that has any; several that suit are a choice."""
    finest = next((one for one in levels if any(link.kind == wanted.kind for link in one[1].links)), None)
    if finest is None:
        return Answer(404, reason="there is no link of this type for the item", link=header)
    found = [one for one in finest[1].links if one.kind == wanted.kind]
    chosen = _matching(found, wanted.accept, wanted.accept_language)
    if len(chosen) > 1:
        targets = [_target(one, _followed(one, wanted.unknown, wanted.query)) for one in chosen]
        entry = {**_entry(*finest, root), VOC + wanted.kind: targets}
        return _linkset_answer(300, {"linkset": [entry]}, header, wanted.accept)
    return Answer(307, location=_followed(chosen[0], wanted.unknown, wanted.query), link=header)


def _linkset_answer(status: int, body: dict[str, Any], header: str, accept: str) -> Answer:
    """A linkset in the form of JSON that is wanted most; with its context inside where JSON-LD is."""
    media = next(
        (one for one in _wishes(accept) if one in (LINKSET_MEDIA, "application/json", _JSON_LD)), LINKSET_MEDIA
    )
    if media == _JSON_LD:
        return Answer(status, body={"@context": LINKSET_CONTEXT, **body}, media=media, link=header)
    return Answer(status, body=body, media=media, link=f"{header}, {_CONTEXT_HEADER}")


def _entry(path: Path, level: Level, root: str) -> dict[str, Any]:
    """What a linkset says of an item itself; its second name for that is one that older programs read."""
    return {"anchor": root + _path(path), "description": level.description, "itemDescription": level.description}


def _target(link: Link, href: str) -> dict[str, Any]:
    """One link of a linkset."""
    target: dict[str, Any] = {"href": href, "title": link.title, "type": link.media}
    if link.languages:
        target["hreflang"] = list(link.languages)
    return target


def linkset(levels: Sequence[tuple[Path, Level]], root: str) -> dict[str, Any]:
    """All links of an item and of each level above it, as RFC 9264 has them.

    Args:
        levels: The finest first.
        root: Of this resolver.
    """
    found: list[dict[str, Any]] = []
    for path, level in levels:
        entry = _entry(path, level, root)
        default = level.links[0]
        entry[f"{VOC}defaultLink"] = [{"href": default.href, "title": default.title}]
        for link in level.links:
            entry.setdefault(VOC + link.kind, []).append(_target(link, link.href))
        found.append(entry)
    return {"linkset": found}


def description_file(root: str, name: str) -> dict[str, Any]:
    """What stands at `/.well-known/gs1resolver`."""
    return {
        "name": name,
        "resolverRoot": root,
        "supportedPrimaryKeys": list(PRIMARY_KEYS),
        "supportedLinkType": [{"namespace": VOC, "prefix": "gs1:"}],
        "linkTypeDefaultCanBeLinkset": False,
        "jsonLdContextLocation": LINKSET_CONTEXT,
        "validation": {"requestURIs": True},
    }


class PageLinks:
    """Links to a food service's own pages, for whatever it knows.

    Args:
        pages: Address of the service, without a slash at its end; an item's page is `<pages>/food/<its path>`.
        describe: What an item is, for people, by its name on the ledger; None: nothing is known of it.
    """

    def __init__(self, pages: str, describe: Callable[[str], str | None]) -> None:
        self._pages = pages
        self._describe = describe

    def at(self, path: Path) -> Level | None:
        """See `Links`."""
        if path[0][0] not in PRIMARY_KEYS:
            return None
        item = path_of(path)
        description = self._describe(item)
        if description is None:
            return None
        page = f"{self._pages}/food/{item}"
        kinds = [("traceability", "Journey", ""), ("recallStatus", "Recalls", "#recall")]
        if path[-1][0] == "01":
            kinds = [("pip", "Product", ""), ("recallStatus", "Recalls", "#recall")]
        elif path[-1][0] == "10":
            kinds.append(("certificationInfo", "Tests and certificates", "#tests"))
        pages = [Link(kind, page + mark, f"{title}: {description}") for kind, title, mark in kinds]
        events = Link("epcis", f"{self._pages}/epcis/epcs/{quote(item, safe='')}/events", "Events", "application/json")
        return Level(description, (*pages, events))


# ---------------------------------------------------------------- choosing


def _levels(path: Path, links: Links) -> list[tuple[Path, Level]]:
    """What is known at each level, the finest first."""
    found = ((path[:count], links.at(path[:count])) for count in range(len(path), 0, -1))
    return [(part, level) for part, level in found if level is not None]


def _kind(asked: str) -> str:
    """A link type without its prefix."""
    for prefix in _PREFIXES:
        if asked.startswith(prefix):
            return asked.removeprefix(prefix)
    return asked


def _matching(links: Sequence[Link], accept: str, accept_language: str) -> list[Link]:
    """Those that suit the languages and media types asked for, the best wish that any suits; else all."""
    left = list(links)
    for language in _wishes(accept_language):
        suits = next((found for range_ in _ranges(language) if (found := _in_language(left, range_))), [])
        if suits:
            left = suits
            break
    for media in _wishes(accept):
        kind = media.removesuffix("*") if media.endswith("/*") else ""
        suits = [link for link in left if link.media == media or (kind and link.media.startswith(kind))]
        if suits:
            return suits
    return left


def _ranges(language: str) -> list[str]:
    """A language and what is left when its subtags are cut off one by one (RFC 4647, 3.4)."""
    tags = language.split("-")
    return ["-".join(tags[:count]) for count in range(len(tags), 0, -1)]


def _in_language(links: Sequence[Link], language: str) -> list[Link]:
    """Links in a language: exactly that, or else one of its kinds."""
    exact = [link for link in links if language in {tag.lower() for tag in link.languages}]
    below = f"{language}-"
    return exact or [link for link in links if any(tag.lower().startswith(below) for tag in link.languages)]


def _wishes(header: str) -> list[str]:
    """What an Accept header names, the most wanted first; what it refuses left out."""
    weighed: list[tuple[int, int, str]] = []
    for index, part in enumerate(header.split(",")[:_ACCEPTED_MAX]):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((one.removeprefix("q=") for one in parameters if one.startswith("q=")), "1")
        digits = (weight.replace(".", "") + "000")[:4]
        if name and digits.isascii() and digits.isdigit() and int(digits):
            weighed.append((-int(digits), index, name))
    return [name for _, _, name in sorted(weighed)]


def _wants_linkset(accept: str) -> bool:
    """Whether a linkset is what is wanted most."""
    wishes = _wishes(accept)
    return bool(wishes) and wishes[0] in (LINKSET_MEDIA, "application/linkset")


def _path(path: Path) -> str:
    """A path as canonical links write it."""
    return digital_link.build(path, "https://x").removeprefix("https://x")


def _followed(link: Link, unknown: Path, query: str) -> str:
    """Where a link leads; a page hears which end of the path nothing is known of, so that it can tell its reader."""
    told = "" if link.media != "text/html" else "&".join(f"{name}={quote(value, safe='')}" for name, value in unknown)
    return _with_query(link.href, "&".join(part for part in (told, query) if part))


def _with_query(href: str, query: str) -> str:
    """A link with what stood in the request's query."""
    if not query:
        return href
    address, mark, fragment = href.partition("#")
    return address + ("&" if "?" in address else "?") + query + mark + fragment
