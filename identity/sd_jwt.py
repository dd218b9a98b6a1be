# SPDX-License-Identifier: Apache-2.0
"""Credentials whose holder shows some claims and keeps the others: SD-JWT, and SD-JWT with key binding.

Pure functions: time, keys and what the verifier's policy asks for are arguments. Whether a presentation must be bound
to a key is decided by the verifier's `Binding`, never by what the token brings. Status is checked apart
(`identity.status_list`), after the token's own checks.

Source: RFC 9901; SD-JWT VC draft-24 (`dc+sd-jwt`). The draft's rules stand here and in `identity.disclosures` alone.
"""

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from chain.strict_json import Json
from chain.types import sha256
from identity.disclosures import Path, Unpacked, pack, unpack
from identity.jose import (
    InvalidToken,
    JsonObject,
    Jws,
    KeySigner,
    decode_jws,
    encode_base64url,
    jwk_of,
    key_of_jwk,
    load_object,
    sign_jws,
    verify_jws,
)

VC_TYPE: Final = "dc+sd-jwt"
BINDING_TYPE: Final = "kb+jwt"
TOKEN_CHARACTERS_MAX: Final = 64 * 1024
"""A presentation with all its disclosures; ours take 2 to 4 KB."""
SKEW_S: Final = 60
"""By how much a holder's or an issuer's clock may be ahead of the verifier's."""
BINDING_AGE_S_MAX: Final = 300
"""A key binding is made while the verifier waits; five minutes cover a slow reader and a slow hand."""

KeyOf: TypeAlias = Callable[[JsonObject], bytes]
"""Finds the issuer's key by the token's header; raises InvalidToken if nobody trusted issued it."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a verifier that wants proof of the holder's key asked for.

    Attributes:
        audience: Itself.
        nonce: Fresh, of this request.
        age_s_max: How old the proof may be.
    """

    audience: str
    nonce: str
    age_s_max: int = BINDING_AGE_S_MAX


@dataclass(frozen=True, slots=True)
class StatusReference:
    """Where a credential's status stands: position `index` of the list at `uri`."""

    uri: str
    index: int


@dataclass(frozen=True, slots=True)
class Verified:
    """A credential that may be believed, but for its status.

    Attributes:
        header: Of the issuer's token.
        claims: What it says, as far as it was disclosed.
        disclosed: Where disclosed claims stand, as the issuer had them.
        holder_key: 33 bytes; None if the credential is bound to no key.
        binding: The claims of the key binding, checked; None if the policy asked for none.
        status: Where its status stands; None if it has none.
    """

    header: JsonObject
    claims: JsonObject
    disclosed: tuple[Path, ...]
    holder_key: bytes | None
    binding: JsonObject | None
    status: StatusReference | None


@dataclass(frozen=True, slots=True)
class _Parts:
    issued: str
    disclosures: tuple[str, ...]
    binding: str

    @property
    def bound(self) -> str:
        """What a key binding covers."""
        return "~".join([self.issued, *self.disclosures, ""])


