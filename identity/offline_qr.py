# SPDX-License-Identifier: Apache-2.0
"""Codes that prove something where nobody is online: text that begins with `IMI1:` and fits into a small QR code.

Two signatures, one in the other. The registrar signs a one-time token for some days: a few short claims, the holder's
key, a place in a status list. The holder's device signs that token again when it is shown, for some minutes; a
photograph of the code is worth nothing after that. Both are COSE_Sign1 with ES256 over CBOR Web Tokens, deflated, then
Base45.

A verifier needs the registrar's key and, if its policy asks for it, a status list fetched before. It remembers the ids
of tokens that it has seen until they end: each is shown once. Whoever shows the same code to two verifiers within its
minutes is not noticed by either: that needs a connection.

Source: RFC 9052, 4.2 and 4.4 (COSE_Sign1); RFC 9053, 2.1; RFC 8392 (CWT); RFC 8747 (cnf); RFC 9596 (typ); RFC 9285.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import cbor2

from chain import base45, p256
from chain.errors import InvalidMessage, InvalidSignature
from chain.types import sha256
from identity.jose import InvalidToken, KeySigner, compressed, decompress
from identity.sd_jwt import SKEW_S, StatusReference

PREFIX: Final = "IMI1:"
TEXT_CHARACTERS_MAX: Final = 2_000
"""More than a code of version 29 at the medium level holds; ours take version 16."""
TOKEN_BYTES_MAX: Final = 2_048
"""Inflated; ours have some 400."""
DEPTH_MAX: Final = 6
"""Ours nest 4 deep."""
ISSUED_S_MAX: Final = 7 * 86_400
"""For how long a registrar's token may count: a lost phone's tokens end soon by themselves."""
SHOWN_S_MAX: Final = 300
"""For how long a code may count once the holder's device made it."""
ID_BYTES: Final = 16
SEEN_MAX: Final = 10_000
"""At one verifier within a token's week: some 1,500 people a day."""

ISSUED_TYPE: Final = "application/imi-token+cwt"
SHOWN_TYPE: Final = "application/imi-shown+cwt"

_ALG, _KID, _TYP = 1, 4, 16
_ES256 = -7
_EXP, _IAT, _CTI, _CNF, _STATUS = 4, 6, 7, 8, 65535
_CLAIMS, _INNER = -65_537, -65_538
"""Private claims: what the token says, and the token that was shown."""
_COSE_KEY, _KTY, _CRV, _X, _Y = 1, 1, -1, -2, -3
_EC2, _P256 = 2, 1
_SIGN1_TAG = b"\xd2"

Cbor: TypeAlias = "int | str | bytes | bool | list[Cbor] | dict[int | str, Cbor] | None"
Claim: TypeAlias = int | str | bool
KeyOfId: TypeAlias = Callable[[bytes], bytes]
"""Finds a registrar's key, 33 bytes, by the token's `kid`; raises InvalidToken if it is nobody's who is trusted."""

CLAIMS: Final = {1: "family_name", 2: "given_name", 3: "age_over_18", 4: "assurance_level", 5: "legal_name", 6: "uscc"}
"""What a code can say, and under which number."""
_NUMBERS = {name: number for number, name in CLAIMS.items()}


@dataclass(frozen=True, slots=True)
class OfflineToken:
    """What a code says, both of its signatures checked.

    Attributes:
        claims: By name.
        token_id: 16 bytes; a verifier takes each once.
        issued_s: Unix time in s at which the registrar signed.
        expires_s: From when the registrar's token counts no longer; until then a verifier remembers its id.
        shown_s: When the holder's device signed.
        shown_until_s: From when the code counts no longer.
        status: Where its status stands; None if the registrar gave it none.
        holder_key: 33 bytes.
        key_id: The registrar's key, by its name in codes.
    """

    claims: dict[str, Claim]
    token_id: bytes
    issued_s: int
    expires_s: int
    shown_s: int
    shown_until_s: int
    status: StatusReference | None
    holder_key: bytes
    key_id: bytes


