# SPDX-License-Identifier: Apache-2.0
"""Logs of one-time slots, as whoever shows one proves them: states under one receipt, each of which is needed.

A log is complete when each opening leads to the next slot and the last one is absent, under one receipt. What a slot
holds is the domain's own. Pure functions of bytes.
"""

from typing import Final

from chain.errors import InvalidReceipt
from chain.receipt import Verified
from chain.types import HASH_BYTES

SLOT_BYTES: Final = HASH_BYTES


class ShownStates:
    """The states that a receipt proves, each of which must be asked for: nothing unneeded rides along."""

    def __init__(self, proven: Verified) -> None:
        """Begin with what a receipt proves.

        Raises:
            InvalidReceipt: It proves operations too.
        """
        if proven.inclusions or proven.failures:
            raise InvalidReceipt("a report's receipt proves states only")
        self._states = {state.key: state.value for state in proven.states}
        self._used = set[bytes]()

    def value(self, key: bytes) -> bytes | None:
        """What stands under a key; None: proven absent.

        Raises:
            InvalidReceipt: The receipt says nothing of it.
        """
        if key not in self._states:
            raise InvalidReceipt("the report's receipt lacks a state that the log leads to")
        self._used.add(key)
        return self._states[key]

    def is_used(self, key: bytes) -> bool:
        """Whether a key was asked for already: a log never leads to one slot twice."""
        return key in self._used

    def check_all_used(self) -> None:
        """Check that no state is left over.

        Raises:
            InvalidReceipt: One is.
        """
        if len(self._used) != len(self._states):
            raise InvalidReceipt("the report's receipt proves more than the report needs")
