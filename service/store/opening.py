# SPDX-License-Identifier: Apache-2.0
"""Opening the private store: tables and keys are made where there are none, and old copies of either are noticed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select

from service.errors import KeyFileError, StorageError
from service.settings import StoreSettings
from service.store.engine import make_engine, transaction
from service.store.files import locked, make_folder
from service.store.key_encryption import (
    TOKEN_PREFIX,
    KeyEncryptionKey,
    load_file_key,
    load_passphrase,
    make_file_key,
)
from service.store.key_ring import KeyRing, Purpose
from service.store.migrate import migrate
from service.store.models import AuditHead, Person, StoreMark, new_id
from service.store.replays import unix_ms
from service.store.store import Store


def open_store(settings: StoreSettings, environment: Mapping[str, str], now: Callable[[], int] = unix_ms) -> Store:
    """Open the store that the settings name, or make it.

    Args:
        settings: Database, folders, passphrase.
        environment: May hold ZHIXIN_PASSPHRASE.
        now: Unix time in ms.

    Raises:
        KeyFileError: Keys are missing, don't open, or are open to others.
        StorageError: The database failed, or it and the keys are not of one store and time.
    """
    folder = Path(settings.keys)
    make_folder(folder)
    engine = make_engine(settings)
    try:
        with locked(folder, "opening"):
            migrate(engine)
            if not KeyRing.path(folder).exists():
                _make_keys(engine, settings, environment)
            ring = KeyRing(folder, _Wrappings(settings, environment))
            ring.remove_unused()
            store = Store(engine, ring, now)
            _match(store)
            store.apply_tombstones()
    except BaseException:
        engine.dispose()
        raise
    return store


def open_ring(settings: StoreSettings, environment: Mapping[str, str]) -> KeyRing:
    """Only the keys, which must be there.

    Raises:
        KeyFileError: They are missing, don't open, or are open to others.
    """
    return KeyRing(Path(settings.keys), _Wrappings(settings, environment))


def new_wrapping(
    settings: StoreSettings, environment: Mapping[str, str], passphrase_file: str = "", into: str | None = None
) -> KeyEncryptionKey:
    """A new key-encryption key, for `Store.rotate_wrapping`.

    Args:
        settings: Name the keys' folder.
        environment: May hold ZHIXIN_PASSPHRASE and ZHIXIN_PKCS11_PIN.
        passphrase_file: Holds the passphrase of a new file; empty: it has the one that is set now.
        into: A pkcs11: URI, or empty for a file; None: as `store.wrapping_key` says.

    Raises:
        KeyFileError: No passphrase where one is needed, the disk does not take the file, or the token makes no key.
    """
    uri = settings.wrapping_key if into is None else into
    if uri:
        from service.store.token_key import make_token_key  # noqa: PLC0415 - loads PKCS#11 where it is used alone

        return make_token_key(uri, environment)
    passphrase = load_passphrase(passphrase_file or settings.passphrase_file, environment)
    return make_file_key(Path(settings.keys), passphrase, allow_plain=settings.allow_plain)


def _make_keys(engine: Engine, settings: StoreSettings, environment: Mapping[str, str]) -> None:
    """The keys of a new store; never for a database that has had some."""
    folder = Path(settings.keys)
    with transaction(engine, writes=False) as session:
        if session.scalar(select(StoreMark.id)) is not None:
            raise KeyFileError(f"{KeyRing.path(folder)} is missing, and the database needs it: put it back")
    # a crash between the two lines leaves a key that wraps nothing; the next opening removes it if it is a file
    wrapping = new_wrapping(settings, environment)
    KeyRing.create(folder, new_id(), wrapping)


@dataclass(frozen=True, slots=True)
class _Wrappings:
    """Key-encryption keys in files and in the token that the settings name."""

    settings: StoreSettings
    environment: Mapping[str, str]

    def open(self, name: str) -> KeyEncryptionKey:
        """Find a key by its name.

        Raises:
            KeyFileError: It is not there, or does not open.
        """
        if name.startswith(TOKEN_PREFIX):
            from service.store.token_key import load_token_key  # noqa: PLC0415 - loads PKCS#11 where it is used alone

            return load_token_key(self.settings.wrapping_key, name, self.environment)
        passphrase = load_passphrase(self.settings.passphrase_file, self.environment)
        return load_file_key(Path(self.settings.keys), name, passphrase, allow_plain=self.settings.allow_plain)

    def destroy(self, name: str) -> None:
        """Delete a key from the token.

        Raises:
            KeyFileError: The token does not open, or keeps it.
        """
        from service.store.token_key import destroy_token_key  # noqa: PLC0415 - loads PKCS#11 where it is used alone

        destroy_token_key(self.settings.wrapping_key, name, self.environment)


def _match(store: Store) -> None:
    """Keys and database must be of one store; the keys are never older than the database."""
    ring = store.ring
    with store.write() as session:
        if session.scalar(select(AuditHead.id)) is None:
            session.add(AuditHead(id=1, number=0, digest=bytes(32)))
        mark = session.scalar(select(StoreMark).with_for_update())
        if mark is None:
            session.add(StoreMark(id=1, store=ring.store, epoch=ring.epoch))
            return
        if mark.store != ring.store:
            raise KeyFileError(f"{ring.path(ring.folder)} is of another store than the database; put its own back")
        if mark.epoch > ring.epoch:
            raise StorageError(
                f"the keys are an old copy: epoch {ring.epoch}, the database has {mark.epoch}; put the newest back"
            )
        there = set(ring.versions(Purpose.EPOCH))  # before the question: another process may just be ending an epoch
        epochs = set(session.scalars(select(Person.epoch).distinct()))
        lost = sorted(epochs - there)
        if lost:
            raise StorageError(
                f"the database is an old copy: its persons' keys are of epoch {lost[0]}, which has ended; "
                "restore a backup that was written since"
            )
        mark.epoch = ring.epoch
