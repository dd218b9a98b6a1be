# SPDX-License-Identifier: Apache-2.0
"""Statements that a holder signs at a kiosk: the very lines on the screen, and the fields that they are made of.

A statement is one canonical JSON text. Slot 9C signs it whole, so what was on the screen is what is signed. What goes
to the ledger is one salted digest of statement and signature, in a stream that is random for each statement: it joins
nothing to anybody, and cannot be recorded twice.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from chain.errors import InvalidMessage
from chain.strict_json import parse
from chain.types import sha256
from service.language import LANGUAGES, Language, add_messages, translate

add_messages(Path(__file__).parent / "messages")

VERSION: Final = 1
STREAM_BYTES: Final = 16
SALT_BYTES: Final = 32
STATEMENT_BYTES_MAX: Final = 16 * 1024
"""A few lines and fields; ours have below 2 KB."""
DEPTH_MAX: Final = 3
LINES_MAX: Final = 16
TEXT_CHARACTERS_MAX: Final = 400
"""Of one line or field."""

_SIGNED: Final = b"zhixin/kiosk/statement/1\x00"
_RECORDED: Final = b"zhixin/kiosk/recorded/1\x00"
_HEX: Final = {
    "stream": re.compile(r"[0-9a-f]{32}"),
    "salt": re.compile(r"[0-9a-f]{64}"),
    "device": re.compile(r"0[23][0-9a-f]{64}"),
}
_NAMES: Final = ("device", "fields", "kind", "language", "lines", "salt", "stream", "time_ms", "version")


class Kind(StrEnum):
    """What is stated; the values stand in signed texts and never change their meaning."""

    ADDRESS = "address"
    PAYMENT = "payment"
    STOP = "stop"
    COMPANY = "company"


TITLES: Final[Mapping[Kind, str]] = {
    Kind.ADDRESS: "kiosk.statement.address",
    Kind.PAYMENT: "kiosk.statement.payment",
    Kind.STOP: "kiosk.statement.stop",
    Kind.COMPANY: "kiosk.statement.company",
}
FIELDS: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.ADDRESS: frozenset({"district", "plate", "room"}),
    Kind.PAYMENT: frozenset({"reference", "payee", "purpose", "amount_fen"}),
    Kind.STOP: frozenset({"way", "id", "reference"}),
    Kind.COMPANY: frozenset({"mandate", "uscc", "company", "power", "scope"}),
}
"""What each kind says, by name; all of them, as text."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    Attributes:
        kind: What is stated.
        lines: As they stand on the screen, in `language`.
        fields: What the lines are made of.
        device: The kiosk's public key, hex.
        stream: Random, for the ledger; hex.
        salt: Random; hex.
        time_ms: Unix time in ms, by the kiosk's clock.
    """

    kind: Kind
    lines: Sequence[str]
    fields: Mapping[str, str]
    language: Language
    device: str
    stream: str
    salt: str
    time_ms: int

    def encode(self) -> bytes:
        """The one encoding: JSON in UTF-8, keys in order, no white space."""
        members = {**asdict(self), "version": VERSION}
        return json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    @property
    def message(self) -> bytes:
        """What slot 9C signs by ECDSA with SHA-256."""
        return _SIGNED + self.encode()

    @property
    def stream_bytes(self) -> bytes:
        """The stream; 16 bytes."""
        return bytes.fromhex(self.stream)

    def recorded(self, signature: bytes) -> bytes:
        """What the ledger gets: a digest of statement and signature; 32 bytes."""
        return sha256(_RECORDED + sha256(self.message) + signature)

    @classmethod
    def decode(cls, raw: bytes) -> "Statement":
        """Read a statement.

        Raises:
            InvalidMessage: It is none, or not in its one encoding.
        """
        members: Any = parse(raw, size_max=STATEMENT_BYTES_MAX, depth_max=DEPTH_MAX)
        if not isinstance(members, dict) or tuple(sorted(members)) != _NAMES or members["version"] != VERSION:
            raise InvalidMessage("this is no statement of a kiosk")
        if members["kind"] not in set(Kind) or members["language"] not in LANGUAGES:
            raise InvalidMessage("the statement's kind or language is not known")
        if any(not isinstance(members[name], str) or not form.fullmatch(members[name]) for name, form in _HEX.items()):
            raise InvalidMessage("the statement's device, stream or salt is malformed")
        time_ms, lines, named = members["time_ms"], members["lines"], members["fields"]
        if isinstance(time_ms, bool) or not isinstance(time_ms, int) or not 0 < time_ms < 2**53:
            raise InvalidMessage("the statement's time is none")
        kind = Kind(members["kind"])
        if not isinstance(lines, list) or not isinstance(named, dict) or set(named) != FIELDS[kind]:
            raise InvalidMessage("the statement's lines or fields are not those of its kind")
        texts = [*lines, *named.values()]
        if len(lines) > LINES_MAX or not all(isinstance(one, str) and len(one) <= TEXT_CHARACTERS_MAX for one in texts):
            raise InvalidMessage("a line or field of the statement is no text, or too long")
        found = cls(
            kind,
            tuple(lines),
            dict(named),
            members["language"],
            members["device"],
            members["stream"],
            members["salt"],
            time_ms,
        )
        if found.encode() != raw:
            raise InvalidMessage("the statement is not in its one encoding")
        return found


def make(
    kind: Kind,
    fields: Mapping[str, str],
    *,
    language: Language,
    device: bytes,
    place: str,
    now_ms: int,
    presence: str = "",
) -> Statement:
    """Make a statement for the screen.

    Args:
        kind: What is stated.
        fields: All of `FIELDS`; bounded by whoever read them.
        language: Of the lines.
        device: The kiosk's public key, 33 bytes.
        place: Where it stands.
        now_ms: Unix time in ms.
        presence: The line that says how sure it is who signs; "": nobody has said.
    """
    assert set(fields) == FIELDS[kind], "each kind has its fields"
    lines = [*lines_of(kind, fields, language, place), *([presence] if presence else [])]
    return Statement(
        kind,
        tuple(lines),
        dict(fields),
        language,
        device.hex(),
        secrets.token_hex(STREAM_BYTES),
        secrets.token_hex(SALT_BYTES),
        now_ms,
    )


def lines_of(kind: Kind, fields: Mapping[str, str], language: Language, place: str) -> list[str]:
    """What the screen shows of fields, but for how sure it is who signs; the same at the kiosk and at its office.

    Args:
        kind: What is stated.
        fields: All of `FIELDS`.
        language: Of the lines.
        place: Where the kiosk stands.
    """
    return [*_said(kind, fields, language), translate(language, "kiosk.statement.made-at", place=place)]


def _said(kind: Kind, fields: Mapping[str, str], language: Language) -> list[str]:
    match kind:
        case Kind.ADDRESS:
            room = [translate(language, "kiosk.statement.room", room=fields["room"])] if fields["room"] else []
            return [
                translate(language, "kiosk.statement.new-address", district=fields["district"]),
                translate(language, "kiosk.statement.plate", plate=fields["plate"]),
                *room,
                translate(language, "kiosk.statement.true"),
            ]
        case Kind.PAYMENT:
            return [
                translate(language, "kiosk.statement.amount", amount=yuan(int(fields["amount_fen"]))),
                translate(language, "kiosk.statement.payee", payee=fields["payee"]),
                translate(language, "kiosk.statement.purpose", purpose=fields["purpose"]),
                translate(language, "kiosk.statement.bill", reference=fields["reference"]),
            ]
        case Kind.STOP:
            what = (
                translate(language, "kiosk.statement.stop-card", reference=fields["reference"])
                if fields["way"] == "card"
                else translate(language, "kiosk.statement.stop-phone", reference=fields["reference"])
            )
            return [what, translate(language, "kiosk.statement.stop-about")]
        case Kind.COMPANY:
            return [
                translate(language, "kiosk.statement.for-company", company=fields["company"], uscc=fields["uscc"]),
                translate(language, "kiosk.statement.company-act"),
                translate(language, "kiosk.statement.by-mandate", mandate=fields["mandate"][:8].upper()),
            ]


def yuan(amount_fen: int) -> str:
    """An amount in figures: 1 234.50."""
    return f"{amount_fen // 100:,}.{amount_fen % 100:02d}".replace(",", "\N{NARROW NO-BREAK SPACE}")
