# SPDX-License-Identifier: Apache-2.0
"""What the world can do to a client: no node answers, or not in time.

What a node *says* wrongly is a `chain.errors.LedgerError` and counts against that node.
"""


class TransportError(Exception):
    """No usable answer came; nothing is known about the ledger from it. Trying again is safe.

    Attributes:
        code: Stable, kebab-case, e.g. "transport.unavailable".
        reason: One English sentence.
    """

    def __init__(self, reason: str, code: str = "transport.unavailable") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
