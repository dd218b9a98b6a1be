# SPDX-License-Identifier: Apache-2.0
"""The services that `zhixin serve` can run, by name and port: all that help needs, which imports none of them."""

from typing import Final, NamedTuple

BASE_PORT: Final = 8800
"""The first service's; each has its own, in the order in which they were made, and keeps it."""


class Listed(NamedTuple):
    """One service.

    Attributes:
        name: As in `zhixin serve NAME` and `[addresses.NAME]`.
        port: Where it listens if nothing is configured.
        needs_store: Whether it keeps personal data.
        own_setting: `section.setting` without which a process of all services leaves this one out; "": never.
    """

    name: str
    port: int
    needs_store: bool
    own_setting: str = ""


LISTED: Final = (
    Listed("styles", BASE_PORT, needs_store=False),
    Listed("explorer", BASE_PORT + 1, needs_store=False),
    Listed("office", BASE_PORT + 2, needs_store=True),
    Listed("desk", BASE_PORT + 3, needs_store=True, own_setting="ledger.genesis"),
    Listed("issuer", BASE_PORT + 4, needs_store=True, own_setting="issuing.folder"),
    Listed("uniqueness", BASE_PORT + 5, needs_store=True, own_setting="uniqueness.signing_key"),
    Listed("trace", BASE_PORT + 6, needs_store=True, own_setting="ledger.genesis"),
    Listed("verifier", BASE_PORT + 7, needs_store=True, own_setting="verifier.keys"),
    Listed("citizen", BASE_PORT + 8, needs_store=False, own_setting="ledger.genesis"),
    Listed("kiosk", BASE_PORT + 9, needs_store=False, own_setting="kiosk.device_key"),
    Listed("credit", BASE_PORT + 10, needs_store=True, own_setting="ledger.genesis"),
)
