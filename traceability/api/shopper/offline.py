# SPDX-License-Identifier: Apache-2.0
"""Journey pages without a connection: a service worker whose scope is `/food/`."""

from typing import Final

from service.offline import Worker
from service.static_files import StaticFiles
from traceability.api.shopper.code import ENTRIES

SCOPE: Final = "/food/"
SCRIPT: Final = "/food/offline.js"
GENESIS: Final = "/v1/journey-genesis"


def genesis_address(network: bytes) -> str:
    """Where journey pages fetch the genesis file; another network's has another address."""
    return f"{GENESIS}?network={network.hex()}"


def offline_worker(genesis: bytes, network: bytes, files: StaticFiles) -> Worker:
    """The worker of one build and one network.

    Args:
        genesis: The genesis file, byte for byte.
        network: Its id.
        files: The build.
    """
    contents = {genesis_address(network): genesis}
    return Worker(files, "trace-offline.js", SCOPE, (*ENTRIES, "mark.svg"), contents=contents)
