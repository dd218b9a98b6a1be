# SPDX-License-Identifier: Apache-2.0
"""Cards in a reader, through a real pcscd: what a program sees when cards come, go, and are held by others."""

import asyncio
import subprocess
import sys
import time

import pytest

from identity.cards import pcsc
from identity.cards.card import CardError, CardRemoved, NoCard, PcscMissing
from identity.cards.emulator import EMULATED_ATR, EmulatedCard
from identity.cards.objects import FACTORY_MANAGEMENT_KEY, FACTORY_PIN, Slot
from identity.cards.piv import Piv
from identity.cards.vpcd import plug_in
from tests.cards.reader_rig import READER, Reader, shared_reader


@pytest.fixture
def reader() -> Reader:
    return shared_reader()


def test_card_in_the_reader_answers_as_in_this_process(reader: Reader) -> None:
    card = EmulatedCard()
    with reader.inserted(card):
        assert pcsc.Reader(READER, has_card=True) in pcsc.readers()
        held = pcsc.open_card()
        assert (held.reader, held.atr) == (READER, EMULATED_ATR)
        piv = Piv(held)
        piv.select()
        piv.authenticate_management(FACTORY_MANAGEMENT_KEY)
        public_key = piv.generate(Slot.CARD)
        assert card.state.keys.keys() == {Slot.CARD}
        assert len(public_key) == 65
        content = bytes(range(256)) * 11
        piv.put_certificate(Slot.CARD, content)
        assert piv.certificate(Slot.CARD) == content
        held.close()
        held.close()


def test_card_let_go_forgets_the_pin(reader: Reader) -> None:
    with reader.inserted(EmulatedCard()):
        first = pcsc.open_card()
        Piv(first).verify_pin(FACTORY_PIN)
        assert Piv(first).pin_tries_left() is None
        first.close()
        with pytest.raises(CardRemoved, match="let go"):
            Piv(first).pin_tries_left()
        second = pcsc.open_card()
        assert Piv(second).pin_tries_left() == 3
        Piv(second).verify_pin(FACTORY_PIN)
        second.reset()
        assert Piv(second).pin_tries_left() == 3
        second.close()


def test_card_pulled_out_says_so(reader: Reader) -> None:
    card = EmulatedCard()
    with reader.inserted(card):
        held = pcsc.open_card()
        card.remove()
        with pytest.raises(CardRemoved, match="put it back"):
            Piv(held).select()
        with pytest.raises(CardRemoved):
            held.reset()
        held.close()


def test_card_held_by_another_program_says_so(reader: Reader) -> None:
    with reader.inserted(EmulatedCard()):
        held = pcsc.open_card()
        with pytest.raises(CardError, match="another program"):
            pcsc.open_card()
        held.close()


def test_reader_without_a_card_or_with_another_name_says_so(reader: Reader) -> None:
    with pytest.raises(NoCard, match="there is no card in Virtual PCD 00 00"):
        pcsc.open_card("00 00")
    with pytest.raises(NoCard, match="no reader is called Kiosk; there are: Virtual"):
        pcsc.open_card("Kiosk")


def test_command_through_the_reader_waits_for_no_acknowledgement(reader: Reader) -> None:
    with reader.inserted(EmulatedCard()):
        held = pcsc.open_card()
        piv = Piv(held)
        seconds: list[float] = []
        for _ in range(20):
            started = time.monotonic()
            piv.pin_tries_left()
            seconds.append(time.monotonic() - started)
        held.close()
        # The quickest: a busy machine may hold up any of them.
        assert min(seconds) < 0.04, "each command waits 40 ms where one side delays its answer"


def test_machine_without_the_service_says_what_to_install() -> None:
    program = "from identity.cards import pcsc; pcsc.readers()"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PCSCLITE_CSOCK_NAME": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "PcscMissing: the service of readers is not running: install and start pcscd" in ended.stderr


def test_machine_without_pyscard_says_what_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smartcard.scard", None)
    with pytest.raises(PcscMissing, match="make setup-cards"):
        pcsc.readers()


async def test_card_for_a_virtual_reader_that_is_not_there_says_what_to_start() -> None:
    with pytest.raises(NoCard, match=r"no virtual reader listens at 127\.0\.0\.1 port 1: .*start pcscd"):
        await plug_in(EmulatedCard(), port=1)


async def test_driver_that_speaks_another_protocol_is_refused() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01\x09")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CardError, match="control 9"):
            await asyncio.wait_for(plug_in(EmulatedCard(), port=port), 10)


async def test_reader_that_goes_away_in_the_middle_of_a_message_ends_it_quietly() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01\x04")
        assert await reader.readexactly(2 + len(EMULATED_ATR)) == bytes([0, len(EMULATED_ATR)]) + EMULATED_ATR
        writer.write(b"\x00\x05\x00")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await asyncio.wait_for(plug_in(EmulatedCard(), port=port), 10)
