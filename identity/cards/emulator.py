# SPDX-License-Identifier: Apache-2.0
"""An emulated PIV card: the standard's commands over P-256 keys in memory. For development and tests only.

It says so itself, in its answer to reset; personalisation copies that into its CHUID and certificates. It proves that a
program speaks the protocol. It proves nothing about tampering, side channels or randomness: its keys are bytes in a
file. Whatever bytes come in, a response with a status word goes out.

Source: NIST SP 800-73-5 part 2, section 2; ISO/IEC 7816-4, 5.3 (framing) and 12.1.1 (historical bytes).
"""

from collections.abc import Callable
from typing import Final

from identity.cards.apdu import CHAINED, COMMAND_BYTES_MAX, GET_RESPONSE, SUCCESS, Instruction
from identity.cards.card import CardRemoved
from identity.cards.emulated_application import (
    CHAIN_BROKEN,
    CHAIN_UNSUPPORTED,
    UNKNOWN_CLASS,
    WRONG_LENGTH,
    WRONG_PARAMETERS,
    Application,
    Status,
)
from identity.cards.emulated_state import CardState

_LABEL: Final = b"ZX-EMUL"


def _answer_to_reset() -> bytes:
    """T=0 and T=1 offered; historical bytes in compact TLV: the issuer's data are `ZX-EMUL`."""
    historical = bytes([0x80, 0x50 | len(_LABEL)]) + _LABEL
    body = bytes([0x80 | len(historical), 0x80, 0x01]) + historical
    check = 0
    for byte in body:
        check ^= byte
    return b"\x3b" + body + bytes([check])


EMULATED_ATR: Final = _answer_to_reset()

_CHAINABLE: Final = frozenset({Instruction.PUT_DATA, Instruction.AUTHENTICATE, Instruction.GENERATE})


class EmulatedCard:
    """A PIV card in this process.

    Attributes:
        state: What outlives a reset; whoever keeps the card keeps `save()`.
    """

    def __init__(self, state: CardState | None = None, *, changed: Callable[[bytes], None] | None = None) -> None:
        """Put in a card.

        Args:
            state: The card; a new one is blank, with the factory's PIN, PUK and management key.
            changed: Is given the whole card after each command that changed it, before the response goes out: who
                writes it to disk there never forgets a wrong PIN.
        """
        self.state = state if state is not None else CardState()
        self._changed = changed
        self._is_present = True
        self.reset()

    @classmethod
    def load(cls, raw: bytes, *, changed: Callable[[bytes], None] | None = None) -> "EmulatedCard":
        """Put in the card that `save` made bytes of.

        Raises:
            InvalidMessage: The bytes are no emulated card.
        """
        return cls(CardState.decode(raw), changed=changed)

    def save(self) -> bytes:
        """The whole card, private keys included."""
        return self.state.encode()

    @property
    def atr(self) -> bytes:
        """The answer to reset; the same for all emulated cards."""
        return EMULATED_ATR

    def reset(self) -> None:
        """Forget what was verified and begun."""
        self._application = Application(self.state)
        self._chain_head: bytes | None = None
        self._chained = b""
        self._waiting = b""

    def close(self) -> None:
        """Let go of the card; it forgets what was verified."""
        self.reset()

    def remove(self) -> None:
        """Pull the card out: each command fails until `insert`."""
        self._is_present = False
        self.reset()

    def insert(self) -> None:
        """Put the card back in."""
        self._is_present = True
        self.reset()

    def transmit(self, apdu: bytes) -> bytes:
        """Carry out one command.

        Raises:
            CardRemoved: `remove` was called.
        """
        if not self._is_present:
            raise CardRemoved
        before = self.save() if self._changed is not None else b""
        try:
            data, status = self._run(apdu), SUCCESS
        except Status as ended:
            data, status = b"", ended.word
        if self._changed is not None and (after := self.save()) != before:
            self._changed(after)
        room = _expected(apdu)
        data, self._waiting = data[:room], data[room:]
        if self._waiting:
            left = len(self._waiting)
            status = 0x6100 | (left if left < 0x100 else 0)
        return data + status.to_bytes(2, "big")

    def _run(self, apdu: bytes) -> bytes:
        """Take a command apart, and the parts of a chain together."""
        waiting, self._waiting = self._waiting, b""
        so_far, known = self._chained, self._chain_head
        self._chained, self._chain_head = b"", None
        if len(apdu) < 4:
            raise Status(WRONG_LENGTH)
        kind, head, data = apdu[0], apdu[1:4], _data(apdu)
        if kind not in {0, CHAINED}:
            raise Status(UNKNOWN_CLASS)
        if head[0] == GET_RESPONSE and kind == 0:
            if not waiting:
                raise Status(WRONG_PARAMETERS)
            return waiting
        if known not in {None, head}:
            raise Status(CHAIN_BROKEN)
        if len(so_far) + len(data) > COMMAND_BYTES_MAX:
            raise Status(WRONG_LENGTH)
        if kind == CHAINED:
            if head[0] not in _CHAINABLE:
                raise Status(CHAIN_UNSUPPORTED)
            self._chained, self._chain_head = so_far + data, head
            return b""
        instruction, p1, p2 = head
        return self._application.run(instruction, p1, p2, so_far + data)


def _data(apdu: bytes) -> bytes:
    """The data of a short command, or the refusal of an extended one."""
    if len(apdu) <= 5:
        return b""
    size = apdu[4]
    if size == 0 or len(apdu) not in {5 + size, 6 + size}:
        raise Status(WRONG_LENGTH)
    return apdu[5 : 5 + size]


def _expected(apdu: bytes) -> int:
    """How many bytes a command asks for; without a word about it, as many as a short response holds."""
    has_length = len(apdu) == 5 or (len(apdu) > 5 and len(apdu) == 6 + apdu[4])
    return (apdu[-1] or 256) if has_length else 256
