# SPDX-License-Identifier: Apache-2.0
"""How a holder shows a verifier that they consented, and what the verifier looks at before it believes it.

The consent rides in the key binding of the presentation, as its claim `consent`, so the holder's key signs it together
with the verifier's nonce: what both sides keep as evidence is the presentation itself. It opens the commitment that
stands on the ledger and hands over the relying party's secret, with which that side gives the consent back.

That it still counts, the ledger alone says, at the moment of the answer. Pure functions; time and state are arguments.

Source: docs/identity.md, "Consents"; docs/my-data.md, "Consents".
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from chain.errors import InvalidMessage
from chain.strict_json import Json
from chain.types import HASH_BYTES, sha256
from identity.commitments import SALT_BYTES, anchor_of
from identity.consents import consent_commitment, counts, covers, decode_consent, encode_consent
from identity.jose import InvalidToken, JsonObject, decode_base64url, encode_base64url
from identity.pb import access_pb2, identity_pb2

CLAIM: Final = "consent"
"""Of the key binding."""
_FIELDS: Final = frozenset({"content", "salt", "party_secret"})


@dataclass(frozen=True, slots=True)
class ShownConsent:
    """A consent as its holder shows it.

    Attributes:
        content: To whom, for what, until when.
        commitment: Under which the ledger has it; 32 bytes.
        party_secret: With which the relying party gives it back; 32 bytes.
    """

    content: access_pb2.ConsentContent
    commitment: bytes
    party_secret: bytes = field(repr=False)


def subject_of(pseudonym: str) -> bytes:
    """What a consent says of its person: a hash of their pseudonym at the relying party; 32 bytes."""
    return sha256(pseudonym.encode())


def make_claim(content: access_pb2.ConsentContent, salt: bytes, party_secret: bytes) -> JsonObject:
    """The claim of the key binding; see `read_claim`.

    Raises:
        InvalidMessage: A field of the consent is out of its bounds.
    """
    parts = {"content": encode_consent(content), "salt": salt, "party_secret": party_secret}
    return {name: encode_base64url(part) for name, part in parts.items()}


def read_claim(claim: Json) -> ShownConsent:
    """Read what a key binding says of a consent.

    Args:
        claim: The key binding's claim `consent`.

    Raises:
        InvalidToken: It is none.
    """
    if not isinstance(claim, dict) or claim.keys() != _FIELDS:
        raise InvalidToken(f"a consent is shown by {', '.join(sorted(_FIELDS))}", "identity.consent-shown")
    content, salt, secret = (_bytes(claim, name) for name in ("content", "salt", "party_secret"))
    if len(salt) != SALT_BYTES or len(secret) != HASH_BYTES:
        raise InvalidToken("a salt and a secret have 32 bytes each", "identity.consent-shown")
    try:
        opened = decode_consent(content)
    except InvalidMessage as error:
        raise InvalidToken(error.reason, "identity.consent-shown") from None
    return ShownConsent(opened, consent_commitment(content, salt), secret)


def refusal(
    shown: ShownConsent,
    record: identity_pb2.ConsentRecord | None,
    *,
    organisation: str,
    purpose: int,
    attributes: Collection[str],
    subject: bytes,
    time_ms: int,
) -> str:
    """Why a consent does not allow an answer; "" if it does.

    Args:
        shown: What the holder shows.
        record: What the ledger has under its commitment, proven at `time_ms`.
        organisation: The relying party that asks.
        purpose: For what.
        attributes: What would be disclosed, as registrations name it.
        subject: `subject_of` of the person's pseudonym at this relying party.
        time_ms: The checkpoint's.
    """
    if not counts(record, time_ms):
        return "the consent stands on the ledger no longer, or never did"
    assert record is not None, "an absent one does not count"
    if not covers(shown.content, organisation, purpose, attributes):
        return "the consent is to somebody else, for something else, or to less"
    if shown.content.subject != subject:
        return "the consent is another person's"
    if anchor_of(shown.party_secret) != record.party_anchor:
        return "the secret that is handed over is not the relying party's"
    return ""


def _bytes(claim: JsonObject, name: str) -> bytes:
    text = claim[name]
    if not isinstance(text, str):
        raise InvalidToken(f"{name} of a consent is no text", "identity.consent-shown")
    return decode_base64url(text, f"the consent's {name}")
