# SPDX-License-Identifier: Apache-2.0
"""What a kiosk consists of; whoever composes one puts real or emulated parts together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chain.signing import TransactionSigner
from identity.api.kiosk.base import Office, Phones, Printer, States
from identity.api.kiosk.journal import Journal
from identity.api.kiosk.paper_way import PaperWay
from identity.api.kiosk.reader import CardSlot
from identity.cards.verifying import Chain
from identity.liveness import Provider

PHONE_FEN_MIN: Final = 200_000
"""From 2 000 yuan on the holder's own phone confirms, since a kiosk could show one thing and have another signed."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a kiosk consists of.

    Attributes:
        slot: Where cards are put in.
        chains: Card authorities that count here.
        device: The kiosk's key.
        office: Of the registrar.
        states: Reads the ledger, with proof.
        journal: Statements on their way.
        printer: Makes PDFs.
        phones: Asks the holder's phone; None: not set up.
        liveness: Looks whether somebody living is there; None: nobody does, and levels are lower.
        now_ms: Unix time in ms.
        monotonic_ms: A clock that never goes back.
        phone_fen_min: From which amount on the phone confirms.
        paper: Prints on paper; None: the browser opens the PDF.
        takes_emulated: Whether cards that exist as software alone count; the screen then says so.
    """

    slot: CardSlot
    chains: Sequence[Chain]
    device: TransactionSigner
    office: Office
    states: States
    journal: Journal
    printer: Printer
    phones: Phones | None
    now_ms: Callable[[], int]
    monotonic_ms: Callable[[], int]
    phone_fen_min: int = PHONE_FEN_MIN
    takes_emulated: bool = False
    liveness: Provider | None = None
    paper: PaperWay | None = None
