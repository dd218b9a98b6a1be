# SPDX-License-Identifier: Apache-2.0
"""The verifying client: signs, submits, and accepts only answers that carry their proof.

The names that programs need are here; each is imported when it is first used, so that `import client` costs nothing
and the stubs under `client.pb` can be had without the rest. Written guide: docs/client.md.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client.answers import Outcome, ProvenBlock, ProvenState, ProvenTransaction, SelfReport
    from client.connection import Endpoint
    from client.errors import TransportError
    from client.follow import Cursor
    from client.session import Session
    from client.sync import Client

__all__ = [
    "Client",
    "Cursor",
    "Endpoint",
    "Outcome",
    "ProvenBlock",
    "ProvenState",
    "ProvenTransaction",
    "SelfReport",
    "Session",
    "TransportError",
]

_HOMES = {
    "Client": "client.sync",
    "Cursor": "client.follow",
    "Endpoint": "client.connection",
    "Outcome": "client.answers",
    "ProvenBlock": "client.answers",
    "ProvenState": "client.answers",
    "ProvenTransaction": "client.answers",
    "SelfReport": "client.answers",
    "Session": "client.session",
    "TransportError": "client.errors",
}


def __getattr__(name: str) -> object:
    """Import one of the names when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'client' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
