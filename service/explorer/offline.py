# SPDX-License-Identifier: Apache-2.0
"""A page without a connection: a service worker of its own, whose scope is that page and what stands below it.

The script that browsers fetch is the built worker below a plan that is written here: which files the page needs, each
with the SHA-256 that the browser holds it to, and the network's genesis file. A new build has another plan, so that
browsers take the new worker and drop what the old one kept.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.static_files import PREFIX, StaticFiles, static_files

PAGE = "/check"
SCRIPT = "/check/offline.js"
VERSION_HEADER = "Zhixin-Offline"
"""On the page: the plan that goes with it."""
ENTRIES = ("shell.css", "shell.js", "check.js", "verifier.js", "qr-reader.js", "mark.svg")
"""What the check page loads, now or when a picture is to be read."""


class Offline:
    """The plan of one build and one network.

    Args:
        genesis: The genesis file, byte for byte.
        network: Its id.
        files: The build.
        page: The page's path.
        script: The worker's path.
        entries: What the page loads, now or later; None: what the check page does.
    """

    def __init__(
        self,
        genesis: bytes,
        network: bytes,
        files: StaticFiles,
        *,
        page: str = PAGE,
        script: str = SCRIPT,
        entries: Sequence[str] | None = None,
    ) -> None:
        self.page, self.script_path = page, script
        paths = files.needed(ENTRIES if entries is None else entries)
        digests = {PREFIX + path: _integrity(files.files[path].content) for path in paths}
        digests[genesis_address(network)] = _integrity(genesis)
        kept = json.dumps({"page": page, "header": VERSION_HEADER, "files": digests}, sort_keys=True)
        worker = files.files[files.names["check-offline.js"]].content
        self.version = hashlib.sha256(kept.encode() + worker).hexdigest()[:16]
        plan = json.dumps({"version": self.version, **json.loads(kept)}, sort_keys=True)
        self.script = f"self.offlinePlan = {plan};\n".encode() + worker

    @property
    def headers(self) -> Mapping[str, str]:
        """What the page's answer says."""
        return {VERSION_HEADER: self.version}

    async def serve(self, _request: Request) -> Response:
        """The worker. Browsers ask for it anew each time the page is opened."""
        headers = {"cache-control": "no-cache", "service-worker-allowed": self.page}
        return Response(self.script, headers=headers, media_type="text/javascript; charset=utf-8")


def offline_router(offline: Offline) -> APIRouter:
    """The worker's route."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route(offline.script_path, offline.serve, methods=["GET"])
    return router


def make_offline(genesis: bytes, network: bytes) -> Offline:
    """The plan of this installation; arguments as for `Offline`.

    Raises:
        PagesNotBuilt: There is no build.
    """
    return Offline(genesis, network, static_files())


def genesis_address(network: bytes) -> str:
    """Where pages fetch the genesis file; another network's has another address, so that no cache mixes them up."""
    return f"/v1/genesis?network={network.hex()}"


def _integrity(content: bytes) -> str:
    """As subresource integrity writes a digest."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()
