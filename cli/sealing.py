# SPDX-License-Identifier: Apache-2.0
"""Opens an organisation's seal and its time-stamp authority, as a process's settings name them."""

import os
import time
from pathlib import Path

from identity.api.documents.seal_keys import load_seal
from identity.api.documents.stamp_keys import load_stamp_authority
from identity.pades.seals import DocumentSeal
from identity.pades.time_stamps import TimeStampAuthority
from service.document_settings import DocumentSettings
from service.errors import ConfigError
from service.store.key_encryption import load_passphrase


def seal_of(settings: DocumentSettings) -> DocumentSeal | None:
    """The seal that settings name; None: none is named, and papers say that they carry none.

    Raises:
        ConfigError: A seal without an authority of time stamps, whose papers nobody could verify in some years.
        KeyFileError: A folder is missing, open to others, or not to be opened.
    """
    if not settings.seal:
        return None
    if not settings.stamps:
        raise ConfigError("documents.seal needs documents.stamps, too: `zhixin document stamps` makes the folder")
    passphrase = load_passphrase(settings.passphrase_file, os.environ)
    stamps = _stamps(settings)
    return load_seal(Path(settings.seal), passphrase, stamps, time.time, allow_plain=settings.allow_plain)


def served_stamps_of(settings: DocumentSettings) -> TimeStampAuthority | None:
    """The time-stamp authority that answers whoever asks; None: settings want none.

    Raises:
        ConfigError: It is to be served, and no folder is named.
        KeyFileError: The folder is missing, open to others, or not to be opened.
    """
    if not settings.serve_stamps:
        return None
    if not settings.stamps:
        raise ConfigError("documents.serve_stamps needs documents.stamps: `zhixin document stamps` makes the folder")
    return _stamps(settings)


def _stamps(settings: DocumentSettings) -> TimeStampAuthority:
    passphrase = load_passphrase(settings.passphrase_file, os.environ)
    return load_stamp_authority(Path(settings.stamps), passphrase, time.time, allow_plain=settings.allow_plain)
