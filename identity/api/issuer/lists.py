# SPDX-License-Identifier: Apache-2.0
"""Status lists: places that nobody can guess, decoys, and what is published at each tick.

A credential's place is drawn at random among the free ones. At each tick the list is made anew from one height of the
ledger, whether or not anything changed, and some free places flip: who compares two lists cannot tell whether a
person's credential was suspended or nothing happened at all. Places outlive erased persons and say then "invalid".
"""

import contextlib
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from chain.strict_json import parse
from identity import status_list
from identity.api.issuer.offers import content_of
from identity.api.issuer.tables import OPEN, REDEEMED, IssuerCopy, IssuerList, IssuerOffer, IssuerPlace
from identity.issuer_keys import IssuingKey
from identity.standing import AGE_S_MAX, Standing, record_key, worst
from identity.status_list import Status, StatusList
from service.errors import PersonErased
from service.store import Store, new_id
from service.store.engine import insert_new
from service.store.models import Person

PLACES: Final = 131_072
"""Of one list: enough others among whom to be one, and 2 to 4 KB to fetch."""
TAKEN_MAX: Final = PLACES // 2
"""Then a new list begins: half of the places stay free for decoys, and a draw finds a free one within a few tries."""
TICK_S: Final = 30
"""Half of the minute within which everything published agrees."""
TTL_S: Final = TICK_S
LIST_EXPIRES_S: Final = 86_400
"""A verifier without connection may go on with a list of yesterday at most."""
STALE_S: Final = AGE_S_MAX
"""Nothing is issued against a list that is older: a wallet must not get what its verifier cannot check."""
DECOYS_MAX: Final = PLACES // 64
"""Of one list; some 2% of its places, as many as are revoked in practice."""
FLIPS: Final = 4
"""Decoys that change at each tick."""
INVALID_EVERY: Final = 32
"""One flip in so many is for good, like a revocation; the others are suspensions that end."""
DECOY_EXPIRES_S: Final = 2**62
"""Decoys do not end."""

_DRAWS_MAX = 64
"""Of places for one credential; at most half are taken, so all of them fail once in 10^19 credentials."""
_SUBJECTS_BYTES_MAX = 64 * 1024
_OPENED_AT_ONCE = 500
"""Credentials read in one question; databases take some thousand values in one."""


@dataclass(frozen=True, slots=True)
class Published:
    """One list as it is served.

    Attributes:
        number: The list's.
        stream: Under which its digests are anchored; 16 bytes.
        size: How many places.
        token: Signed.
    """

    number: int
    stream: bytes
    size: int
    token: str


def list_uri(issuer: str, name: str) -> str:
    """Where a list is served, as credentials name it."""
    return f"{issuer}/status/{name}"


def take_place(
    session: Session, taken_by: str, key: IssuingKey, issuer: str, expires_s: int, now_s: int
) -> IssuerPlace:
    """Draw a free place for a credential; begins a new list where the newest is half full.

    Args:
        session: A transaction that writes.
        taken_by: Id of the credential's row.
        key: Signs a new list, so that it can be fetched before any credential names it.
        issuer: The issuer's origin.
        expires_s: When the credential ends.
        now_s: Unix time in s.
    """
    number = _open_list(session, key, issuer, now_s)
    for _ in range(_DRAWS_MAX):
        place = IssuerPlace(
            list_number=number,
            place=secrets.randbelow(PLACES),
            copy_id=taken_by,
            status=Status.VALID,
            expires_s=expires_s,
        )
        if insert_new(session, place):
            return place
    raise AssertionError("half of a list's places are free")


def revoke_copy(session: Session, copy_id: str) -> None:
    """End one credential for good, whatever the records say of which it speaks."""
    place = session.scalar(select(IssuerPlace).where(IssuerPlace.copy_id == copy_id))
    if place is not None:
        place.status = Status.INVALID


def revoke_copies(session: Session, person_id: str) -> int:
    """End all credentials of a person that still count, as when a phone is lost.

    Returns:
        How many.
    """
    ids = select(IssuerCopy.id).where(IssuerCopy.person_id == person_id)
    places = session.scalars(select(IssuerPlace).where(IssuerPlace.copy_id.in_(ids))).all()
    for place in places:
        place.status = Status.INVALID
    return len(places)


class Subjects:
    """Of which records each credential speaks, opened once and kept: opening each at each tick would take seconds."""

    def __init__(self) -> None:
        self._by_copy: dict[str, tuple[bytes, ...]] = {}

    def of_copies(self, session: Session, store: Store, now_s: int) -> dict[str, tuple[bytes, ...]]:
        """State keys by credential, of all that have not ended. Erased persons' are gone."""
        living = set(session.scalars(select(IssuerCopy.id).where(IssuerCopy.expires_s > now_s)))
        self._by_copy = {copy: keys for copy, keys in self._by_copy.items() if copy in living}
        missing = sorted(living - self._by_copy.keys())
        for start in range(0, len(missing), _OPENED_AT_ONCE):
            query = select(IssuerCopy).where(IssuerCopy.id.in_(missing[start : start + _OPENED_AT_ONCE]))
            copies = session.scalars(query).all()  # without those whose person was erased since
            wanted = {copy.person_id for copy in copies}
            held = session.scalars(select(Person).where(Person.id.in_(wanted))).all()  # one question, not one for each
            for copy in copies:
                with contextlib.suppress(PersonErased):
                    text = store.people.open(session, copy, IssuerCopy.subjects)
                    self._by_copy[copy.id] = pinned_from(text or "[]")
            del held
        return dict(self._by_copy)

    def all_keys(self, session: Session, store: Store, now_s: int) -> set[bytes]:
        """State keys to be asked for at the next tick: of credentials, and of offers that are open."""
        keys = {key for subjects in self.of_copies(session, store, now_s).values() for key in subjects}
        query = select(IssuerOffer).where(
            IssuerOffer.state.in_((OPEN, REDEEMED)), IssuerOffer.expires_ms > now_s * 1000
        )
        for offer in session.scalars(query):
            with contextlib.suppress(PersonErased):
                keys.update(content_of(session, store, offer).subjects)
        return keys


