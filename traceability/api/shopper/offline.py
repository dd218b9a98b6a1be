# SPDX-License-Identifier: Apache-2.0
"""Journey pages without a connection: a service worker whose scope is `/food/`, below the plan that is written here.

The plan names the page's files with the SHA-256 that the browser holds each to, and the network's genesis file. A new
build has another plan, so that browsers take the new worker and drop what the old one kept.
"""

import base64
import hashlib
import json
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from service.static_files import PREFIX, StaticFiles
from traceability.api.shopper.code import ENTRIES

SCOPE: Final = "/food/"
SCRIPT: Final = "/food/offline.js"
GENESIS: Final = "/v1/journey-genesis"
_WORKER: Final = "trace-offline.js"


class Offline:
    """The plan of one build and one network.

    Args:
        genesis: The genesis file, byte for byte.
        network: Its id.
        files: The build.
    """

    def __init__(self, genesis: bytes, network: bytes, files: StaticFiles) -> None:
        paths = [path for path in files.needed((*ENTRIES, "mark.svg")) if not path.endswith(_WORKER)]
        digests = {PREFIX + path: _integrity(files.files[path].content) for path in paths}
        self.genesis_address = f"{GENESIS}?network={network.hex()}"
        digests[self.genesis_address] = _integrity(genesis)
        worker = files.files[files.names[_WORKER]].content
        kept = json.dumps(digests, sort_keys=True)
        self.version = hashlib.sha256(kept.encode() + worker).hexdigest()[:16]
        plan = json.dumps({"version": self.version, "files": digests}, sort_keys=True)
        self.script = f"self.offlinePlan = {plan};\n".encode() + worker

    async def serve(self, _request: Request) -> Response:
        """The worker. Browsers ask for it anew each time a page is opened."""
        headers = {"cache-control": "no-cache", "service-worker-allowed": SCOPE}
        return Response(self.script, headers=headers, media_type="text/javascript; charset=utf-8")


def _integrity(content: bytes) -> str:
    """As subresource integrity writes a digest."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()
