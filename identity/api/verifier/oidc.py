# SPDX-License-Identifier: Apache-2.0
"""Log-in for ordinary web frameworks: an OpenID provider whose users are whoever a wallet shows.

Authorization code with PKCE and nothing else. The client is a program of a relying party, its redirect address is
compared byte for byte, its purpose on the ledger bounds what scopes may bring, and `sub` is the pairwise pseudonym. A
code is good once, for a minute, for the browser that began; used a second time it ends what it had brought.

What it can't prevent: whoever shows a victim the QR code of their own log-in is logged in as the victim if the victim
agrees; the wallet says who asks, and a link on the same device does not have this weakness.

Source: OpenID Connect Core 1.0, 2, 3.1, 5.4, 8.1; RFC 7636 (PKCE); RFC 9700 (best practice); RFC 6749, 4.1 and 5.
"""

import hmac
import json
import re
import secrets
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlencode

from sqlalchemy import select, update

from chain.strict_json import Json
from chain.types import sha256
from identity.api.verifier import clients
from identity.api.verifier.api import opened
from identity.api.verifier.clients import Client
from identity.api.verifier.kept import DAY_MS
from identity.api.verifier.tables import VerifierLogin
from identity.api.verifier.verifier import Verifier
from identity.credentials import NATURAL_PERSON
from identity.jose import JsonObject, encode_base64url, sign_jws
from service.problems import Problem
from service.store import new_id

CODE_MS: Final = 60_000
TOKEN_S: Final = 300
"""Of the access token, which brings the claims once more and nothing else."""
LOGIN_S: Final = 300
TEXT_CHARACTERS_MAX: Final = 2_048
SCOPES: Final[Mapping[str, tuple[str, ...]]] = {
    "openid": (),
    "profile": ("family_name", "given_name", "birthdate"),
    "age": ("age_over_18",),
    "address": ("address",),
}
"""What each scope asks a wallet for; `openid` the pseudonym alone."""
ACR: Final = "urn:imi:cn-gd-fs-chancheng:assurance:"
"""With the assurance level behind it."""
LEVELS: Final = ("low", "substantial", "high")

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_GRANT_BYTES_MAX = 16 * 1024


class NotSent(Exception):
    """A browser that came without a client and an address to send it back to: it stays here."""


class Denied(Exception):
    """A request is refused by a code of the protocol.

    Attributes:
        error: The code.
        description: English, ASCII, nothing that was sent.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Grant:
    """What a log-in is for.

    Attributes:
        redirect_uri: Where the browser goes back to.
        state: The client's, repeated.
        nonce: The client's, in the ID token.
        challenge: PKCE, S256.
        scope: As granted.
        token: Of the address that the wallet has.
    """

    redirect_uri: str
    state: str
    nonce: str
    challenge: str
    scope: str
    token: str = ""

    def back(self, **parameters: str) -> str:
        """The address with an answer."""
        said = parameters | ({"state": self.state} if self.state else {})
        return f"{self.redirect_uri}{'&' if '?' in self.redirect_uri else '?'}{urlencode(said)}"

    def to_text(self) -> str:
        """For the store."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class Login:
    """A log-in under way.

    Attributes:
        id: Its own.
        client_id: Whose.
        verification: The question to the wallet.
        grant: What it is for.
    """

    id: str
    client_id: str
    verification: str
    grant: Grant


def parse_request(client: Client, query: Mapping[str, str]) -> Grant:
    """An authorization request.

    Args:
        client: Whom `client_id` names.
        query: Its parameters, each once.

    Raises:
        NotSent: The redirect address is not one of the client's.
        Denied: Something else; the browser is sent back with it.
    """
    redirect_uri = query.get("redirect_uri", "")
    if not client.login_purpose or redirect_uri not in client.redirect_uris:
        raise NotSent
    _check_plain(query)
    scope = [word for word in query.get("scope", "").split(" ") if word in SCOPES]
    if "openid" not in scope:
        raise Denied("invalid_scope", "scope holds openid")
    return Grant(redirect_uri, query.get("state", ""), query.get("nonce", ""), query["code_challenge"], " ".join(scope))


