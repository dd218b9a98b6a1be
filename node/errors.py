# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the world that a node runs in; what peers and clients do wrong stands in `chain.errors`.

Each message says what happened and what to do.
"""


class StorageError(Exception):
    """The disk or the database failed, or holds what this node can't use.

    Whoever meets one stops: after a failed write nothing may be said that rests on it.
    """


class TransportError(Exception):
    """The network failed: a port that is taken, a peer that can't be reached. Try again, or mend the configuration."""


class ConfigError(Exception):
    """A configuration, or a file that it names, with which a node can't start."""


class KeyFileError(Exception):
    """A key file that can't be read, opened with this passphrase, or used for what it is named for."""
