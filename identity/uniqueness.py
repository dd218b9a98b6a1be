# SPDX-License-Identifier: Apache-2.0
"""One registration for each person, without saying whose: tags, and the seats that they give to a registrar.

A tag is an HMAC of a person's number under a key that only the uniqueness service has. Registering one gives a
registrar one seat; a registration that is confirmed takes a seat. No record joins a tag with a registration: the tag
holds a salted commitment to it, which the services open to an auditor only.

Invariant, for each registrar: tags = free + live + ended seats, so it never has more living registrations than people
whom the uniqueness service told apart.

While tags of the version before are left, a new tag comes with the same person's tag under that version, and neither
may be taken. Under `identity/tag/…`, `identity/tag-key/present` and `identity/seats/…`.
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from identity.commitments import check_commitment
from identity.pb import identity_pb2 as pb
from membership.authority import signing_organisations
from membership.pb import membership_pb2

UNIQUENESS_ROLE: Final = "uniqueness"
TAG_BYTES: Final = 32
TAG_KEY_KEY: Final = b"identity/tag-key/present"


def tag_key(key_version: int, tag: bytes) -> bytes:
    """State key of a tag."""
    return b"identity/tag/%d/%s" % (key_version, tag.hex().encode())


def seats_key(registrar: bytes) -> bytes:
    """State key of a registrar's seats; `registrar` is `registrar_digest` of its id."""
    return b"identity/seats/" + registrar.hex().encode()


def load_tag(read: ReadState, key_version: int, tag: bytes) -> pb.TagRecord | None:
    """What is recorded of a tag, or None."""
    raw = read(tag_key(key_version, tag))
    return None if raw is None else pb.TagRecord.FromString(raw)


def load_tag_key(read: ReadState) -> pb.TagKeyRecord:
    """The present version of the key and how many tags stand; version 0 before the first."""
    return pb.TagKeyRecord.FromString(read(TAG_KEY_KEY) or b"")


def load_seats(read: ReadState, registrar: bytes) -> pb.SeatsRecord:
    """A registrar's seats; all 0 before its first tag."""
    return pb.SeatsRecord.FromString(read(seats_key(registrar)) or b"")


# ---------------------------------------------------------------- operations


def rotate_tag_key(context: Context, message: pb.RotateTagKey) -> None:
    """Begin the next version of the key. One write.

    Raises:
        Refused: Not the uniqueness service, not the next version, or tags of the version before are left.
    """
    _check_service(context)
    present = load_tag_key(context.read)
    if message.key_version != present.key_version + 1:
        raise Refused(f"the next version is {present.key_version + 1}", "identity.wrong-tag-version")
    if present.previous_tags:
        raise Refused("tags of the version before the present one are left", "identity.retagging-open")
    _save_tag_key(context, pb.TagKeyRecord(key_version=message.key_version, previous_tags=present.tags))


def register_tag(context: Context, message: pb.RegisterTag) -> None:
    """Register a person's tag, which gives a registrar a seat. Three writes.

    Raises:
        Refused: Not the uniqueness service, another version, a tag that is taken under either version, or a field of
            the wrong form.
    """
    _check_service(context)
    present = _present(context, message.key_version)
    check_commitment(message.holder)
    if len(message.tag) != TAG_BYTES or len(message.registrar) != TAG_BYTES:
        raise Refused("a tag and a registrar's digest have 32 bytes", "identity.invalid-tag")
    if len(message.previous_tag) != (TAG_BYTES if present.previous_tags else 0):
        raise Refused(
            "the tag under the version before is named exactly while that version has tags", "identity.previous-tag"
        )
    _check_free(context, message.key_version, message.tag)
    if message.previous_tag:
        _check_free(context, message.key_version - 1, message.previous_tag)
    _save_tag(
        context, message.key_version, message.tag, pb.TagRecord(registrar=message.registrar, holder=message.holder)
    )
    present.tags += 1
    _save_tag_key(context, present)
    seats = load_seats(context.read, message.registrar)
    seats.free += 1
    _save_seats(context, message.registrar, seats)


