# SPDX-License-Identifier: Apache-2.0
"""A catalogue and a scorecard for a city to begin with: what the demo, the tests and the benchmarks use.

Twelve classes in four dimensions, each with its legal basis; what a person gave, believes or is ill with is in none of
them. The authority of a real city puts its own, and checks the bases named here against the law in force.

Source: docs/credit.md.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias

from chain.strict_json import Json, canonical
from credit.catalogue import PUBLICATION_DAYS
from credit.pb import credit_pb2 as pb
from credit.scorecard import Scorecard, parse

Kind: TypeAlias = Literal["negative", "positive", "pledge", "endorsement"]
SCORECARD_NUMBER: Final = 1

LAWFUL, REPAYING, ACKNOWLEDGED, PLEDGED = 1, 2, 3, 4
"""Dimensions: keeps the law, keeps contracts and pays, is acknowledged by others, keeps what it promised."""


@dataclass(frozen=True, slots=True)
class ModelClass:
    """One class of the catalogue.

    Attributes:
        number: As events name it.
        kind: What it records.
        dimension: Which sum of the score it goes into.
        name_zh: As people read it.
        name_en: Likewise.
        basis: Where its legal basis stands.
        points: By what an event of it is found to be.
        decay: Steps of (days, percent).
        burdens: It stands on the statutory list, so that a burden may rest on it.
    """

    number: int
    kind: Kind
    dimension: int
    name_zh: str
    name_en: str
    basis: str
    points: tuple[tuple[str, int], ...]
    decay: tuple[tuple[int, int], ...]
    burdens: bool = False


_FADING = ((0, 100), (183, 70), (366, 40), (1_096, 0))
_LASTING = ((0, 100), (731, 60), (1_461, 20))
_WORTH = ((0, 100), (1_096, 50), (1_826, 0))

CLASSES: Final = (
    ModelClass(
        101,
        "negative",
        LAWFUL,
        "行政处罚",
        "Administrative penalty",
        "行政处罚法第48条",
        (("general", -60), ("minor", -15), ("serious", -160)),
        _FADING,
    ),
    ModelClass(
        102,
        "negative",
        LAWFUL,
        "税收违法",
        "Tax offence",
        "税收征收管理法第45条",
        (("general", -70), ("minor", -15), ("serious", -180)),
        _FADING,
        burdens=True,
    ),
    ModelClass(
        103,
        "negative",
        LAWFUL,
        "食品安全违法",
        "Offence against food safety",
        "食品安全法第113条",
        (("general", -80), ("minor", -20), ("serious", -200)),
        _FADING,
        burdens=True,
    ),
    ModelClass(
        201,
        "negative",
        REPAYING,
        "失信被执行人",
        "Judgment debtor who could pay",
        "民事诉讼法第266条",
        (("serious", -200),),
        _LASTING,
        burdens=True,
    ),
    ModelClass(
        202,
        "negative",
        REPAYING,
        "政府合同违约",
        "Breach of a contract with a public body",
        "政府采购法第77条",
        (("general", -50), ("minor", -15), ("serious", -120)),
        _FADING,
    ),
    ModelClass(
        203,
        "negative",
        REPAYING,
        "欠缴社会保险费",
        "Social insurance contributions unpaid",
        "社会保险法第86条",
        (("general", -50), ("minor", -10)),
        _FADING,
    ),
    ModelClass(
        301, "positive", ACKNOWLEDGED, "表彰奖励", "Public commendation", "公务员法第51条", (("none", 40),), _WORTH
    ),
    ModelClass(
        302,
        "positive",
        ACKNOWLEDGED,
        "纳税缴费信用A级",
        "Tax credit grade A",
        "纳税缴费信用管理办法",
        (("none", 35),),
        _WORTH,
    ),
    ModelClass(
        303,
        "endorsement",
        ACKNOWLEDGED,
        "行业协会推荐",
        "Recommended by a trade association",
        "广东省社会信用条例",
        (("none", 20),),
        _WORTH,
    ),
    ModelClass(
        304,
        "endorsement",
        ACKNOWLEDGED,
        "履约良好证明",
        "Contracts performed well",
        "广东省社会信用条例",
        (("none", 15),),
        _WORTH,
    ),
    ModelClass(
        401,
        "pledge",
        PLEDGED,
        "容缺受理承诺",
        "Pledge to hand in later",
        "优化营商环境条例",
        (("broken", -60), ("kept", 25), ("open", 5)),
        _WORTH,
    ),
    ModelClass(
        402,
        "pledge",
        PLEDGED,
        "信用修复承诺",
        "Pledge made for repair",
        "信用修复管理办法",
        (("broken", -80), ("kept", 15), ("open", 5)),
        _WORTH,
    ),
)
"""In ascending order of number."""


@cache
def scorecard() -> Scorecard:
    """The scorecard: 600 to begin with, 0 to 1,000, A from 700, B from 580, C from 450."""
    classes: list[Json] = [
        {
            "class": one.number,
            "decay": [list(step) for step in one.decay],
            "dimension": one.dimension,
            "points": dict(one.points),
        }
        for one in CLASSES
    ]
    value: dict[str, Json] = {
        "base": 600,
        "classes": classes,
        "dimensions": [
            {"max": 0, "min": -350, "number": LAWFUL},
            {"max": 0, "min": -350, "number": REPAYING},
            {"max": 200, "min": 0, "number": ACKNOWLEDGED},
            {"max": 150, "min": -200, "number": PLEDGED},
        ],
        "grades": [["A", 700], ["B", 580], ["C", 450], ["D", 0]],
        "max": 1_000,
        "min": 0,
        "open_pledges_max": 10,
    }
    return parse(canonical(value))


def put_class(one: ModelClass) -> pb.PutClass:
    """The operation with which the authority puts a class of this catalogue, in its first version."""
    found = {name for name, _ in one.points}
    severity = next((value for name, value in _SEVERITIES if name in found), pb.SEVERITY_NONE)
    least, most = PUBLICATION_DAYS[severity]
    negative = one.kind == "negative"
    effects = [pb.EFFECT_PUBLICATION] if negative else [pb.EFFECT_BENEFIT]
    message = pb.PutClass(
        version=1,
        kind={"pledge": pb.KIND_PLEDGE, "endorsement": pb.KIND_ENDORSEMENT}.get(one.kind, pb.KIND_RECORD),
        polarity=pb.POLARITY_NEGATIVE if negative else pb.POLARITY_POSITIVE,
        severity=severity,
        dimension=one.dimension,
        name_zh=one.name_zh,
        name_en=one.name_en,
        legal_basis=one.basis,
        publication_days_min=least,
        publication_days_max=most,
        effects=[*effects, pb.EFFECT_BURDEN] if one.burdens else effects,
    )
    setattr(message, "class", one.number)
    return message


_SEVERITIES: Final = (
    ("serious", pb.SEVERITY_SERIOUS),
    ("general", pb.SEVERITY_GENERAL),
    ("minor", pb.SEVERITY_MINOR),
)
