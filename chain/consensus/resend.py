# SPDX-License-Identifier: Apache-2.0
"""What is sent again because it may have been lost, and how a peer that is behind is answered; all at a bounded pace.

Nothing here changes what this validator believes or has voted.

Source: docs/protocol.md, section 3, "Lost messages".
"""

from chain.certificate import Certificate
from chain.consensus.ballots import Ballots
from chain.consensus.messages import CERTIFICATES_MAX, Certificates, CertificatesRequest
from chain.consensus.outbox import Courtesy, Outbox
from chain.consensus.pace import Pace
from chain.consensus.proposer import Proposer
from chain.consensus.settled import Settled
from chain.types import BlsKey, Epoch, Millis, View


class Resend:
    """Answers and rebroadcasts of one epoch.

    Attributes:
        lead_in: The certificate that led into the current view; None in the first.
        nudge_ms: When `nudge` is due.
    """

    def __init__(
        self,
        *,
        epoch: Epoch,
        others: tuple[BlsKey, ...],
        own: Ballots,
        settled: Settled,
        proposer: Proposer,
        pace: Pace,
        outbox: Outbox,
        courtesy: Courtesy,
    ) -> None:
        self._epoch = epoch
        self._others = others
        self._own = own
        self._settled = settled
        self._proposer = proposer
        self._pace = pace
        self._out = outbox
        self._courtesy = courtesy
        self._turn = 0
        self._finalized_ms = Millis(0)
        self.lead_in: Certificate | None = None
        self.nudge_ms = Millis(0)

    def start(self, view: View, now: Millis) -> None:
        """Say where this validator stands."""
        self._finalized_ms = now
        self.nudge_ms = Millis(now + 2 * self._pace.delta_ms)
        self._resend_view(view)

    def finalized(self, now: Millis) -> None:
        """A view is final; votes for it that come right after are mere delay."""
        self._finalized_ms = now

    # ------------------------------------------------------------ answers

    def answer_request(self, peer: BlsKey, request: CertificatesRequest, now: Millis) -> None:
        """A peer lacks certificates from a view on: a bounded batch, ascending."""
        if self._courtesy.allows(peer, "certificates", now, self._pace.delta_ms // 2):
            found = self._settled.since(request.from_view)
            self._out.send(peer, Certificates(tuple(found[:CERTIFICATES_MAX])))

    def answer_final(self, peer: BlsKey, now: Millis) -> None:
        """A vote at or below the last final view: its author may lack the finalization."""
        if self._settled.finalization is not None and now >= self._finalized_ms + self._pace.delta_ms:
            self._answer(peer, "finalization", self._settled.finalization, now)

    def answer_old(self, peer: BlsKey, view: View, current: View, now: Millis) -> None:
        """A message of a past view. Right after the view's end that is mere delay; later, its sender is behind."""
        if self.lead_in is None or (view == current - 1 and now < self._pace.entered_ms + self._pace.delta_ms):
            return
        self._answer(peer, "lead-in", self.lead_in, now)

    def _answer(self, peer: BlsKey, topic: str, certificate: Certificate, now: Millis) -> None:
        if self._courtesy.allows(peer, topic, now, self._pace.delta_ms // 2):
            self._out.send(peer, certificate)

    def ask(self, peer: BlsKey, view: View, now: Millis) -> None:
        """Ask a peer for the certificates that are lacking up to the current view and after it."""
        if self._courtesy.allows(peer, "ask-certificates", now, self._pace.delta_ms):
            self._out.send(peer, CertificatesRequest(self._epoch, self._settled.first_hole(view)))

    # ------------------------------------------------------------ rebroadcasts

    def nudge(self, view: View, now: Millis, idle_interval_ms: int) -> None:
        """Send again what may have been lost, if it is time."""
        if now < self.nudge_ms:
            return
        patience = 2 * self._pace.delta_ms
        self.nudge_ms = Millis(now + patience)
        idle = 0 if self._pace.pending else idle_interval_ms
        if now >= self._pace.entered_ms + patience + idle:
            self._resend_view(view)
        for vote in self._own.unanswered(self._settled.last_final_view, now, patience):
            self._out.broadcast(self._others, vote)
        if self._others and self._settled.first_hole(view) < view:
            self._turn += 1
            self.ask(self._others[self._turn % len(self._others)], view, now)

    def _resend_view(self, view: View) -> None:
        """The certificate that led into the view, the own proposal, and own votes."""
        if self.lead_in is not None:
            self._out.broadcast(self._others, self.lead_in)
        if self._proposer.proposed is not None:
            self._out.broadcast(self._others, self._proposer.proposed)
        for vote in self._own.of(view):
            self._out.broadcast(self._others, vote)