def retag(context: Context, message: pb.Retag) -> None:
    """Move a tag to the present version of the key. Three writes.

    Raises:
        Refused: Not the uniqueness service, another version, no such old tag, or the new one is taken.
    """
    _check_service(context)
    present = _present(context, message.key_version)
    check_commitment(message.holder)
    if len(message.tag) != TAG_BYTES or len(message.previous_tag) != TAG_BYTES:
        raise Refused("a tag has 32 bytes", "identity.invalid-tag")
    record = load_tag(context.read, message.key_version - 1, message.previous_tag)
    if record is None:
        raise Refused("there is no such tag under that version", "identity.unknown-tag")
    _check_free(context, message.key_version, message.tag)
    context.delete(tag_key(message.key_version - 1, message.previous_tag))
    _save_tag(
        context, message.key_version, message.tag, pb.TagRecord(registrar=record.registrar, holder=message.holder)
    )
    present.tags += 1
    present.previous_tags -= 1
    _save_tag_key(context, present)


def release_tag(context: Context, message: pb.ReleaseTag) -> None:
    """Take away a tag whose registration was revoked. Three writes.

    Raises:
        Refused: Not the uniqueness service, no such tag, or its registrar has no revoked registration left to it.
    """
    _check_service(context)
    if len(message.tag) != TAG_BYTES:
        raise Refused("a tag has 32 bytes", "identity.invalid-tag")
    present = load_tag_key(context.read)
    record = load_tag(context.read, message.key_version, message.tag)
    if record is None:
        raise Refused("there is no such tag under that version", "identity.unknown-tag")
    seats = load_seats(context.read, record.registrar)
    if not seats.ended:
        raise Refused("the registrar has no revoked registration whose tag still stands", "identity.no-ended-seat")
    context.delete(tag_key(message.key_version, message.tag))
    if message.key_version == present.key_version:
        present.tags -= 1
    else:
        present.previous_tags -= 1
    _save_tag_key(context, present)
    seats.ended -= 1
    _save_seats(context, record.registrar, seats)


# ---------------------------------------------------------------- seats, for registrations


def take_seat(context: Context, registrar: bytes) -> None:
    """A registration is confirmed. One write.

    Raises:
        Refused: No tag is registered for it.
    """
    seats = load_seats(context.read, registrar)
    if not seats.free:
        raise Refused("no uniqueness tag is registered for another person of this registrar", "identity.no-seat")
    seats.free -= 1
    seats.live += 1
    _save_seats(context, registrar, seats)


def end_seat(context: Context, registrar: bytes) -> None:
    """A registration is revoked: its tag still stands, until it is released. One write."""
    seats = load_seats(context.read, registrar)
    assert seats.live > 0, "a registration without a seat"
    seats.live -= 1
    seats.ended += 1
    _save_seats(context, registrar, seats)


def _check_service(context: Context) -> None:
    """Check that the one uniqueness service signs, with a key that attests.

    Raises:
        Refused: It does not, or it is suspended.
    """
    for organisation in signing_organisations(context, membership_pb2.PURPOSE_ATTEST):
        if organisation.is_active and UNIQUENESS_ROLE in organisation.roles:
            return
    raise Refused("no attest key of an active organisation with the role uniqueness signs", "identity.not-uniqueness")


def _present(context: Context, key_version: int) -> pb.TagKeyRecord:
    """The record of the present version, which an operation must name.

    Raises:
        Refused: It names another.
    """
    present = load_tag_key(context.read)
    if not key_version or key_version != present.key_version:
        raise Refused(f"the present version of the tags' key is {present.key_version}", "identity.wrong-tag-version")
    return present


def _check_free(context: Context, key_version: int, tag: bytes) -> None:
    """Check that nobody has this tag.

    Raises:
        Refused: Somebody does: this person is registered already.
    """
    if load_tag(context.read, key_version, tag) is not None:
        raise Refused("this tag is registered: the person is known already", "identity.tag-taken")


def _save_tag(context: Context, key_version: int, tag: bytes, record: pb.TagRecord) -> None:
    context.write(tag_key(key_version, tag), encode(record))


def _save_tag_key(context: Context, record: pb.TagKeyRecord) -> None:
    context.write(TAG_KEY_KEY, encode(record))


def _save_seats(context: Context, registrar: bytes, record: pb.SeatsRecord) -> None:
    """Write a registrar's seats; without any left there is no record."""
    if record.free or record.live or record.ended:
        context.write(seats_key(registrar), encode(record))
    else:
        context.delete(seats_key(registrar))
