# SPDX-License-Identifier: Apache-2.0
"""The private compartment from its holder's own device: fetched and put back as it was sealed; nobody here reads it."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from space_rig import Holder, SpaceOffice
from sqlalchemy import select

from chain import p256
from identity.api.desk import compartments
from identity.api.desk.looking_up import Reason, note_access
from identity.compartment import agreeing, seal, unseal
from service.notices.tables import Notice

CARD, WALLET, OTHER = (ec.derive_private_key(value, ec.SECP256R1()) for value in (61, 62, 63))
BEFORE, AFTER = "过敏：青霉素".encode(), "过敏：青霉素、花生".encode()


def public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return p256.compress(key.public_key())


def sealed(content: bytes, *keys: ec.EllipticCurvePrivateKey) -> bytes:
    return seal(content, *(public(key) for key in keys or (CARD, WALLET)))


@pytest.fixture
def office(sqlite_rig: Any) -> SpaceOffice:
    return SpaceOffice(sqlite_rig)


def kept(office: SpaceOffice, content: bytes) -> None:
    """The first one is handed in at the counter."""
    clerk = office.officer()
    with office.store.write() as session:
        note_access(office.desk, session, clerk, office.person, Reason.COUNTER)
    compartments.keep(office.desk, clerk, office.person, content)


async def test_holder_fetches_and_replaces_what_either_key_opens_and_is_told(office: SpaceOffice) -> None:
    first = sealed(BEFORE)
    async with office.wallet() as wallet:
        holder = await Holder.with_credential(wallet)
        assert await holder.refused("compartment.get") == "credential_request_denied"
        assert await holder.refused("compartment.put", sealed=first.decode()) == "credential_request_denied"
        kept(office, first)
        fetched = (await holder.do("compartment.get"))["compartment"].encode()
        assert fetched == first
        assert unseal(fetched, public(WALLET), agreeing(WALLET)) == BEFORE
        await holder.do("compartment.put", sealed=sealed(AFTER).decode())
        fetched = (await holder.do("compartment.get"))["compartment"].encode()
        for key in (CARD, WALLET):
            assert unseal(fetched, public(key), agreeing(key)) == AFTER
    with office.store.read() as session:
        assert "space-compartment" in set(session.scalars(select(Notice.kind)))
    written = b"".join(path.read_bytes() for path in office.rig.folder.rglob("*") if path.is_file())
    for content in (BEFORE, AFTER, "青霉素".encode()):
        assert content not in written


async def test_only_what_the_same_two_keys_open_takes_its_place(office: SpaceOffice) -> None:
    first = sealed(BEFORE)
    kept(office, first)
    async with office.wallet() as wallet:
        holder = await Holder.with_credential(wallet)
        for other in (sealed(AFTER, CARD, OTHER), sealed(AFTER, OTHER, WALLET)):
            assert await holder.refused("compartment.put", sealed=other.decode()) == "credential_request_denied"
        for wrong in ("", "{}", BEFORE.decode(), first.decode()[:-9], "x" * 50_000):
            assert await holder.refused("compartment.put", sealed=wrong) == "invalid_request"
        assert (await holder.do("compartment.get"))["compartment"].encode() == first
    with office.store.read() as session:
        found = compartments.load(office.desk, session, office.person)
    assert found is not None
    assert found.sealed == first


async def test_thief_who_destroys_it_from_a_stolen_phone_leaves_it_at_the_desk_and_silences_no_urgent_notice(
    office: SpaceOffice,
) -> None:
    first = sealed(BEFORE)
    kept(office, first)
    office.rig.clock_ms += compartments.STOOD_MS_MIN
    members = json.loads(first)
    garbled = json.dumps(members | {"ciphertext": "A" * len(members["ciphertext"])}).encode()
    async with office.wallet() as wallet:
        holder = await Holder.with_credential(wallet)
        for _ in range(3):
            await holder.do("compartment.put", sealed=garbled.decode())
        assert (await holder.do("compartment.get"))["compartment"].encode() == garbled
    with office.store.write() as session:
        (before,) = compartments.before(office.desk, session, office.person)
        clerk = office.officer()
        note_access(office.desk, session, clerk, office.person, Reason.COUNTER)
        told = session.scalars(select(Notice).where(Notice.kind == "space-compartment")).all()
    assert [one.is_urgent for one in told] == [False], "one an hour, and no turn of what is urgent"
    assert compartments.hand_back(office.desk, clerk, office.person, before.id) == first
