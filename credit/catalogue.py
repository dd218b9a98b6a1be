# SPDX-License-Identifier: Apache-2.0
"""What may be recorded of somebody, by whom, and for how long: the authority's catalogue, and who may attest what.

Nothing outside the catalogue enters a log. Versions are kept: an event says for good what its class said then. Under
`credit/class/…` and `credit/source/…`.  Source: docs/credit.md.
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from credit.pb import credit_pb2 as pb
from membership.authority import signing_organisations
from membership.names import DISPLAY_NAME_BYTES_MAX, check_display_names
from membership.pb import membership_pb2
from membership.state import Organisation, load_organisation

AUTHORITY_ROLE: Final = "credit-authority"
CLASS_MAX: Final = 65_535
VERSION_MAX: Final = 65_535
DIMENSIONS_MAX: Final = 16
"""A scorecard with more would explain nothing."""
SOURCE_CLASSES_MAX: Final = 256
"""A source's rights are read with each event."""

PUBLICATION_DAYS: Final = {
    pb.SEVERITY_NONE: (0, 0),
    pb.SEVERITY_MINOR: (0, 92),
    pb.SEVERITY_GENERAL: (92, 366),
    pb.SEVERITY_SERIOUS: (365, 1_096),
}
"""Shortest and longest publication by severity, in days: 3 months, 1 and 3 years at their longest.

Source: 信用修复管理办法 (NDRC order 36 of 2025), as docs/credit.md reads it.
"""

_KINDS = frozenset(pb.Kind.values()) - {pb.KIND_UNSPECIFIED}
_POLARITIES = frozenset(pb.Polarity.values()) - {pb.POLARITY_UNSPECIFIED}
_EFFECTS = tuple(sorted(pb.Effect.values()))[1:]


CLASSES_PREFIX: Final = b"credit/class/"
SOURCES_PREFIX: Final = b"credit/source/"


def class_head_key(number: int) -> bytes:
    """State key of a class's present version."""
    return CLASSES_PREFIX + b"%d" % number


def class_key(number: int, version: int) -> bytes:
    """State key of one version of a class."""
    return CLASSES_PREFIX + b"%d/%d" % (number, version)


def source_key(organisation: str) -> bytes:
    """State key of what an organisation may attest."""
    return SOURCES_PREFIX + organisation.encode()


def load_class(read: ReadState, number: int, version: int) -> pb.PutClass | None:
    """One version of a class, or None."""
    raw = read(class_key(number, version))
    return None if raw is None else pb.PutClass.FromString(raw)


def present_version(read: ReadState, number: int) -> int:
    """The present version of a class; 0: there is no such class."""
    return pb.ClassHead.FromString(read(class_head_key(number)) or b"").version


def present_class(read: ReadState, number: int) -> pb.PutClass | None:
    """The present version of a class, or None."""
    return load_class(read, number, present_version(read, number))


# ---------------------------------------------------------------- operations


def put_class(context: Context, message: pb.PutClass) -> None:
    """Add a class or its next version. Two writes.

    Raises:
        Refused: The authority did not sign, it is not the next version, or a field is not as it must be.
    """
    check_authority(context)
    if not 1 <= getattr(message, "class") <= CLASS_MAX:
        raise Refused(f"a class is numbered 1 to {CLASS_MAX}", "credit.invalid-class")
    number = class_number(message)
    present = present_version(context.read, number)
    if message.version != present + 1 or message.version > VERSION_MAX:
        raise Refused(f"the next version of this class is {present + 1}", "credit.wrong-version")
    _check_kind(message)
    _check_days(message)
    before = load_class(context.read, number, present)
    if before is not None and (before.kind, before.polarity) != (message.kind, message.polarity):
        raise Refused(
            "a class keeps its kind and its polarity; another meaning is another class", "credit.class-meaning"
        )
    try:
        check_display_names(message.name_zh, message.name_en)
    except Refused as refusal:
        raise Refused(refusal.reason, "credit.invalid-class") from None
    try:
        check_display_names(message.legal_basis, "")
    except Refused:
        raise Refused(
            f"a class names its legal basis, in at most {DISPLAY_NAME_BYTES_MAX} bytes", "credit.no-legal-basis"
        ) from None
    context.write(class_head_key(number), encode(pb.ClassHead(version=message.version)))
    context.write(class_key(number, message.version), encode(message))


