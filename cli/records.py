# SPDX-License-Identifier: Apache-2.0
"""Operations and state records by name, to and from JSON for people: bytes as hex, enumerations by name.

What a network executes is decided by its validators; here stands only what this command can show and write.
"""

import contextlib
import json
from collections.abc import Mapping
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from chain.codec import encode
from chain.transaction import Operation
from cli.acting import show_time
from cli.errors import InputError
from cli.language import t
from cli.output import Json
from credit.pb import credit_pb2
from credit.rules import Credit
from identity.pb import identity_pb2
from identity.rules import Identity
from membership.pb import membership_pb2
from membership.rules import Membership
from traceability.pb import traceability_pb2
from traceability.rules import Traceability

OPERATIONS: Mapping[str, type[Message]] = {
    **Membership().operations,
    **Identity().operations,
    **Traceability().operations,
    **Credit().operations,
}

_STATE_RECORDS: tuple[tuple[bytes, type[Message]], ...] = (
    (b"membership/organisation/", membership_pb2.OrganisationRecord),
    (b"membership/keyring/", membership_pb2.KeyringRecord),
    (b"membership/key/", membership_pb2.KeyRecord),
    (b"membership/validators", membership_pb2.ValidatorsRecord),
    (b"membership/validator/", membership_pb2.ValidatorRecord),
    (b"membership/evidence/", membership_pb2.EvidenceRecord),
    (b"membership/parameters", membership_pb2.ParametersRecord),
    (b"membership/proposals", membership_pb2.ProposalsRecord),
    (b"membership/proposal/", membership_pb2.ProposalRecord),
    (b"status/", identity_pb2.StatusRecord),
    (b"identity/officer/", identity_pb2.OfficerRecord),
    (b"identity/tag/", identity_pb2.TagRecord),
    (b"identity/tag-key/present", identity_pb2.TagKeyRecord),
    (b"identity/seats/", identity_pb2.SeatsRecord),
    (b"identity/person/", identity_pb2.PersonRecord),
    (b"identity/control/", identity_pb2.ControlRecord),
    (b"identity/legal-person/", identity_pb2.LegalPersonRecord),
    (b"identity/mandate/", identity_pb2.MandateRecord),
    (b"identity/access/", identity_pb2.AccessRecord),
    (b"identity/sealed/", identity_pb2.SealRecord),
    (b"identity/sealed-count/", identity_pb2.SealCounts),
    (b"identity/relying-party/", identity_pb2.RelyingPartyRecord),
    (b"identity/relying-proposal/", identity_pb2.RelyingProposal),
    (b"identity/consent/", identity_pb2.ConsentRecord),
    (b"identity/device/", identity_pb2.DeviceRecord),
    (b"credit/source/", credit_pb2.SourceRecord),
    (b"credit/log/", credit_pb2.LogRecord),
    (b"credit/logs/", credit_pb2.LogsRecord),
    (b"credit/slot/", credit_pb2.EventRecord),
    (b"credit/decision/", credit_pb2.DecisionRecord),
    (b"traceability/participant/", traceability_pb2.ParticipantRecord),
    (b"traceability/key/", traceability_pb2.TraderKeyRecord),
    (b"traceability/place/", traceability_pb2.RecordPlace),
    (b"traceability/product/", traceability_pb2.RecordProduct),
    (b"traceability/tolerance/", traceability_pb2.SetTolerance),
    (b"traceability/event/", traceability_pb2.EventRecord),
    (b"traceability/lot/", traceability_pb2.LotRecord),
    (b"traceability/holding/", traceability_pb2.PortionRecord),
    (b"traceability/transit/", traceability_pb2.PortionRecord),
    (b"traceability/object/", traceability_pb2.ObjectRecord),
    (b"traceability/contents/", traceability_pb2.ContentsRecord),
    (b"traceability/process/", traceability_pb2.ProcessRecord),
    (b"traceability/recall/", traceability_pb2.RecallRecord),
)


_MOMENT_MS_MAX = 253_402_300_799_000
"""The last second of the year 9999, which is where dates end."""


