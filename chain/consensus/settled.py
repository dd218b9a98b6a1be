# SPDX-License-Identifier: Apache-2.0
"""The certificates of one epoch that still matter: those above the last final view, and the newest finalization.

Everything here was verified. What lies at or below the last final view is settled: it is neither kept nor believed.

Source: docs/protocol.md, section 3.
"""

from collections.abc import Iterable

from chain.certificate import Certificate
from chain.consensus.journal import StoredCertificate
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY
from chain.pb import ledger_pb2 as pb
from chain.types import View

ROOT_VIEW = View(0)
"""The epoch's root counts as this view's block."""


class Settled:
    """Notarizations and nullifications by view, and the newest finalization."""

    def __init__(self, certificates: Iterable[Certificate] = ()) -> None:
        self._notarized: dict[View, Certificate] = {}
        self._nullified: dict[View, Certificate] = {}
        self._superseded: list[bytes] = []
        self.finalization: Certificate | None = None
        for certificate in certificates:
            self.add(certificate)

    @property
    def last_final_view(self) -> View:
        """The newest finalized view; 0 before the first."""
        return self.finalization.view if self.finalization is not None else ROOT_VIEW

    def add(self, certificate: Certificate) -> None:
        """Keep a verified certificate."""
        if certificate.kind == NOTARIZE:
            self._notarized[certificate.view] = certificate
        elif certificate.kind == NULLIFY:
            self._nullified[certificate.view] = certificate
        elif certificate.view > self.last_final_view or self.finalization is None:
            if self.finalization is not None:
                self._superseded.append(StoredCertificate(self.finalization).key)
            self.finalization = certificate

    # ------------------------------------------------------------ questions

    def is_needless(self, kind: pb.Kind.ValueType, view: View) -> bool:
        """Whether another certificate of this kind and view would add nothing."""
        if view <= self.last_final_view:
            return True
        return kind != FINALIZE and view in (self._notarized if kind == NOTARIZE else self._nullified)

    def is_known(self, certificate: Certificate) -> bool:
        """Whether what this certificate says is proven by one that is kept, under whatever aggregate."""
        kind, view = certificate.kind, certificate.view
        if view <= self.last_final_view:
            final = self.finalization
            return (
                kind != NULLIFY and final is not None and (view, certificate.block_id) == (final.view, final.block_id)
            )
        known = None if kind == FINALIZE else (self._notarized if kind == NOTARIZE else self._nullified).get(view)
        return known is not None and known.block_id == certificate.block_id

    def is_contradicted_by(self, certificate: Certificate) -> bool:
        """Whether a verified certificate names another block than the notarized one of its view."""
        known = self._notarized.get(certificate.view)
        return certificate.kind != NULLIFY and known is not None and known.block_id != certificate.block_id

    def is_nullified(self, view: View) -> bool:
        """Whether a nullification of this view is kept."""
        return view in self._nullified

    def first_hole(self, view: View) -> View:
        """The first view above the last final one and below this one without a certificate; this one if none is."""
        for number in range(self.last_final_view + 1, view):
            if number not in self._notarized and number not in self._nullified:
                return View(number)
        return view

    def newest_below(self, view: View) -> Certificate | None:
        """What proves the newest notarized block of an earlier view; None where that is the epoch's root."""
        for number in sorted(self._notarized, reverse=True):
            if self.last_final_view < number < view:
                return self._notarized[number]
        return self.finalization

    def nullifications(self, after: View, before: View) -> tuple[Certificate, ...] | None:
        """A nullification of each view between two, ascending; None if one is lacking."""
        found = [self._nullified.get(View(view)) for view in range(after + 1, before)]
        present = tuple(certificate for certificate in found if certificate is not None)
        return present if len(present) == len(found) else None

    def since(self, view: View) -> list[Certificate]:
        """The newest finalization, then all from a view on, ascending."""
        found = [c for store in (self._notarized, self._nullified) for v, c in store.items() if v >= view]
        found.sort(key=lambda c: (c.view, c.kind))
        return found if self.finalization is None else [self.finalization, *found]

    # ------------------------------------------------------------ forgetting

    def forget(self, bound: View) -> list[bytes]:
        """Drop what lies below a view; its journal keys."""
        keys, self._superseded = self._superseded, []
        for store in (self._notarized, self._nullified):
            old = sorted(view for view in store if view < bound)
            keys.extend(StoredCertificate(store.pop(view)).key for view in old)
        if self.finalization is not None and self.finalization.view < bound:
            keys.append(StoredCertificate(self.finalization).key)
            self.finalization = None
        return keys
