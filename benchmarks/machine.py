# SPDX-License-Identifier: Apache-2.0
"""How fast this machine is just now: a figure to read every other one against."""

import hashlib
import time

_HASHES = 200_000


def hashes_per_s() -> int:
    """SHA-256 of 65 bytes, the size of an inner node, one after another in Python."""
    sha256 = hashlib.sha256
    node = bytes(65)
    start = time.perf_counter()
    for _ in range(_HASHES):
        sha256(node).digest()
    return round(_HASHES / (time.perf_counter() - start))
