# SPDX-License-Identifier: Apache-2.0
"""No other site makes a browser act here: who sent a request, and a token in each form.

The token is a keyed digest over a random cookie and the session's cookie, so it ends with the session, and a cookie
that a neighbouring site plants is worth nothing without the key.

Source: Fetch Standard, 3.2 (Origin); W3C Fetch Metadata, 2.2; OWASP CSRF Prevention (signed double submit).
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from service.settings import Address

TOKEN_HEADER = "X-CSRF-Token"  # noqa: S105 - a header's name
TOKEN_FIELD = "csrf_token"  # noqa: S105 - a field's name
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""What a form of another site can send without asking first."""
FIELDS_MAX = 256
"""Fields of a form that are looked through for the token."""

_COOKIE = re.compile(r"[0-9a-f]{32}")
_STATE = "zhixin.form"


class Forms:
    """Makes and checks the tokens of one service's forms.

    Args:
        address: Whose cookies.
        key: 32 bytes; the same in each process of the service, else a form fails where another process gets it.
    """

    def __init__(self, address: Address, key: bytes) -> None:
        assert len(key) == 32
        self._key = key
        self.cookie_name = address.cookie_name("form")
        self._session_cookie = address.cookie_name("session")
        self._secure = address.is_https

    def token(self, connection: HTTPConnection) -> str:
        """The token for forms of the page that answers this request; 64 hex digits.

        A browser that has no form cookie yet gets one with this answer.
        """
        cookie = connection.cookies.get(self.cookie_name, "")
        if not _COOKIE.fullmatch(cookie):
            cookie = connection.scope.setdefault(_STATE, secrets.token_hex(16))
        return self._digest(cookie, connection.cookies.get(self._session_cookie, ""))

    def set_cookie(self, scope: Scope) -> str | None:
        """The value of a Set-Cookie header if `token` made a cookie for this request."""
        made = scope.get(_STATE)
        if made is None:
            return None
        secure = "; Secure" if self._secure else ""
        return f"{self.cookie_name}={made}; Path=/; HttpOnly; SameSite=Lax{secure}"

    def is_valid(self, cookies: dict[str, str], token: str) -> bool:
        """Whether a token was made for these cookies."""
        cookie = cookies.get(self.cookie_name, "")
        if not _COOKIE.fullmatch(cookie) or not token.isascii():
            return False
        return hmac.compare_digest(self._digest(cookie, cookies.get(self._session_cookie, "")), token)

    def _digest(self, cookie: str, session: str) -> str:
        text = f"zhixin/form/1|{cookie}|{session}"
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()


class LazyToken:
    """The token of a request's forms, made when a page writes it: `{{ csrf_token }}` in a template.

    Only then does the browser get a form cookie, so that what has no form sets none.
    """

    def __init__(self, forms: Forms, scope: Scope) -> None:
        self._forms = forms
        self._scope = scope

    def __str__(self) -> str:
        return self._forms.token(HTTPConnection(self._scope))


def is_own_origin(headers: Headers, origins: Collection[str]) -> bool:
    """Whether a request that changes something came from this site's own pages, or from no browser at all.

    Without Origin and Sec-Fetch-Address it can't be a current browser's; then it must not carry a cookie, so that it
    acts in nobody's name.
    """
    origin, site = headers.getlist("origin"), headers.getlist("sec-fetch-site")
    if len(origin) > 1 or len(site) > 1:
        return False
    if origin and origin[0] not in origins:
        return False
    if site and site[0] not in {"same-origin", "none"}:
        return False
    return bool(origin or site) or "cookie" not in headers


def form_token(headers: Headers, body: bytes) -> str:
    """The token that a form brings: in its header, or among its fields (urlencoded). "" if none."""
    found = headers.get(TOKEN_HEADER)
    if found is not None:
        return found
    if media_type(headers) == "application/x-www-form-urlencoded":
        return _field(body)
    if media_type(headers) == "multipart/form-data":
        return _part(body)
    return ""


def media_type(headers: Headers) -> str:
    """The media type of a body, without parameters, in lower case."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _field(body: bytes) -> str:
    """The token among urlencoded fields."""
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=FIELDS_MAX)
    except ValueError:
        return ""
    return next((value for name, value in pairs if name == TOKEN_FIELD), "")


_PART = re.compile(
    rb'content-disposition:\s*form-data;\s*name="' + TOKEN_FIELD.encode() + rb'"\r\n\r\n([0-9a-f]{64})\r\n',
    re.IGNORECASE,
)


def _part(body: bytes) -> str:
    """The token among multipart fields; a match inside a file is as good, for only who knows the token can write it."""
    found = _PART.search(body)
    return found[1].decode() if found else ""
