# SPDX-License-Identifier: Apache-2.0
"""Pages without a connection: service workers, each below a plan of what it keeps.

The script that browsers fetch is a built worker (`web/pages/offline.ts`) below a plan that is written here: which
addresses the pages need, each with the SHA-256 that the browser holds it to. A new build has another plan, so that
browsers take the new worker and drop what the old one kept.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from service.static_files import PREFIX, StaticFiles

VERSION_HEADER: Final = "Zhixin-Offline"
"""On pages: the plan that goes with them."""


class Worker:
    """The worker of one build.

    Args:
        files: The build.
        built: The built script's name, such as "check-offline.js".
        scope: The path below which it answers.
        entries: Files that its pages load, now or later.
        contents: What else they need: addresses with what is there.
        pages: Addresses of pages that are kept beforehand; the first one is the one to fall back to.

    Attributes:
        script: The worker below its plan.
        version: The plan's.
    """

    def __init__(
        self,
        files: StaticFiles,
        built: str,
        scope: str,
        entries: Sequence[str],
        *,
        contents: Mapping[str, bytes] | None = None,
        pages: Sequence[str] = (),
    ) -> None:
        own = files.names[built]
        kept = {PREFIX + path: files.files[path].content for path in files.needed(entries) if path != own}
        digests = {address: _integrity(content) for address, content in (kept | dict(contents or {})).items()}
        plan = {"header": VERSION_HEADER, "files": digests, "pages": list(pages)}
        worker = files.files[own].content
        self.version = hashlib.sha256(json.dumps(plan, sort_keys=True).encode() + worker).hexdigest()[:16]
        planned = json.dumps({"version": self.version, **plan}, sort_keys=True)
        self.script = f"self.offlinePlan = {planned};\n".encode() + worker
        self._scope = scope

    @property
    def headers(self) -> Mapping[str, str]:
        """What pages that go with it say; it keeps no others."""
        return {VERSION_HEADER: self.version}

    async def serve(self, _request: Request) -> Response:
        """The worker. Browsers ask for it anew each time a page is opened."""
        headers = {"cache-control": "no-cache", "service-worker-allowed": self._scope}
        return Response(self.script, headers=headers, media_type="text/javascript; charset=utf-8")


def genesis_address(network: bytes) -> str:
    """Where pages fetch the genesis file; another network's has another address, so that no cache mixes them up."""
    return f"/v1/genesis?network={network.hex()}"


def _integrity(content: bytes) -> str:
    """As subresource integrity writes a digest."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()
