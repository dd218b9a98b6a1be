# SPDX-License-Identifier: Apache-2.0
"""Random inspections (双随机): which companies are inspected and by whom, drawn so that anybody can draw it again.

The candidates and their weights are announced first, with a height that the ledger has not reached; the announcement's
digest is anchored on the ledger before that height. The block of that height, whose id nobody knew, is the seed. Who is
weighed more heavily is drawn more often; nobody is exempt. Pure functions of the announcement's bytes, the proof of its
anchor and the block's id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from chain import receipt
from chain.checkpoint import Checkpoint
from chain.errors import InvalidMessage, InvalidReceipt
from chain.genesis import Genesis
from chain.light_client import TrustAnchor
from chain.strict_json import Json, canonical, parse
from chain.types import HASH_BYTES, sha256
from membership.anchors import anchor_key
from membership.pb import membership_pb2

ANNOUNCEMENT_BYTES_MAX: Final = 4 * 1024 * 1024
CANDIDATES_MAX: Final = 20_000
INSPECTORS_MAX: Final = 500
WEIGHT_MAX: Final = 1_000
NAME_CHARACTERS_MAX: Final = 64
WEIGHTS: Final[Mapping[str, int]] = MappingProxyType({"A": 1, "B": 2, "C": 4, "D": 8})
"""By grade: who is trusted is disturbed less often, and never never."""

STREAM: Final = sha256(b"zhixin/credit/draws/1")[:16]
"""The one stream of anchors of a service's announcements: it only grows."""

_DOMAIN: Final = b"zhixin/credit/draw/1\x00"
_ANNOUNCED: Final = b"zhixin/credit/draw-announced/1\x00"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is published before the seed is known.

    Attributes:
        candidates: Names and weights, ascending by name.
        inspectors: Ascending; each drawn company gets one of them.
        count: How many companies are drawn.
        height: Of the block that is the seed.
    """

    candidates: tuple[tuple[str, int], ...]
    inspectors: tuple[str, ...]
    count: int
    height: int

    def encode(self) -> bytes:
        """Canonical JSON, one spelling for each announcement.

        Raises:
            InvalidMessage: A field is out of its bounds or out of order.
        """
        names = [name for name, _ in self.candidates]
        for listed, most, what in (
            (names, CANDIDATES_MAX, "candidates"),
            (self.inspectors, INSPECTORS_MAX, "inspectors"),
        ):
            if not 1 <= len(listed) <= most or any(a >= b for a, b in pairwise(listed)):
                raise InvalidMessage(f"{what}: 1 to {most} names, ascending, each once")
            if any(not 1 <= len(name) <= NAME_CHARACTERS_MAX for name in listed):
                raise InvalidMessage(f"{what}: a name has 1 to {NAME_CHARACTERS_MAX} characters")
        if any(not 1 <= weight <= WEIGHT_MAX for _, weight in self.candidates):
            raise InvalidMessage(f"candidates: a weight is 1 to {WEIGHT_MAX}")
        if not 1 <= self.count <= len(self.candidates):
            raise InvalidMessage("count: 1 to the number of candidates")
        if not 0 < self.height < 2**53:
            raise InvalidMessage("height: of a block")
        value: dict[str, Json] = {
            "candidates": [list(pair) for pair in self.candidates],
            "count": self.count,
            "height": self.height,
            "inspectors": list(self.inspectors),
        }
        return canonical(value)

    @classmethod
    def decode(cls, raw: bytes) -> "Announcement":
        """Read what was published.

        Raises:
            InvalidMessage: It is no announcement.
        """
        value = parse(raw, size_max=ANNOUNCEMENT_BYTES_MAX, depth_max=4)
        if not isinstance(value, dict) or set(value) != {"candidates", "count", "height", "inspectors"}:
            raise InvalidMessage("an announcement names candidates, count, height and inspectors")
        candidates, inspectors, count, height = (
            value[name] for name in ("candidates", "inspectors", "count", "height")
        )
        if not isinstance(candidates, list) or not isinstance(inspectors, list):
            raise InvalidMessage("candidates and inspectors are lists")
        pairs: list[tuple[str, int]] = []
        for pair in candidates:
            match pair:
                case [str(name), int(weight)]:
                    pairs.append((name, weight))
                case _:
                    raise InvalidMessage("a candidate is a name and a weight")
        names = [name for name in inspectors if isinstance(name, str)]
        if len(names) != len(inspectors) or not isinstance(count, int) or not isinstance(height, int):
            raise InvalidMessage("inspectors are names, count and height are numbers")
        made = cls(tuple(pairs), tuple(names), count, height)
        if made.encode() != raw:
            raise InvalidMessage("not the canonical spelling of an announcement")
        return made


def announcement_digest(announcement: bytes) -> bytes:
    """What is anchored of an announcement; 32 bytes. It names every company, so nobody guesses it from its digest."""
    return sha256(_ANNOUNCED + announcement)


def announced_key(keeper: str) -> bytes:
    """State key of the newest announcement that an organisation's service anchored."""
    return anchor_key(keeper, membership_pb2.ANCHOR_KIND_AUDIT, STREAM)


