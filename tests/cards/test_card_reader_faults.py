# SPDX-License-Identifier: Apache-2.0
"""What PC/SC can answer that the virtual reader never does: readers unplugged, mute cards, the older protocol."""

from types import SimpleNamespace
from typing import Any

import pytest
from smartcard import scard as real

from identity.cards import pcsc
from identity.cards.card import CardError, CardRemoved, NoCard, PcscMissing, ReaderUnplugged
from identity.cards.objects import Container
from identity.cards.piv import Piv

READER = "Kiosk 00"
OK = real.SCARD_S_SUCCESS


class Service(SimpleNamespace):
    """PC/SC's constants, with answers of our own."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(**{name: getattr(real, name) for name in dir(real) if name.startswith("SCARD_")})
        self.sent: list[bytes] = []
        self.states = [(READER, real.SCARD_STATE_PRESENT, [])]
        self.connected = (OK, 1, real.SCARD_PROTOCOL_T1)
        self.transmitted: list[tuple[int, list[int]]] = [(OK, [0x90, 0x00])]
        self.released = 0
        self.__dict__.update(answers)

    def SCardEstablishContext(self, _scope: int) -> tuple[int, int]:  # noqa: N802 - PC/SC's names
        return OK, 7

    def SCardReleaseContext(self, _context: int) -> int:  # noqa: N802
        self.released += 1
        return OK

    def SCardListReaders(self, _context: int, _groups: list[str]) -> tuple[int, list[str]]:  # noqa: N802
        return (OK, [name for name, *_ in self.states]) if self.states else (real.SCARD_E_NO_READERS_AVAILABLE, [])

    def SCardGetStatusChange(self, _context: int, _wait: int, _asked: object) -> tuple[int, list[Any]]:  # noqa: N802
        return OK, self.states

    def SCardConnect(self, *_: object) -> tuple[int, int, int]:  # noqa: N802
        return self.connected

    def SCardStatus(self, _handle: int) -> tuple[int, str, int, int, list[int]]:  # noqa: N802
        return OK, READER, 0, 0, [0x3B, 0x00]

    def SCardTransmit(self, _handle: int, _protocol: int, apdu: list[int]) -> tuple[int, list[int]]:  # noqa: N802
        self.sent.append(bytes(apdu))
        return self.transmitted.pop(0) if len(self.transmitted) > 1 else self.transmitted[0]

    def SCardReconnect(self, *_: object) -> tuple[int, int]:  # noqa: N802
        return OK, real.SCARD_PROTOCOL_T1

    def SCardDisconnect(self, *_: object) -> int:  # noqa: N802
        return OK

    def SCardGetErrorMessage(self, code: int) -> str:  # noqa: N802
        return f"code {code}"


def use(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> Service:
    service = Service(**answers)
    monkeypatch.setattr(pcsc, "_scard", lambda: service)
    return service


def test_reader_unplugged_while_a_card_is_used_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    service = use(monkeypatch)
    card = pcsc.open_card()
    service.transmitted = [(real.SCARD_E_NOT_TRANSACTED, [])]
    service.states = [(READER, real.SCARD_STATE_UNAVAILABLE, [])]
    with pytest.raises(ReaderUnplugged, match="plug it in"):
        Piv(card).pin_tries_left()
    service.transmitted = [(real.SCARD_E_READER_UNAVAILABLE, [])]
    with pytest.raises(ReaderUnplugged):
        Piv(card).pin_tries_left()


def test_card_pulled_out_is_told_from_the_reader_whatever_the_driver_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    service = use(monkeypatch)
    card = pcsc.open_card()
    service.states = [(READER, real.SCARD_STATE_EMPTY, [])]
    for result in (real.SCARD_E_NOT_TRANSACTED, real.SCARD_F_COMM_ERROR, real.SCARD_W_REMOVED_CARD, OK):
        service.transmitted = [(result, [])]
        with pytest.raises(CardRemoved):
            Piv(card).pin_tries_left()


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (real.SCARD_W_RESET_CARD, "another program reset the card"),
        (real.SCARD_W_UNRESPONSIVE_CARD, "right way round"),
        (real.SCARD_E_NO_SERVICE, "pcscd"),
        (real.SCARD_F_COMM_ERROR, "failed with code 80100013"),
        (OK, "less than an answer"),
    ],
)
def test_transmission_that_fails_with_the_card_still_there_says_what_it_was(
    monkeypatch: pytest.MonkeyPatch, result: int, said: str
) -> None:
    monkeypatch.setattr(pcsc, "_LOOK_SECONDS_MAX", 0.01)
    service = use(monkeypatch)
    card = pcsc.open_card()
    service.transmitted = [(result, [])]
    with pytest.raises(CardError, match=said):
        Piv(card).pin_tries_left()


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (real.SCARD_E_NO_SMARTCARD, NoCard),
        (real.SCARD_W_REMOVED_CARD, NoCard),
        (real.SCARD_E_SHARING_VIOLATION, CardError),
        (real.SCARD_E_UNKNOWN_READER, ReaderUnplugged),
        (real.SCARD_E_SERVICE_STOPPED, PcscMissing),
    ],
)
def test_card_that_can_not_be_held_says_why_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, result: int, kind: type[CardError]
) -> None:
    service = use(monkeypatch, connected=(result, 0, 0))
    with pytest.raises(kind):
        pcsc.open_card()
    assert service.released == 1


def test_machine_without_a_reader_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, states=[])
    assert pcsc.readers() == []
    with pytest.raises(NoCard, match="no reader is plugged in"):
        pcsc.open_card()


def test_cards_in_two_readers_are_not_chosen_between(monkeypatch: pytest.MonkeyPatch) -> None:
    present = real.SCARD_STATE_PRESENT
    use(monkeypatch, states=[("Kiosk 00", present, []), ("Kiosk 01", present, [])])
    with pytest.raises(NoCard, match="name one: Kiosk 00, Kiosk 01"):
        pcsc.open_card()
    assert pcsc.open_card("01").reader == "Kiosk 01"


def test_older_protocol_is_asked_without_the_second_length(monkeypatch: pytest.MonkeyPatch) -> None:
    service = use(monkeypatch, connected=(OK, 1, real.SCARD_PROTOCOL_T0))
    service.transmitted = [(OK, [0x61, 0x04]), (OK, [0x53, 0x02, 0xAA, 0xBB, 0x90, 0x00])]
    assert Piv(pcsc.open_card()).read(Container.CHUID) == bytes.fromhex("AABB")
    assert service.sent == [bytes.fromhex("00CB3FFF055C035FC102"), bytes.fromhex("00C0000004")]
