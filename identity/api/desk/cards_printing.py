# SPDX-License-Identifier: Apache-2.0
"""What is printed with a card: the letter with PIN and PUK, and the slip that says what to do when the card is lost."""

from datetime import UTC, datetime

from identity.api.desk.base import DeskContext
from identity.api.desk.cards import Opened
from identity.api.desk.cards_binding import reference_of
from identity.api.desk.cards_making import Letter
from service.language import Language, translate
from service.pdf import Document


def pin_letter(desk: DeskContext, card: Opened, holder: str, letter: Letter, language: Language) -> bytes:
    """The letter that goes with the card, to be opened by its holder alone; some 1.2 s of a core.

    Args:
        desk: Which desk.
        card: The card.
        holder: The holder's name.
        letter: PIN and PUK.
        language: Of the letter.

    Returns:
        PDF, one page.
    """

    def t(key: str, **parameters: object) -> str:
        return translate(language, key, **parameters)

    document = Document(t("card.letter-title"), language, datetime.fromtimestamp(desk.now() / 1000, UTC))
    document.page()
    document.heading(t("card.letter-title"))
    document.paragraph(t("card.letter-for", name=holder))
    document.fields(
        [
            (t("card.serial"), card.serial or ""),
            (t("card.reference"), reference_of(card.id)),
            (t("card.letter-pin"), letter.pin),
            (t("card.letter-puk"), letter.puk),
        ]
    )
    document.gap(4)
    for line in (
        t("card.letter-own-pin"),
        t("card.letter-puk-about"),
        t("card.letter-lost"),
        t("card.letter-not-legal"),
    ):
        document.paragraph(line)
    return document.output(allow_missing=True)
