# SPDX-License-Identifier: Apache-2.0
"""How fast events are read, checked and hashed: `python -m benchmarks.epcis [--events N]` prints one JSON object.

Events are as a carrier sends them: twenty boxes, a lot, a transaction, two parties and a temperature. Figures are
processor time of one core.
"""

import argparse
import json
import time
from collections.abc import Callable

from benchmarks.machine import hashes_per_s
from traceability import digital_link, epcis
from traceability.gs1 import check_digit

CONTEXT = ["https://ref.gs1.org/standards/epcis/epcis-context.jsonld", {"ex": "https://ns.example.com/"}]


def event(index: int) -> dict[str, object]:
    """One plausible shipping event."""
    lot = f"https://id.gs1.org/01/09521141012345/10/L{index}"
    report = {"type": "Temperature", "minValue": 2.5, "maxValue": 4.25, "uom": "CEL"}
    return {
        "type": "ObjectEvent",
        "eventTime": f"2026-04-05T08:{index % 60:02}:00.5+08:00",
        "eventTimeZoneOffset": "+08:00",
        "action": "OBSERVE",
        "bizStep": "shipping",
        "disposition": "in_transit",
        "epcList": [f"urn:epc:id:sgtin:4012345.012345.{index}-{box}" for box in range(20)],
        "quantityList": [{"epcClass": lot, "quantity": 99.5, "uom": "KGM"}],
        "readPoint": {"id": "https://id.gs1.org/414/4012345000115"},
        "bizTransactionList": [{"type": "po", "bizTransaction": f"urn:epcglobal:cbv:bt:4012345000115:{index}"}],
        "sourceList": [{"type": "possessing_party", "source": "urn:epc:id:pgln:4012345.00000"}],
        "destinationList": [{"type": "possessing_party", "destination": "urn:epc:id:pgln:4012345.00001"}],
        "sensorElementList": [{"sensorReport": [report]}],
        "ex:truck": "粤E12345",
    }


def run(events: int = 2_000) -> dict[str, float]:
    """Measure reading with checking, checking, hashing, and reading of links.

    Args:
        events: In one document.
    """
    document = {
        "@context": CONTEXT,
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-04-05T08:30:00Z",
        "epcisBody": {"eventList": [event(index) for index in range(events)]},
    }
    raw = json.dumps(document).encode()
    bodies = [f"09521{index:08}" for index in range(events)]
    links = [f"https://id.gs1.org/01/{body}{check_digit(body)}/10/L1/21/S?17=270101" for body in bodies]
    return {
        "events": events,
        "bytes_per_event": len(raw) // events,
        "validations_per_s": _rate(events, lambda: epcis.validate(document)),
        "read_and_validated_per_s": _rate(events, lambda: epcis.validate(raw)),
        "event_hashes_per_s": _rate(events, lambda: epcis.event_hashes(document)),
        "links_per_s": _rate(events, lambda: [digital_link.parse(link) for link in links]),
        "hashes_per_s": hashes_per_s(),
    }


def _rate(count: int, work: Callable[[], object]) -> float:
    """How many a second."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000)
    print(json.dumps(run(parser.parse_args().events)))


if __name__ == "__main__":
    main()
