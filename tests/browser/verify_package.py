# SPDX-License-Identifier: Apache-2.0
"""The browser's verifier as its package ships it, built once for all tests that run at the same time."""

import fcntl
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "web" / "verify"
BUILD_S_MAX = 120


def built() -> Path:
    """The package's folder, with a `dist` that is no older than what it is made from."""
    with (PACKAGE / ".build-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = PACKAGE / "dist" / "client.global.js"
        sources = [*(PACKAGE / "src").glob("*.ts"), PACKAGE / "build.mjs", PACKAGE / "tsconfig.json"]
        if not made.exists() or made.stat().st_mtime < max(source.stat().st_mtime for source in sources):
            subprocess.run(["node", "build.mjs"], cwd=PACKAGE, check=True, timeout=BUILD_S_MAX)
    return PACKAGE
