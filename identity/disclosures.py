# SPDX-License-Identifier: Apache-2.0
"""Disclosures: claims taken out of a token, replaced by salted digests, and put back by who was shown them.

`pack` is the issuer's side, `unpack` everybody else's. Names of claims in paths are strings, places in arrays integers
as the issuer had them. `unpack` refuses whatever the RFC tells to reject, digests in claims that are never disclosable
included; a digest without its disclosure, decoy or not, is passed over.

Source: RFC 9901, 4.2 (disclosures), 7.1 (processing); SD-JWT VC draft-24, 2.2.2.2 (never selectively disclosable).
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from chain.strict_json import Json
from chain.types import sha256
from identity.jose import (
    DEPTH_MAX,
    InvalidToken,
    JsonObject,
    decode_base64url,
    dump_json,
    encode_base64url,
    load_json,
)

Path: TypeAlias = tuple[str | int, ...]

NEVER_DISCLOSABLE: Final = frozenset({"iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status"})
"""With all that is in them: a verifier needs these of every presentation."""
DISCLOSURES_MAX: Final = 256
"""Of one token; a credential here has about twenty."""
SALT_BYTES: Final = 16
HASH_NAME: Final = "sha-256"

_SD, _ELEMENT, _ALGORITHM = "_sd", "...", "_sd_alg"
_RESERVED = frozenset({_SD, _ELEMENT, _ALGORITHM})
_DIGEST_CHARACTERS = 43


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One claim or array element that was taken out.

    Attributes:
        text: As it travels, base64url.
        name: The claim's name; None for an array element.
        value: What it says; may hold digests in turn.
    """

    text: str
    name: str | None
    value: Json

    @property
    def digest(self) -> str:
        """What stands in its place; base64url of SHA-256 over the text."""
        return _digest(self.text)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Claims with every disclosure put back.

    Attributes:
        claims: Without digests.
        places: Where each disclosure went, as the issuer had it.
    """

    claims: JsonObject
    places: dict[Path, Disclosure]


def pack(
    claims: JsonObject, disclosable: Collection[Path], decoys: int, random_bytes: Callable[[int], bytes]
) -> tuple[JsonObject, list[str]]:
    """Take claims out of a payload.

    Args:
        claims: What the token is to say; not changed.
        disclosable: Where the claims and elements stand that are taken out; inner ones may be named, too, and are then
            disclosable by themselves within the outer one.
        decoys: How many digests of nothing are added at the top, so that their number tells less.
        random_bytes: Makes salts.

    Returns:
        The payload and the disclosures as text.
    """
    for path in disclosable:
        assert path, "a path names a claim"
        assert path[0] not in NEVER_DISCLOSABLE, f"{path} is never disclosable"
    wanted = set(disclosable)
    texts: list[str] = []

    def take_out(parts: list[Json]) -> str:
        text = encode_base64url(dump_json([encode_base64url(random_bytes(SALT_BYTES)), *parts]))
        texts.append(text)
        return _digest(text)

    def packed(value: Json, path: Path) -> Json:
        if isinstance(value, dict):
            digests: list[Json] = []
            kept: JsonObject = {}
            for name, inner in value.items():
                assert name not in _RESERVED, f"a claim cannot be named {name}"
                place = (*path, name)
                if place in wanted:
                    wanted.discard(place)
                    digests.append(take_out([name, packed(inner, place)]))
                else:
                    kept[name] = packed(inner, place)
            if not path:
                digests += [encode_base64url(sha256(random_bytes(32))) for _ in range(decoys)]
            if digests:
                kept[_SD] = sorted(digests, key=str)  # in no order that would tell which is which
            return kept
        if isinstance(value, list):
            elements: list[Json] = []
            for i, element in enumerate(value):
                place = (*path, i)
                inner_value = packed(element, place)
                if place in wanted:
                    wanted.discard(place)
                    inner_value = {_ELEMENT: take_out([inner_value])}
                elements.append(inner_value)
            return elements
        return value

    payload = packed(claims, ())
    assert isinstance(payload, dict), "an object stays one"
    assert not wanted, f"there is nothing at {sorted(wanted, key=str)}"
    assert len(texts) <= DISCLOSURES_MAX, "more disclosures than verifiers take"
    return ({**payload, _ALGORITHM: HASH_NAME} if _SD in payload or texts else payload), texts


def unpack(payload: JsonObject, texts: Sequence[str]) -> Unpacked:
    """Put disclosures back where their digests stand.

    Args:
        payload: The signed one; not changed.
        texts: Disclosures as they came.

    Raises:
        InvalidToken: Anything that RFC 9901, 7.1 or the SD-JWT VC draft tells to reject.
    """
    if len(texts) > DISCLOSURES_MAX:
        raise InvalidToken(f"more than {DISCLOSURES_MAX} disclosures", "identity.token-too-large")
    if payload.get(_ALGORITHM, HASH_NAME) != HASH_NAME:
        raise InvalidToken(f"_sd_alg is not {HASH_NAME}", "identity.disclosure-hash")
    return _Unpacker(_decode_all(texts)).run(payload)


def decode_disclosure(text: str) -> Disclosure:
    """Decode one disclosure.

    Raises:
        InvalidToken: No base64url, no JSON, no array of salt, name and value or salt and value; a reserved name.
    """
    array = load_json(decode_base64url(text, "a disclosure"), "a disclosure")
    if not isinstance(array, list) or len(array) not in {2, 3} or not isinstance(array[0], str):
        raise InvalidToken("a disclosure is no array of salt, name and value", "identity.disclosure-malformed")
    if len(array) == 2:
        return Disclosure(text, None, array[1])
    name = array[1]
    if not isinstance(name, str):
        raise InvalidToken("a disclosure's claim name is no text", "identity.disclosure-malformed")
    if name in _RESERVED:
        raise InvalidToken(f"a disclosure names its claim {name}", "identity.disclosure-reserved")
    return Disclosure(text, name, array[2])


def _decode_all(texts: Iterable[str]) -> dict[str, Disclosure]:
    found: dict[str, Disclosure] = {}
    for text in texts:
        disclosure = decode_disclosure(text)
        if disclosure.digest in found:
            raise InvalidToken("a disclosure is there twice", "identity.digest-twice")
        found[disclosure.digest] = disclosure
    return found


class _Unpacker:
    """One walk through a payload; remembers which digests it met."""

    def __init__(self, disclosures: dict[str, Disclosure]) -> None:
        self._disclosures = disclosures
        self._met: set[str] = set()
        self._places: dict[Path, Disclosure] = {}

    def run(self, payload: JsonObject) -> Unpacked:
        top = {name: value for name, value in payload.items() if name != _ALGORITHM}
        claims = self._object(top, ())
        if len(self._places) != len(self._disclosures):
            raise InvalidToken("a disclosure belongs to no digest of the token", "identity.disclosure-unreferenced")
        return Unpacked(claims, self._places)

    def _value(self, value: Json, path: Path) -> Json:
        if len(path) > DEPTH_MAX:
            raise InvalidToken(f"claims nest deeper than {DEPTH_MAX}")
        if isinstance(value, dict):
            return self._object(value, path)
        if isinstance(value, list):
            return self._array(value, path)
        return value

    def _object(self, value: JsonObject, path: Path) -> JsonObject:
        if _ELEMENT in value:
            raise InvalidToken("... is the name of a claim", "identity.disclosure-reserved")
        kept = {name: self._value(inner, (*path, name)) for name, inner in value.items() if name != _SD}
        if _SD not in value:
            return kept
        digests = value[_SD]
        if not isinstance(digests, list):
            raise InvalidToken("_sd is no array of digests", "identity.disclosure-reserved")
        for digest in digests:
            disclosure = self._meet(digest, path)
            if disclosure is None:
                continue
            name = disclosure.name
            if name is None:
                raise InvalidToken("an array element is disclosed as a claim", "identity.disclosure-malformed")
            if name in value or name in kept:
                raise InvalidToken("a disclosed claim is there already", "identity.claim-twice")
            place = (*path, name)
            if not path and name in NEVER_DISCLOSABLE:
                raise InvalidToken(f"{name} is disclosed selectively", "identity.never-disclosable")
            self._places[place] = disclosure
            kept[name] = self._value(disclosure.value, place)
        return kept

    def _array(self, value: list[Json], path: Path) -> list[Json]:
        elements: list[Json] = []
        for i, element in enumerate(value):
            place = (*path, i)
            if not isinstance(element, dict) or _ELEMENT not in element:
                elements.append(self._value(element, place))
                continue
            if len(element) != 1:
                raise InvalidToken("... has members beside it", "identity.disclosure-reserved")
            disclosure = self._meet(element[_ELEMENT], path)
            if disclosure is None:
                continue
            if disclosure.name is not None:
                raise InvalidToken("a claim is disclosed as an array element", "identity.disclosure-malformed")
            self._places[place] = disclosure
            elements.append(self._value(disclosure.value, place))
        return elements

    def _meet(self, digest: Json, path: Path) -> Disclosure | None:
        """The disclosure of a digest, which nothing has met before."""
        if not isinstance(digest, str):
            raise InvalidToken("a digest is no text", "identity.disclosure-reserved")
        if path and path[0] in NEVER_DISCLOSABLE:
            raise InvalidToken(f"{path[0]} holds digests", "identity.never-disclosable")
        if digest in self._met:
            raise InvalidToken("a digest is there twice", "identity.digest-twice")
        self._met.add(digest)
        return self._disclosures.get(digest)


def _digest(text: str) -> str:
    return encode_base64url(sha256(text.encode("ascii")))
