# SPDX-License-Identifier: Apache-2.0
"""What goes into a processing and what comes out of it, by mass, as the ledger will weigh it.

Pure. The ledger knows tolerance that came with the goods and is left of it; here the most that it ever is: what is
refused here, the ledger would refuse, and what passes it may refuse still.  Source: `traceability.making`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from traceability.items import Kind, gtin_of, kind_of
from traceability.pb import traceability_pb2 as pb
from traceability.products import MICRO, TOLERANCE_PPM_MAX

NANOGRAMS_OF_GRAM: Final = 10**9


@dataclass(frozen=True, slots=True)
class Balance:
    """Masses in nanograms."""

    used_ng: int
    made_ng: int

    @property
    def is_possible(self) -> bool:
        """Whether so much can come out, were all tolerance still there."""
        return self.made_ng * MICRO <= self.used_ng * (MICRO + TOLERANCE_PPM_MAX)

    @property
    def is_more(self) -> bool:
        """Whether more comes out than goes in, so that tolerance is used up."""
        return self.made_ng > self.used_ng

    @property
    def lost_ng(self) -> int:
        """What is waste or loss; not negative."""
        return max(0, self.used_ng - self.made_ng)


def balance_of(projection: pb.Projection, products: Mapping[str, pb.RecordProduct]) -> Balance | None:
    """Weigh a transformation; None: a product of it is not known.

    Args:
        projection: Of the event.
        products: By GTIN.
    """
    used, made = _mass_ng(projection.lines, products), _mass_ng(projection.outputs, products)
    return None if used is None or made is None else Balance(used, made)


def kilograms(mass_ng: int) -> str:
    """A mass as a number of kilograms, to the gram, rounded half up."""
    grams = (mass_ng + NANOGRAMS_OF_GRAM // 2) // NANOGRAMS_OF_GRAM
    whole, rest = divmod(grams, 1000)
    return f"{whole}.{rest:03}".rstrip("0").rstrip(".")


def _mass_ng(lines: Iterable[pb.Line], products: Mapping[str, pb.RecordProduct]) -> int | None:
    total = 0
    for line in lines:
        product = products.get(gtin_of(line.item))
        if product is None:
            return None
        total += (line.quantity if kind_of(line.item) is Kind.LOT else MICRO) * product.mass_mg
    return total
