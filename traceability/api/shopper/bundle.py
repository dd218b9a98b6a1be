# SPDX-License-Identifier: Apache-2.0
"""The proof of a journey as a phone gets it, in JSON: one receipt, the ids of all events, and what of them is open."""

import base64
import json
from typing import Final

from traceability.api.shopper.evidence import Evidence

FORMAT: Final = "zhixin-journey/1"


def bundle_of(evidence: Evidence, from_epoch: int = 0) -> bytes:
    """The bytes of a bundle.

    Args:
        evidence: Of one journey.
        from_epoch: The newest epoch that the receiver knows; 0: all since genesis.
    """
    journey = evidence.journey
    document = {
        "format": FORMAT,
        "item": journey.item,
        "height": evidence.checkpoint.height,
        "receipt": base64.b64encode(evidence.receipt(from_epoch)).decode(),
        "complete": journey.is_complete,
        "ids": {item: [one.hex() for one in ids] for item, ids in journey.ids.items()},
        "openings": [
            {
                "event": opening.event.hex(),
                "pointer": opening.field.pointer,
                "value": opening.field.value.decode(),
                "salt": opening.field.salt.hex(),
                "index": opening.field.index,
                "count": opening.field.count,
                "path": [one.hex() for one in opening.field.path],
            }
            for opening in evidence.openings
        ],
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
