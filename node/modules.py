# SPDX-License-Identifier: Apache-2.0
"""The modules of every network's ledger, in one place: two nodes with different modules would part ways."""

from chain.module import Registry
from credit.rules import Credit
from identity.rules import Identity
from membership.rules import Membership
from traceability.rules import Traceability


def ledger_modules() -> tuple[Registry, Membership]:
    """The registry of all modules, and the one that says who is who."""
    membership = Membership()
    return Registry((membership, Identity(), Traceability(), Credit())), membership
