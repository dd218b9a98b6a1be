# SPDX-License-Identifier: Apache-2.0
"""The data space by the card alone: what a card signs to act there, and how somebody might cheat."""

import json
from typing import Any

import httpx
import pytest
from space_rig import SpaceOffice
from sqlalchemy import select
from staff_card_rig import new_card

from chain.errors import InvalidMessage
from cli.card_agent.agent import CardAgent, OwnAct
from identity import access
from identity.api.desk.cards_life import CardState
from identity.api.desk.cards_tables import Card
from identity.api.space.by_card import CLOCK_MS_MAX
from identity.jose import decode_base64url
from identity.pb import identity_pb2 as pb
from identity.space_card import SpaceMessage
from service.problems import Problem

PAGE = "https://wallet.example.org"
LOOK = {"do": "overview", "accesses": True}


class Reader:
    """A computer with the person's card in its reader, at the registrar's service."""

    def __init__(self, office: SpaceOffice, http: httpx.AsyncClient) -> None:
        self.office, self.http = office, http
        self.card, self.pin = new_card()
        self.guid = office.give_card(self.card)
        self.clock_ms = office.rig.clock_ms
        self.agent = CardAgent(lambda: self.card, lambda: self.clock_ms)

    async def nonce(self) -> str:
        return str((await self.http.post("/oid4vci/nonce")).json()["c_nonce"])

    def signed(self, act: Any, nonce: str, audience: str = "") -> dict[str, Any]:
        """What the card's program answers."""
        asked = OwnAct.read(audience or self.office.issuer.origin, nonce, json.dumps(act))
        question = self.agent.ask(PAGE, asked)
        answer = self.agent.sign(question.id, self.pin).answer
        assert answer is not None
        return dict(answer)

    async def send(self, what: Any, **changes: Any) -> httpx.Response:
        nonce = await self.nonce()
        body = {"card": self.signed(what, nonce), "nonce": nonce, "act": json.dumps(what)} | changes
        return await self.http.post("/space/acts", json=body)

    async def refused(self, what: Any, **changes: Any) -> str:
        answer = await self.send(what, **changes)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["error_description"])


@pytest.fixture
def office(sqlite_rig: Any) -> SpaceOffice:
    return SpaceOffice(sqlite_rig)


async def test_card_alone_sees_what_is_kept_with_proofs_and_acts(office: SpaceOffice) -> None:
    async with office.wallet() as wallet:
        reader = Reader(office, wallet.http)
        told = (await reader.send(LOOK)).json()
        assert told["person"]["data"]["name"] == "李小明"
        report = decode_base64url(told["accesses"]["report"], "report")
        first = access.slot_of_claim(told["accesses"]["first_slot"])
        genesis = office.space_ledger.chain.genesis
        assert access.verify(report, first, genesis).accesses == ()
        export = (await reader.send({"do": "export"})).json()
        assert export["accesses"]["first_slot"] == told["accesses"]["first_slot"]
        asked = await reader.send({"do": "request.make", "kind": "correct", "text": "地址应为祖庙街道 2 号"})
        assert asked.json()["request"]["state"] == "open"
        locked = await reader.send({"do": "lock", "what": "registration"})
        assert locked.status_code == 200, locked.text
        assert office.record().status == pb.PERSON_STATUS_SUSPENDED
        assert "does not count now" in await reader.refused(LOOK)


async def test_signature_for_looking_changes_nothing_and_one_act_is_no_other(office: SpaceOffice) -> None:
    async with office.wallet() as wallet:
        reader = Reader(office, wallet.http)
        lock = json.dumps({"do": "lock", "what": "registration"})
        assert "did not sign this" in await reader.refused(LOOK, act=lock)
        message = SpaceMessage(office.issuer.origin, PAGE, "n", lock, reader.guid, 1)
        looking = SpaceMessage(office.issuer.origin, PAGE, "n", json.dumps(LOOK), reader.guid, 1)
        assert (int(message.slot), int(looking.slot)) == (0x9C, 0x9A)
        other = {"do": "request.make", "kind": "erase", "text": "x"}
        assert "did not sign this" in await reader.refused(
            {"do": "request.make", "kind": "correct", "text": "x"}, act=json.dumps(other)
        )
        assert office.record().status == pb.PERSON_STATUS_ACTIVE


