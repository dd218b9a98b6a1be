# SPDX-License-Identifier: Apache-2.0
"""Made-up histories: the same from the same seed, kept to the rules, and scored as the catalogue says."""

from collections import Counter
from datetime import date, timedelta

import pytest

from credit.model import CLASSES, put_class, scorecard
from credit.pb import credit_pb2 as pb
from credit.population import FIRST_DAY, LAST_DAY, Member, Population
from credit.repair import repair_of
from credit.score import score
from tests.rig import Rig, genesis, organisation

PEOPLE = Population(people=1_500, companies=200, seed=7)
BY_NUMBER = {one.number: one for one in CLASSES}


def test_same_seed_gives_the_same_histories_and_another_one_others() -> None:
    first = list(Population(40, 10, seed=3).members())
    assert first == list(Population(40, 10, seed=3).members())
    assert first != list(Population(40, 10, seed=4).members())


def test_member_is_the_same_whatever_the_size_of_the_population() -> None:
    assert list(Population(5, 2).members())[4] == Population(100_000, 10_000).member("person", 4)


def test_each_event_keeps_to_its_class_and_to_its_days() -> None:
    for member in PEOPLE.members():
        for one in member.happenings:
            rule = BY_NUMBER[one.number]
            assert one.found in dict(rule.points), one
            assert FIRST_DAY <= one.document_day <= one.recorded_day, one
            assert one.document_day < LAST_DAY, one
            days = [day for day, _ in one.changes]
            assert days == sorted(days), one
            assert one.at(one.recorded_day - 1) is None, one


def test_repair_comes_no_sooner_and_expiry_when_the_rules_say() -> None:
    ended: Counter[str] = Counter()
    for member in PEOPLE.members():
        for one in member.happenings:
            day, status = one.changes[-1]
            if one.found not in ("minor", "general", "serious") or status == "withdrawn":
                continue
            ended[status] += 1
            document = date(1970, 1, 1) + timedelta(days=one.document_day)
            at = date(1970, 1, 1) + timedelta(days=day)
            where = repair_of(one.found, document, at, fulfilled=document, pledged=document)
            if status == "repaired":
                assert where.may_be_asked_for, one
            else:
                assert where.is_over, one
    assert ended.keys() == {"repaired", "expired"}
    assert min(ended.values()) > 20, "both ways out are common enough to be tested"


def test_every_kind_of_status_and_grade_occurs() -> None:
    members = [member for member in PEOPLE.members() if member.kind == "company"]
    days = range(FIRST_DAY, LAST_DAY, 30)
    seen = {event.status for member in members for day in days for event in member.at(day)}
    assert seen == {"active", "disputed", "withdrawn", "repaired", "expired", "open", "kept", "broken"}
    grades = Counter(score(member.at(LAST_DAY), scorecard(), LAST_DAY).grade for member in PEOPLE.members())
    assert grades.keys() == {"A", "B", "C", "D"}


def test_slant_falls_on_those_registered_elsewhere_alone() -> None:
    def bad(slant: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for i in range(1_500):
            member: Member = Population(1_500, 0, seed=7, slant=slant).member("person", i)
            found[dict(member.groups)["registered"]] += sum(one.published_days_max > 0 for one in member.happenings)
        return found

    fair, slanted = bad(0), bad(150)
    assert slanted["local"] == fair["local"]
    assert slanted["elsewhere"] > 1.5 * fair["elsewhere"]


@pytest.mark.parametrize(("people", "companies", "slant"), [(-1, 0, 0), (1_000_001, 0, 0), (0, 100_001, 0), (1, 1, -5)])
def test_size_out_of_its_bounds_is_refused(people: int, companies: int, slant: int) -> None:
    with pytest.raises(ValueError, match=r"slant|at most"):
        Population(people, companies, slant=slant)


def test_catalogue_and_scorecard_are_taken_by_the_ledgers_rules() -> None:
    rig = Rig(genesis([organisation("org-c", roles=("credit-authority",))], [("v0", "org-c")]))
    for one in CLASSES:
        assert rig.code("org-c:attest", put_class(one)) == "", one.number
    document = scorecard().document
    assert rig.code("org-c:attest", pb.PutScorecard(scorecard=1, version=1, document=document)) == ""
