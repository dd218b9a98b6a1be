# SPDX-License-Identifier: Apache-2.0
"""Tokens of SoftHSM2 for tests: a folder of their own for each process, gone with it. Real PKCS#11, no hardware."""

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from service.pkcs11_uri import KeyAddress

PIN = "2468-13579"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


def module() -> str:
    """Path of SoftHSM's PKCS#11 module."""
    found = next((path for path in MODULES if Path(path).exists()), None)
    if found is None:
        raise FileNotFoundError("SoftHSM2 is missing: run tests/setup_debian")
    return found


def make_token(label: str) -> None:
    """Make an empty token; the module sees one that was made after its first call when it starts anew."""
    arguments = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "97531-86420"]
    subprocess.run(arguments, check=True, capture_output=True, timeout=60, env=dict(os.environ) | _place())


@cache
def token() -> str:
    """The label of this process's token."""
    os.environ.update(_place())
    make_token("zhixin-tests")
    return "zhixin-tests"


def uri(key: str, pin_file: Path | None = None, label: str = "") -> str:
    """The URI of a key in the token, or in another one."""
    source = f"&pin-source=file:{pin_file}" if pin_file else ""
    return f"pkcs11:token={label or token()};object={key}?module-path={module()}{source}"


def address(key: str, label: str = "") -> KeyAddress:
    """Where a key of the token is; its PIN is in the environment."""
    return KeyAddress(module(), label or token(), key, b"", "")


@cache
def _place() -> dict[str, str]:
    folder = Path(tempfile.mkdtemp(prefix="zhixin-softhsm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    return {"SOFTHSM2_CONF": str(settings)}
