# SPDX-License-Identifier: Apache-2.0
"""Planted bugs: each breaks one rule in every node of a run, and the simulator must notice.

They are here so that nobody has to believe that the simulator finds such things: `python -m sim bugs` shows it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from chain import certificate, checkpoint
from chain.consensus import events as ev
from chain.consensus import journal, messages, replica
from chain.consensus.ballots import Ballots
from chain.consensus.resend import Resend
from chain.consensus.tally import FINALIZE
from chain.types import FIRST_EPOCH, quorum
from sim.node import SimNode


@dataclass(frozen=True, slots=True)
class Bug:
    """One broken rule.

    Attributes:
        name: As the command calls it.
        rule: What it breaks, in the protocol's words.
        plant: A context in which the bug is there.
    """

    name: str
    rule: str
    plant: Callable[[], Any]


def _persist_without(*dropped: type[journal.Record]) -> Callable[[], Any]:
    """Everything is written but these records."""
    honest = SimNode._persist  # noqa: SLF001 - a planted bug reaches inside

    def persist(self: SimNode, records: tuple[journal.Record, ...]) -> None:
        # The checkers are told of every record: what they must find is the consequence, not the omission.
        if self.observer is not None:
            for record in records:
                self.observer.persisted(self, record)
        observer, self.observer = self.observer, None
        try:
            honest(self, tuple(record for record in records if not isinstance(record, dropped)))
        finally:
            self.observer = observer

    return lambda: mock.patch.object(SimNode, "_persist", persist)


def _blocks_without_bodies() -> Any:
    return mock.patch.object(SimNode, "_bodies_of", return_value={})


def _quorum_off_by_one() -> Any:
    return mock.patch.object(checkpoint, "quorum", lambda n: max(1, quorum(n) - 1) if n > 1 else 1)


def _finalize_after_nullify() -> Any:
    def may_finalize(self: Ballots, view: Any) -> bool:
        return self.get(view, FINALIZE) is None

    return mock.patch.object(Ballots, "may_finalize", may_finalize)


def _body_not_checked() -> Any:
    """Vote for a block without having its transactions; what is not here can't be written either."""

    def want(self: SimNode, pull: Any, effect: Any) -> None:
        if isinstance(effect, ev.RequestBodies):
            self.later(1, lambda: self.feed(ev.BodiesHeld(effect.block.id)))
        else:
            honest_want(self, pull, effect)

    def bodies_of(self: SimNode, block: Any) -> dict[bytes, bytes]:
        held = {digest: self.body(digest) for digest in block.digests}
        return {journal.body_key(digest): raw for digest, raw in held.items() if raw is not None}

    honest_want = SimNode._want  # noqa: SLF001 - a planted bug reaches inside
    return _both(
        lambda: mock.patch.object(SimNode, "_want", want), lambda: mock.patch.object(SimNode, "_bodies_of", bodies_of)
    )


def _epoch_not_signed() -> Any:
    honest = certificate.ballot_bytes

    def ballot_bytes(_epoch: Any, view: Any, block_id: Any) -> bytes:
        return honest(FIRST_EPOCH, view, block_id)

    return _both(
        lambda: mock.patch.object(certificate, "ballot_bytes", ballot_bytes),
        lambda: mock.patch.object(messages, "ballot_bytes", ballot_bytes),
    )


def _certificate_not_verified() -> Any:
    return mock.patch.object(replica, "verify_certificate", return_value=None)


def _no_certificate_requests() -> Any:
    """Nobody asks for old certificates, and nobody answers a vote of a past view."""
    return _both(
        lambda: mock.patch.object(Resend, "ask", return_value=None),
        lambda: mock.patch.object(Resend, "answer_old", return_value=None),
        lambda: mock.patch.object(Resend, "_resend_view", return_value=None),
    )


@contextmanager
def _all(plants: tuple[Callable[[], Any], ...]) -> Iterator[None]:
    if not plants:
        yield
        return
    with plants[0](), _all(plants[1:]):
        yield


def _both(*plants: Callable[[], Any]) -> Any:
    return _all(plants)


BUGS = (
    Bug("vote-not-persisted", "each own vote is durable before it is sent", _persist_without(journal.OwnVote)),
    Bug(
        "certificate-not-persisted",
        "each certificate above the last final view is durable",
        _persist_without(journal.StoredCertificate),
    ),
    Bug("body-not-persisted", "each notarized block is durable with its bodies", _blocks_without_bodies),
    Bug("quorum-off-by-one", "q = n - f", _quorum_off_by_one),
    Bug("finalize-after-nullify", "never finalize and nullify both in a view", _finalize_after_nullify),
    Bug("body-not-checked", "each transaction's body is held before a notarize vote", _body_not_checked),
    Bug("epoch-not-signed", "each vote carries and signs (epoch, view)", _epoch_not_signed),
    Bug("certificate-not-verified", "a certificate bears the signatures of a quorum", _certificate_not_verified),
    Bug(
        "no-certificate-requests",
        "who lacks a certificate asks for it, and a vote for an older view is answered",
        _no_certificate_requests,
    ),
)