class Seen:
    """Ids of tokens that a verifier has taken, each until it ends: a token is shown once.

    When there are too many, the one that ends first is forgotten; to fill the memory takes as many genuine tokens.
    """

    def __init__(self, tokens_max: int = SEEN_MAX) -> None:
        self._tokens_max = tokens_max
        self._ends_s: dict[bytes, int] = {}

    def take(self, token: OfflineToken, now_s: int) -> None:
        """Take a token that was verified.

        Raises:
            InvalidToken: It was taken before.
        """
        self._ends_s = {one: ends_s for one, ends_s in self._ends_s.items() if ends_s > now_s}
        if token.token_id in self._ends_s:
            raise InvalidToken("this code's token was shown here before", "identity.qr-seen")
        if len(self._ends_s) >= self._tokens_max:
            del self._ends_s[min(self._ends_s, key=self._ends_s.__getitem__)]
        self._ends_s[token.token_id] = token.expires_s


def issue(
    claims: dict[str, Claim],
    key: KeySigner,
    key_id: bytes,
    holder_key: bytes,
    *,
    token_id: bytes,
    issued_s: int,
    expires_s: int,
    status: StatusReference | None,
) -> bytes:
    """The registrar's part: a one-time token that the holder's device keeps until it is shown.

    Args:
        claims: By name, of `CLAIMS`.
        key: The registrar's.
        key_id: Under which verifiers find it.
        holder_key: 33 bytes.
        token_id: 16 random bytes.
        issued_s: Unix time in s.
        expires_s: At most 7 days later.
        status: Its own place in a status list.
    """
    assert len(token_id) == ID_BYTES, "an id has 16 bytes"
    assert 0 < expires_s - issued_s <= ISSUED_S_MAX, "a token counts for some days"
    point = decompress(holder_key).public_numbers()
    cose_key: Cbor = {_KTY: _EC2, _CRV: _P256, _X: point.x.to_bytes(32, "big"), _Y: point.y.to_bytes(32, "big")}
    payload: dict[int | str, Cbor] = {
        _EXP: expires_s,
        _IAT: issued_s,
        _CTI: token_id,
        _CNF: {_COSE_KEY: cose_key},
        _CLAIMS: {_NUMBERS[name]: value for name, value in claims.items()},
    }
    if status is not None:
        payload[_STATUS] = {"status_list": {"idx": status.index, "uri": status.uri}}
    return _sign({_ALG: _ES256, _TYP: ISSUED_TYPE, _KID: key_id}, payload, key)


def show(token: bytes, key: KeySigner, *, now_s: int, lifetime_s: int = SHOWN_S_MAX) -> str:
    """The holder's part: the text of the code.

    Args:
        token: What `issue` made.
        key: The holder's.
        now_s: Unix time in s.
        lifetime_s: For how long it counts, at most 5 minutes.
    """
    assert 0 < lifetime_s <= SHOWN_S_MAX, "a code counts for some minutes"
    payload: dict[int | str, Cbor] = {_EXP: now_s + lifetime_s, _IAT: now_s, _INNER: token}
    shown = _sign({_ALG: _ES256, _TYP: SHOWN_TYPE}, payload, key)
    return PREFIX + base45.encode(zlib.compress(shown, 9))