def operation_of(type_name: str, body: Mapping[str, object]) -> Operation:
    """An operation from its type and its fields.

    Raises:
        InputError: There is no such type, or the fields do not fit it.
    """
    kind = OPERATIONS.get(type_name)
    if kind is None:
        raise InputError(
            "operation.unknown", t("operation.unknown", name=type_name, known=", ".join(sorted(OPERATIONS)))
        )
    message = kind()
    try:
        _fill(message, body)
    except (ValueError, TypeError, json_format.ParseError) as error:
        raise InputError("operation.invalid", t("operation.invalid", name=type_name, text=error)) from None
    return Operation.make(type_name, encode(message))


def message_of(kind: type[Message], fields: Mapping[str, object], name: str) -> Message:
    """A message from its fields as JSON.

    Raises:
        InputError: They do not fit it.
    """
    message = kind()
    try:
        _fill(message, fields)
    except (ValueError, TypeError, json_format.ParseError) as error:
        raise InputError("operation.invalid", t("operation.invalid", name=name, text=error)) from None
    return message


def show_operation(operation: Operation) -> dict[str, Json]:
    """An operation's type and fields; the bytes alone if the type is not known here."""
    kind = OPERATIONS.get(operation.type)
    if kind is None:
        return {"type": operation.type, "body": operation.body.hex()}
    try:
        return {"type": operation.type, **show(kind.FromString(operation.body))}
    except DecodeError:
        return {"type": operation.type, "body": operation.body.hex()}


def show_state(key: bytes, value: bytes) -> dict[str, Json]:
    """A state value's fields; the bytes alone if its kind is not known here."""
    for prefix, kind in _STATE_RECORDS:
        if key == prefix or (prefix.endswith(b"/") and key.startswith(prefix)):
            with contextlib.suppress(DecodeError):
                return show(kind.FromString(value))
    return {"bytes": value.hex()}


def show(message: Message) -> dict[str, Json]:
    """A message's fields: bytes as hex, enumerations by name, fields that are not set left out."""
    shown: dict[str, Json] = {}
    for field, value in message.ListFields():
        if field.is_repeated:
            shown[field.name] = [_show_value(field, item) for item in value]
        else:
            shown[field.name] = _show_value(field, value)
    return shown


def lines(fields: Mapping[str, Json]) -> list[str]:
    """Fields for people to read, one a line; moments as dates."""
    return [
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in ((name, _dated(name, value)) for name, value in fields.items())
    ]


def _dated(name: str, value: Json) -> Json:
    """A value whose moments, at any depth, are dates; a moment is what `…_ms` names and is not nought."""
    if isinstance(value, Mapping):
        return {inner: _dated(inner, each) for inner, each in value.items()}
    if isinstance(value, list):
        return [_dated(name, each) for each in value]
    is_moment = name.endswith("_ms") and isinstance(value, int) and not isinstance(value, bool)
    return show_time(cast("int", value)) if is_moment and 0 < cast("int", value) <= _MOMENT_MS_MAX else value


def _show_value(field: Any, value: object) -> Json:
    if field.message_type is not None:
        return show(cast("Message", value))
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(cast("int", value))
        return known.name if known is not None else cast("int", value)
    if isinstance(value, bytes):
        return value.hex()
    return cast("Json", value)


def _fill(message: Message, fields: Mapping[str, object]) -> None:
    """Set a message's fields from JSON values: the reverse of `show`."""
    known = message.DESCRIPTOR.fields_by_name
    for name, value in fields.items():
        field = known.get(name)
        if field is None:
            raise ValueError(f"{name!r}; known: {', '.join(known)}")
        if field.is_repeated:
            if not isinstance(value, list):
                raise TypeError(name)
            for item in value:
                if field.message_type is not None:
                    _fill(getattr(message, name).add(), _object(item, name))
                else:
                    getattr(message, name).append(_scalar(field, item))
        elif field.message_type is not None:
            child = getattr(message, name)
            child.SetInParent()
            _fill(child, _object(value, name))
        else:
            setattr(message, name, _scalar(field, value))


def _scalar(field: Any, value: object) -> object:
    if field.type == FieldDescriptor.TYPE_BYTES:
        if not isinstance(value, str):
            raise TypeError(field.name)
        return bytes.fromhex(value)
    if field.enum_type is not None and isinstance(value, str):
        if value not in field.enum_type.values_by_name:
            raise ValueError(f"{value!r}; known: {', '.join(field.enum_type.values_by_name)}")
        return field.enum_type.values_by_name[value].number
    return value


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(name)
    return value