def _check_plain(query: Mapping[str, str]) -> None:
    """Check what is not the redirect address.

    Raises:
        Denied: A parameter is missing, or asks for another flow.
    """
    if any(len(value) > TEXT_CHARACTERS_MAX for value in query.values()):
        raise Denied("invalid_request", "a parameter is too long")
    if query.get("response_type") != "code":
        raise Denied("unsupported_response_type", "response_type is code")
    if query.get("response_mode", "query") != "query" or "request" in query or "request_uri" in query:
        raise Denied("invalid_request", "parameters stand in the address, and the answer does, too")
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(query.get("code_challenge", "")):
        raise Denied("invalid_request", "PKCE with S256 is needed")
    if query.get("prompt") == "none":
        raise Denied("login_required", "each log-in asks the citizen")


def names_of(scope: str) -> list[str]:
    """The claims that scopes bring."""
    return [name for word in scope.split(" ") for name in SCOPES[word]]


def query_of(scope: str) -> JsonObject:
    """What a wallet is asked for."""
    claims: list[Json] = [{"path": [name]} for name in names_of(scope)]
    credential: JsonObject = {"id": "person", "format": "dc+sd-jwt", "meta": {"vct_values": [NATURAL_PERSON]}}
    return {"credentials": [credential | ({"claims": claims} if claims else {})]}


def keep(verifier: Verifier, client: Client, grant: Grant, verification: str) -> tuple[str, str]:
    """Keep a log-in; blocks.

    Returns:
        Its id, and the secret of the browser that began it.
    """
    identifier, browser = new_id(), encode_base64url(secrets.token_bytes(32))
    now_ms = verifier.now_ms()
    row = VerifierLogin(
        id=identifier,
        client_id=client.id,
        verification_id=verification,
        browser_digest=sha256(browser.encode()),
        grant=verifier.kept.sealing.seal(identifier, "grant", grant.to_text()),
        expires_ms=now_ms + LOGIN_S * 1000,
        gone_ms=now_ms + DAY_MS,
    )
    with verifier.store.write() as session:
        session.add(row)
    return identifier, browser


def find(verifier: Verifier, identifier: str, browser: str) -> Login | None:
    """The log-in that this browser began; None: another's, or over. Blocks."""
    with verifier.store.read() as session:
        row = session.get(VerifierLogin, identifier)
        if row is None or verifier.now_ms() >= row.expires_ms:
            return None
        if not hmac.compare_digest(row.browser_digest, sha256(browser.encode())):
            return None
        return _login(verifier, row)


def issue_code(verifier: Verifier, login: Login) -> str:
    """The one code of a log-in; a second one is not made. Blocks.

    Raises:
        Denied: There was one.
    """
    code = encode_base64url(secrets.token_bytes(32))
    with verifier.store.write() as session:
        row = session.get(VerifierLogin, login.id, with_for_update=True)
        if row is None or row.code_digest is not None:
            raise Denied("access_denied", "the log-in is over")
        row.code_digest = sha256(code.encode())
        row.expires_ms = verifier.now_ms() + CODE_MS
    return code


def redeem(verifier: Verifier, client: Client, form: Mapping[str, str]) -> JsonObject:
    """Exchange a code for an ID token; blocks.

    Raises:
        Denied: The code is nobody's, another client's, over, or used; PKCE or the address does not fit.
    """
    if form.get("grant_type") != "authorization_code":
        raise Denied("unsupported_grant_type", "authorization_code is the only grant here")
    code, pkce = form.get("code", ""), form.get("code_verifier", "")
    if not _VERIFIER.fullmatch(pkce) or len(code) > TEXT_CHARACTERS_MAX:
        raise Denied("invalid_grant", "code and code_verifier are needed")
    token = encode_base64url(secrets.token_bytes(32))
    with verifier.store.write() as session:
        found = select(VerifierLogin).where(VerifierLogin.code_digest == sha256(code.encode())).with_for_update()
        row = session.scalar(found)
        is_known = row is not None and row.client_id == client.id
        is_used = is_known and row is not None and row.token_digest is not None
        if is_used and row is not None:  # somebody has a copy of the code: what it had brought ends
            row.expires_ms = 0
        login = None
        if row is not None and is_known and not is_used and verifier.now_ms() < row.expires_ms:
            login = _login(verifier, row)
            row.token_digest = sha256(token.encode())
            row.expires_ms = verifier.now_ms() + TOKEN_S * 1000
    if login is None:
        raise Denied("invalid_grant", "there is no such code, or it is over")
    fits = encode_base64url(sha256(pkce.encode())) == login.grant.challenge
    if not fits or form.get("redirect_uri") != login.grant.redirect_uri:
        _end(verifier, login.id)
        raise Denied("invalid_grant", "the code was made for another request")
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": TOKEN_S,
        "scope": login.grant.scope,
        "id_token": _id_token(verifier, client, login),
    }


