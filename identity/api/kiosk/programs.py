# SPDX-License-Identifier: Apache-2.0
"""Programs of the operator's that a kiosk runs, such as `lp`: for a bounded time, and without the kiosk's secrets."""

import os
import subprocess
from collections.abc import Sequence

OWN_PREFIX = "ZHIXIN_"
"""Settings of ours in the environment, passphrases among them; other programs do not see them."""


def run_program(command: Sequence[str], given: bytes, seconds_max: float) -> bytes:
    """Run a program to its end.

    Args:
        command: The program and its arguments; no shell reads them.
        given: What it reads from its standard input.
        seconds_max: How long it may take; then it is ended.

    Returns:
        What it wrote to its standard output.

    Raises:
        OSError: It is not there, failed, or took too long.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIX)}
    try:
        ran = subprocess.run(  # noqa: S603 - the operator's own program
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds_max,
            check=True,
            env=environment,
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"{command[0]}: {type(error).__name__}") from None
    return ran.stdout