async def test_replayed_stolen_foreign_and_malformed_answers_of_a_card_are_refused(office: SpaceOffice) -> None:
    async with office.wallet() as wallet:
        reader = Reader(office, wallet.http)
        nonce = await reader.nonce()
        body = {"card": reader.signed(LOOK, nonce), "nonce": nonce, "act": json.dumps(LOOK)}
        assert (await wallet.http.post("/space/acts", json=body)).status_code == 200
        assert (await wallet.http.post("/space/acts", json=body)).status_code == 400  # once
        fresh = await reader.nonce()
        assert (await wallet.http.post("/space/acts", json=body | {"nonce": fresh})).status_code == 400
        fresh = await reader.nonce()
        elsewhere = reader.signed(LOOK, fresh, "https://issuer.elsewhere.example")
        assert "did not sign" in await reader.refused(LOOK, nonce=fresh, card=elsewhere)
        for change in ({"origin": "https://evil.example"}, {"time_ms": reader.clock_ms + 1}, {"guid": "00" * 16}):
            fresh = await reader.nonce()
            altered = reader.signed(LOOK, fresh) | change
            assert "did not sign this" in await reader.refused(LOOK, nonce=fresh, card=altered)
        for wrong in ({"guid": "0"}, {"signature": "zz" * 64}, {"time_ms": "1"}, {"time_ms": True}, {"origin": 7}):
            fresh = await reader.nonce()
            assert "card is guid" in await reader.refused(LOOK, nonce=fresh, card=reader.signed(LOOK, fresh) | wrong)
        assert "card is guid" in await reader.refused(LOOK, card={})
        reader.clock_ms += CLOCK_MS_MAX + 1
        assert "clock" in await reader.refused(LOOK)


async def test_strangers_card_and_one_that_ended_open_nobodys_data_space(office: SpaceOffice) -> None:
    async with office.wallet() as wallet:
        reader = Reader(office, wallet.http)
        own, (stranger, pin) = reader.card, new_card()
        reader.card = stranger
        reader.pin, own_pin = pin, reader.pin
        assert "not known here" in await reader.refused(LOOK)
        nonce = await reader.nonce()
        posing = reader.signed(LOOK, nonce) | {"guid": reader.guid.hex()}
        assert "did not sign this" in await reader.refused(LOOK, nonce=nonce, card=posing)
        reader.card, reader.pin = own, own_pin

        with office.store.write() as session:
            (row,) = session.scalars(select(Card))
            row.state = CardState.PRINTED  # still at the desk
        assert "not known here" in await reader.refused(LOOK)
        with office.store.write() as session:
            (row,) = session.scalars(select(Card))
            row.state = CardState.ACTIVE
        for key in office.record().keys:
            stop = pb.SetPersonStatus(
                id=office.registration,
                key=key.commitment,
                status=pb.STATUS_SUSPENDED,
                reason=pb.REASON_HOLDER_REQUEST,
            )
            assert office.space_ledger.rules.code("desk@p256", stop) == ""
        assert "does not count now" in await reader.refused(LOOK)  # though the desk has not heard of it yet
        office.space_ledger.is_reachable = False
        assert (await reader.send(LOOK)).status_code == 503


def test_cards_program_signs_no_text_that_is_no_act() -> None:
    for text in ("", "{}", "[]", '{"do": 1}', '{"do": "overview"', '{"do": "x", "do": "y"}', "x" * 9_000):
        with pytest.raises(Problem):
            OwnAct.read("https://issuer.example.org", "n", text)
        with pytest.raises(InvalidMessage):
            _ = SpaceMessage("a", "b", "n", text, bytes(16), 1).slot