def verify_announced(
    announcement: bytes, proof: bytes, genesis: Genesis | TrustAnchor | bytes, keeper: str, number: int
) -> Checkpoint:
    """Verify that an announcement stood on the ledger before its seed was known, and that it is just this one.

    Args:
        announcement: Its bytes, as published.
        proof: A receipt of the state under `announced_key`, made before the announced height.
        genesis: Of the network.
        keeper: Id of the organisation whose service announced it.
        number: Of the draw: announcements are numbered without a gap, so that one that was never drawn is missed.

    Returns:
        The certified checkpoint that had it; its height is below the announced one.

    Raises:
        LedgerError: The announcement was changed, is another number's, or was not there in time.
    """
    announced = Announcement.decode(announcement)
    proven = receipt.verify(proof, genesis)
    key = announced_key(keeper)
    values = [state.value for state in proven.states if state.key == key]
    if len(values) != 1 or values[0] is None:
        raise InvalidReceipt("the receipt does not show what this organisation announced", "receipt.invalid")
    record = membership_pb2.AnchorRecord.FromString(values[0])
    if (record.digest, record.size) != (announcement_digest(announcement), number):
        raise InvalidReceipt("another announcement stands on the ledger under this number", "receipt.altered")
    if proven.checkpoint.height >= announced.height:
        raise InvalidReceipt("the announcement is not proven from before its seed was known", "receipt.too-old")
    return proven.checkpoint


def draw(announcement: bytes, block_id: bytes) -> tuple[tuple[str, str], ...]:
    """Who is inspected by whom, in the order drawn.

    Args:
        announcement: Its bytes, as published.
        block_id: Of the block at the announced height; 32 bytes.

    Returns:
        Pairs of company and inspector.

    Raises:
        InvalidMessage: It is no announcement.
    """
    assert len(block_id) == HASH_BYTES, "a block's id has 32 bytes"
    announced = Announcement.decode(announcement)
    seed = sha256(_DOMAIN + sha256(announcement) + block_id)
    left = list(announced.candidates)
    total = sum(weight for _, weight in left)
    drawn: list[tuple[str, str]] = []
    for i in range(announced.count):
        place = _number(seed, 2 * i) % total
        at = _at(left, place)
        name, weight = left.pop(at)
        total -= weight
        drawn.append((name, announced.inspectors[_number(seed, 2 * i + 1) % len(announced.inspectors)]))
    return tuple(drawn)


def _number(seed: bytes, turn: int) -> int:
    """256 bits for one turn: the remainder of so many favours nobody by more than one part in 2^220."""
    return int.from_bytes(sha256(seed + turn.to_bytes(4)))


def _at(candidates: Sequence[tuple[str, int]], place: int) -> int:
    """Whose stretch of the weights a place lies in."""
    for at, (_, weight) in enumerate(candidates):
        if place < weight:
            return at
        place -= weight
    raise AssertionError("a place lies below the sum of weights")
