# SPDX-License-Identifier: Apache-2.0
"""What relying parties hear of cards: the ledger's word on their keys at one height, whatever the desk believes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from desk_cards_rig import CardsRig
from fastapi import FastAPI
from sign_in_rig import ADDRESS, GENEROUS
from sqlalchemy import delete, select
from store_rig import Rig

from client.errors import TransportError
from identity.api.desk import card_status, cards, cards_binding, cards_making
from identity.api.desk import card_status_part as card_status_pages
from identity.api.desk.card_keys import CardKeys
from identity.api.desk.card_status import Reading, known_cards, log_into, publish, remember
from identity.api.desk.card_status_part import card_status_part
from identity.api.desk.card_status_tables import CardCertificate
from identity.api.desk.cards import Reason as CardReason
from identity.api.desk.cards_life import CardState
from identity.api.desk.cards_shop import Shop
from identity.api.desk.cards_tables import Card
from identity.cards.authority import CardAuthority
from identity.cards.card import CardRemoved
from identity.cards.emulator import EmulatedCard
from identity.cards.making import Journal, MasterKey, PersonalisedCard
from identity.cards.profile import Places
from identity.cards.statuses import Ending, Reason, StatusTable
from identity.pb import identity_pb2 as pb
from service.app import Part, create_app
from service.errors import StorageError
from service.sign_in.roles import Role
from tests.cards.authority_rig import Keys, new_authority
from tests.cards.making_rig import Pulled

INSPECTED = pb.PROOFING_METHOD_DOCUMENT_INSPECTED
MINUTE_MS = 60_000


@dataclass
class RuledSource:
    """The ledger's rules, executed at once; a height for each minute."""

    rig: CardsRig
    is_reachable: bool = True
    asked: int = 0

    async def read(self, keys: Sequence[bytes]) -> Reading:
        self.asked += 1
        if not self.is_reachable:
            raise TransportError("no node answers")
        time_ms = self.rig.rig.clock_ms
        return Reading(time_ms // MINUTE_MS, time_ms // 1000, {key: self.rig.rules.state.get(key) for key in keys})


@dataclass
class StatusRig:
    """A desk, its authority, and what the authority would publish."""

    cards: CardsRig
    made: Keys

    @classmethod
    def of(cls, rig: Rig) -> "StatusRig":
        cards = CardsRig(rig)
        cards.stock()
        made = new_authority(now_s=rig.clock_ms // 1000)
        authority = CardAuthority(
            made.issuing, made.issuing_signer, Places(), allows_emulated=True, log=log_into(cards.store)
        )
        cards.shop = Shop(cards.shop.counter, authority, cards.shop.diversifier)
        return cls(cards, made)

    @property
    def keys(self) -> CardKeys:
        master = MasterKey(bytes(32))
        return CardKeys(self.cards.shop.authority, master, self.made.root, self.made.issuing_signer)

    def view(self) -> StatusTable:
        known = known_cards(self.cards.desk)
        reading = asyncio.run(RuledSource(self.cards).read([card.registration for card in known]))
        return remember(self.cards.desk, known, reading)

    def serials(self, card_id: str) -> list[int]:
        guid = self.cards.card(card_id).guid
        with self.cards.store.read() as session:
            rows = session.scalars(select(CardCertificate.serial).where(CardCertificate.guid == guid)).all()
        assert len(rows) == 4, "each certificate of a card was written down"
        return [int(serial, 16) for serial in rows]

    def standing(self, card_id: str) -> Ending | None:
        """How a card's certificates stand: all four alike."""
        seen = self.view()
        (found,) = {seen.certificates[serial] for serial in self.serials(card_id)}
        return found

    def reason(self, card_id: str) -> Reason | None:
        found = self.standing(card_id)
        return None if found is None else found.reason

    def suspend(self, card_id: str) -> None:
        person = self.cards.card(card_id).person_id
        registration, record = self.cards.registration(person), self.cards.record(person)
        operations = cards_binding.suspension(self.cards.card(card_id), registration, record)
        assert self.cards.act("desk@p256", operations) == ""


@pytest.fixture
def desk(rig: Rig) -> StatusRig:
    return StatusRig.of(rig)


@pytest.fixture
def small(sqlite_rig: Rig) -> StatusRig:
    return StatusRig.of(sqlite_rig)


def test_card_counts_from_its_binding_on_and_is_on_hold_before(desk: StatusRig) -> None:
    card_id, _ = desk.cards.made(desk.cards.person())
    assert desk.reason(card_id) is Reason.HOLD
    desk.cards.bind(card_id)
    assert desk.reason(card_id) is None


def test_card_suspended_on_the_ledger_is_on_hold_though_the_desk_has_not_noticed(desk: StatusRig) -> None:
    card_id, _ = desk.cards.active(desk.cards.person())
    assert desk.reason(card_id) is None
    desk.suspend(card_id)
    assert desk.cards.card(card_id).state is CardState.ACTIVE
    held = desk.standing(card_id)
    assert held == Ending(Reason.HOLD, desk.cards.rig.clock_ms // 1000)
    desk.cards.rig.clock_ms += 5 * MINUTE_MS
    assert desk.standing(card_id) == held, "since when is remembered"
    desk.cards.observe(card_id)
    person = desk.cards.card(card_id).person_id
    operations, _ = cards_binding.reinstatement(
        desk.cards.card(card_id), desk.cards.registration(person), desk.cards.record(person), INSPECTED
    )
    assert desk.cards.act(Role.CLERK, operations) == ""
    assert desk.reason(card_id) is None


def test_card_revoked_stays_so_when_its_holder_is_erased(desk: StatusRig) -> None:
    person = desk.cards.person()
    card_id, _ = desk.cards.active(person)
    serials = desk.serials(card_id)
    assert desk.reason(card_id) is None
    operations, _ = cards_binding.revocation(
        desk.cards.card(card_id), desk.cards.registration(person), desk.cards.record(person), CardReason.LOST
    )
    assert desk.cards.act(Role.APPROVER, operations) == ""
    ended = desk.standing(card_id)
    assert ended is not None
    assert ended.reason is Reason.ENDED
    with desk.cards.store.write() as session:
        session.execute(delete(Card))
    desk.cards.rig.clock_ms += MINUTE_MS
    assert [desk.view().certificates[serial] for serial in serials] == [ended] * 4


def test_card_replaced_is_revoked_as_such(small: StatusRig) -> None:
    person = small.cards.person()
    old, _ = small.cards.active(person)
    assert small.reason(old) is None
    new, _ = small.cards.active(person, CardReason.DAMAGED, old)
    assert (small.reason(old), small.reason(new)) == (None, None)
    operations, _ = cards_binding.revocation(
        small.cards.card(old), small.cards.registration(person), small.cards.record(person), CardReason.DAMAGED
    )
    assert small.cards.act(Role.APPROVER, operations) == ""
    assert (small.reason(old), small.reason(new)) == (Reason.REPLACED, None)


def test_lost_card_is_revoked_as_replaced_once_the_new_one_is_bound(small: StatusRig) -> None:
    person = small.cards.person()
    old, _ = small.cards.active(person)
    assert small.reason(old) is None
    small.suspend(old)
    small.cards.observe(old)
    new, _ = small.cards.printed(person, CardReason.LOST, old)
    assert (small.reason(old), small.reason(new)) == (Reason.REPLACED, None)


def test_card_given_up_in_the_making_never_counts_though_it_has_certificates(small: StatusRig) -> None:
    card_id = cards.request(small.cards.desk, small.cards.clerk, small.cards.person(), CardReason.FIRST)

    def pulled(journal: Journal, _serial: str) -> PersonalisedCard:
        return small.cards.shop.personalise(small.cards.desk, Pulled(EmulatedCard(), 50), journal)

    with pytest.raises(CardRemoved):
        cards_making.make(small.cards.desk, small.cards.clerk, card_id, pulled)
    cards_making.give_up(small.cards.desk, small.cards.clerk, card_id)
    seen = small.view()
    assert len(seen.certificates) == 4
    assert {ending.reason for ending in seen.certificates.values() if ending is not None} == {Reason.HOLD}
    assert None not in seen.certificates.values()


def test_cards_beyond_the_bound_publish_nothing_rather_than_a_part(
    small: StatusRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.cards.active(small.cards.person())
    monkeypatch.setattr(card_status, "CARDS_MAX", 0)
    with pytest.raises(StorageError, match="at most 0 cards"):
        small.view()


def test_certificate_that_expired_is_forgotten(small: StatusRig) -> None:
    small.cards.active(small.cards.person())
    assert len(small.view().certificates) == 4
    small.cards.rig.clock_ms += 6 * 365 * 86_400_000
    assert small.view().certificates == {}


def test_row_of_a_certificate_says_nothing_of_its_holder(small: StatusRig) -> None:
    small.cards.active(small.cards.person())
    assert {column.name for column in CardCertificate.__table__.columns} == {
        *("serial", "guid", "expires_s", "has_counted", "reason", "since_s")
    }
    assert not CardCertificate.__table__.foreign_keys


# HTTP -----------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def served(desk: StatusRig, source: RuledSource) -> AsyncIterator[tuple[httpx.AsyncClient, FastAPI]]:
    async def start(app: FastAPI) -> None:
        app.state.desk = desk.cards.desk

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card_status_pages, "TICK_S", 86_400)  # one tick, at the start; the test makes the others
        parts = [Part("desk", start=start), card_status_part(desk.keys, source=source)]
    app = create_app(parts, GENEROUS, ADDRESS)
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(60):
            while not source.asked or (source.is_reachable and app.state.card_status.now is None):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS.public_origin) as client:
            yield client, app


def question(keys: Keys, serial: int) -> bytes:
    names, key = keys.issuing.subject.public_bytes(), compressed_point(keys)
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(digest(names), digest(key), serial, SHA256())
    return builder.build().public_bytes(Encoding.DER)


def compressed_point(keys: Keys) -> bytes:
    return keys.issuing.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


async def test_list_certificate_and_answers_are_served_to_anybody_and_agree(sqlite_rig: Rig) -> None:
    desk = await asyncio.to_thread(StatusRig.of, sqlite_rig)
    good, _ = await asyncio.to_thread(desk.cards.active, desk.cards.person())
    held, _ = await asyncio.to_thread(desk.cards.made, desk.cards.person("李小红", "440604197501010019"))
    async with served(desk, RuledSource(desk.cards)) as (client, app):
        app.state.card_status.now = await publish(desk.cards.desk, desk.keys, RuledSource(desk.cards))
        listed = await client.get("/pki/cards.crl")
        assert listed.headers["content-type"] == "application/pkix-crl"
        again = await client.get("/pki/cards.crl", headers={"if-none-match": listed.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        revoked = {entry.serial_number for entry in x509.load_der_x509_crl(listed.content)}
        assert revoked == set(desk.serials(held))
        found = await client.get("/pki/issuing.cer")
        assert x509.load_der_x509_certificate(found.content) == desk.made.issuing
        for card_id, expected in ((good, ocsp.OCSPCertStatus.GOOD), (held, ocsp.OCSPCertStatus.REVOKED)):
            for serial in desk.serials(card_id):
                asked = question(desk.made, serial)
                posted = await client.post("/pki/ocsp", content=asked)
                assert posted.headers["content-type"] == "application/ocsp-response"
                assert ocsp.load_der_ocsp_response(posted.content).certificate_status is expected


async def test_nobody_is_told_that_a_card_counts_while_the_ledger_cannot_be_reached(sqlite_rig: Rig) -> None:
    desk = await asyncio.to_thread(StatusRig.of, sqlite_rig)
    card_id, _ = await asyncio.to_thread(desk.cards.active, desk.cards.person())
    asked = question(desk.made, desk.serials(card_id)[0])
    source = RuledSource(desk.cards, is_reachable=False)
    async with served(desk, source) as (client, app):
        assert (await client.get("/pki/cards.crl")).status_code == 503
        answer = await client.post("/pki/ocsp", content=asked)
        assert ocsp.load_der_ocsp_response(answer.content).response_status is ocsp.OCSPResponseStatus.TRY_LATER
        source.is_reachable = True
        app.state.card_status.now = await publish(desk.cards.desk, desk.keys, source)
        answer = await client.post("/pki/ocsp", content=asked)
        assert ocsp.load_der_ocsp_response(answer.content).certificate_status is ocsp.OCSPCertStatus.GOOD
        desk.cards.rig.clock_ms += 6 * MINUTE_MS
        answer = await client.post("/pki/ocsp", content=asked)
        assert ocsp.load_der_ocsp_response(answer.content).response_status is ocsp.OCSPResponseStatus.TRY_LATER
        assert (await client.get("/pki/cards.crl")).status_code == 200
        desk.cards.rig.clock_ms += 60 * MINUTE_MS
        assert (await client.get("/pki/cards.crl")).status_code == 503


async def test_readiness_names_a_status_tick_that_is_broken(sqlite_rig: Rig) -> None:
    desk = await asyncio.to_thread(StatusRig.of, sqlite_rig)
    source = RuledSource(desk.cards, is_reachable=False)
    async with served(desk, source) as (client, app):
        never = await client.get("/ready")
        assert (never.status_code, "card-status.published" in never.text) == (503, True)
        source.is_reachable = True
        app.state.card_status.now = await publish(desk.cards.desk, desk.keys, source)
        checks = {"card-status.published": "ok", "card-status.ticks": "ok"}
        assert (await client.get("/ready")).json()["checks"] == checks
        desk.cards.rig.clock_ms += MINUTE_MS
        assert (await client.get("/ready")).status_code == 200
        desk.cards.rig.clock_ms += 1_000
        assert (await client.get("/ready")).status_code == 503, "no tick succeeded for more than a minute"


@pytest.mark.parametrize("question_", [b"", b"?", bytes(5000)])
async def test_question_that_is_none_gets_a_refusal_as_an_answer(sqlite_rig: Rig, question_: bytes) -> None:
    desk = await asyncio.to_thread(StatusRig.of, sqlite_rig)
    async with served(desk, RuledSource(desk.cards)) as (client, app):
        app.state.card_status.now = await publish(desk.cards.desk, desk.keys, RuledSource(desk.cards))
        answer = await client.post("/pki/ocsp", content=question_)
        assert answer.status_code == 200
        refused = ocsp.load_der_ocsp_response(answer.content).response_status
        assert refused is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
