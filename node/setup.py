# SPDX-License-Identifier: Apache-2.0
"""Makes the home of one node: its keys, its certificate, its settings. The secrets never leave it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from node.certificates import make_certificate, to_pem
from node.config import Config, Home, render_config
from node.errors import ConfigError, StorageError
from node.keys import Algorithm, KeyPair, Purpose, generate_key, save_key


@dataclass(frozen=True, slots=True)
class NewHome:
    """What was made.

    Attributes:
        validator: The key that votes; None for a follower.
        certificate: PEM, self-signed; peers pin it.
    """

    validator: KeyPair | None
    certificate: bytes


def make_home(
    home: Home,
    config: Config,
    *,
    is_validator: bool,
    hosts: Sequence[str],
    passphrase: bytes | None,
    now: dt.datetime,
) -> NewHome:
    """Make a node's keys, certificate and settings; the genesis file comes from elsewhere.

    The settings are written last: a crash before leaves a home that this function refuses and the node does too.

    Args:
        home: Must hold no node yet.
        config: Written as `config.toml`.
        is_validator: Make a key that votes; else the node follows only.
        hosts: Names and addresses under which clients reach the node.
        passphrase: Encrypts the key files; without one they are plain.
        now: The certificate is valid from a day before.

    Raises:
        ConfigError: A node's files lie there already.
        KeyFileError: A key file can't be written.
        StorageError: Another file can't be written.
    """
    for path in (home.config, home.tls_key, home.tls_certificate, home.validator_key, home.lock):
        if path.exists():
            raise ConfigError(f"{path} exists already; each node has a home of its own, with keys of its own")
    validator = generate_key(Purpose.VALIDATOR, Algorithm.BLS) if is_validator else None
    tls = generate_key(Purpose.TLS, Algorithm.P256)
    certificate = to_pem(make_certificate(tls, tuple(hosts), now))
    try:
        home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if validator is not None:
            save_key(home.validator_key, validator, passphrase)
        save_key(home.tls_key, tls, passphrase)
        home.tls_certificate.write_bytes(certificate)
        home.config.write_text(render_config(config), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{home.root} can't be written: {error.strerror}") from None
    return NewHome(validator, certificate)