def userinfo(verifier: Verifier, token: str) -> JsonObject:
    """The claims once more; blocks.

    Raises:
        Denied: There is no such token, or it is over.
    """
    with verifier.store.read() as session:
        row = session.scalar(select(VerifierLogin).where(VerifierLogin.token_digest == sha256(token.encode())))
        if row is None or len(token) > TEXT_CHARACTERS_MAX or verifier.now_ms() >= row.expires_ms:
            raise Denied("invalid_token", "there is no such access token, or it is over")
        login = _login(verifier, row)
    return _person(verifier, login)


def client_of(verifier: Verifier, authorization: str, form: Mapping[str, str], certificate: bytes | None) -> Client:
    """The client that a token request is from; blocks.

    Args:
        verifier: The service.
        authorization: The header; Basic with client id and key, each form-encoded.
        form: Else holds client_id and client_secret.
        certificate: What the proxy saw.

    Raises:
        Denied: Nobody, or two ways at once.
    """
    identifier, key = form.get("client_id", ""), form.get("client_secret", "")
    if authorization:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "basic" or key:
            raise Denied("invalid_client", "one way to authenticate is needed")
        try:
            name, _, secret = b64decode(text, validate=True).decode("ascii").partition(":")
        except ValueError:
            raise Denied("invalid_client", "the Authorization header cannot be read") from None
        if identifier and identifier != unquote(name):
            raise Denied("invalid_client", "two clients are named")
        identifier, key = unquote(name), unquote(secret)
    try:
        client = clients.find(verifier.store, key, certificate)
    except Problem:
        raise Denied("invalid_client", "the client is not known") from None
    if not hmac.compare_digest(client.id.encode(), identifier.encode()):
        raise Denied("invalid_client", "the client is not known")
    return client


def discovery(origin: str) -> JsonObject:
    """The provider's metadata. Source: OpenID Connect Discovery 1.0, 3."""
    scopes: list[Json] = list(SCOPES)
    claims: list[Json] = ["sub", "acr", "auth_time", *sorted({name for names in SCOPES.values() for name in names})]
    return {
        "issuer": origin,
        "authorization_endpoint": f"{origin}/oidc/authorize",
        "token_endpoint": f"{origin}/oidc/token",
        "userinfo_endpoint": f"{origin}/oidc/userinfo",
        "jwks_uri": f"{origin}/.well-known/jwks.json",
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "acr_values_supported": [f"{ACR}{level}" for level in LEVELS],
        "claims_supported": claims,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "ui_locales_supported": ["zh-CN", "en"],
    }


def _person(verifier: Verifier, login: Login) -> JsonObject:
    answer, _ = verifier.kept.answer(login.verification)
    report = opened(answer)
    told = report["claims"]
    assert isinstance(told, dict), "we made it"
    claims = told.get("person", {})
    assert isinstance(claims, dict), "we made it"
    return {"sub": report["pseudonym"], "acr": f"{ACR}{report['assurance_level']}", **claims}


def _id_token(verifier: Verifier, client: Client, login: Login) -> str:
    answer, _ = verifier.kept.answer(login.verification)
    now_s = verifier.now_s
    claims: JsonObject = {
        "iss": verifier.origin,
        "aud": client.id,
        "iat": now_s,
        "exp": now_s + TOKEN_S,
        "auth_time": opened(answer)["iat"],
        **_person(verifier, login),
    }
    key = verifier.key()
    assert key.signer is not None, "the current key signs"
    nonce: JsonObject = {"nonce": login.grant.nonce} if login.grant.nonce else {}
    return sign_jws({"typ": "JWT", "kid": key.kid}, claims | nonce, key.signer)


def _end(verifier: Verifier, identifier: str) -> None:
    with verifier.store.write() as session:
        session.execute(update(VerifierLogin).where(VerifierLogin.id == identifier).values(expires_ms=0))


def _login(verifier: Verifier, row: VerifierLogin) -> Login:
    text = verifier.kept.sealing.open(row.id, "grant", row.grant)
    assert text is not None, "each log-in has its grant"
    assert len(text) <= _GRANT_BYTES_MAX, "it was bounded"
    return Login(row.id, row.client_id, row.verification_id, Grant(**json.loads(text)))
