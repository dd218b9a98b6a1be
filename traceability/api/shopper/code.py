# SPDX-License-Identifier: Apache-2.0
"""Which program the page runs on a phone: a digest over its files, which each organisation anchors on the ledger.

All organisations that run this service from one build serve the same files, so anybody can compare what two of them
serve, and either with what stands on the ledger.  The stream is the same for every organisation on purpose.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from typing import Final

from chain.genesis import Genesis
from chain.types import sha256
from membership.anchors import STREAM_BYTES, anchor_key
from membership.pb import membership_pb2
from service.static_files import PREFIX, static_files

ENTRIES: Final = ("shell.css", "trace.css", "trace.js", "trace-worker.js", "trace-offline.js")
"""What the journey page is made of, but for its text."""
KIND: Final = membership_pb2.ANCHOR_KIND_WEB_BUNDLE
STREAM: Final = sha256(b"zhixin/shopper")[:STREAM_BYTES]
ORGANISATIONS_MAX: Final = 64
"""Founding validators whose anchors a page proves; a network has at most some thirty."""


@cache
def code_files() -> dict[str, str]:
    """Addresses of the page's files with the SHA-256 of each in hex, sorted.

    Raises:
        PagesNotBuilt: There is no build.
    """
    files = static_files()
    return {
        PREFIX + path: hashlib.sha256(files.files[path].content).hexdigest() for path in sorted(files.needed(ENTRIES))
    }


@cache
def code_digest() -> bytes:
    """SHA-256 over these addresses and digests; 32 bytes.

    Raises:
        PagesNotBuilt: There is no build.
    """
    return sha256("".join(f"{path} {digest}\n" for path, digest in code_files().items()).encode())


def anchoring_organisations(genesis: Genesis) -> set[str]:
    """Whose anchors a page looks for: the founding validators'; and this service's own, once it is known."""
    return set(sorted({founder.organisation for founder in genesis.founders})[:ORGANISATIONS_MAX])


def anchor_keys(organisations: Iterable[str]) -> set[bytes]:
    """State keys of organisations' newest anchors of the page's code."""
    return {anchor_key(organisation, KIND, STREAM) for organisation in organisations}


def code_document() -> str:
    """The files and their digest as JSON, for whoever compares."""
    return json.dumps({"digest": code_digest().hex(), "files": code_files()}, indent=1)
