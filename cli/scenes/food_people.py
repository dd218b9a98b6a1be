# SPDX-License-Identifier: Apache-2.0
"""Who takes part in a food season on a demonstration's network: a regulator, a service that submits, and the traders.

Keys are made from the network's id, so that a scene played again finds the same people.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from chain.ed25519 import Ed25519Signer
from chain.types import SIGNERS_MAX, Network, sha256
from cli.scenes.admitting import Office, admit, code_of, office
from cli.scenes.stage import Stage
from client.session import REQUEST_COUNT_MAX, Session
from membership.state import signer_pb
from traceability import season_people
from traceability.participants import REGULATOR_ROLE, participant_key
from traceability.pb import traceability_pb2 as pb

T = TypeVar("T")

RECORDS_MAX = 1_000
"""Operations of one transaction, a little below what it may have."""


@dataclass(frozen=True, slots=True)
class FoodPeople:
    """The people of a season.

    Attributes:
        regulator: Records participants and products, and recalls.
        service: Submits what traders sign.
        traders: Each participant's own key, by GLN.
    """

    regulator: Office
    service: Office
    traders: Mapping[str, Ed25519Signer]


def trader_seed(network: Network, gln: str) -> bytes:
    """The secret of a participant's key in scenes; 32 bytes."""
    return sha256(b"a trader of a scene\x00" + gln.encode() + b"\x00" + network)


async def admit_food_people(stage: Stage, session: Session, glns: Sequence[str] | None = None) -> FoodPeople:
    """Have the members admit regulator and service, and the regulator record participants with keys, places, products.

    Args:
        stage: Where it plays.
        session: The network.
        glns: The participants; None: everybody of a season. Whoever is recorded already is left as they are.
    """
    regulator = office(session, "food-office", "食品安全办公室", "Food Safety Office", REGULATOR_ROLE)
    service = office(session, "food-records", "食品追溯服务", "Food Records Service")
    await admit(stage, session, [regulator, service])
    wanted = [one for one in season_people.participants() if glns is None or one.gln in glns]
    traders = {one.gln: Ed25519Signer(trader_seed(session.network, one.gln)) for one in wanted}
    known: set[bytes] = set()
    for some in _parts([participant_key(one.gln) for one in wanted], REQUEST_COUNT_MAX):
        known |= {state.key for state in await session.read_many(some) if state.value is not None}
    new = [one for one in wanted if participant_key(one.gln) not in known]
    names = {one.gln for one in new}
    records: list[Message] = [*new, *(place for place in season_people.places() if place.owner in names)]
    if new:
        records += [one for one in season_people.products() if not one.owner or one.owner in traders]
    for part in _parts(records, RECORDS_MAX):
        assert await code_of(session, [regulator.signer], *part) == ""
    for glns_of_keys in _parts([one.gln for one in new], SIGNERS_MAX - 1):
        signers = [traders[gln] for gln in glns_of_keys]
        grants = [pb.AddTraderKey(participant=gln, key=signer_pb(traders[gln].signer)) for gln in glns_of_keys]
        assert await code_of(session, [regulator.signer, *signers], *grants) == ""
    return FoodPeople(regulator, service, traders)


def _parts(items: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    """As many at a time as fit a request."""
    return (items[start : start + count] for start in range(0, len(items), count))