def verify(text: str, key_of: KeyOfId, now_s: int) -> OfflineToken:
    """Check a code; its status, and whether it was seen before, are the caller's to check.

    Args:
        text: As it was read.
        key_of: The registrars that are trusted.
        now_s: Unix time in s.

    Raises:
        InvalidToken: Malformed, too large, forged, or out of either of its times.
    """
    outer_header, outer, outer_parts = _decode(_inflate(text), SHOWN_TYPE)
    inner_bytes = outer.get(_INNER)
    if not isinstance(inner_bytes, bytes) or outer_header.keys() != {_ALG, _TYP}:
        raise InvalidToken("the code holds no registrar's token", "identity.qr-malformed")
    header, inner, inner_parts = _decode(inner_bytes, ISSUED_TYPE)
    key_id = header.get(_KID)
    if not isinstance(key_id, bytes):
        raise InvalidToken("the registrar's token does not name its key", "identity.qr-malformed")
    _verify(inner_parts, key_of(key_id), "the registrar's token")
    holder_key = _holder_key(inner)
    _verify(outer_parts, holder_key, "the code")
    issued_s, expires_s = _times(inner, now_s, ISSUED_S_MAX, "the registrar's token")
    shown_s, shown_until_s = _times(outer, now_s, SHOWN_S_MAX, "the code")
    token_id = inner.get(_CTI)
    if not isinstance(token_id, bytes) or len(token_id) != ID_BYTES:
        raise InvalidToken("the registrar's token has no id of 16 bytes", "identity.qr-malformed")
    if shown_s + SKEW_S < issued_s:
        raise InvalidToken("the code was made before the token in it", "identity.token-early")
    return OfflineToken(
        _claims(inner), token_id, issued_s, expires_s, shown_s, shown_until_s, _status(inner), holder_key, key_id
    )


_Header = dict[int | str, Cbor]
_Parts = tuple[bytes, bytes, bytes]
"""Protected header, payload, signature."""


def _sign(header: _Header, payload: dict[int | str, Cbor], key: KeySigner) -> bytes:
    protected, body = _dump(header), _dump(payload)
    signature = key.sign(sha256(_signed(protected, body)))
    return _SIGN1_TAG + _dump([protected, {}, body, signature])


def _signed(protected: bytes, body: bytes) -> bytes:
    """What a COSE_Sign1 signature covers."""
    return _dump(["Signature1", protected, b"", body])


def _verify(parts: _Parts, public_key: bytes, what: str) -> None:
    protected, body, signature = parts
    try:
        p256.verify(public_key, _signed(protected, body), signature)
    except InvalidSignature as error:
        raise InvalidToken(f"{what}: {error.reason}", "identity.token-signature") from None


def _inflate(text: str) -> bytes:
    if not text.startswith(PREFIX):
        raise InvalidToken(f"the code does not begin with {PREFIX}", "identity.qr-malformed")
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidToken(f"the code has more than {TEXT_CHARACTERS_MAX} characters", "identity.token-too-large")
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(base45.decode(text.removeprefix(PREFIX)), TOKEN_BYTES_MAX + 1)
    except (InvalidMessage, zlib.error):
        raise InvalidToken("the code is no Base45 of deflated bytes", "identity.qr-malformed") from None
    if len(data) > TOKEN_BYTES_MAX:
        raise InvalidToken(f"the code inflates beyond {TOKEN_BYTES_MAX} bytes", "identity.token-too-large")
    if not inflater.eof or inflater.unused_data:
        raise InvalidToken("the code is cut short, or something follows it", "identity.qr-malformed")
    return data


def _decode(data: bytes, typ: str) -> tuple[_Header, dict[int | str, Cbor], _Parts]:
    """Take a COSE_Sign1 apart: header, payload and what is needed to check its signature."""
    malformed = InvalidToken("the code is no COSE_Sign1 over a CBOR Web Token", "identity.qr-malformed")
    if data[:1] != _SIGN1_TAG:
        raise malformed
    whole = _load(data[1:])
    if not isinstance(whole, list) or len(whole) != 4 or whole[1] != {}:
        raise malformed
    protected, _, body, signature = whole
    if not isinstance(protected, bytes) or not isinstance(body, bytes) or not isinstance(signature, bytes):
        raise malformed
    header, payload = _load(protected), _load(body)
    if not isinstance(header, dict) or not isinstance(payload, dict):
        raise malformed
    if header.get(_ALG) != _ES256 or not header.keys() <= {_ALG, _KID, _TYP}:
        raise InvalidToken("the code is not signed by ES256", "identity.token-algorithm")
    if header.get(_TYP) != typ:
        raise InvalidToken(f"the code is not of type {typ}", "identity.token-type")
    return header, payload, (protected, body, signature)


