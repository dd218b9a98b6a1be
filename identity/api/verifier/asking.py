# SPDX-License-Identifier: Apache-2.0
"""A question as it is kept: what was asked, of whom it does not know, for which purpose, and where the answer goes.

It is refused here, before any citizen sees it, if it goes beyond what the ledger allows the relying party.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from chain.strict_json import Json, parse
from chain.types import sha256
from identity.api.verifier.dcql import InvalidQuery, Query, check_within, parse_query
from identity.api.verifier.registered import ACCESS_SLOT, PAIRWISE_SEED, Purpose
from identity.credentials import MANDATE, NATURAL_PERSON, OF_ONE_PERSON
from identity.jose import JsonObject, encode_base64url

LIFETIME_S: Final = 300
"""Somebody takes out a phone, looks, and agrees."""
LIFETIME_S_MAX: Final = 900
QUERY_BYTES_MAX: Final = 16 * 1024
QUERY_DEPTH_MAX: Final = 10
DIRECT_POST, DIRECT_POST_JWT = "direct_post", "direct_post.jwt"
CROSS_DEVICE, SAME_DEVICE = "cross-device", "same-device"
CREDENTIALS, CARD, LOGIN = "credentials", "card", "login"
"""What is asked for: credentials of a wallet; a card's signature over a challenge; credentials, to log in."""

OWN_CLAIMS: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(OF_ONE_PERSON, (ACCESS_SLOT, PAIRWISE_SEED))
"""What the verifier asks for itself: without them there is no entry and no pseudonym."""

_ASKED_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """One question.

    Attributes:
        kind: Of what.
        purpose: The purpose's number on the ledger.
        nonce: The relying party's, which its answer repeats.
        wallet_nonce: Which the holder's key must answer.
        query: DCQL, as the relying party wrote it; None for a card's challenge.
        response_mode: How the wallet answers.
        flow: Whether the wallet is on the device on which the page is.
        return_url: Where the citizen goes afterwards; "": nowhere.
        notify_url: Where a notice is posted; "": nowhere.
        response_key: The private key of this request alone, to which the wallet encrypts; hex.
        origin: The site whose page shows a card's challenge; "" otherwise.
        transaction: What the holder confirms with it, as `transaction_data` encodes it; "": nothing.
    """

    kind: str
    purpose: int
    nonce: str
    wallet_nonce: str
    query: JsonObject | None = None
    response_mode: str = DIRECT_POST_JWT
    flow: str = CROSS_DEVICE
    return_url: str = ""
    notify_url: str = ""
    response_key: str = ""
    origin: str = ""
    transaction: str = ""

    @property
    def parsed(self) -> Query:
        """The query; it was checked when it was made."""
        assert self.query is not None, "a question to a wallet has its query"
        return parse_query(self.query)

    def to_text(self) -> str:
        """For the store."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> "Asked":
        """What `to_text` wrote."""
        value = parse(text.encode(), size_max=_ASKED_BYTES_MAX, depth_max=QUERY_DEPTH_MAX + 2)
        assert isinstance(value, dict), "we wrote it"
        query, purpose = value.pop("query"), value.pop("purpose")
        assert query is None or isinstance(query, dict), "we wrote it"
        assert isinstance(purpose, int), "we wrote it"
        return cls(**{name: str(word) for name, word in value.items()}, query=query, purpose=purpose)

    @classmethod
    def new(cls, kind: str, purpose: int, nonce: str | None, **more: str) -> "Asked":
        """A question with fresh secrets.

        Args:
            kind: Of what.
            purpose: The purpose's number.
            nonce: The relying party's; None: one is made.
            more: Further attributes.
        """
        made = replace(cls(kind, purpose, nonce or _secret(), _secret()), **more)  # type: ignore[arg-type]  # all texts
        return replace(made, response_key=_new_key()) if made.response_mode == DIRECT_POST_JWT else made


def checked_query(value: Json, purpose: Purpose) -> JsonObject:
    """A relying party's query, if its purpose allows it.

    A mandate names people, so each choice that has one has its agent's own credential too, in which the list of
    accesses begins, or that credential is wanted in any case.

    Args:
        value: As it came.
        purpose: For what.

    Raises:
        InvalidQuery: Malformed; `BeyondPurpose`: it asks for more than the purpose allows.
    """
    query = parse_query(value)
    check_within(query, purpose.attributes)
    if _lets_mandates_come_alone(query):
        raise InvalidQuery("query.credentials", "a mandate is asked for together with its agent's own credential")
    assert isinstance(value, dict), "it was read"
    return value


def _lets_mandates_come_alone(query: Query) -> bool:
    people = {one.id for one in query.credentials if one.types == (NATURAL_PERSON,)}
    mandates = {one.id for one in query.credentials if MANDATE in one.types}
    if not query.sets:
        return bool(mandates) and not people
    if any(one.is_required and all(people & set(option) for option in one.options) for one in query.sets):
        return False
    options = [set(option) for one in query.sets for option in one.options]
    return any(mandates & option and not people & option for option in options)


def new_token() -> str:
    """An address that nobody guesses; 43 characters."""
    return _secret()


def token_digest(token: str) -> bytes:
    """Under which a token stands in the store."""
    return sha256(token.encode())


def _secret() -> str:
    return encode_base64url(secrets.token_bytes(32))


def _new_key() -> str:
    return f"{generate_private_key(SECP256R1()).private_numbers().private_value:064x}"
