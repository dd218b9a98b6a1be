# SPDX-License-Identifier: Apache-2.0
"""How this command was called, so that what it suggests can be pasted into the same shell."""

import shlex
import shutil
import sys
from pathlib import Path

NAME = "zhixin"

_called = [NAME]


def spelling(argv0: str) -> str:
    """What to type to call the command again.

    Args:
        argv0: What the process was called as: a path, or the package's `__main__` under `python -m`.
    """
    path = Path(argv0)
    if path.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m cli"
    found = shutil.which(NAME)
    if path.name == NAME and found is not None and Path(found).resolve() == path.resolve():
        return NAME
    return shlex.quote(argv0)


def called_as(argv0: str) -> None:
    """Suggest commands in this spelling from here on."""
    _called[0] = spelling(argv0)


def name() -> str:
    """The spelling in use."""
    return _called[0]
