# SPDX-License-Identifier: Apache-2.0
"""Places and products, and how far scales may differ.

A product is a regulator's record, for it says what a piece weighs: quantities of different products are compared by
mass, and whoever could choose it could make goods out of nothing. Unit and mass stay as they are for good.  Under
`traceability/place/<GLN>`, `…/product/<GTIN>` and `…/tolerance/<unit>`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from traceability.items import check_gln, check_gtin
from traceability.participants import (
    RECORDS_CACHED_MAX,
    check_names,
    check_owner_or_regulator,
    existing_participant,
    regulator_of,
)
from traceability.pb import traceability_pb2 as pb

MICRO: Final = 1_000_000
"""Quantities are whole millionths of a unit."""
MASS_MG_MAX: Final = 1_000_000_000
"""One unit weighs at most a tonne: more is a shipment, not a unit."""
TOLERANCE_PPM_MAX: Final = 50_000
"""5 %: nobody's scales differ by more, and 110 kg never come out of 100."""
TOLERANCE_PPM: Final = {pb.UNIT_KILOGRAM: 20_000, pb.UNIT_LITRE: 20_000, pb.UNIT_PIECE: 0}
"""Until a regulator says otherwise; pieces are counted, not weighed."""
MILLICELSIUS_MAX: Final = 200_000
MINUTES_MAX: Final = 10_080

_PLACES = frozenset(pb.PlaceKind.values()) - {pb.PLACE_KIND_UNSPECIFIED}
_DISTRICT = re.compile(r"[1-9][0-9]{5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Product:
    """What rules look at of a product.

    Attributes:
        owner: GLN of who alone may make it; empty: everybody may.
        mass_mg: Net, of one unit: a millionth of the unit weighs so many nanograms.
    """

    gtin: str
    owner: str
    unit: pb.Unit.ValueType
    mass_mg: int


def place_key(gln: str) -> bytes:
    """State key of a place."""
    return b"traceability/place/" + gln.encode()


def product_key(gtin: str) -> bytes:
    """State key of a product."""
    return b"traceability/product/" + gtin.encode()


def tolerance_key(unit: int) -> bytes:
    """State key of a unit's tolerance."""
    return b"traceability/tolerance/%d" % unit


def load_place(read: ReadState, gln: str) -> pb.RecordPlace | None:
    """A place, also one that is closed; None if it is not recorded."""
    raw = read(place_key(gln))
    return None if raw is None else pb.RecordPlace.FromString(raw)


def load_product(read: ReadState, gtin: str) -> Product | None:
    """A product, or None."""
    raw = read(product_key(gtin))
    return None if raw is None else _product(raw)


def existing_product(read: ReadState, gtin: str) -> Product:
    """A product.

    Raises:
        Refused: It is not recorded.
    """
    found = load_product(read, gtin)
    if found is None:
        raise Refused(f"there is no product {gtin}; record it first", "traceability.unknown-product")
    return found


def load_tolerance(read: ReadState, unit: pb.Unit.ValueType) -> int:
    """How far scales may differ, in parts per million of what is declared."""
    raw = read(tolerance_key(unit))
    return TOLERANCE_PPM[unit] if raw is None else pb.SetTolerance.FromString(raw).parts_per_million


def check_place(read: ReadState, gln: str) -> None:
    """Check that an event may name a place.

    Raises:
        Refused: It is not recorded, or closed.
    """
    check_gln(gln, "a place")
    raw = read(place_key(gln))
    if raw is None:
        raise Refused(f"there is no place {gln}; record it first", "traceability.unknown-place")
    if _is_closed(raw):
        raise Refused(f"the place {gln} is closed", "traceability.place-closed")


def record_place(context: Context, message: pb.RecordPlace) -> None:
    """Record a place, or other fields of one. One write.

    Raises:
        Refused: Neither its owner nor a regulator signs, or a field is not as it must be.
    """
    check_gln(message.gln, "a place")
    owner = existing_participant(context.read, message.owner)
    before = load_place(context.read, message.gln)
    if before is None or before.owner == message.owner:
        check_owner_or_regulator(context, message.owner)
    else:
        _check_regulator(context)
    if message.kind not in _PLACES or _DISTRICT.fullmatch(message.district) is None:
        raise Refused("a place has a known kind and a district of six digits", "traceability.invalid-place")
    if owner.kind == pb.PARTICIPANT_KIND_COMPANY:
        check_names(message.name_zh, message.name_en)
    elif message.name_zh or message.name_en:
        raise Refused("a smallholder's place has no name: it would tell whose it is", "traceability.names-a-person")
    context.write(place_key(message.gln), encode(message))


def record_product(context: Context, message: pb.RecordProduct) -> None:
    """Record a product, or other names and limits of one. One write.

    Raises:
        Refused: No regulator signs, a field is not as it must be, or one would change that stays.
    """
    check_gtin(message.gtin)
    regulator_of(context)
    if message.owner:
        existing_participant(context.read, message.owner)
    check_names(message.name_zh, message.name_en)
    is_kilogram = message.unit == pb.UNIT_KILOGRAM
    if message.unit not in TOLERANCE_PPM or not 1 <= message.mass_mg <= MASS_MG_MAX:
        raise Refused("a product has a known unit, of a net mass up to a tonne", "traceability.invalid-product")
    if is_kilogram and message.mass_mg != MICRO:
        raise Refused("a kilogram has 1,000,000 mg", "traceability.invalid-product")
    if message.HasField("temperature"):
        _check_limits(message.temperature)
    before = load_product(context.read, message.gtin)
    if before is not None and before != Product(message.gtin, message.owner, message.unit, message.mass_mg):
        raise Refused("a product's owner, unit and mass stay as they are", "traceability.product-fixed")
    context.write(product_key(message.gtin), encode(message))


def set_tolerance(context: Context, message: pb.SetTolerance) -> None:
    """Say how far scales may differ, for what is declared from now on. One write.

    Raises:
        Refused: No regulator signs, or it is beyond 5 %.
    """
    regulator_of(context)
    if message.unit not in TOLERANCE_PPM or message.parts_per_million > TOLERANCE_PPM_MAX:
        raise Refused(f"a unit's tolerance is at most {TOLERANCE_PPM_MAX} ppm", "traceability.invalid-tolerance")
    context.write(tolerance_key(message.unit), encode(message))


def _check_regulator(context: Context) -> None:
    """Only a regulator takes a place from whoever recorded it, rightly or not.

    Raises:
        Refused: None signs.
    """
    try:
        regulator_of(context)
    except Refused:
        raise Refused("the place is another participant's", "traceability.place-of-another") from None


def _check_limits(limits: pb.TemperatureLimits) -> None:
    if (
        not -MILLICELSIUS_MAX <= limits.min_millicelsius < limits.max_millicelsius <= MILLICELSIUS_MAX
        or limits.minutes_max > MINUTES_MAX
    ):
        raise Refused("temperature limits rise, within ±200 °C, for at most a week", "traceability.invalid-product")


@lru_cache(maxsize=RECORDS_CACHED_MAX)
def _product(raw: bytes) -> Product:
    record = pb.RecordProduct.FromString(raw)
    return Product(record.gtin, record.owner, record.unit, record.mass_mg)


@lru_cache(maxsize=RECORDS_CACHED_MAX)
def _is_closed(raw: bytes) -> bool:
    return pb.RecordPlace.FromString(raw).closed
