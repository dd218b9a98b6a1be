# SPDX-License-Identifier: Apache-2.0
"""The secrets of a node's home, opened together."""

import stat
from collections.abc import Mapping
from pathlib import Path

from chain.types import BlsKey
from node.certificates import certificate_key, from_pem
from node.config import Config, Home
from node.errors import ConfigError, KeyFileError
from node.keys import KeyPair, Purpose, load_key, load_passphrase, private_key_pem
from node.transport import TlsIdentity


class NodeKeys:
    """The secrets of a home, opened."""

    def __init__(self, home: Home, config: Config, environment: Mapping[str, str]) -> None:
        """Open them.

        Raises:
            ConfigError: One is missing or does not open, or the certificate is another key's.
            KeyFileError: Others than its owner can read one, or enter its folder.
        """
        for folder in (home.keys, home.tls_key.parent):
            _check_private(folder)
        passphrase = load_passphrase(config.keys.passphrase_file, environment)
        plain = config.keys.allow_plain

        def optional(path: Path, purpose: Purpose) -> KeyPair | None:
            return load_key(path, purpose, passphrase, allow_plain=plain) if path.exists() else None

        tls = load_key(home.tls_key, Purpose.TLS, passphrase, allow_plain=plain)
        self.validator = optional(home.validator_key, Purpose.VALIDATOR)
        self.organisation = optional(home.organisation_key, Purpose.ORGANISATION)
        pem = read_file(home.tls_certificate)
        try:
            self.certificate = from_pem(pem)
        except ConfigError as error:
            raise ConfigError(f"{home.tls_certificate}: {error}") from None
        if certificate_key(self.certificate) != tls.public_key:
            raise ConfigError(f"{home.tls_certificate} is not the certificate of {home.tls_key}")
        self.identity = TlsIdentity(pem, private_key_pem(tls))

    @property
    def bls_key(self) -> BlsKey | None:
        """The validator's name; None for a follower."""
        return None if self.validator is None else BlsKey(self.validator.public_key)


def _check_private(folder: Path) -> None:
    """Check that only its owner can enter a folder, if there is one: who can write there can exchange a key file."""
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{folder} can't be read: {error.strerror}") from None
    if mode & 0o077:
        raise KeyFileError(f"{folder} must be a folder that only its owner can enter: chmod 700")


def read_file(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        ConfigError: It can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
