# SPDX-License-Identifier: Apache-2.0
"""Secrets that lie in files of their own beside the settings."""

import stat
from pathlib import Path

from service.errors import ConfigError

SECRET_BYTES_MAX = 4_096


def load_secret(path: str, setting: str) -> str:
    """One line of text from a file that nobody else may read.

    Args:
        path: The file.
        setting: Which setting named it, for the message.

    Raises:
        ConfigError: It can't be read, is open to others, or is no line of text.
    """
    try:
        with Path(path).open("rb") as file:
            mode = stat.S_IMODE(Path(path).stat().st_mode)
            content = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigError(f"{setting}: {path} is open to others; chmod 600 {path}")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(content) > SECRET_BYTES_MAX or not text.isprintable():
        raise ConfigError(f"{setting}: {path} must hold one line of text")
    return text
