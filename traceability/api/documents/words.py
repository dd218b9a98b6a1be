# SPDX-License-Identifier: Apache-2.0
"""Words of documents, each named as a literal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.language import Language, add_messages, translate
from traceability.documents.certificate import Basis, Ground
from traceability.documents.names import Names
from traceability.documents.recall_report import RecallReport, Where, recall_sheet
from traceability.documents.sheet import Sheet

add_messages(Path(__file__).parent / "messages")

WHERE_KEYS: Final[Mapping[Where, str]] = {
    Where.AT_HAND: "food-document.at-hand",
    Where.ON_THE_WAY: "food-document.on-the-way",
    Where.SOLD: "food-document.sold",
    Where.USED: "food-document.used",
    Where.REMOVED: "food-document.removed",
}
BASIS_KEYS: Final[Mapping[Basis, str]] = {
    Basis.ENTRUSTED_TEST: "food-document.basis-entrusted-test",
    Basis.OWN_TEST: "food-document.basis-own-test",
    Basis.CONTROL: "food-document.basis-control",
    Basis.PROMISE: "food-document.basis-promise",
}
GROUND_KEYS: Final[Mapping[Ground, str]] = {
    Ground.BATCH: "food-document.ground-batch",
    Ground.SPLIT: "food-document.ground-split",
    Ground.MIX: "food-document.ground-mix",
}


def states_of(language: Language) -> Mapping[Where, str]:
    """What became of a part, in words."""
    return {where: translate(language, key) for where, key in WHERE_KEYS.items()}


def recall_table(report: RecallReport, names: Names, language: Language) -> Sheet:
    """A drill's rows with titles and states in a language."""
    titles = (
        translate(language, "food-document.product"),
        translate(language, "food-document.lot"),
        translate(language, "food-document.item"),
        translate(language, "food-document.state"),
        translate(language, "food-document.quantity"),
        translate(language, "food-document.unit"),
        translate(language, "food-document.holder"),
        translate(language, "food-document.holder-number"),
        translate(language, "food-document.towards"),
        translate(language, "food-document.notice-sent"),
        translate(language, "food-document.notice-acknowledged"),
    )
    return recall_sheet(report, names, titles, states_of(language))
