# SPDX-License-Identifier: Apache-2.0
"""The slip that one side of a mandate gets: two codes, each also as a QR code, and what they do."""

from datetime import UTC, datetime

from identity.api.desk.base import DeskContext
from identity.api.desk.mandate_codes import CodeUse, Secret
from service.language import Language, translate
from service.pdf import Document

_QR_MM = 38.0


def slip(desk: DeskContext, reference: str, side: str, secret: Secret, language: Language) -> bytes:
    """A side's slip; some 1.2 s of a core.

    Args:
        desk: Which desk.
        reference: What the desk calls the mandate.
        side: "principal" or "agent", in words of the language.
        secret: The side's.
        language: Of the slip.

    Returns:
        PDF, one page.
    """

    def t(key: str, **parameters: object) -> str:
        return translate(language, key, **parameters)

    document = Document(t("mandate.slip-title"), language, datetime.fromtimestamp(desk.now() / 1000, UTC))
    document.page()
    document.heading(t("mandate.slip-title"))
    document.fields([(t("mandate.reference"), reference), (t("mandate.side"), side)])
    for use, title, about in (
        (CodeUse.ACCEPT, t("mandate.slip-accept"), t("mandate.slip-accept-about")),
        (CodeUse.END, t("mandate.slip-end"), t("mandate.slip-end-about")),
    ):
        code = secret.code(use)
        document.heading(title, 2)
        document.paragraph(about)
        document.paragraph(code, bold=True)
        document.qr(code, _QR_MM)
    return document.output(allow_missing=True)
