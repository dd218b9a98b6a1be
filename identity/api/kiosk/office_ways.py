# SPDX-License-Identifier: Apache-2.0
"""With what somebody signs in, as a kiosk shows it: cards of the desk's, and other keys of the registration."""

from collections.abc import Sequence

from identity.api.desk import cards
from identity.api.kiosk.base import WAYS_MAX, SignIn, Way
from identity.pb import identity_pb2 as pb


def ways(own: Sequence[cards.Opened], record: pb.PersonRecord, here: str) -> tuple[SignIn, ...]:
    """What somebody signs in with.

    Args:
        own: Their cards at the desk.
        record: Their registration, as the ledger has it.
        here: Id of the card in the reader; "": none is.
    """
    stopped = {key.commitment: key.suspended for key in record.keys}
    found = []
    for card in own:
        mine = [stopped.pop(one) for one in card.commitments if one in stopped]
        if mine:
            reference = f"K-{card.id[:8].upper()}"
            found.append(SignIn(card.id, Way.CARD, reference, all(mine), card.id == here))
    for commitment, is_stopped in stopped.items():
        found.append(
            SignIn(commitment.hex(), Way.PHONE, f"S-{commitment.hex()[:8].upper()}", is_stopped, is_here=False)
        )
    return tuple(found[:WAYS_MAX])
