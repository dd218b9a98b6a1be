# SPDX-License-Identifier: Apache-2.0
"""Parts of goods as pairs of whole numbers: how much there is, and how much tolerance came with it.

Tolerance is granted once, where something is declared. From then on each step divides a pair in two or joins two, and
what scales show in excess comes out of the slack.

Invariant: `taken` and `sold` conserve quantity + slack exactly, `joined` adds both; nothing here makes more of either.
So what leaves a lineage never exceeds what was declared plus what was granted, whatever steps lie between.
Source: docs/adr/0016-mass-balance-by-lineage.md.
"""

from dataclasses import dataclass
from typing import Final

from chain.errors import Refused


@dataclass(frozen=True, slots=True)
class Portion:
    """So much of something.

    Attributes:
        quantity: In whole millionths of the unit, or nanograms; not negative.
        slack: Of the lineage's tolerance, in the same measure; not negative.
    """

    quantity: int
    slack: int

    @property
    def most(self) -> int:
        """How much can leave at most."""
        return self.quantity + self.slack

    def taken(self, quantity: int) -> tuple["Portion", "Portion"]:
        """Divide it: what goes, with its share of the slack, and what stays.

        Args:
            quantity: How much goes by the scales; from 1.

        Raises:
            Refused: It is more than there is, tolerance included.
        """
        over = self._over(quantity)
        if over >= 0:
            return Portion(quantity, self.slack - over), NOTHING
        share = self.slack * quantity // self.quantity
        return Portion(quantity, share), Portion(self.quantity - quantity, self.slack - share)

    def sold(self, quantity: int) -> "Portion":
        """What stays when so much leaves the ledger; it takes no slack that it does not need.

        Raises:
            Refused: It is more than there is, tolerance included.
        """
        over = self._over(quantity)
        return Portion(0, self.slack - over) if over >= 0 else Portion(self.quantity - quantity, self.slack)

    def joined(self, other: "Portion") -> "Portion":
        """Both together."""
        return Portion(self.quantity + other.quantity, self.slack + other.slack)

    def _over(self, quantity: int) -> int:
        """By how much a quantity exceeds what there is; negative: it does not.

        Raises:
            Refused: By more than the slack.
        """
        assert quantity > 0, "a quantity is checked before it is taken"
        over = quantity - self.quantity
        if over > self.slack:
            raise Refused(
                f"{quantity} is more than the {self.quantity} that are left, with {self.slack} of tolerance",
                "traceability.exceeds-balance",
            )
        return over


NOTHING: Final = Portion(0, 0)
