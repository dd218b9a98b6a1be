# SPDX-License-Identifier: Apache-2.0
"""What stands in the verifier's tables sealed: it opens in its row and column alone, with the store's keys."""

from dataclasses import dataclass

from service.errors import StorageError
from service.store import Store
from service.store.cipher import Unopened, place, seal, unseal


@dataclass(frozen=True, slots=True)
class Sealing:
    """The verifier's own key, the same in each process of its store."""

    key: bytes

    @classmethod
    def of(cls, store: Store) -> "Sealing":
        """The one of a store."""
        return cls(store.secret("verifier/sealed"))

    def seal(self, row: str, column: str, value: str) -> bytes:
        """Seal a text for a place."""
        return seal(self.key, value.encode(), _where(row, column))

    def open(self, row: str, column: str, sealed: bytes | None) -> str | None:
        """What was sealed for a place; None where nothing is.

        Raises:
            StorageError: It does not open: the row was changed, or the keys do not fit.
        """
        if sealed is None:
            return None
        try:
            return unseal(self.key, sealed, _where(row, column)).decode()
        except Unopened:
            raise StorageError(f"a value of the verifier's {column} does not open: was it changed?") from None


def _where(row: str, column: str) -> bytes:
    return place("zhixin/verifier/1", row, column)
