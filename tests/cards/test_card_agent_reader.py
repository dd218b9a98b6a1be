# SPDX-License-Identifier: Apache-2.0
"""The card program with a card in a reader, through a real pcscd: it signs, lets go, and says what is amiss."""

import secrets

import pytest

from chain import p256
from cli.card_agent.agent import CardAgent, Login
from identity.cards import pcsc
from identity.cards.emulator import EmulatedCard
from service.problems import Problem
from service.sign_in.card_message import CardMessage, CardPurpose
from tests.cards.authority_rig import NOW_S, new_authority
from tests.cards.making_rig import make
from tests.cards.reader_rig import Reader, shared_reader

SITE = "https://desk.example"
NOW_MS = NOW_S * 1000


@pytest.fixture
def reader() -> Reader:
    return shared_reader()


def test_card_in_a_reader_is_enrolled_and_let_go_after_each_signature(reader: Reader) -> None:
    card = EmulatedCard()
    pin = make(card, new_authority()).pin
    agent = CardAgent(pcsc.open_card, lambda: NOW_MS)
    nonce = secrets.token_bytes(32)
    with reader.inserted(card):
        question = agent.sign(agent.ask(SITE, Login(CardPurpose.ADD, nonce)).id, pin)
        keys = agent.look().keys()
        other = pcsc.open_card()  # nobody holds it
        other.close()
    assert question.answer is not None
    message = CardMessage(CardPurpose.ADD, SITE, nonce, NOW_MS, *keys)
    p256.verify(keys[0], message.login(), bytes.fromhex(str(question.answer["signature"])))
    p256.verify(keys[1], message.possession(), bytes.fromhex(str(question.answer["possession"])))


def test_empty_reader_and_a_card_that_another_program_holds_are_told_apart(reader: Reader) -> None:
    agent = CardAgent(pcsc.open_card, lambda: NOW_MS)
    with pytest.raises(Problem, match=r"agent\.no-card"):
        agent.look()
    card = EmulatedCard()
    make(card, new_authority())
    with reader.inserted(card):
        other = pcsc.open_card()
        with pytest.raises(Problem, match=r"agent\.card-failed"):
            agent.look()
        other.close()
        assert agent.look().tries_left == 3
