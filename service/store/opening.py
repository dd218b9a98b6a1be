# SPDX-License-Identifier: Apache-2.0
"""Opening the private store: tables and keys are made where there are none, and old copies of either are noticed."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import Engine, select

from service.errors import KeyFileError, StorageError
from service.settings import StoreSettings
from service.store.engine import make_engine, transaction
from service.store.files import locked, make_folder
from service.store.key_encryption import FileKey, KeyEncryptionKey, load_file_key, load_passphrase, make_file_key
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
    passphrase = load_passphrase(settings.passphrase_file, environment)
    engine = make_engine(settings)
    try:
        with locked(folder, "opening"):
            migrate(engine)
            if not KeyRing.path(folder).exists():
                _make_keys(engine, settings, folder, passphrase)
            ring = KeyRing(folder, _wrappings(settings, folder, passphrase))
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
    passphrase = load_passphrase(settings.passphrase_file, environment)
    return KeyRing(Path(settings.keys), _wrappings(settings, Path(settings.keys), passphrase))


def new_wrapping(settings: StoreSettings, environment: Mapping[str, str], passphrase_file: str = "") -> FileKey:
    """A new key-encryption key in a file, for `Store.rotate_wrapping`.

    Args:
        settings: Name the keys' folder.
        environment: May hold ZHIXIN_PASSPHRASE.
        passphrase_file: Holds the passphrase of the new key; empty: it has the one that is set now.

    Raises:
        KeyFileError: No passphrase where one is needed, or the disk does not take the file.
    """
    passphrase = load_passphrase(passphrase_file or settings.passphrase_file, environment)
    return make_file_key(Path(settings.keys), passphrase, allow_plain=settings.allow_plain)


def _make_keys(engine: Engine, settings: StoreSettings, folder: Path, passphrase: bytes | None) -> None:
    """The keys of a new store; never for a database that has had some."""
    with transaction(engine, writes=False) as session:
        if session.scalar(select(StoreMark.id)) is not None:
            raise KeyFileError(f"{KeyRing.path(folder)} is missing, and the database needs it: put it back")
    # a crash between the two lines leaves a key that wraps nothing, which the next opening removes
    wrapping = make_file_key(folder, passphrase, allow_plain=settings.allow_plain)
    KeyRing.create(folder, new_id(), wrapping)


def _wrappings(settings: StoreSettings, folder: Path, passphrase: bytes | None) -> Callable[[str], KeyEncryptionKey]:
    """Opens key-encryption keys by name."""
    return lambda name: load_file_key(folder, name, passphrase, allow_plain=settings.allow_plain)


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
        epochs = set(session.scalars(select(Person.epoch).distinct()))
        lost = sorted(epochs - set(ring.versions(Purpose.EPOCH)))
        if lost:
            raise StorageError(
                f"the database is an old copy: its persons' keys are of epoch {lost[0]}, which has ended; "
                "restore a backup that was written since"
            )
        mark.epoch = ring.epoch
