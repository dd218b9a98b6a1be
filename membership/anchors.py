# SPDX-License-Identifier: Apache-2.0
"""Digests that an organisation commits itself to: of its audit chains, its status lists, what its sites serve.

State holds the newest of each stream and the log holds all of them, so anybody shown the thing itself can tell an
altered, an older, or another one. An audit chain only grows: rules refuse an anchor that covers no more than the
newest one does, so whoever rolls a chain back cannot anchor it.
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from membership.authority import signing_organisations
from membership.pb import membership_pb2 as pb

STREAM_BYTES: Final = 16
DIGEST_BYTES: Final = 32
SIZE_MAX: Final = 2**63 - 1
"""What a database's integer holds."""

_KINDS: Final = frozenset(pb.AnchorKind.values()) - {pb.ANCHOR_KIND_UNSPECIFIED}


def anchor_key(organisation: str, kind: pb.AnchorKind.ValueType, stream: bytes) -> bytes:
    """State key of the newest anchor of a stream."""
    return b"membership/anchor/%s/%d/%s" % (organisation.encode(), kind, stream.hex().encode())


def load_anchor(
    read: ReadState, organisation: str, kind: pb.AnchorKind.ValueType, stream: bytes
) -> pb.AnchorRecord | None:
    """The newest anchor of a stream, or None."""
    raw = read(anchor_key(organisation, kind, stream))
    return None if raw is None else pb.AnchorRecord.FromString(raw)


def anchor(context: Context, message: pb.Anchor) -> None:
    """Record a digest. One write.

    Raises:
        Refused: Not exactly one organisation submits, it is suspended, a field is not as it must be, or an audit chain
            would not grow.
    """
    organisation = _submitting(context)
    if message.kind not in _KINDS or len(message.stream) != STREAM_BYTES or len(message.digest) != DIGEST_BYTES:
        raise Refused(
            f"an anchor has a known kind, a stream of {STREAM_BYTES} bytes and a digest of {DIGEST_BYTES}",
            "membership.invalid-anchor",
        )
    if not 1 <= message.size <= SIZE_MAX:
        raise Refused("an anchor covers something: its size is at least 1, below 2^63", "membership.invalid-anchor")
    newest = load_anchor(context.read, organisation, message.kind, message.stream)
    if message.kind == pb.ANCHOR_KIND_AUDIT and newest is not None and message.size <= newest.size:
        raise Refused(
            f"an audit chain only grows: {newest.size} entries are anchored already", "membership.anchor-not-newer"
        )
    record = pb.AnchorRecord(digest=message.digest, size=message.size, since_ms=context.block.time_ms)
    context.write(anchor_key(organisation, message.kind, message.stream), encode(record))


def _submitting(context: Context) -> str:
    """The one organisation whose key of purpose `submit` signs.

    Raises:
        Refused: None signs, several do, or it is suspended.
    """
    organisations = signing_organisations(context, pb.PURPOSE_SUBMIT)
    if not organisations:
        raise Refused("no signer has a key that submits and is valid now", "membership.not-submitting")
    if len(organisations) > 1:
        raise Refused("keys of several organisations sign; one acts at a time", "membership.ambiguous-organisation")
    if not organisations[0].is_active:
        raise Refused("the organisation is suspended", "membership.organisation-suspended")
    return organisations[0].id
