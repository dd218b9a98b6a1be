# SPDX-License-Identifier: Apache-2.0
"""Emulated staff cards with their agents, an authority of cards, and what a browser does with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
from sign_in_rig import ORIGIN, Browser, Desk, desk_of
from store_rig import Rig

from cli.card_agent.agent import Act, CardAgent, Login
from cli.staff_cards import check
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import Slot
from identity.cards.personalise import personalise
from identity.cards.piv import Piv
from identity.cards.verifying import load_chain
from service.sign_in.card_message import CardPurpose
from service.sign_in.people import first_link, invite
from service.sign_in.roles import Role
from service.sign_in.staff_cards import StaffCards
from tests.cards.authority_rig import DAY_S, Keys, new_authority
from tests.cards.making_rig import EXPIRES, Notes, master

AGENT = "http://127.0.0.1:8820"
CLOCK_S = Rig.clock_ms // 1000


@cache
def authority() -> Keys:
    """One for all tests of a process, from the day of the store's clock on."""
    return new_authority(now_s=CLOCK_S // DAY_S * DAY_S)


def staff_cards(keys: Sequence[Keys] = (), *, emulated: bool = True) -> StaffCards:
    chains = [load_chain(one.chain_pem) for one in (keys or (authority(),))]
    return StaffCards(AGENT, lambda *given: check(chains, *given, emulated=emulated))


@dataclass
class Holder:
    """A person with a card, their PIN, and the agent on their machine."""

    card: EmulatedCard
    pin: str
    agent: CardAgent

    def answer(self, options: dict[str, Any], origin: str = ORIGIN) -> dict[str, Any]:
        """What the agent gives once the person has entered the PIN."""
        asked = options["card"]
        if "purpose" in asked:
            question = self.agent.ask(origin, Login(CardPurpose(asked["purpose"]), bytes.fromhex(asked["nonce"])))
        else:
            act = Act.read(
                bytes.fromhex(asked["network"]),
                bytes.fromhex(asked["header"]),
                [bytes.fromhex(one) for one in asked["operations"]],
                bytes.fromhex(asked["key"]),
                self.agent.now(),
            )
            question = self.agent.ask(origin, act)
        found = self.agent.sign(question.id, self.pin).answer
        assert found is not None
        return dict(found)

    def raw_sign(self, slot: Slot, digest: bytes) -> bytes:
        """What somebody gets from the card who has it and its PIN, and no agent between."""
        piv = Piv(self.card)
        piv.select()
        piv.verify_pin(self.pin)
        return piv.sign(slot, digest)


def new_card(keys: Keys | None = None) -> tuple[EmulatedCard, str]:
    """A card that an authority has made, and its PIN."""
    card = EmulatedCard()
    made = personalise(card, (keys or authority()).authority, master(), Notes(), now_s=CLOCK_S, expires=EXPIRES)
    card.reset()
    return card, made.pin


def new_holder(desk: Desk, keys: Keys | None = None) -> Holder:
    card, pin = new_card(keys)
    return Holder(card, pin, CardAgent(lambda: card, desk.office.now))


def card_desk(rig: Rig) -> Desk:
    return desk_of(rig, staff_cards())


async def ceremony(browser: Browser, path: str, holder: Holder, **more: Any) -> httpx.Response:
    """Both questions of a ceremony with a card."""
    first = {name: value for name, value in more.items() if name == "token"}
    options = await browser.post(f"{path}/card/options", first)
    if options.status_code != 200:
        return options
    return await browser.post(f"{path}/card/verify", {"card": holder.answer(options.json()), **more})


async def joined(desk: Desk, link: str) -> tuple[Browser, Holder]:
    browser, holder = desk.browser(), new_holder(desk)
    token = link.partition("#")[2]
    answer = await ceremony(browser, "/join", holder, token=token, name="Staff card")
    assert answer.status_code == 200, answer.text
    return browser, holder


async def administrator(desk: Desk, name: str = "Li Wei") -> tuple[Browser, Holder]:
    return await joined(desk, first_link(desk.office, name, "civil-affairs", another=True))


async def colleague(desk: Desk, by: Browser, role: Role = Role.CLERK) -> tuple[Browser, Holder]:
    return await joined(desk, invite(desk.office, by.officer(), "Zhang Min", "civil-affairs", role))
