# SPDX-License-Identifier: Apache-2.0
"""Joint measures that may follow from standing on a statutory list, and reasons for which an entry ends.

Nothing else can be chosen: nobody invents a measure, or makes one heavier than the law that it rests on.

Source: the kinds of measures follow the national basic list (全国失信惩戒措施基础清单, edition of 2024, read from
re-posted texts); that each needs a law, 国办发〔2020〕49号. The laws named are *samples*, and pages say so beside them.
The authority of a real city takes both from the edition in force, and has its lawyers check.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure.

    Attributes:
        key: Of its name in the catalogues.
        basis: The law that it rests on.
        people: Whether it may rest on a natural person.
        companies: Whether it may rest on a legal person.
    """

    key: str
    basis: str
    people: bool
    companies: bool


MEASURES: Final[Mapping[str, Measure]] = MappingProxyType(
    {
        "funds": Measure("credit-list.measure-funds", "企业信息公示暂行条例第18条", people=False, companies=True),
        "procurement": Measure("credit-list.measure-procurement", "政府采购法第22条", people=False, companies=True),
        "honours": Measure("credit-list.measure-honours", "企业信息公示暂行条例第18条", people=False, companies=True),
        "office": Measure("credit-list.measure-office", "公司法第178条", people=True, companies=False),
        "consumption": Measure("credit-list.measure-consumption", "民事诉讼法第266条", people=True, companies=True),
        "inspection": Measure("credit-list.measure-inspection", "食品安全法第109条", people=False, companies=True),
        "benefits": Measure("credit-list.measure-benefits", "广东省社会信用条例", people=True, companies=True),
    }
)
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "repaired": "credit-list.reason-repaired",
        "expired": "credit-list.reason-expired",
        "withdrawn": "credit-list.reason-withdrawn",
        "wrong": "credit-list.reason-wrong",
        "court": "credit-list.reason-court",
    }
)
"""Why an entry ends: repaired; its time is over; the event was corrected or withdrawn; entered wrongly; a court's or
reviewing body's decision."""


def measures_for(*, is_company: bool) -> dict[str, Measure]:
    """Measures that may rest on such a subject."""
    return {name: one for name, one in MEASURES.items() if (one.companies if is_company else one.people)}
