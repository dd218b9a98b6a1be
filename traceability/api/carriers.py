# SPDX-License-Identifier: Apache-2.0
"""Who carries a shipment. EPCIS has no field for it, so an extension says it: `<any prefix>:carrier`, a PGLN (417)."""

import re
from collections.abc import Mapping
from typing import Any, Final

from traceability.epc import canonical_identifier
from traceability.items import is_gln

_NAME: Final = re.compile(r"[^\s:]+:carrier")
_STEM: Final = "https://id.gs1.org/417/"


def carrier_of(event: Mapping[str, Any]) -> str:
    """The GLN of a shipment's carrier; empty: nobody else carries it, or it is named in another way.

    Args:
        event: A valid event.
    """
    for name, value in event.items():
        if isinstance(value, str) and _NAME.fullmatch(name):
            number = (canonical_identifier(value) or "").removeprefix(_STEM)
            if is_gln(number):
                return number
    return ""
