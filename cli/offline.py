# SPDX-License-Identifier: Apache-2.0
"""`python -m cli.offline …` runs a command of `zhixin` that cannot reach any network: it fails if it tries.

For demonstrations and tests of what claims to need nobody.
"""

import sys

from cli.main import run

_FORBIDDEN = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen")


def _refuse(event: str, _arguments: object) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"offline, and yet {event} was tried")


def main() -> None:
    """Close the doors, then run."""
    sys.addaudithook(_refuse)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
