# SPDX-License-Identifier: Apache-2.0
"""Status lists: one small file that says of a million credentials which are revoked or suspended.

A credential names a list and its place in it. The list is an array of 1, 2, 4 or 8 bits each, the lowest bits of a byte
first, deflated, and signed as a token for some minutes or hours. Whoever fetches it does not say which place it is for.

Source: Token Status List (draft-ietf-oauth-status-list-21), 4 (list), 5.1 (token), 7 (types), 8.3 (validation).
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from chain.strict_json import Json
from chain.types import sha256
from identity.jose import (
    InvalidToken,
    JsonObject,
    KeySigner,
    decode_base64url,
    decode_jws,
    encode_base64url,
    load_object,
    sign_jws,
    verify_jws,
)
from identity.sd_jwt import KeyOf, StatusReference, check_times

TOKEN_TYPE: Final = "statuslist+jwt"  # noqa: S105 - a media type, no secret
MEDIA_TYPE: Final = "application/statuslist+jwt"
LIST_BYTES_MAX: Final = 4 * 1024 * 1024
"""Inflated: 16 million credentials of 2 bits. A few hundred bytes may not become more than this."""
TOKEN_CHARACTERS_MAX: Final = 8 * 1024 * 1024
"""A list of that size that does not deflate at all."""

_BITS = (1, 2, 4, 8)
_LEVEL = 9


class Status(IntEnum):
    """What a list says of a credential; other numbers belong to those who define them."""

    VALID = 0
    INVALID = 1
    SUSPENDED = 2


class StatusList:
    """Statuses by place, in memory."""

    __slots__ = ("_array", "_mask", "_per_byte", "bits", "size")

    def __init__(self, size: int, bits: int = 2) -> None:
        """Make a list that says VALID everywhere.

        Args:
            size: How many places; at least 1.
            bits: Of each: 1, 2, 4 or 8.
        """
        assert bits in _BITS, "1, 2, 4 or 8 bits"
        assert 0 < size <= LIST_BYTES_MAX * 8 // bits, "at least one place, and no more than verifiers take"
        self.bits = bits
        self.size = size
        self._per_byte = 8 // bits
        self._mask = (1 << bits) - 1
        self._array = bytearray(-(-size // self._per_byte))

    @classmethod
    def of_bytes(cls, array: bytes, bits: int) -> "StatusList":
        """The list that an array holds; its size is a multiple of the places of a byte."""
        made = cls(len(array) * 8 // bits, bits)
        made._array = bytearray(array)
        return made

    def set(self, index: int, status: int) -> None:
        """Write one place.

        Args:
            index: 0-based, below `size`.
            status: Fits into `bits`.
        """
        assert 0 <= index < self.size, "a place of the list"
        assert 0 <= status <= self._mask, "a status that fits"
        byte, place = divmod(index, self._per_byte)
        shift = place * self.bits
        self._array[byte] = self._array[byte] & ~(self._mask << shift) & 0xFF | status << shift

    def get(self, index: int) -> int:
        """Read one place.

        Raises:
            InvalidToken: The list has no such place.
        """
        if not 0 <= index < self.size:
            raise InvalidToken(f"the status list has no place {index}", "identity.status-out-of-range")
        byte, place = divmod(index, self._per_byte)
        return self._array[byte] >> place * self.bits & self._mask

    def to_bytes(self) -> bytes:
        """The array, not deflated."""
        return bytes(self._array)

    def encode(self) -> JsonObject:
        """The `status_list` claim: `bits` and `lst`."""
        return {"bits": self.bits, "lst": encode_base64url(zlib.compress(bytes(self._array), _LEVEL))}


@dataclass(frozen=True, slots=True)
class StatusToken:
    """A signed list that may be believed.

    Attributes:
        statuses: The list.
        uri: Which list it is.
        issued_s: Unix time in s at which it was true.
        expires_s: When it counts no longer; None if it does not say.
        ttl_s: After how many seconds a new one should be fetched; None if it does not say.
        header: Of the token.
    """

    statuses: StatusList
    uri: str
    issued_s: int
    expires_s: int | None
    ttl_s: int | None
    header: JsonObject


def decode(token_or_list: str | Mapping[str, Json]) -> StatusList:
    """The list in a token, or in its `status_list` claim. Nothing is verified here: `verify` does that.

    Args:
        token_or_list: A compact token, or {"bits": …, "lst": …}.

    Raises:
        InvalidToken: Malformed, of other bits, or inflating beyond 4 MiB.
    """
    if isinstance(token_or_list, str):
        jws = decode_jws(token_or_list, TOKEN_TYPE, "the status list", characters_max=TOKEN_CHARACTERS_MAX)
        return _list_of(_payload(jws.payload))
    bits, text = token_or_list.get("bits"), token_or_list.get("lst")
    if not isinstance(bits, int) or isinstance(bits, bool) or bits not in _BITS or not isinstance(text, str):
        raise InvalidToken("a status list has bits, 1, 2, 4 or 8, and lst", "identity.status-malformed")
    array = _inflate(decode_base64url(text, "the status list's lst"))
    if not array:
        raise InvalidToken("the status list is empty", "identity.status-malformed")
    return StatusList.of_bytes(array, bits)


def sign(
    statuses: StatusList,
    uri: str,
    key: KeySigner,
    *,
    issued_s: int,
    expires_s: int,
    ttl_s: int,
    header: Mapping[str, Json] | None = None,
) -> str:
    """Make the token under which a list is published.

    Args:
        statuses: The list.
        uri: Which it is, as credentials name it.
        key: The registrar's issuing key.
        issued_s: Unix time in s.
        expires_s: From when nobody may rely on it.
        ttl_s: When to fetch the next one, from now.
        header: Beside `alg` and `typ`: `kid` or `x5c`.
    """
    claims: JsonObject = {
        "sub": uri,
        "iat": issued_s,
        "exp": expires_s,
        "ttl": ttl_s,
        "status_list": statuses.encode(),
    }
    return sign_jws({"typ": TOKEN_TYPE, **(header or {})}, claims, key)


def verify(token: str, key: bytes | KeyOf, now_s: int, uri: str) -> StatusToken:
    """Check a published list.

    Args:
        token: As fetched.
        key: The issuer's, 33 bytes, or how it is found by the header.
        now_s: Unix time in s.
        uri: The list that the credential names.

    Raises:
        InvalidToken: Malformed, forged, of another list, expired, or from the future.
    """
    jws = decode_jws(token, TOKEN_TYPE, "the status list", characters_max=TOKEN_CHARACTERS_MAX)
    verify_jws(jws, key if isinstance(key, bytes) else key(jws.header), "the status list")
    claims = _payload(jws.payload)
    if claims.get("sub") != uri:
        raise InvalidToken("this is another list than the credential names", "identity.status-other-list")
    check_times(claims, now_s, "the status list")
    issued_s, expires_s, ttl_s = (_seconds(claims, name) for name in ("iat", "exp", "ttl"))
    if issued_s is None:
        raise InvalidToken("the status list does not say when it was made", "identity.status-malformed")
    if ttl_s == 0:
        raise InvalidToken("the status list's ttl is 0", "identity.status-malformed")
    return StatusToken(_list_of(claims), uri, issued_s, expires_s, ttl_s, jws.header)


def anchor_stream(uri: str) -> bytes:
    """Under which stream the digests of a list's tokens are anchored on the ledger (`membership.Anchor`); 16 bytes.

    Whoever doubts a list compares SHA-256 of the token with the newest anchor of the stream.

    Args:
        uri: Where the list is served, as credentials name it.
    """
    return sha256(uri.encode())[:16]


def check(token: StatusToken, reference: StatusReference) -> int:
    """What a verified list says of a credential.

    Returns:
        0: it counts. Callers that know no other number take any other for revoked.

    Raises:
        InvalidToken: The list is another one, or has no such place.
    """
    if token.uri != reference.uri:
        raise InvalidToken("this is another list than the credential names", "identity.status-other-list")
    return token.statuses.get(reference.index)


def _payload(payload: bytes) -> JsonObject:
    return load_object(payload, "the status list's payload", size_max=TOKEN_CHARACTERS_MAX)


def _list_of(claims: JsonObject) -> StatusList:
    inner = claims.get("status_list")
    if not isinstance(inner, dict):
        raise InvalidToken("the token holds no status list", "identity.status-malformed")
    return decode(inner)


def _seconds(claims: JsonObject, name: str) -> int | None:
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidToken(f"the status list's {name} is no number of seconds", "identity.status-malformed")
    return value


def _inflate(data: bytes) -> bytes:
    """Undo zlib, to a bounded size and to its very end."""
    inflater = zlib.decompressobj()
    try:
        array = inflater.decompress(data, LIST_BYTES_MAX + 1)
    except zlib.error:
        raise InvalidToken("the status list does not inflate", "identity.status-malformed") from None
    if len(array) > LIST_BYTES_MAX:
        raise InvalidToken(f"the status list inflates beyond {LIST_BYTES_MAX} bytes", "identity.token-too-large")
    if not inflater.eof or inflater.unused_data:
        raise InvalidToken("the status list is cut short, or something follows it", "identity.status-malformed")
    return array
