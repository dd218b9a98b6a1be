# SPDX-License-Identifier: Apache-2.0
"""What is printed with a card: the letter with PIN and PUK, and the slip that says what to do when the card is lost."""

from datetime import UTC, datetime

from identity.api.desk import cards_problems as kinds
from identity.api.desk import images
from identity.api.desk.base import DeskContext
from identity.api.desk.card_face import Face, card_face
from identity.api.desk.cards import Opened
from identity.api.desk.cards_binding import reference_of
from identity.api.desk.cards_making import Letter
from identity.api.desk.cards_shop import Shop
from service.language import Language, translate
from service.pdf import Document
from service.problems import Problem


def card_sides(desk: DeskContext, shop: Shop, card: Opened, holder: str, organisation: str) -> bytes:
    """Both sides of a card for the card printer; some 1.2 s of a core.

    Args:
        desk: Which desk.
        shop: Says whether its cards are emulated ones.
        card: The card.
        holder: The holder's name.
        organisation: Who issues it.

    Returns:
        PDF, two pages.

    Raises:
        Problem: The card has no number or last day yet: it is not made.
    """
    if card.serial is None or card.expires_ms is None:
        raise Problem(kinds.STEP)
    with desk.store.read() as session:
        photo = images.load(desk, session, card.person_id, images.ImageKind.PHOTO)
    last = datetime.fromtimestamp(card.expires_ms / 1000 - 1, UTC).date()
    face = Face(
        issuer=translate("zh-CN", "card.face-issuer", id=organisation),
        issuer_english=translate("en", "card.face-issuer", id=organisation),
        name=holder,
        serial=card.serial,
        expires=last,
        lost=translate("zh-CN", "card.face-lost"),
        photo=photo,
        emulated=shop.authority.allows_emulated,
    )
    return card_face(face, datetime.fromtimestamp(desk.now() / 1000, UTC))


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
