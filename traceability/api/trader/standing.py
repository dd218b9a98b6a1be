# SPDX-License-Identifier: Apache-2.0
"""For whom somebody may record: what the ledger says of the passkey that they signed in with, proven and fresh.

Sign-in says who somebody is, and nothing here rests on what an invitation calls their organisation: the participant is
whoever the key was given to on the ledger. In another's name acts whom that one named as its agent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chain.signing import Signer
from client.answers import ProvenState
from traceability.participants import Participant, load_participant, load_trader_key, participant_key, trader_key

AGE_MS_MAX: Final = 30_000
"""How old an answer may be; as sign-in has it for officers."""
KEYS_MAX: Final = 512
"""State keys of one question to a node."""


class Reads(Protocol):
    """What is needed of a client of the ledger; `client.session.Session` is one."""

    async def read_many(self, keys: Sequence[bytes], *, age_ms_max: int) -> list[ProvenState]:
        """State keys under one checkpoint that is no older, in the order asked."""


@dataclass(frozen=True, slots=True)
class Trader:
    """A participant as somebody who signs for it meets it.

    Attributes:
        own: Whose key it is.
        principals: Others in whose name it acts, active ones, by GLN.
    """

    own: Participant
    principals: Mapping[str, Participant]

    def acting(self, gln: str) -> Participant | None:
        """The participant of a GLN, if one may act as it."""
        return self.own if gln == self.own.gln else self.principals.get(gln)


async def read_state(reads: Reads, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """State of any number of keys, each part under one checkpoint; absent ones are left out.

    Raises:
        TransportError: No node gives an answer that verifies and is fresh.
    """
    found: dict[bytes, bytes] = {}
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), KEYS_MAX):
        states = await reads.read_many(unique[start : start + KEYS_MAX], age_ms_max=AGE_MS_MAX)
        found.update((state.key, state.value) for state in states if state.value is not None)
    return found


async def read_participant(reads: Reads, signer: Signer) -> Participant | None:
    """The participant that a key was given to; None: it is nobody's, or ended.

    Raises:
        TransportError: The ledger does not answer.
    """
    state = await read_state(reads, [trader_key(signer)])
    record = load_trader_key(state.get, signer)
    if record is None or record.ended_ms:
        return None
    state = await read_state(reads, [participant_key(record.participant)])
    return load_participant(state.get, record.participant)


async def read_trader(reads: Reads, own: Participant, candidates: Sequence[str]) -> Trader:
    """A participant with those in whose name it acts.

    Args:
        reads: The ledger.
        own: The participant.
        candidates: GLNs that the index says named it; each is looked up on the ledger.

    Raises:
        TransportError: The ledger does not answer.
    """
    state = await read_state(reads, [participant_key(gln) for gln in candidates])
    named = (load_participant(state.get, gln) for gln in candidates)
    principals = {one.gln: one for one in named if one is not None and own.gln in one.agents and one.is_active}
    return Trader(own, principals)
