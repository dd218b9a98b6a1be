# SPDX-License-Identifier: Apache-2.0
"""The workshop of one desk: readers, the authority that certifies cards' keys, and the master of their management keys.

Whoever makes a card for a demonstration gets a `trial_shop`: emulated cards, and an authority that nobody relies on.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from identity.api.desk.base import DeskContext
from identity.api.desk.cards_making import CARD_DAYS, make
from identity.api.desk.cards_workshop import Counter, EmulatedTray
from identity.cards.authority import CardAuthority
from identity.cards.card import Card
from identity.cards.making import Diversifier, Journal, PersonalisedCard
from identity.cards.personalise import personalise
from identity.cards.profile import Places, make_issuing, make_root
from identity.cards.verifying import Chain
from identity.jose import MemorySigner
from service.sign_in.sessions import Officer

TRIAL_NAME: Final = "Zhixin trial, nobody relies on it"


@dataclass(frozen=True, slots=True)
class Shop:
    """Where cards are made and handed over.

    Attributes:
        counter: Readers.
        authority: Certifies the keys of cards.
        diversifier: Gives each card a management key of its own.
        chain: Whom to trust for the cards made here; None: it lies in the authority's folder.
    """

    counter: Counter
    authority: CardAuthority
    diversifier: Diversifier
    chain: Chain | None = None

    def make(self, desk: DeskContext, officer: Officer, card_id: str, reader: str, serial: str | None = None) -> str:
        """Make a card from the blank in a reader, or go on where that broke off; blocks, as cards do.

        Args:
            desk: Which desk.
            officer: Who makes it.
            card_id: Which card.
            reader: Where the blank is.
            serial: What is printed on it; None: the stock names the next.

        Returns:
            The blank's serial number.

        Raises:
            Problem: The card is not to be made, or there is no blank.
            CardError: A card or reader did not do what it should; the row waits for another attempt.
        """

        def work(journal: Journal, taken: str) -> PersonalisedCard:
            with self.counter.card(reader, taken) as card:
                return self.personalise(desk, card, journal)

        return make(desk, officer, card_id, work, serial)

    def personalise(self, desk: DeskContext, card: Card, journal: Journal) -> PersonalisedCard:
        """Personalise one card. Raises as `identity.cards.personalise.personalise` does."""
        now = datetime.fromtimestamp(desk.now() / 1000, UTC)
        expires = (now + timedelta(days=CARD_DAYS)).date()
        return personalise(card, self.authority, self.diversifier, journal, now_s=desk.now() // 1000, expires=expires)


@dataclass(frozen=True, slots=True)
class TrialDiversifier:
    """A master key in memory or derived from the store's; for production it stands in a token or a file of its own.

    Attributes:
        key: 32 bytes.
    """

    key: bytes

    def digest(self, content: bytes) -> bytes:
        """HMAC-SHA-256; 32 bytes."""
        return hmac.digest(self.key, content, "sha256")


def trial_shop(folder: Path, master: bytes, now_ms: int) -> Shop:
    """A workshop with emulated cards and an authority of its own, new with each start.

    Args:
        folder: Of the cards' files, private keys in the clear.
        master: 32 bytes, the same with each start, so that cards that were begun are gone on with.
        now_ms: Unix time.
    """
    root_signer, signer = (MemorySigner(generate_private_key(SECP256R1())) for _ in range(2))
    today = datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(days=1)
    root = make_root(root_signer, TRIAL_NAME, today)
    issuing = make_issuing(root, root_signer, signer.public_key, today, Places())
    authority = CardAuthority(issuing, signer, Places(), allows_emulated=True)
    return Shop(Counter([EmulatedTray(folder)]), authority, TrialDiversifier(master), Chain(root, issuing))
