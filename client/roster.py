# SPDX-License-Identifier: Apache-2.0
"""Which node to ask next: those that answer before those that failed, and a liar never again.

A node that failed is left alone for a while that doubles each time; one whose answer did not verify is remembered
until the session ends, and beyond it if the session keeps a file.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from chain.errors import LedgerError
from client.connection import Connection, Endpoint
from client.errors import TransportError

PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 15.0
_TELLING = ("transport.clock", "transport.stalled", "transport.behind", "transport.timeout")
"""Which of several failures says most about the network: a node that answers knows more than one that does not."""


@dataclass(slots=True)
class Node:
    """A node with what experience says of it.

    Attributes:
        failures: In a row.
        rest_until: Monotonic seconds; before them it is asked only when nobody else is left.
        lie: What it said that did not verify; empty if nothing.
    """

    connection: Connection
    failures: int = 0
    rest_until: float = 0.0
    lie: str = ""

    @property
    def name(self) -> str:
        """Its address."""
        return self.connection.name


@dataclass(slots=True)
class Roster:
    """All nodes that a session knows, in the order of preference."""

    clock: Callable[[], float] = time.monotonic
    nodes: list[Node] = field(default_factory=list)

    @classmethod
    def of(cls, endpoints: Iterable[Endpoint], liars: Iterable[tuple[str, str]] = ()) -> "Roster":
        """A roster of endpoints, with the liars of earlier sessions as (certificate fingerprint, what it said)."""
        known = dict(liars)
        nodes = [Node(Connection(endpoint)) for endpoint in endpoints]
        for node in nodes:
            node.lie = known.get(node.connection.fingerprint, "")
        return cls(nodes=nodes)

    def candidates(self) -> list[Node]:
        """Whom to ask, best first: rested ones in order of preference, then those that rest, soonest first.

        Raises:
            TransportError: Each one has lied.
        """
        honest = [node for node in self.nodes if not node.lie]
        if not honest:
            raise TransportError("each node of this network has given answers that do not verify", "transport.liars")
        now = self.clock()
        rested = [node for node in honest if node.rest_until <= now]
        tired = sorted((node for node in honest if node.rest_until > now), key=lambda node: node.rest_until)
        return rested + tired

    def rest_s(self, node: Node) -> float:
        """How long a node should still be left alone; 0 if it need not be."""
        return max(0.0, node.rest_until - self.clock())

    def answered(self, node: Node) -> None:
        """It gave an answer that verified; it is asked first from now on."""
        node.failures = 0
        node.rest_until = 0.0
        if self.nodes[0] is not node:
            self.nodes.remove(node)
            self.nodes.insert(0, node)

    def failed(self, node: Node) -> None:
        """It did not answer usefully."""
        node.rest_until = self.clock() + min(PAUSE_FIRST_S * 2**node.failures, PAUSE_MAX_S)
        node.failures = min(node.failures + 1, 16)

    def lied(self, node: Node, what: str) -> None:
        """Its answer did not verify; it is not asked again."""
        node.lie = what

    def liars(self) -> list[tuple[str, str]]:
        """Fingerprints of the certificates of those that lied, with what they said."""
        return [(node.connection.fingerprint, node.lie) for node in self.nodes if node.lie]

    async def close(self) -> None:
        """Close all channels."""
        for node in self.nodes:
            await node.connection.close()


def summary_of(failures: Sequence[TransportError | LedgerError]) -> TransportError | LedgerError:
    """One error for several: a lie if nothing but lies was heard, the world's fault otherwise."""
    lies = [failure for failure in failures if isinstance(failure, LedgerError)]
    if failures and len(lies) == len(failures):
        return lies[0]
    transport = [failure for failure in failures if isinstance(failure, TransportError)]
    reasons = "; ".join(failure.reason for failure in failures[:8])
    codes = {failure.code for failure in transport}
    code = next((code for code in _TELLING if code in codes), "transport.unavailable")
    return TransportError(f"no node gave a usable answer: {reasons}", code)
