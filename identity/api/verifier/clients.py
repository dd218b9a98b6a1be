# SPDX-License-Identifier: Apache-2.0
"""Programs of relying parties: who calls, known by a key, and by a client certificate where one is set.

The operator makes a client for an organisation that the ledger has as a relying party; what it may ask for stands on
the ledger alone. A certificate comes from the proxy at which TLS ends (RFC 9440), and only from it.

Source: RFC 6750 (bearer); RFC 9440 (Client-Cert); RFC 8705, 3 (a key that is good only with its certificate).
"""

import hmac
import json
import secrets
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from starlette.requests import Request

from chain.types import sha256
from identity.api.verifier.outbound import NotReached, parse_place
from identity.api.verifier.problems import BEARER, CERTIFICATE
from identity.api.verifier.tables import VerifierClient
from service.problems import Problem
from service.store import Act, Store, audit, new_id

KEY_PREFIX: Final = "zxv_"
"""Whoever finds one in a place where it should not be knows what it is."""
SANDBOX_PREFIX: Final = "zxt_"
KEY_CHARACTERS_MAX: Final = 64
ADDRESSES_MAX: Final = 16
"""Return addresses of one program."""
CERTIFICATE_CHARACTERS_MAX: Final = 16_384
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Client:
    """Who calls.

    Attributes:
        id: Random; also its `client_id` for OpenID Connect.
        relying_party: Its organisation on the ledger.
        is_sandbox: Whether it gets made-up people only.
        origins: Where citizens may be sent back to, and notices go.
        redirect_uris: For OpenID Connect, exact.
        login_purpose: The purpose of log-ins; "": it logs nobody in.
    """

    id: str
    relying_party: str
    is_sandbox: bool
    origins: tuple[str, ...]
    redirect_uris: tuple[str, ...]
    login_purpose: str


class InvalidClient(Exception):
    """A client that can't be made as the operator says; the reason is for them."""


def add(
    store: Store,
    relying_party: str,
    now_ms: int,
    *,
    origins: Sequence[str] = (),
    redirect_uris: Sequence[str] = (),
    login_purpose: str = "",
    certificate: bytes | None = None,
    is_sandbox: bool = False,
) -> tuple[Client, str]:
    """Make a client.

    Args:
        store: Where.
        relying_party: Its organisation on the ledger; anything for a sandbox.
        now_ms: Unix time in ms.
        origins: Where citizens may be sent back to, and notices go, such as "https://bank.example".
        redirect_uris: For OpenID Connect.
        login_purpose: The purpose of log-ins.
        certificate: DER of the certificate without which its key is not taken; None: the key is enough.
        is_sandbox: Whether it gets made-up people only.

    Returns:
        The client and its key, which is kept nowhere.

    Raises:
        InvalidClient: An address is none, or there are too many.
    """
    for address in (*origins, *redirect_uris):
        _check_address(address, is_origin=address in origins, is_sandbox=is_sandbox)
    if len(origins) > ADDRESSES_MAX or len(redirect_uris) > ADDRESSES_MAX:
        raise InvalidClient(f"a client has at most {ADDRESSES_MAX} addresses of a kind")
    if bool(redirect_uris) != bool(login_purpose):
        raise InvalidClient("redirect addresses and the purpose of log-ins go together")
    key = (SANDBOX_PREFIX if is_sandbox else KEY_PREFIX) + secrets.token_urlsafe(_KEY_BYTES)
    client = Client(new_id(), relying_party, is_sandbox, tuple(origins), tuple(redirect_uris), login_purpose)
    row = VerifierClient(
        id=client.id,
        relying_party=relying_party,
        key_digest=_digest(key),
        certificate_digest=None if certificate is None else sha256(certificate),
        is_sandbox=is_sandbox,
        origins=json.dumps(list(origins)),
        redirect_uris=json.dumps(list(redirect_uris)),
        login_purpose=login_purpose,
        made_ms=now_ms,
    )
    with store.write() as session:
        session.add(row)
        store.record(session, Act(audit.SYSTEM, "verifier.client-added", client.id))
    return client, key