def subjects_from(text: str) -> tuple[bytes, ...]:
    """State keys from a copy's column, without what they are pinned to."""
    return tuple(record_key(subject) for subject in pinned_from(text))


def pinned_from(text: str) -> tuple[bytes, ...]:
    """State keys from a copy's column, as they are pinned: `identity.standing.pinned`."""
    value = parse(text.encode(), size_max=_SUBJECTS_BYTES_MAX, depth_max=2)
    assert isinstance(value, list), "we wrote it"
    return tuple(str(key).encode("ascii") for key in value)


def publish(
    session: Session, store: Store, subjects: Subjects, standing: Standing, key: IssuingKey, issuer: str, now_s: int
) -> list[Published]:
    """Make and sign all lists anew from one height.

    Args:
        session: A transaction that writes.
        store: Of the session.
        subjects: Of which records credentials speak.
        standing: How these stand at one height.
        key: Signs.
        issuer: The issuer's origin.
        now_s: Unix time in s.

    Returns:
        What is served from now on, for anchoring.
    """
    forget(session, now_s)
    by_copy = subjects.of_copies(session, store, now_s)
    published = []
    for row in session.scalars(select(IssuerList).order_by(IssuerList.number)):
        flip_decoys(session, row.number)
        statuses = StatusList(row.size)
        taken = select(IssuerPlace.place, IssuerPlace.copy_id, IssuerPlace.status)
        for place, copy_id, status in session.execute(taken.where(IssuerPlace.list_number == row.number)):
            statuses.set(place, _status_of(copy_id, Status(status), by_copy, standing))
        row.token = _sign(statuses, row.name, key, issuer, now_s)
        row.issued_s, row.height = now_s, standing.height
        published.append(Published(row.number, row.stream, row.size, row.token))
    return published


def flip_decoys(session: Session, number: int) -> None:
    """Change some places that no credential has: suspend and reinstate them, and now and then end one for good."""
    where = (IssuerPlace.list_number == number) & (IssuerPlace.copy_id == "")
    suspended = list(session.scalars(select(IssuerPlace).where(where & (IssuerPlace.status == Status.SUSPENDED))))
    count = session.scalar(select(func.count()).select_from(IssuerPlace).where(where)) or 0
    for _ in range(FLIPS):
        if suspended and (count >= DECOYS_MAX or secrets.randbelow(2)):
            session.delete(suspended.pop(secrets.randbelow(len(suspended))))
            session.flush()
            count -= 1
        elif count < DECOYS_MAX:
            is_final = secrets.randbelow(INVALID_EVERY) == 0
            place = IssuerPlace(
                list_number=number,
                place=secrets.randbelow(PLACES),
                copy_id="",
                status=Status.INVALID if is_final else Status.SUSPENDED,
                expires_s=DECOY_EXPIRES_S,
            )
            count += insert_new(session, place)


def forget(session: Session, now_s: int) -> None:
    """Delete what has ended: credentials with their places, and offers with what they would have said."""
    session.execute(delete(IssuerPlace).where(IssuerPlace.expires_s <= now_s))
    session.execute(delete(IssuerCopy).where(IssuerCopy.expires_s <= now_s))
    session.execute(delete(IssuerOffer).where(IssuerOffer.expires_ms <= now_s * 1000))


def _status_of(copy_id: str, own: Status, by_copy: dict[str, tuple[bytes, ...]], standing: Standing) -> Status:
    if not copy_id:
        return own
    if copy_id not in by_copy:  # its person was erased, or a later credential took its place
        return Status.INVALID
    return worst((own, standing.of(by_copy[copy_id])))


def _open_list(session: Session, key: IssuingKey, issuer: str, now_s: int) -> int:
    """The number of the list that has free places."""
    newest = session.scalar(select(IssuerList).order_by(IssuerList.number.desc()).limit(1))
    if newest is not None:
        query = select(func.count()).select_from(IssuerPlace).where(IssuerPlace.list_number == newest.number)
        if (session.scalar(query) or 0) < TAKEN_MAX:
            return newest.number
    number = 1 if newest is None else newest.number + 1
    name = new_id()
    made = IssuerList(
        number=number,
        name=name,
        stream=status_list.anchor_stream(list_uri(issuer, name)),
        size=PLACES,
        height=0 if newest is None else newest.height,
        issued_s=now_s,
        token=_sign(StatusList(PLACES), name, key, issuer, now_s),
        anchored=b"",
    )
    if insert_new(session, made):
        return number
    return _open_list(session, key, issuer, now_s)  # a rival began it


def _sign(statuses: StatusList, name: str, key: IssuingKey, issuer: str, now_s: int) -> str:
    assert key.signer is not None, "the current key signs"
    return status_list.sign(
        statuses,
        list_uri(issuer, name),
        key.signer,
        issued_s=now_s,
        expires_s=min(now_s + LIST_EXPIRES_S, key.ends_s),
        ttl_s=TTL_S,
        header=key.header,
    )


def is_fresh(session: Session, now_s: int) -> bool:
    """Whether each list was published lately; a store without lists has nothing to publish."""
    oldest = session.scalar(select(func.min(IssuerList.issued_s)))
    return oldest is None or now_s - oldest <= STALE_S


def list_named(session: Session, name: str) -> IssuerList | None:
    """A list by the name in its address."""
    return session.scalar(select(IssuerList).where(IssuerList.name == name))
