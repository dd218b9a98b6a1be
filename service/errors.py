# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the world that a service runs in; what a caller does wrong stands in `service.problems`.

Each message says what happened and what to do. Messages go into logs, so none names a person, not even by the random
id of a row: a log outlives an erasure.
"""


class ConfigError(Exception):
    """Settings, or a file that they name, with which a service can't start."""


class StorageError(Exception):
    """The private store failed, or holds what this service can't use. Whoever meets one at start stops."""


class KeyFileError(Exception):
    """A file of keys that can't be read, opened with this passphrase, or used for what it is named for."""


class TokenError(KeyFileError):
    """A PKCS#11 token, or a key in it, that is not there, does not open, or is not what it must be."""


class PersonErased(Exception):
    """There is no such person in the store: erased, or never there. Nothing tells which."""


class ListenError(Exception):
    """An address that a service can't listen on."""
