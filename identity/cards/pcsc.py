# SPDX-License-Identifier: Apache-2.0
"""Cards in real readers, through PC/SC (pcscd). A card is held for one program alone and unpowered when let go.

pyscard is an extra (`make setup-cards`), imported when the first reader is asked for.

Source: pcsc-lite, winscard; PC/SC part 5.
"""

import importlib
import time
from types import ModuleType
from typing import Final, NamedTuple

from identity.cards.card import CardError, CardRemoved, NoCard, PcscMissing, ReaderUnplugged

_SERVICE_GONE: Final = frozenset({0x8010001D, 0x8010001E})
_READER_GONE: Final = frozenset({0x80100009, 0x80100017, 0x8010002E})
_CARD_GONE: Final = frozenset({0x8010000C, 0x80100069})
_MUTE: Final = frozenset({0x80100066, 0x80100067})
_SHARED: Final = 0x8010000B
_RESET_BY_ANOTHER: Final = 0x80100068
_T0: Final = 1
_STATUS_BYTES: Final = 2
_LOOK_AGAIN_SECONDS: Final = 0.05
_LOOK_SECONDS_MAX: Final = 1.5
"""How long a pulled card may take to be noticed: pcscd asks simple readers every 400 ms."""


class Reader(NamedTuple):
    """A reader that is plugged in."""

    name: str
    has_card: bool


def readers() -> list[Reader]:
    """The readers that are plugged in, and whether there is a card in each.

    Raises:
        PcscMissing: pyscard or pcscd is.
    """
    scard = _scard()
    context = _context(scard)
    try:
        return _readers(scard, context)
    finally:
        scard.SCardReleaseContext(context)


def open_card(reader: str = "") -> "PcscCard":
    """Take hold of the card in a reader.

    Args:
        reader: A reader's name or part of one; empty takes the only reader that has a card.

    Raises:
        PcscMissing: pyscard or pcscd is.
        NoCard: No reader, or no card in it, or the choice is not clear.
        CardError: Another program holds the card, or it does not answer.
    """
    scard = _scard()
    context = _context(scard)
    try:
        return PcscCard(scard, context, _choose(scard, context, reader))
    except BaseException:
        scard.SCardReleaseContext(context)
        raise


class PcscCard:
    """A card in a reader; made by `open_card`."""

    def __init__(self, scard: ModuleType, context: int, reader: str) -> None:
        self._scard, self._context, self.reader = scard, context, reader
        result, self._handle, self._protocol = scard.SCardConnect(
            context, reader, scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        )
        if _code(result) in _CARD_GONE:
            raise NoCard(f"there is no card in reader {reader}")
        _check(scard, result)
        self._is_open = True
        result, _, _, _, atr = scard.SCardStatus(self._handle)
        _check(scard, result)
        self._atr = bytes(atr)

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return self._atr

    def transmit(self, apdu: bytes) -> bytes:
        """Send one short command and wait for its response.

        Raises:
            CardRemoved: The card was pulled out.
            ReaderUnplugged: The reader is gone.
            CardError: The transmission failed otherwise.
        """
        if not self._is_open:
            raise CardRemoved("this card was let go; open it anew")
        if self._protocol == _T0 and len(apdu) > 5 and len(apdu) == 6 + apdu[4]:
            apdu = apdu[:-1]  # T=0 has no room for both lengths: the card says how much waits
        result, response = self._scard.SCardTransmit(self._handle, self._protocol, list(apdu))
        if result != self._scard.SCARD_S_SUCCESS or len(response) < _STATUS_BYTES:
            self._look(result)
        return bytes(response)

    def reset(self) -> None:
        """Start the card anew. Raises as `transmit` does."""
        scard = self._scard
        result, self._protocol = scard.SCardReconnect(
            self._handle,
            scard.SCARD_SHARE_EXCLUSIVE,
            scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1,
            scard.SCARD_RESET_CARD,
        )
        if result != scard.SCARD_S_SUCCESS:
            self._look(result)

    def close(self) -> None:
        """Take the card's power, so that no verified PIN stays behind, and let go of it."""
        if self._is_open:
            self._is_open = False
            self._scard.SCardDisconnect(self._handle, self._scard.SCARD_UNPOWER_CARD)
            self._scard.SCardReleaseContext(self._context)

    def _look(self, result: int) -> None:
        """Say why something failed: drivers report a pulled card in many ways, the reader's state in one, and late."""
        scard = self._scard
        if _code(result) == _RESET_BY_ANOTHER:
            raise CardError("another program reset the card; begin anew")
        deadline = time.monotonic() + _LOOK_SECONDS_MAX
        while time.monotonic() < deadline:
            unaware = [(self.reader, scard.SCARD_STATE_UNAWARE)]
            status, states = scard.SCardGetStatusChange(self._context, 0, unaware)
            state = states[0][1] if states else 0
            if state & (scard.SCARD_STATE_UNAVAILABLE | scard.SCARD_STATE_UNKNOWN) or _code(status) in _READER_GONE:
                raise ReaderUnplugged
            if state & scard.SCARD_STATE_EMPTY:
                raise CardRemoved
            time.sleep(_LOOK_AGAIN_SECONDS)
        _check(scard, result)
        raise CardError("the card sent less than an answer; clean its contacts and try again")


def _scard() -> ModuleType:
    try:
        return importlib.import_module("smartcard.scard")
    except ImportError:
        raise PcscMissing(
            "readers need pyscard, which is not installed: run `make setup-cards` "
            "(it builds with swig, libpcsclite-dev and a C compiler)"
        ) from None


def _context(scard: ModuleType) -> int:
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    _check(scard, result)
    assert isinstance(context, int)
    return context


def _readers(scard: ModuleType, context: int) -> list[Reader]:
    result, names = scard.SCardListReaders(context, [])
    if _code(result) in _READER_GONE or not names:
        return []
    _check(scard, result)
    result, states = scard.SCardGetStatusChange(context, 0, [(name, scard.SCARD_STATE_UNAWARE) for name in names])
    _check(scard, result)
    return [Reader(str(name), bool(state & scard.SCARD_STATE_PRESENT)) for name, state, *_ in states]


def _choose(scard: ModuleType, context: int, wanted: str) -> str:
    found = _readers(scard, context)
    if not found:
        raise NoCard("no reader is plugged in")
    fitting = [reader for reader in found if wanted in reader.name]
    if not fitting:
        raise NoCard(f"no reader is called {wanted}; there are: {', '.join(reader.name for reader in found)}")
    filled = [reader.name for reader in fitting if reader.has_card]
    if not filled:
        raise NoCard(f"there is no card in {' or '.join(reader.name for reader in fitting)}")
    if len(filled) > 1:
        raise NoCard(f"there are cards in several readers; name one: {', '.join(filled)}")
    return filled[0]


def _code(result: int) -> int:
    """A result as the standard writes it; pyscard gives it signed."""
    return result & 0xFFFFFFFF


def _check(scard: ModuleType, result: int) -> None:
    """Raise what a result other than success means."""
    code = _code(result)
    if code == scard.SCARD_S_SUCCESS:
        return
    if code in _SERVICE_GONE:
        raise PcscMissing("the service of readers is not running: install and start pcscd")
    if code in _READER_GONE:
        raise ReaderUnplugged
    if code in _CARD_GONE:
        raise CardRemoved
    if code in _MUTE:
        raise CardError("the card does not answer: is it the right way round, and clean?")
    if code == _SHARED:
        raise CardError("another program holds the card; close it and try again")
    raise CardError(f"the reader failed with code {code:08X}: {scard.SCardGetErrorMessage(result)}")
