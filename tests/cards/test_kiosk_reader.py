# SPDX-License-Identifier: Apache-2.0
"""A kiosk with a card in a reader, through a real pcscd: from card in to card out."""

from collections.abc import Iterator

import pytest
from desk_cards_rig import OWN_PIN
from kiosk_rig import ADDRESS_FIELDS, KioskRig
from store_rig import Rig

from identity.api.kiosk.reader import PcscSlot
from identity.api.kiosk.session import State
from identity.api.kiosk.statements import Kind
from tests.cards.reader_rig import READER, Reader, shared_reader


@pytest.fixture
def reader() -> Reader:
    return shared_reader()


@pytest.fixture
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KioskRig]:
    folder = tmp_path_factory.mktemp("kiosk-reader")
    rig = Rig(folder, None)
    yield KioskRig(rig, folder, slot=PcscSlot(READER))
    rig.close()


async def test_card_in_a_reader_signs_a_statement_and_pulling_it_out_ends_the_session(
    reader: Reader, kiosk: KioskRig
) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.pass_s()
    assert (kiosk.state, kiosk.kiosk.has_reader) == (State.IDLE, True)  # a reader without a card is no fault
    with reader.inserted(chip):
        await kiosk.pass_s()
        assert kiosk.state is State.PIN
        await kiosk.kiosk.enter_pin(kiosk.turn, "111111")
        await kiosk.kiosk.enter_pin(kiosk.turn, OWN_PIN)
        await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
        await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
        assert kiosk.state is State.RECEIPT
        assert kiosk.printer.receipts[0].filed is not None
    await kiosk.pass_s()
    assert (kiosk.state, kiosk.kiosk.session.visit) == (State.IDLE, None)
    with reader.inserted(chip):
        await kiosk.pass_s()
        await kiosk.kiosk.leave(kiosk.turn)
        await kiosk.pass_s()
        assert kiosk.state is State.TAKE  # it is still in
    await kiosk.pass_s()
    assert kiosk.state is State.IDLE