def _dump(value: Cbor) -> bytes:
    return cbor2.dumps(value, canonical=True)


def _refuse(*_arguments: object) -> Cbor:
    raise ValueError("tags are not used here")


_TAGS_KNOWN = (*range(6), 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43_000, 55_799)
"""Those that the library would make objects of."""


def _load(data: bytes) -> Cbor:
    """CBOR in its one canonical form, without tags or floats.

    Raises:
        InvalidToken: Anything else.
    """
    try:
        value: Cbor = cbor2.loads(
            data,
            tag_hook=_refuse,
            semantic_decoders=dict.fromkeys(_TAGS_KNOWN, _refuse),
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
        is_canonical = _is_plain(value) and _dump(value) == data
    except (cbor2.CBORError, ValueError, TypeError, RecursionError):
        raise InvalidToken("the code holds no CBOR of this kind", "identity.qr-malformed") from None
    if not is_canonical:
        raise InvalidToken("the code's CBOR is not in its canonical form", "identity.qr-malformed")
    return value


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(name) in {int, str} and _is_plain(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(_is_plain(inner) for inner in value)
    return type(value) in {int, str, bytes, bool}


def _holder_key(payload: dict[int | str, Cbor]) -> bytes:
    confirmation = payload.get(_CNF)
    key = confirmation.get(_COSE_KEY) if isinstance(confirmation, dict) else None
    if not isinstance(key, dict) or key.get(_KTY) != _EC2 or key.get(_CRV) != _P256:
        raise InvalidToken("the registrar's token names no key of P-256", "identity.token-key")
    x, y = key.get(_X), key.get(_Y)
    if not isinstance(x, bytes) or not isinstance(y, bytes) or len(x) != 32 or len(y) != 32:
        raise InvalidToken("the registrar's token names no key of P-256", "identity.token-key")
    try:
        return compressed(b"\x04" + x + y)
    except ValueError:
        raise InvalidToken("the holder's key is no point of P-256", "identity.token-key") from None


def _times(payload: dict[int | str, Cbor], now_s: int, lifetime_s_max: int, what: str) -> tuple[int, int]:
    begins, ends = payload.get(_IAT), payload.get(_EXP)
    if type(begins) is not int or type(ends) is not int:
        raise InvalidToken(f"{what} does not say from when and until when it counts", "identity.qr-malformed")
    if not 0 < ends - begins <= lifetime_s_max:
        raise InvalidToken(f"{what} counts for longer than {lifetime_s_max} s", "identity.qr-lifetime")
    if now_s >= ends:
        raise InvalidToken(f"{what} is valid no longer", "identity.token-expired")
    if now_s + SKEW_S < begins:
        raise InvalidToken(f"{what} is not valid yet", "identity.token-early")
    return begins, ends


def _claims(payload: dict[int | str, Cbor]) -> dict[str, Claim]:
    said = payload.get(_CLAIMS)
    if not isinstance(said, dict):
        raise InvalidToken("the registrar's token says nothing", "identity.qr-malformed")
    found: dict[str, Claim] = {}
    for number, value in said.items():
        if number not in CLAIMS or not isinstance(value, int | str):
            raise InvalidToken("the registrar's token says what nobody here understands", "identity.qr-malformed")
        assert isinstance(number, int), "names are numbers"
        found[CLAIMS[number]] = value
    return found


def _status(payload: dict[int | str, Cbor]) -> StatusReference | None:
    if _STATUS not in payload:
        return None
    status = payload[_STATUS]
    reference = status.get("status_list") if isinstance(status, dict) else None
    if not isinstance(reference, dict):
        raise InvalidToken("status names no status list", "identity.status-malformed")
    uri, index = reference.get("uri"), reference.get("idx")
    if not isinstance(uri, str) or type(index) is not int or index < 0:
        raise InvalidToken("status names no place in a status list", "identity.status-malformed")
    return StatusReference(uri, index)
