# SPDX-License-Identifier: Apache-2.0
"""What all of sign-in shares within one service: its store, its clock, for whom passkeys are."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from service.settings import Address
from service.sign_in.ceremony import RelyingParty
from service.sign_in.staff_cards import StaffCards
from service.store import Store
from service.store.replays import unix_ms

TOKEN_BYTES = 32
"""Of sessions, links and browsers: 256 random bits, which nobody guesses."""
TOKEN_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Office:
    """Sign-in of one service.

    Attributes:
        store: Where people, passkeys and sessions are kept.
        address: Where the service is reached.
        party: For whom its passkeys are.
        now: Unix time in ms.
        cards: Staff cards; None: none are used here.
    """

    store: Store
    address: Address
    party: RelyingParty
    now: Callable[[], int]
    cards: StaffCards | None = None

    @classmethod
    def of(
        cls, store: Store, address: Address, now: Callable[[], int] = unix_ms, *, cards: StaffCards | None = None
    ) -> "Office":
        """That of a service."""
        return cls(store, address, RelyingParty.of(address), now, cards)

    @property
    def service(self) -> str:
        """The service's name: people of one service are strangers to the next."""
        return self.address.service

    @property
    def session_cookie(self) -> str:
        """What the session's cookie is called."""
        return self.address.cookie_name("session")

    @property
    def browser_cookie(self) -> str:
        """The cookie of a browser that is about to sign in: challenges are bound to it."""
        return self.address.cookie_name("browser")


def new_token() -> str:
    """A random token; 43 characters of base64url."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(kind: str, token: str) -> bytes:
    """What is kept of a token; 32 bytes. A token of one kind is worth nothing as another."""
    return hashlib.sha256(f"zhixin/token/1|{kind}|{token[:TOKEN_CHARACTERS_MAX]}".encode()).digest()
