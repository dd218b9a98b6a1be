# SPDX-License-Identifier: Apache-2.0
"""Words of the regulator's pages, each named as a literal."""

from collections.abc import Mapping, Sequence
from typing import Final

from service.language import LANGUAGES, Language, translate
from traceability.acts import Act
from traceability.api.trader.words import NamesIn
from traceability.documents.names import code_of
from traceability.pb import traceability_pb2 as pb
from traceability.violations import Violation

KIND_KEYS: Final[Mapping[int, str]] = {
    0: "food-office.kind-lifted",
    pb.RECALL_KIND_WITHDRAWAL: "food-office.kind-withdrawal",
    pb.RECALL_KIND_RECALL: "food-office.kind-recall",
}
REASON_KEYS: Final[Mapping[int, str]] = {
    pb.RECALL_REASON_CONTAMINATION: "food-office.reason-contamination",
    pb.RECALL_REASON_RESIDUES: "food-office.reason-residues",
    pb.RECALL_REASON_PATHOGEN: "food-office.reason-pathogen",
    pb.RECALL_REASON_COLD_CHAIN: "food-office.reason-cold-chain",
    pb.RECALL_REASON_LABELLING: "food-office.reason-labelling",
    pb.RECALL_REASON_FOREIGN_BODY: "food-office.reason-foreign-body",
    pb.RECALL_REASON_PRECAUTION: "food-office.reason-precaution",
}
VIOLATION_KEYS: Final[Mapping[str, str]] = {
    Violation.MASS_BALANCE.value: "food-office.violation-mass-balance",
    Violation.CUSTODY.value: "food-office.violation-custody",
    Violation.RECALL.value: "food-office.violation-recall",
    Violation.REPETITION.value: "food-office.violation-repetition",
}
ACT_KEYS: Final[Mapping[Act, str]] = {
    Act.DECLARE: "food-office.act-declare",
    Act.TRANSFORM: "food-office.act-transform",
    Act.PACK: "food-office.act-pack",
    Act.UNPACK: "food-office.act-unpack",
    Act.SHIP: "food-office.act-ship",
    Act.CANCEL: "food-office.act-cancel",
    Act.RECEIVE: "food-office.act-receive",
    Act.SELL: "food-office.act-sell",
    Act.REMOVE: "food-office.act-remove",
    Act.OBSERVE: "food-office.act-observe",
    Act.NOTE: "food-office.act-note",
}
ITEMS_NAMED: Final = 12
"""Lots that an act's words name one by one; how many more there are, they say."""


def recall_words(kind: int, reason: int, items: Sequence[str], names_in: NamesIn) -> dict[Language, list[str]]:
    """What a recall says before it is signed."""
    found: dict[Language, list[str]] = {}
    for language in LANGUAGES:
        listed = _listed(language, items, names_in)
        what = translate(language, KIND_KEYS[kind])
        found[language] = [
            translate(language, "food-office.says-recall", what=what, count=len(items)),
            listed,
            translate(language, "food-office.says-reason", reason=translate(language, REASON_KEYS[reason])),
            translate(language, "food-office.says-effect"),
            translate(language, "food-office.says-public"),
        ]
    return found


def lift_words(items: Sequence[str], names_in: NamesIn) -> dict[Language, list[str]]:
    """What lifting says before it is signed."""
    return {
        language: [
            translate(language, "food-office.says-lift", count=len(items)),
            _listed(language, items, names_in),
            translate(language, "food-office.says-lift-effect"),
        ]
        for language in LANGUAGES
    }


def _listed(language: Language, items: Sequence[str], names_in: NamesIn) -> str:
    """The items by name, the first of many."""
    names = names_in(language)
    words = [f"{names.product(item)} {code_of(item)}" for item in items[:ITEMS_NAMED]]
    text = ("、" if language == "zh-CN" else ", ").join(words)
    more = len(items) - len(words)
    return text if not more else translate(language, "food-office.says-more", items=text, count=more)
