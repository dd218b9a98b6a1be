# SPDX-License-Identifier: Apache-2.0
"""Programs of relying parties: who calls, known by a key, and by a client certificate where one is set.

The operator makes a client for an organisation that the ledger has as a relying party; what it may ask for stands on
the ledger alone. A certificate comes from the proxy at which TLS ends (RFC 9440), and only from it.

Source: RFC 6750 (bearer); RFC 9440 (Client-Cert); RFC 8705, 3 (a key that is good only with its certificate).
"""

import hmac
import json
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import RowMapping, bindparam, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from chain.types import sha256
from identity.api.verifier.outbound import NotReached, parse_place
from identity.api.verifier.problems import BEARER, CERTIFICATE
from identity.api.verifier.tables import VerifierClient
from service.api_keys import ApiKeys, table_of
from service.problems import Problem
from service.store import Store, new_id
from service.store.models import ID_CHARACTERS

KEY_PREFIX: Final = "zxv_"
SANDBOX_PREFIX: Final = "zxt_"
KEYS: Final = ApiKeys(VerifierClient, (KEY_PREFIX, SANDBOX_PREFIX), b"", "verifier.client", BEARER)
ADDRESSES_MAX: Final = 16
"""Return addresses of one program."""
CERTIFICATE_CHARACTERS_MAX: Final = 16_384
KNOWN_MS: Final = 1_000
"""So long a program is not looked up again: whoever asks fifty times a second is looked up once, and a key that was
ended counts for at most a second more."""
KNOWN_MAX: Final = 1_024
"""Programs that are remembered, each below a kilobyte; the one that called longest ago makes room."""

_ROWS: Final = table_of(VerifierClient)
_BY_ID: Final = select(_ROWS).where(_ROWS.c.id == bindparam("id"))


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
    key, digest = KEYS.new(SANDBOX_PREFIX if is_sandbox else KEY_PREFIX)
    client = Client(new_id(), relying_party, is_sandbox, tuple(origins), tuple(redirect_uris), login_purpose)
    row = VerifierClient(
        id=client.id,
        relying_party=relying_party,
        key_digest=digest,
        certificate_digest=None if certificate is None else sha256(certificate),
        is_sandbox=is_sandbox,
        origins=json.dumps(list(origins)),
        redirect_uris=json.dumps(list(redirect_uris)),
        login_purpose=login_purpose,
        made_ms=now_ms,
    )
    KEYS.add(store, row)
    return client, key


def end(store: Store, client_id: str, now_ms: int) -> bool:
    """End a client's key.

    Returns:
        Whether there was one in use.
    """
    return KEYS.end(store, client_id, now_ms)


def listed(store: Store) -> Sequence[VerifierClient]:
    """All of them, oldest first."""
    return KEYS.listed(store)


def by_id(store: Store, client_id: str, *, also_ended: bool = False) -> Client | None:
    """A client in use.

    Args:
        store: Where.
        client_id: Its id.
        also_ended: Take one that was ended, too: what was answered to it still needs its entry.
    """
    if len(client_id) != ID_CHARACTERS:
        return None
    with store.read() as session:
        row = session.connection().execute(_BY_ID, {"id": client_id}).mappings().one_or_none()
    is_found = row is not None and (also_ended or row["ended_ms"] is None)
    return _client(row) if row is not None and is_found else None


class Known:
    """Programs that call, looked up at most once a second each.

    Args:
        store: Where they stand.
        now_ms: Unix time in ms.
    """

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        self._found: OrderedDict[bytes, tuple[RowMapping, int]] = OrderedDict()

    async def find(self, key: str, certificate: bytes | None) -> Client:
        """Whose key this is; see `find`.

        Raises:
            Problem: Nobody's, it was ended, or its certificate is missing.
        """
        digest, now_ms = KEYS.digest(key), self._now_ms()
        row, until_ms = self._found.get(digest, (None, 0))
        if row is None or not until_ms - KNOWN_MS <= now_ms < until_ms:  # nor is it known by a clock that was set back
            self._found.pop(digest, None)
            row = await run_in_threadpool(KEYS.find, self._store, key)
            self._found[digest] = row, now_ms + KNOWN_MS
            if len(self._found) > KNOWN_MAX:
                self._found.popitem(last=False)
        return _checked(row, certificate)


def find(store: Store, key: str, certificate: bytes | None) -> Client:
    """Whose key this is; blocks.

    Args:
        store: Where clients stand.
        key: As it came.
        certificate: DER of the certificate that the caller proved to the proxy; None: none.

    Raises:
        Problem: Nobody's, it was ended, or its certificate is missing.
    """
    return _checked(KEYS.find(store, key), certificate)


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


def _checked(row: RowMapping, certificate: bytes | None) -> Client:
    """The program of a row, if it came with the certificate that its key goes with.

    Raises:
        Problem: It did not.
    """
    wanted = row["certificate_digest"]
    if wanted is not None and (certificate is None or not hmac.compare_digest(wanted, sha256(certificate))):
        raise Problem(CERTIFICATE)
    return _client(row)


def _client(row: RowMapping) -> Client:
    origins, redirects = json.loads(row["origins"]), json.loads(row["redirect_uris"])
    own = row["id"], row["relying_party"], row["is_sandbox"]
    return Client(*own, tuple(origins), tuple(redirects), row["login_purpose"])