def issue(
    claims: JsonObject,
    disclosable: Collection[Path],
    issuer_key: KeySigner,
    *,
    holder_key: bytes | None = None,
    header: Mapping[str, Json] | None = None,
    typ: str = VC_TYPE,
    decoys: int = 0,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> str:
    """Issue a credential.

    Args:
        claims: All of them, `vct`, `exp` and `status` included; not changed.
        disclosable: Where the claims stand that the holder may keep back: ("address", "locality"), ("powers", 0).
        issuer_key: Signs.
        holder_key: 33 bytes of the key to which the credential is bound (`cnf`); None: to none.
        header: Beside `alg` and `typ`: `kid` or `x5c`.
        typ: The token's type.
        decoys: How many digests of nothing are added.
        random_bytes: Makes salts; given in tests and vectors alone.

    Returns:
        The token with each disclosure, and a tilde at its end.
    """
    whole: JsonObject = dict(claims)
    if holder_key is not None:
        whole["cnf"] = {"jwk": jwk_of(holder_key)}
    payload, texts = pack(whole, disclosable, decoys, random_bytes)
    token = sign_jws({"typ": typ, **(header or {})}, payload, issuer_key)
    return "~".join([token, *texts, ""])


def present(
    token: str,
    shown: Collection[Path] | None = None,
    *,
    key: KeySigner | None = None,
    binding: Binding | None = None,
    now_s: int = 0,
    extra: Mapping[str, Json] | None = None,
) -> str:
    """Show a credential, or a part of it.

    Args:
        token: As issued.
        shown: Which disclosable claims are shown; an inner one brings what it stands in. None: all.
        key: The holder's, which signs the key binding; None: no key binding.
        binding: What the verifier asked for; goes with `key`.
        now_s: Unix time in s.
        extra: Further claims of the key binding, such as `transaction_data_hashes`.

    Raises:
        InvalidToken: The token was presented already, is malformed, or has no disclosable claim in a place named.
    """
    parts = _split(token)
    if parts.binding:
        raise InvalidToken("a holder gets a credential without key binding", "identity.binding-unexpected")
    payload = load_object(decode_jws(parts.issued, None, "the credential").payload, "the credential's payload")
    places = unpack(payload, parts.disclosures).places
    if shown is not None:
        missing = [path for path in shown if path not in places]
        if missing:
            raise InvalidToken(f"the credential can disclose nothing at {missing[0]}", "identity.claim-missing")
        kept = {
            places[path[:length]].text
            for path in shown
            for length in range(1, len(path) + 1)
            if path[:length] in places
        }
        parts = _Parts(parts.issued, tuple(text for text in parts.disclosures if text in kept), "")
    if key is None:
        return parts.bound
    assert binding is not None, "a key binding answers a verifier"
    claims: JsonObject = {
        "iat": now_s,
        "aud": binding.audience,
        "nonce": binding.nonce,
        "sd_hash": _hash(parts.bound),
        **(extra or {}),
    }
    return parts.bound + sign_jws({"typ": BINDING_TYPE}, claims, key)


def verify(
    token: str,
    key: bytes | KeyOf,
    now_s: int,
    *,
    binding: Binding | None = None,
    vct: str | None = None,
    typ: str = VC_TYPE,
    required: Collection[str] = ("vct", "exp"),
) -> Verified:
    """Check a credential, and its key binding if the verifier asked for one.

    Args:
        token: As issued or as presented.
        key: The issuer's, 33 bytes, or how it is found by the header.
        now_s: Unix time in s.
        binding: What the verifier asked for; None: its policy wants no proof of the holder's key, and one that is
            there is not looked at.
        vct: The type of credential that the verifier asked for; None: the caller looks at it.
        typ: The type of token that is accepted; no other is.
        required: Claims that must be there.

    Raises:
        InvalidToken: Malformed, forged, expired, not valid yet, not bound as asked; the code says which. Whatever
            RFC 9901, 7 tells to reject.
    """
    parts = _split(token)
    jws = decode_jws(parts.issued, typ, "the credential")
    verify_jws(jws, key if isinstance(key, bytes) else key(jws.header), "the credential")
    unpacked = unpack(load_object(jws.payload, "the credential's payload"), parts.disclosures)
    claims = unpacked.claims
    for name in required:
        if name not in claims:
            raise InvalidToken(f"the credential lacks {name}", "identity.claim-missing")
    if "vct" in claims and (not isinstance(claims["vct"], str) or not claims["vct"]):
        raise InvalidToken("vct is no text")
    if vct is not None and claims.get("vct") != vct:
        raise InvalidToken("this is another credential than the one asked for", "identity.credential-type")
    check_times(claims, now_s, "the credential")
    holder_key = _holder_key(claims)
    bound = None if binding is None else _verify_binding(parts, holder_key, binding, now_s)
    return _verified(jws, unpacked, holder_key, bound)


def verify_binding(token: str, verified: Verified, binding: Binding, now_s: int) -> JsonObject:
    """Check the key binding of a credential that `verify` took, where the two are told apart.

    Args:
        token: As presented; the very one.
        verified: What `verify` said of it.
        binding: What the verifier asked for.
        now_s: Unix time in s.

    Returns:
        The claims of the key binding.

    Raises:
        InvalidToken: It is not bound as asked; the code says how.
    """
    return _verify_binding(_split(token), verified.holder_key, binding, now_s)


def check_times(claims: JsonObject, now_s: int, what: str) -> None:
    """Check `exp`, `nbf` and `iat` as far as they are there.

    Raises:
        InvalidToken: Over, not begun, made in the future, or no whole numbers.
    """
    times: dict[str, int] = {}
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidToken(f"{what}: {name} is no whole number of seconds")
        if name in claims:
            times[name] = value
    if "exp" in times and now_s >= times["exp"]:
        raise InvalidToken(f"{what} is valid no longer", "identity.token-expired")
    if now_s + SKEW_S < max(times.get("nbf", 0), times.get("iat", 0)):
        raise InvalidToken(f"{what} is not valid yet", "identity.token-early")


def status_reference(claims: JsonObject) -> StatusReference | None:
    """Where a credential's status stands; None if it says nothing of status.

    Raises:
        InvalidToken: It says something that is no reference to a status list.
    """
    if "status" not in claims:
        return None
    status = claims["status"]
    reference = status.get("status_list") if isinstance(status, dict) else None
    if not isinstance(reference, dict):
        raise InvalidToken("status names no status list", "identity.status-malformed")
    uri, index = reference.get("uri"), reference.get("idx")
    if not isinstance(uri, str) or not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise InvalidToken("status names no place in a status list", "identity.status-malformed")
    return StatusReference(uri, index)


def _verified(jws: Jws, unpacked: Unpacked, holder_key: bytes | None, binding: JsonObject | None) -> Verified:
    status = status_reference(unpacked.claims)
    return Verified(jws.header, unpacked.claims, tuple(unpacked.places), holder_key, binding, status)


def _split(token: str) -> _Parts:
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise InvalidToken(f"longer than {TOKEN_CHARACTERS_MAX} characters", "identity.token-too-large")
    issued, *rest = token.split("~")
    if not rest:
        raise InvalidToken("no SD-JWT: there is no tilde in it")
    return _Parts(issued, tuple(rest[:-1]), rest[-1])


def _holder_key(claims: JsonObject) -> bytes | None:
    if "cnf" not in claims:
        return None
    confirmation = claims["cnf"]
    if not isinstance(confirmation, dict) or "jwk" not in confirmation:
        raise InvalidToken("cnf names no key by jwk", "identity.token-key")
    return key_of_jwk(confirmation["jwk"], "cnf")


def _verify_binding(parts: _Parts, holder_key: bytes | None, asked: Binding, now_s: int) -> JsonObject:
    if not parts.binding:
        raise InvalidToken("the presentation is bound to no key", "identity.binding-missing")
    if holder_key is None:
        raise InvalidToken("the credential names no key of its holder", "identity.binding-missing")
    jws = decode_jws(parts.binding, BINDING_TYPE, "the key binding")
    verify_jws(jws, holder_key, "the key binding")
    claims = load_object(jws.payload, "the key binding's payload")
    if claims.get("aud") != asked.audience:
        raise InvalidToken("the key binding was made for somebody else", "identity.binding-audience")
    if claims.get("nonce") != asked.nonce:
        raise InvalidToken("the key binding answers another request", "identity.binding-nonce")
    if claims.get("sd_hash") != _hash(parts.bound):
        raise InvalidToken("the key binding covers other disclosures", "identity.binding-hash")
    made_s = claims.get("iat")
    if not isinstance(made_s, int) or isinstance(made_s, bool):
        raise InvalidToken("the key binding does not say when it was made", "identity.binding-time")
    if not now_s - asked.age_s_max <= made_s <= now_s + SKEW_S:
        raise InvalidToken("the key binding was not made just now", "identity.binding-time")
    check_times(claims, now_s, "the key binding")
    return claims


def _hash(bound: str) -> str:
    return encode_base64url(sha256(bound.encode("ascii")))
