# SPDX-License-Identifier: Apache-2.0
"""What of captured events is opened to every shopper: temperatures and certificates, each against its commitment.

Nothing else of an event leaves the service by this way: no names, no documents, no measurements of another kind. Each
opening is verified before it is handed on, so that a damaged store shows less, and nothing false.
Source: EPCIS 2.0, sections 7.3.7 (sensor data) and 7.4 (certificationInfo).
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from service.errors import StorageError
from service.store import Store
from traceability import epcis_vocabulary as cbv
from traceability.api.kept import find_owner, load_events
from traceability.cold_chain import Reading, readings_of
from traceability.openings import Field, InvalidOpening, open_field, verify_field
from traceability.pb import traceability_pb2 as pb

OPENINGS_MAX: Final = 256
"""Fields that one page opens; each costs a phone some hashes, and 0.5 KB."""
VALUE_BYTES_MAX: Final = 8_192
"""Of one field: a truck's readings of a day, a minute each, are several elements."""
CERTIFICATE_CHARACTERS_MAX: Final = 200

SENSORS: Final = "/sensorElementList/"
CERTIFICATES: Final = "/certificationInfo"
_TEMPERATURE: Final = frozenset({"Temperature", "gs1:Temperature", f"{cbv.GS1_VOC}Temperature"})
_REPORT: Final = frozenset({"type", "value", "minValue", "maxValue", "meanValue", "uom", "time", "deviceID"})
_METADATA: Final = frozenset({"time", "startTime", "endTime", "deviceID"})


@dataclass(frozen=True, slots=True)
class Opening:
    """One field of an event, opened.

    Attributes:
        event: The event's id on the chain.
    """

    event: bytes
    field: Field


class KeptEvents(Protocol):
    """The service that captured events."""

    def kept(self, events: Sequence[pb.RecordEvent]) -> Mapping[bytes, tuple[bytes, bytes]]:
        """What is kept of events, by their ids on the chain: what was committed to, and the secret.

        Blocks. What was captured elsewhere, or whose secret is destroyed, is left out.
        """
        ...


class StoredEvents:
    """Events that this service has captured.

    Args:
        store: The private store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def kept(self, events: Sequence[pb.RecordEvent]) -> Mapping[bytes, tuple[bytes, bytes]]:
        """See `KeptEvents`."""
        by_actor: dict[str, list[bytes]] = {}
        for event in events:
            by_actor.setdefault(event.projection.actor, []).append(event.projection.id)
        found: dict[bytes, tuple[bytes, bytes]] = {}
        with self._store.read() as session:
            for gln, ids in by_actor.items():
                with contextlib.suppress(StorageError):  # a row that does not open shows nothing
                    owner = find_owner(self._store, session, gln)
                    if owner is None:
                        continue
                    found |= {
                        one: (whole.data, whole.secret) for one, whole in load_events(session, owner, ids).items()
                    }
        return found


class Opener:
    """Opens what shoppers may see.

    Args:
        kept: Where events with their secrets are.
    """

    def __init__(self, kept: KeptEvents) -> None:
        self._kept = kept

    def open(self, events: Sequence[pb.RecordEvent]) -> tuple[Opening, ...]:
        """The openings of some events, in their order; blocks.

        Args:
            events: As they stand in the log.
        """
        by_id = self._kept.kept(events)
        found: list[Opening] = []
        for event in events:
            kept = by_id.get(event.projection.id)
            if kept is not None and event.fields_root:
                found += _openings(event, *kept)
        return tuple(found[:OPENINGS_MAX])


def _openings(message: pb.RecordEvent, data: bytes, secret: bytes) -> list[Opening]:
    """One event's; those that do not verify are left out."""
    event = json.loads(data)["event"]
    pointers = [f"{SENSORS}{index}" for index, one in enumerate(event.get("sensorElementList", [])) if _is_plain(one)]
    if "certificationInfo" in event:
        pointers.append(CERTIFICATES)
    found: list[Opening] = []
    for pointer in pointers:
        try:
            field = open_field(event, secret, pointer)
            verify_field(field, message.fields_root)
        except InvalidOpening:
            continue
        if len(field.value) <= VALUE_BYTES_MAX:
            found.append(Opening(message.projection.id, field))
    return found


def _is_plain(element: Mapping[str, Any]) -> bool:
    """Whether an element tells of temperatures in degrees Celsius and of nothing else."""
    reports = element.get("sensorReport", [])
    return (
        bool(reports)
        and element.keys() <= {"sensorMetadata", "sensorReport"}
        and element.get("sensorMetadata", {}).keys() <= _METADATA
        and all(
            report.keys() <= _REPORT and report.get("type") in _TEMPERATURE and report.get("uom", "CEL") == "CEL"
            for report in reports
        )
    )


def temperatures(openings: Sequence[Opening], times: Mapping[bytes, str]) -> list[Reading]:
    """The readings that openings tell of, by time; one device's in any order stay as they come.

    Args:
        openings: Verified.
        times: Each event's time as EPCIS writes it, for readings that state none.
    """
    found: list[Reading] = []
    for opening in openings:
        if opening.field.pointer.startswith(SENSORS):
            event = {"eventTime": times[opening.event], "sensorElementList": [json.loads(opening.field.value)]}
            event["sensorElementList"] = [_canonically_typed(one) for one in event["sensorElementList"]]
            found += readings_of(event)
    return sorted(found, key=lambda one: (one.from_ms, one.to_ms, one.device, one.low, one.high))


def _canonically_typed(element: dict[str, Any]) -> dict[str, Any]:
    """An element whose types need no context to be read."""
    for report in element["sensorReport"]:
        report["type"] = f"{cbv.GS1_VOC}Temperature"
    return element


def certificates(openings: Sequence[Opening]) -> list[str]:
    """Addresses of certificates that openings name, each once, in their order; details in place of one stay away."""
    found: list[str] = []
    for opening in openings:
        if opening.field.pointer == CERTIFICATES:
            value = json.loads(opening.field.value)
            listed = value if isinstance(value, list) else [value]
            found += [one[:CERTIFICATE_CHARACTERS_MAX] for one in listed if isinstance(one, str)]
    return list(dict.fromkeys(found))
