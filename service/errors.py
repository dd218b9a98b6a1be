# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the world that a service runs in; what a caller does wrong stands in `service.problems`.

Each message says what happened and what to do. Messages go into logs, so none names a person, not even by the random
id of a row: a log outlives an erasure. What operators meet most often has a class, to which commands have words.
"""

from pathlib import Path


class ConfigError(Exception):
    """Settings, or a file that they name, with which a service can't start."""


class NoGenesisNamed(ConfigError):
    """`ledger.genesis` is not set, so that nothing says which network is meant."""

    def __init__(self) -> None:
        super().__init__("ledger.genesis is missing: name the network's genesis file, where all trust starts")


class UnreadableSettings(ConfigError):
    """The settings file is not there, or cannot be read.

    Attributes:
        path: Of the file.
        is_missing: It is not there.
        cause: Why, in the system's words.
    """

    def __init__(self, path: Path, error: OSError | UnicodeDecodeError) -> None:
        super().__init__(f"{path} cannot be read: {error}")
        self.path, self.is_missing = path, isinstance(error, FileNotFoundError)
        self.cause = str(error) if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)


class StorageError(Exception):
    """The private store failed, or holds what this service can't use. Whoever meets one at start stops."""


class KeyFileError(Exception):
    """A file of keys that can't be read, opened with this passphrase, or used for what it is named for."""


class PassphraseMissing(KeyFileError):
    """The store's keys are encrypted, or are to be, and nothing is given that opens them.

    Attributes:
        path: Of the encrypted file; None: there is none yet, and a new one is to be encrypted.
    """

    def __init__(self, path: Path | None) -> None:
        ways = "give ZHIXIN_PASSPHRASE or store.passphrase_file"
        new = f"{ways}; store.allow_plain is for test networks"
        super().__init__(new if path is None else f"{path} is encrypted; {ways}")
        self.path = path


class TokenError(KeyFileError):
    """A PKCS#11 token, or a key in it, that is not there, does not open, or is not what it must be."""


class PersonErased(Exception):
    """There is no such person in the store: erased, or never there. Nothing tells which."""


class ListenError(Exception):
    """An address that a service can't listen on."""