def end(store: Store, client_id: str, now_ms: int) -> bool:
    """End a client's key.

    Returns:
        Whether there was one in use.
    """
    with store.write() as session:
        row = session.get(VerifierClient, client_id, with_for_update=True)
        if row is None or row.ended_ms is not None:
            return False
        row.ended_ms = now_ms
        store.record(session, Act(audit.SYSTEM, "verifier.client-ended", client_id))
        return True


def listed(store: Store) -> Sequence[VerifierClient]:
    """All of them, oldest first."""
    with store.read() as session:
        return session.scalars(select(VerifierClient).order_by(VerifierClient.made_ms)).all()


def by_id(store: Store, client_id: str, *, also_ended: bool = False) -> Client | None:
    """A client in use.

    Args:
        store: Where.
        client_id: Its id.
        also_ended: Take one that was ended, too: what was answered to it still needs its entry.
    """
    if len(client_id) > KEY_CHARACTERS_MAX:
        return None
    with store.read() as session:
        row = session.get(VerifierClient, client_id)
        is_found = row is not None and (also_ended or row.ended_ms is None)
        return _client(row) if row is not None and is_found else None


def find(store: Store, key: str, certificate: bytes | None) -> Client:
    """Whose key this is; blocks.

    Args:
        store: Where clients stand.
        key: As it came.
        certificate: DER of the certificate that the caller proved to the proxy; None: none.

    Raises:
        Problem: Nobody's, it was ended, or its certificate is missing.
    """
    if not key.startswith((KEY_PREFIX, SANDBOX_PREFIX)) or len(key) > KEY_CHARACTERS_MAX or not key.isascii():
        raise _unknown()
    with store.read() as session:
        row = session.scalar(select(VerifierClient).where(VerifierClient.key_digest == _digest(key)))
        if row is None or row.ended_ms is not None:
            raise _unknown()
        wanted = row.certificate_digest
        if wanted is not None and (certificate is None or not hmac.compare_digest(wanted, sha256(certificate))):
            raise Problem(CERTIFICATE)
        return _client(row)


def certificate_of(request: Request, *, is_behind_proxy: bool) -> bytes | None:
    """The client certificate that the proxy at which TLS ends says it saw; None: none.

    A caller that reached this process directly can write any header, so only what came through a listed proxy counts:
    the server then has put the address from X-Forwarded-For in place of the proxy's own, with port 0.

    Args:
        request: The request.
        is_behind_proxy: Whether settings list a proxy that sets `Client-Cert` and removes it from what callers send.
    """
    given = request.headers.getlist("client-cert")
    if not is_behind_proxy or request.client is None or request.client.port != 0 or len(given) != 1:
        return None
    text = given[0].strip()
    if len(text) > CERTIFICATE_CHARACTERS_MAX or not (text.startswith(":") and text.endswith(":")):
        return None
    try:
        return b64decode(text[1:-1], validate=True)
    except ValueError:
        return None


def _check_address(address: str, *, is_origin: bool, is_sandbox: bool) -> None:
    try:
        place = parse_place(address)
    except NotReached as error:
        raise InvalidClient(f"{address}: {error}") from None
    is_here = place.host in {"localhost", "127.0.0.1", "::1"}
    if place.scheme != "https" and not (is_here or is_sandbox):
        raise InvalidClient(f"{address}: it starts with https://, but for programs on this machine")
    if is_origin and address != place.origin:
        raise InvalidClient(f"{address}: an origin has no path; write {place.origin}")


def _client(row: VerifierClient) -> Client:
    origins, redirects = json.loads(row.origins), json.loads(row.redirect_uris)
    return Client(row.id, row.relying_party, row.is_sandbox, tuple(origins), tuple(redirects), row.login_purpose)


def _digest(key: str) -> bytes:
    return sha256(key.encode())


def _unknown() -> Problem:
    return Problem(BEARER, headers={"WWW-Authenticate": "Bearer"})
