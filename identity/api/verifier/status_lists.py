# SPDX-License-Identifier: Apache-2.0
"""Status lists that the verifier fetched: the newest of each, verified, with the time as of which it was true.

A list that can't be fetched anew serves on until it ends; how old one may be is the purpose's policy, not this
module's. A list counts for a credential only if the credential's own registrar signed it.

Source: Token Status List draft-21, 8 (fetching, ttl), 8.3 (validation).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from identity import status_list
from identity.api.verifier.outbound import NotReached
from identity.issuer_keys import Trust
from identity.jose import InvalidToken
from identity.status_list import StatusToken

LISTS_MAX: Final = 64
"""Of a few registrars, some each; 4 MiB at most each, 32 KB as ours are."""
FETCH_S: Final = 30
"""A list is asked for anew at most so often, whatever it says: as often as our issuer makes one. Also after a try that
failed: a host that hangs costs one look its time-out, and not each."""


@dataclass(slots=True)
class _Kept:
    """A list, and when to ask for it anew."""

    token: StatusToken
    due_s: int


class StatusLists:
    """The lists at hand.

    Args:
        fetch: Gets the token at an address; raises NotReached.
        now_s: Unix time in s.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[str]], now_s: Callable[[], int]) -> None:
        self._fetch = fetch
        self._now_s = now_s
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._turns: dict[str, asyncio.Lock] = {}

    async def find(self, uri: str, registrar: Trust) -> StatusToken:
        """The newest list at an address.

        Args:
            uri: As a credential names it, whose signature was checked.
            registrar: Trust in the credential's registrar alone.

        Raises:
            InvalidToken: What is there is no list of this registrar that counts now.
            NotReached: None is at hand, and none can be fetched.
        """
        turn = self._turns.setdefault(uri, asyncio.Lock())
        try:
            async with turn:
                return await self._found(uri, registrar)
        finally:
            if not turn.locked():
                self._turns.pop(uri, None)

    async def _found(self, uri: str, registrar: Trust) -> StatusToken:
        now_s = self._now_s()
        kept = self._kept.get(uri)
        if kept is None or now_s >= kept.due_s:
            try:
                text = await self._fetch(uri)
            except NotReached:
                if kept is None:
                    raise
                kept.due_s = self._now_s() + FETCH_S
            else:
                token = status_list.verify(text, lambda header: registrar.key_of(header, now_s), now_s, uri)
                kept = self._keep(uri, token, now_s)
        assert kept is not None, "it was fetched, or kept before"
        registrar.key_of(kept.token.header, now_s)  # another registrar's list under this address counts for nothing
        if kept.token.expires_s is not None and now_s >= kept.token.expires_s:
            raise InvalidToken("the status list is valid no longer", "identity.token-expired")
        return kept.token

    def _keep(self, uri: str, token: StatusToken, now_s: int) -> _Kept:
        before = self._kept.get(uri)
        if before is not None and before.token.issued_s > token.issued_s:
            token = before.token  # an older one came: what is known of a moment later stays
        kept = self._kept[uri] = _Kept(token, now_s + min(FETCH_S, token.ttl_s or FETCH_S))
        self._kept.move_to_end(uri)
        if len(self._kept) > LISTS_MAX:
            self._kept.popitem(last=False)
        return kept
