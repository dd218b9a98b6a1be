# SPDX-License-Identifier: Apache-2.0
"""Consents: salted commitments that count until their day, or until either side reveals what it keeps secret.

    absent --GiveConsent--> counts --EndConsent, by either side's secret--> ended, for good

The record names neither side. Each keeps a secret of 32 random bytes of which the record has the hash: the person ends
the consent by revealing theirs, through whatever service they like, and so does the relying party. A consent is
narrowed by ending it and giving another in one transaction. To whom and for what, the commitment opens to whoever is
shown it; that the person consented, a signature shows that is kept with it. Under `identity/consent/<commitment>`.

Source: docs/identity.md, "Consents".
"""

from collections.abc import Collection
from typing import Final

from chain.codec import decode, encode
from chain.errors import InvalidMessage, Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.types import HASH_BYTES
from identity.access_rules import DAY_MS, writing_organisation
from identity.commitments import anchor_of, check_commitment, salted
from identity.pb import access_pb2
from identity.pb import identity_pb2 as pb

CONSENT_DAYS_MAX: Final = 366
"""A year: who wants more asks again."""
CONTENT_BYTES_MAX: Final = 8 * 1024
ATTRIBUTES_MAX: Final = 64
NAME_BYTES_MAX: Final = 64
PURPOSE_MAX: Final = 65_535
SUBJECT_BYTES: Final = 32

_CONSENT: Final = b"zhixin/identity/consent\x00"


def consent_key(commitment: bytes) -> bytes:
    """State key of a consent."""
    return b"identity/consent/" + commitment.hex().encode()


def load_consent(read: ReadState, commitment: bytes) -> pb.ConsentRecord | None:
    """A consent, also one that is ended; None: none was given under this commitment."""
    raw = read(consent_key(commitment))
    return None if raw is None else pb.ConsentRecord.FromString(raw)


def counts(record: pb.ConsentRecord | None, time_ms: int) -> bool:
    """Whether a consent counts at a time: given, ended by neither side, its day not reached."""
    return record is not None and not record.ended_at_ms and time_ms < record.valid_to_day * DAY_MS


# ---------------------------------------------------------------- operations


def give_consent(context: Context, message: pb.GiveConsent) -> None:
    """Record a consent. One write.

    Raises:
        Refused: Not one registrar or verifier signs, the commitment was used, or a field is not as it must be.
    """
    writing_organisation(context)
    check_commitment(message.commitment)
    if load_consent(context.read, message.commitment) is not None:
        raise Refused("a consent was given under this commitment", "identity.consent-used")
    anchors = (message.person_anchor, message.party_anchor)
    if any(len(anchor) != HASH_BYTES for anchor in anchors) or anchors[0] == anchors[1]:
        raise Refused("each side has an anchor of its own, of 32 bytes", "identity.invalid-anchor")
    today = context.block.time_ms // DAY_MS
    if not today < message.valid_to_day <= today + CONSENT_DAYS_MAX:
        raise Refused(f"a consent counts for 1 to {CONSENT_DAYS_MAX} days", "identity.invalid-validity")
    record = pb.ConsentRecord(
        since_ms=context.block.time_ms,
        valid_to_day=message.valid_to_day,
        person_anchor=message.person_anchor,
        party_anchor=message.party_anchor,
    )
    context.write(consent_key(message.commitment), encode(record))


def end_consent(context: Context, message: pb.EndConsent) -> None:
    """One side ends a consent for good. One write. Anyone known submits: what is revealed is the side's word.

    Raises:
        Refused: There is none, it is ended, or the proof is neither side's.
    """
    check_commitment(message.commitment)
    record = load_consent(context.read, message.commitment)
    if record is None:
        raise Refused("no consent was given under this commitment", "identity.unknown-consent")
    if record.ended_at_ms:
        raise Refused("the consent is ended, and that is final", "identity.consent-over")
    anchors = (record.person_anchor, record.party_anchor)
    if len(message.proof) != HASH_BYTES or anchor_of(message.proof) not in anchors:
        raise Refused("what is revealed does not hash to a side's anchor", "identity.wrong-proof")
    over = pb.ConsentRecord(since_ms=record.since_ms, ended_at_ms=context.block.time_ms)
    context.write(consent_key(message.commitment), encode(over))


# ---------------------------------------------------------------- what a consent says


def consent_commitment(content: bytes, salt: bytes) -> bytes:
    """What stands on the chain for a consent; 32 bytes.

    Args:
        content: Bytes of `ConsentContent`, as `encode_consent` makes them.
        salt: 32 random bytes, for this consent alone; with both sides.
    """
    return salted(_CONSENT, salt, content)


def encode_consent(content: access_pb2.ConsentContent) -> bytes:
    """The bytes of what a consent says.

    Raises:
        InvalidMessage: A field is out of its bounds.
    """
    _check_content(content)
    return encode(content)


def decode_consent(raw: bytes) -> access_pb2.ConsentContent:
    """Read what `encode_consent` made.

    Raises:
        InvalidMessage: It is nothing that `encode_consent` makes.
    """
    content = decode(access_pb2.ConsentContent, raw, CONTENT_BYTES_MAX)
    _check_content(content)
    return content


def covers(content: access_pb2.ConsentContent, organisation: str, purpose: int, attributes: Collection[str]) -> bool:
    """Whether a consent is to this relying party, for this purpose, and to all of these attributes."""
    return (content.organisation, content.purpose) == (organisation, purpose) and set(attributes) <= set(
        content.attributes
    )


def _check_content(content: access_pb2.ConsentContent) -> None:
    """Check what a consent says.

    Raises:
        InvalidMessage: A field is out of its bounds.
    """
    attributes = list(content.attributes)
    if not 1 <= len(content.organisation.encode()) <= NAME_BYTES_MAX:
        raise InvalidMessage(f"a consent names the relying party, in at most {NAME_BYTES_MAX} bytes")
    if not 1 <= content.purpose <= PURPOSE_MAX or not content.version:
        raise InvalidMessage(f"a consent names a purpose from 1 to {PURPOSE_MAX} and the version of the terms")
    if not 1 <= len(attributes) <= ATTRIBUTES_MAX or attributes != sorted(set(attributes)):
        raise InvalidMessage(f"a consent has 1 to {ATTRIBUTES_MAX} attributes, ascending, each once")
    if any(not 1 <= len(name.encode()) <= NAME_BYTES_MAX for name in attributes):
        raise InvalidMessage(f"an attribute has 1 to {NAME_BYTES_MAX} bytes")
    if not content.given_at_ms or not content.valid_to_day or len(content.subject) != SUBJECT_BYTES:
        raise InvalidMessage(f"a consent has its time, its last day, and a subject of {SUBJECT_BYTES} bytes")
