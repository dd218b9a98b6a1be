# SPDX-License-Identifier: Apache-2.0
"""The promise of conformity (承诺达标合格证) as PDF, in Chinese, with the QR code of its batch.

The words of the promise are the official form's. It is Chinese law's document, so there is no other language of it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from service.language import Language, translate
from service.pdf import Document
from service.wording import day
from traceability.api.documents.words import BASIS_KEYS, GROUND_KEYS
from traceability.documents.certificate import SOURCES_MAX, Basis, Certificate
from traceability.documents.names import Names, code_of

CHINESE: Final[Language] = "zh-CN"
PROMISER_CHARACTERS_MAX: Final = 60
CONTACT_CHARACTERS_MAX: Final = 40
_QR_MM = 42.0


@dataclass(frozen=True, slots=True)
class Promise:
    """What the promiser says; it stands on the paper and is kept nowhere.

    Attributes:
        promiser: Name of the company, or of the natural person.
        contact: A telephone number.
        basis: On what the promise rests; at least one.
    """

    promiser: str
    contact: str
    basis: Collection[Basis]


def certificate_pdf(certificate: Certificate, promise: Promise, names: Names, uri: str, issued_ms: int) -> bytes:
    """The certificate.

    Args:
        certificate: What follows from events.
        promise: What the promiser says.
        names: Of goods and places, in Chinese.
        uri: The batch's Digital Link, for the code.
        issued_ms: Date of issue.

    Returns:
        PDF, one A4 page.

    Raises:
        Unprintable: A text is too long.
    """
    moment = datetime.fromtimestamp(issued_ms / 1000, UTC)
    title = translate(CHINESE, "food-document.certificate-title")
    document = Document(title, CHINESE, moment)
    document.heading(title)
    item = certificate.item
    place = names.places.get(certificate.origin)
    origin = names.place(certificate.origin)
    if place is not None and names.district(place.district) not in origin:
        origin = f"{names.district(place.district)} {origin}"
    rows = [
        (translate(CHINESE, "food-document.certificate-product"), names.product(item)),
        (translate(CHINESE, "food-document.certificate-quantity"), names.amount(item, certificate.quantity)),
        (translate(CHINESE, "food-document.certificate-origin"), origin),
        (translate(CHINESE, "food-document.certificate-batch"), code_of(item)),
        (translate(CHINESE, "food-document.certificate-number"), certificate.number),
        (translate(CHINESE, "food-document.certificate-ground"), translate(CHINESE, GROUND_KEYS[certificate.ground])),
    ]
    if certificate.sources:
        sources = "、".join(code_of(source) for source in certificate.sources[:SOURCES_MAX])
        rows.append((translate(CHINESE, "food-document.certificate-sources"), sources))
    document.fields(rows)
    document.heading(translate(CHINESE, "food-document.promise"), 2)
    for key in ("food-document.promise-1", "food-document.promise-2", "food-document.promise-3"):
        document.paragraph(translate(CHINESE, key))
    chosen = [translate(CHINESE, key) for basis, key in BASIS_KEYS.items() if basis in promise.basis]
    document.fields(
        [
            (translate(CHINESE, "food-document.certificate-basis"), "、".join(chosen)),
            (translate(CHINESE, "food-document.certificate-promiser"), promise.promiser),
            (translate(CHINESE, "food-document.certificate-contact"), promise.contact),
            (translate(CHINESE, "food-document.certificate-date"), day(CHINESE, moment)),
        ]
    )
    document.qr(uri, _QR_MM, caption=translate(CHINESE, "food-document.certificate-code"))
    document.paragraph(translate(CHINESE, "food-document.certificate-foot"), small=True)
    return document.output(allow_missing=True)