def grant_source(context: Context, message: pb.GrantSource) -> None:
    """Say which classes an organisation may attest. One write, or one deletion.

    Raises:
        Refused: The authority did not sign, there is no such organisation, or a class is unknown or out of order.
    """
    check_authority(context)
    if load_organisation(context.read, message.organisation) is None:
        raise Refused("there is no such organisation", "credit.unknown-organisation")
    classes = tuple(message.classes)
    if classes != tuple(sorted(set(classes))) or len(classes) > SOURCE_CLASSES_MAX:
        raise Refused(
            f"classes stand in ascending order, each once, at most {SOURCE_CLASSES_MAX}", "credit.invalid-classes"
        )
    for number in classes:
        if not present_version(context.read, number):
            raise Refused(f"there is no class {number}", "credit.unknown-class")
    if classes:
        context.write(source_key(message.organisation), encode(pb.SourceRecord(classes=classes)))
    else:
        context.delete(source_key(message.organisation))


# ---------------------------------------------------------------- who signs


def check_authority(context: Context) -> None:
    """Check that the credit authority signs, with a key that attests.

    Raises:
        Refused: It does not, or it is suspended.
    """
    for organisation in signing_organisations(context, membership_pb2.PURPOSE_ATTEST):
        if AUTHORITY_ROLE in organisation.roles:
            if not organisation.is_active:
                raise Refused("the credit authority is suspended", "credit.suspended")
            return
    raise Refused(
        "no organisation with the role credit-authority signs with a key that attests", "credit.not-authority"
    )


def signing_source(context: Context, number: int) -> Organisation:
    """The one active organisation that signs and may attest a class.

    Raises:
        Refused: None may, several sign that may, or it is suspended.
    """
    found = [
        organisation
        for organisation in signing_organisations(context, membership_pb2.PURPOSE_ATTEST)
        if number in _granted(context, organisation.id)
    ]
    if not found:
        raise Refused("no organisation signs that may attest this class", "credit.not-source")
    if len(found) > 1:
        raise Refused("several sources of this class sign; one attests at a time", "credit.ambiguous-source")
    if not found[0].is_active:
        raise Refused("the source is suspended", "credit.suspended")
    return found[0]


def _granted(context: Context, organisation: str) -> frozenset[int]:
    """Which classes an organisation may attest; read once in a transaction of many events."""

    def read() -> frozenset[int]:
        return frozenset(pb.SourceRecord.FromString(context.read(source_key(organisation)) or b"").classes)

    return context.overlay.derive(SOURCES_PREFIX, organisation, read)


def class_number(message: pb.PutClass | pb.RecordEvent | pb.EventRecord | pb.Decide | pb.DecisionRecord) -> int:
    """The field `class`, whose name is a word of the language."""
    number = getattr(message, "class")
    assert isinstance(number, int), "the field is an integer"
    return number


def _check_kind(message: pb.PutClass) -> None:
    """Check kind, polarity, severity, dimension and effects.

    Raises:
        Refused: One is unknown, or they contradict one another.
    """
    if (
        message.kind not in _KINDS
        or message.polarity not in _POLARITIES
        or message.severity not in PUBLICATION_DAYS
        or not 1 <= message.dimension <= DIMENSIONS_MAX
    ):
        raise Refused("kind, polarity, severity or dimension is not known", "credit.invalid-class")
    is_negative = message.polarity == pb.POLARITY_NEGATIVE
    if is_negative != (message.severity != pb.SEVERITY_NONE) or (is_negative and message.kind != pb.KIND_RECORD):
        raise Refused("negative records have a severity, and nothing else has", "credit.invalid-class")
    effects = tuple(message.effects)
    if effects != tuple(effect for effect in _EFFECTS if effect in effects):
        raise Refused("effects are known ones in ascending order", "credit.invalid-class")
    if not is_negative and (pb.EFFECT_BURDEN in effects or pb.EFFECT_PUBLICATION in effects):
        raise Refused("only a negative class is published or carries a burden", "credit.invalid-class")


def _check_days(message: pb.PutClass) -> None:
    """Check that publication keeps to what severity allows.

    Raises:
        Refused: It does not.
    """
    shortest, longest = PUBLICATION_DAYS[message.severity]
    if pb.EFFECT_PUBLICATION not in message.effects and message.severity in {pb.SEVERITY_NONE, pb.SEVERITY_MINOR}:
        shortest = 0
    if not shortest <= message.publication_days_min <= message.publication_days_max <= longest:
        raise Refused(
            f"publication of this severity takes between {shortest} and {longest} days", "credit.invalid-publication"
        )
