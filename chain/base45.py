# SPDX-License-Identifier: Apache-2.0
"""Base45: bytes as the 45 characters of a QR code's alphanumeric mode.

Invariant: `decode(encode(data)) == data`, and each text that `decode` accepts is what `encode` gives.
Source: RFC 9285.
"""

from chain.errors import InvalidMessage

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

_BASE = 45
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


def encode(data: bytes) -> str:
    """Write two bytes as three characters, a last single one as two."""
    characters = []
    for i in range(0, len(data) - 1, 2):
        rest, third = divmod(data[i] << 8 | data[i + 1], _BASE * _BASE)
        second, first = divmod(third, _BASE)
        characters += [ALPHABET[first], ALPHABET[second], ALPHABET[rest]]
    if len(data) % 2:
        second, first = divmod(data[-1], _BASE)
        characters += [ALPHABET[first], ALPHABET[second]]
    return "".join(characters)


def decode(text: str) -> bytes:
    """Read what `encode` wrote.

    Raises:
        InvalidMessage: A character outside of the alphabet, a length that no bytes have, or a group above its range.
    """
    if len(text) % 3 == 1:
        raise InvalidMessage(f"no bytes have a Base45 text of {len(text)} characters")
    try:
        values = [_VALUES[character] for character in text]
    except KeyError as error:
        raise InvalidMessage(f"{error.args[0]!r} is no character of Base45") from None
    whole = len(values) - len(values) % 3
    data = bytearray()
    for i in range(0, whole, 3):
        pair = values[i] + values[i + 1] * _BASE + values[i + 2] * _BASE * _BASE
        if pair > 0xFFFF:
            raise InvalidMessage(f"the Base45 group at character {i} is out of range")
        data += pair.to_bytes(2, "big")
    if whole < len(values):
        last = values[whole] + values[whole + 1] * _BASE
        if last > 0xFF:
            raise InvalidMessage(f"the Base45 group at character {whole} is out of range")
        data.append(last)
    return bytes(data)
