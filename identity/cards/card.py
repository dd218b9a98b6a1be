# SPDX-License-Identifier: Apache-2.0
"""A smart card as seen by a program: command in, response out; and what can go wrong with one.

Three things implement `Card`: an emulated card in this process (`emulator`), a card in a reader (`pcsc`), and whatever
a test puts around either. Calls block; a service makes them in a thread.

Source: ISO/IEC 7816-4, 5.1 (command-response pairs) and 5.6 (status words).
"""

from typing import ClassVar, Final, Protocol

RESPONSE_BYTES_MAX: Final = 256 + 2
"""One response of a short command: 256 bytes of data and the status word."""


class Card(Protocol):
    """One card, powered, from insertion to removal."""

    @property
    def atr(self) -> bytes:
        """The answer to reset, at most 33 bytes: what kind of card this says it is."""

    def transmit(self, apdu: bytes) -> bytes:
        """Send one short command and wait for its response.

        Args:
            apdu: CLA INS P1 P2, then Lc and data, then Le; at most 261 bytes.

        Returns:
            Data and the two bytes of the status word; at most 258 bytes.

        Raises:
            CardError: Card or reader is gone; whether the card still carried the command out is not known.
        """

    def reset(self) -> None:
        """Start the card anew: nothing is selected, no PIN is verified."""

    def close(self) -> None:
        """Let go of the card, reset, so that no verified PIN stays behind. Closing twice does nothing."""


class CardError(Exception):
    """A card or reader did not do what it should.

    Attributes:
        code: Stable, for programs and for the words of each command and page.
        reason: One English sentence: what, and what to do.
    """

    code: ClassVar[str] = "failed"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CardRemoved(CardError):
    """The card was pulled out. What it did last is not known: put it back and look."""

    code = "removed"

    def __init__(self, reason: str = "the card was removed; put it back into the reader") -> None:
        super().__init__(reason)


class ReaderUnplugged(CardError):
    """The reader is gone, and the card with it."""

    code = "reader-unplugged"

    def __init__(self, reason: str = "the reader was unplugged; plug it in and put the card back") -> None:
        super().__init__(reason)


class NoCard(CardError):
    """There is no card in the reader, or no reader."""

    code = "none"


class PcscMissing(CardError):
    """This machine lacks what it takes to speak to readers."""

    code = "pcsc-missing"


class InvalidPin(CardError):
    """A PIN or PUK that no card takes, refused before a card saw it: no try is lost."""

    code = "pin-invalid"


class WrongPin(CardError):
    """The PIN or PUK is not the card's.

    Attributes:
        tries_left: How many wrong ones it takes until the card blocks; 0 when it just did.
    """

    code = "pin-wrong"

    def __init__(self, what: str, tries_left: int) -> None:
        super().__init__(f"wrong {what}; {tries_left} tries left")
        self.tries_left = tries_left


class PinBlocked(CardError):
    """Too many wrong PINs: the PUK sets a new one at the desk."""

    code = "pin-blocked"


class PukBlocked(CardError):
    """Too many wrong PUKs: this card can't be unblocked any more; replace it."""

    code = "puk-blocked"


class NotAuthenticated(CardError):
    """The card wants its PIN or its management key first."""

    code = "not-authenticated"


class WrongManagementKey(CardError):
    """The card does not hold the management key that was expected of it."""

    code = "management-key-wrong"


class Unsupported(CardError):
    """The card is no PIV card, or one that lacks this command, key or algorithm."""

    code = "unsupported"


class CardRefused(CardError):
    """The card refused a command for a reason that has no class of its own.

    Attributes:
        status: The status word.
    """

    code = "refused"

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"the card refused {what} with status {status:04X}")
        self.status = status


class InvalidResponse(CardError):
    """The card answered with something that is no answer to the command: it is broken, or no PIV card."""

    code = "response-invalid"
