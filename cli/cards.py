# SPDX-License-Identifier: Apache-2.0
"""Which card a command means, and what it says when a card or reader does not do what it should."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chain.errors import InvalidMessage
from cli import output
from cli.errors import CommandError, InputError, MissingError, UsageError, WorldError
from cli.home import read_file
from cli.language import t
from identity.cards import pcsc
from identity.cards.card import (
    Card,
    CardError,
    CardRemoved,
    InvalidPin,
    NoCard,
    NotAuthenticated,
    PcscMissing,
    PinBlocked,
    PukBlocked,
    ReaderUnplugged,
    Unsupported,
    WrongManagementKey,
    WrongPin,
)
from identity.cards.emulated_state import STATE_BYTES_MAX
from identity.cards.emulator import EmulatedCard
from identity.cards.making import JOURNAL_CHARACTERS_MAX
from identity.cards.personalise import CardVoid, KeyNotHeld, OtherCard
from service.store.files import read_private, replace_private

PIN_VARIABLE = "ZHIXIN_CARD_PIN"

ReaderOption = Annotated[str, typer.Option("--reader", help=t("card.option.reader"))]
FileOption = Annotated[Path | None, typer.Option("--file", help=t("card.option.file"))]


@contextmanager
def card_in(reader: str, file: Path | None) -> Iterator[Card]:
    """The card in a reader, or the emulated one in a file, for as long as a command needs it.

    Raises:
        UsageError: Both are named.
        InputError: The file is no emulated card.
        CommandError: See `card_explained`.
    """
    if reader and file is not None:
        raise UsageError("usage.card", t("usage.card"))
    with card_explained():
        card: Card = pcsc.open_card(reader) if file is None else load_emulated(file)
        try:
            yield card
        finally:
            card.close()


def ask_pin() -> str:
    """The holder's PIN: from the environment for scripts, else asked for without being shown.

    Raises:
        UsageError: Nobody can be asked.
    """
    from_environment = os.environ.get(PIN_VARIABLE, "")
    if from_environment:
        return from_environment
    if output.is_json():
        raise UsageError("usage.card-pin", t("usage.card-pin", variable=PIN_VARIABLE))
    entered: str = typer.prompt(t("card.pin-prompt"), hide_input=True, err=True)
    return entered


def load_emulated(file: Path) -> EmulatedCard:
    """The emulated card in a file; each change is written to it before the card answers.

    Raises:
        InputError: The file is not there, or holds no emulated card.
    """

    def save(state: bytes) -> None:
        replace_private(file, state)

    try:
        return EmulatedCard.load(read_file(file, STATE_BYTES_MAX), changed=save)
    except InvalidMessage as error:
        raise InputError("card.file", t("card.file", path=file, reason=error.reason)) from None


class FileJournal:
    """The journal of one card's making, in a file of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> str:
        """What was written last; "" at the beginning."""
        if not self._path.exists():
            return ""
        return read_private(self._path, JOURNAL_CHARACTERS_MAX).decode("utf-8", "replace")

    def save(self, text: str) -> None:
        """Write it down; it is durable when this returns."""
        replace_private(self._path, text.encode())


@contextmanager
def card_explained() -> Iterator[None]:
    """What a card or reader can fail with, as outcomes of a command, in the language in use.

    Raises:
        CommandError: With the card error's code, its words, and what it said itself as a detail.
    """
    try:
        yield
    except CardError as error:
        raise _outcome(error) from None


def _outcome(error: CardError) -> CommandError:
    kind: type[CommandError] = WorldError
    if isinstance(error, NoCard):
        kind = MissingError
    elif isinstance(error, InvalidPin | WrongPin | PinBlocked | PukBlocked | NotAuthenticated | OtherCard | CardVoid):
        kind = InputError
    return kind(f"card.{error.code}", _words(error), (error.reason,))


def _words(error: CardError) -> str:
    if isinstance(error, WrongPin):
        return t("card.error.pin-wrong", left=error.tries_left)
    words: dict[type[CardError], str] = {
        CardRemoved: t("card.error.removed"),
        ReaderUnplugged: t("card.error.reader-unplugged"),
        NoCard: t("card.error.none"),
        PcscMissing: t("card.error.pcsc-missing"),
        InvalidPin: t("card.error.pin-invalid"),
        PinBlocked: t("card.error.pin-blocked"),
        PukBlocked: t("card.error.puk-blocked"),
        NotAuthenticated: t("card.error.not-authenticated"),
        WrongManagementKey: t("card.error.management-key-wrong"),
        Unsupported: t("card.error.unsupported"),
        OtherCard: t("card.error.other"),
        CardVoid: t("card.error.void"),
        KeyNotHeld: t("card.error.key-not-held"),
    }
    return words.get(type(error), t("card.error.failed"))
