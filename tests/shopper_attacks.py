# SPDX-License-Identifier: Apache-2.0
"""What a deceiving server could do to the proof of a bag's journey, each with the step at which a phone notices."""

import base64
import re
from collections.abc import Callable
from typing import Any

from chain.codec import encode
from chain.pb import ledger_pb2
from tests.shopper_rig import LOT
from traceability.pb import traceability_pb2 as pb


def altered_receipt(bundle: dict[str, Any], change: Callable[[ledger_pb2.Receipt], None]) -> None:
    """Change the receipt in a bundle."""
    receipt = ledger_pb2.Receipt.FromString(base64.b64decode(bundle["receipt"]))
    change(receipt)
    bundle["receipt"] = base64.b64encode(encode(receipt)).decode()


def more_kilograms(receipt: ledger_pb2.Receipt) -> None:
    operation = ledger_pb2.Operation.FromString(receipt.inclusions[0].operation)
    event = pb.RecordEvent.FromString(operation.body)
    event.projection.lines[0].quantity *= 2
    operation.body = encode(event)
    receipt.inclusions[0].operation = encode(operation)


def forge_certificate(receipt: ledger_pb2.Receipt) -> None:
    receipt.checkpoint.aggregate = bytes([receipt.checkpoint.aggregate[0]]) + bytes(95)


def forge_absence(receipt: ledger_pb2.Receipt) -> None:
    """Say that the first key that is there is not."""
    next(state for state in receipt.states if state.value).value = b""


def leave_out(bundle: dict[str, Any], index: int, *, id_too: bool) -> None:
    """Leave one event out of the proof, and out of the list of ids as well."""
    gone: list[str] = []

    def drop(receipt: ledger_pb2.Receipt) -> None:
        operation = ledger_pb2.Operation.FromString(receipt.inclusions[index].operation)
        gone.append(pb.RecordEvent.FromString(operation.body).projection.id.hex())
        del receipt.inclusions[index]

    altered_receipt(bundle, drop)
    if id_too:
        bundle["ids"] = {item: [one for one in ids if one not in gone] for item, ids in bundle["ids"].items()}


def leave_out_origin(bundle: dict[str, Any]) -> None:
    """Count the harvest, and show nothing of it."""
    leave_out(bundle, 0, id_too=False)


def leave_out_all(bundle: dict[str, Any]) -> None:
    altered_receipt(bundle, _without_events)


def _without_events(receipt: ledger_pb2.Receipt) -> None:
    del receipt.inclusions[:]


def reorder_ids(bundle: dict[str, Any]) -> None:
    bundle["ids"][LOT] = bundle["ids"][LOT][::-1]


def move_opening(bundle: dict[str, Any]) -> None:
    """Show one event's temperature as another's."""
    first, second = sorted({one["event"] for one in bundle["openings"]})[:2]
    for one in bundle["openings"]:
        one["event"] = second if one["event"] == first else first


def forget_recall_keys(bundle: dict[str, Any]) -> None:
    def drop(receipt: ledger_pb2.Receipt) -> None:
        kept = [state for state in receipt.states if not state.key.startswith(b"traceability/recall/")]
        del receipt.states[:]
        receipt.states.extend(kept)

    altered_receipt(bundle, drop)


def colder(bundle: dict[str, Any]) -> None:
    opening = next(one for one in bundle["openings"] if one["pointer"].startswith("/sensor"))
    opening["value"] = re.sub(r'"value":[0-9.]+', '"value":1.0', opening["value"])


ATTACKS: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "tampered-event": ("events", lambda bundle: altered_receipt(bundle, more_kilograms)),
    "forged-certificate": ("signatures", lambda bundle: altered_receipt(bundle, forge_certificate)),
    "forged-absence": ("events", lambda bundle: altered_receipt(bundle, forge_absence)),
    "event-left-out": ("whole", lambda bundle: leave_out(bundle, 4, id_too=True)),
    "event-hidden": ("whole", lambda bundle: leave_out(bundle, 4, id_too=False)),
    "own-event-hidden": ("whole", lambda bundle: leave_out(bundle, 6, id_too=False)),
    "origin-hidden": ("whole", leave_out_origin),
    "all-hidden": ("whole", leave_out_all),
    "ids-reordered": ("whole", reorder_ids),
    "said-to-be-too-long": ("whole", lambda bundle: bundle.update(complete=False)),
    "temperature-of-another-event": ("shown", move_opening),
    "recall-withheld": ("whole", forget_recall_keys),
    "temperature-altered": ("shown", colder),
    "another-item": ("events", lambda bundle: bundle.update(item=LOT)),
    "no-proof": ("signatures", lambda bundle: bundle.update(format="x")),
}
"""Step, and what is done to the bundle."""
