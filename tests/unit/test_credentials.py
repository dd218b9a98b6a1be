# SPDX-License-Identifier: Apache-2.0
"""What credentials say: ages by the calendar, each claim shown alone, and described in both languages."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_rig import HOLDER, ISSUER, NOW_S, YEAR_S

from identity import credentials, sd_jwt
from identity.credentials import Claims, Proofing
from identity.disclosures import NEVER_DISCLOSABLE

PROOFING = Proofing("document-chip", date(2025, 10, 1), "禅城区行政服务中心", "clerk")


def person(birthdate: date = date(1990, 5, 17), as_of: date = date(2025, 11, 1), **more) -> Claims:
    return credentials.natural_person(
        family_name="李",
        given_name="小明",
        birthdate=birthdate,
        region="广东省",
        locality="佛山市禅城区",
        assurance_level="high",
        proofing=PROOFING,
        as_of=as_of,
        **more,
    )


def mandate(**more) -> Claims:
    arguments = {
        "kind": "company",
        "principal": "91110000600037341L",
        "agent": "李小明",
        "scopes": ["tax"],
        "powers": ["view", "sign"],
        "may_delegate": False,
        "not_before_s": NOW_S,
    } | more
    return credentials.mandate(**arguments)


ALL = {
    credentials.NATURAL_PERSON: person(access_slot="c2xvdA"),
    credentials.LEGAL_PERSON: credentials.legal_person(
        legal_name="某某", uscc="91110000600037341L", legal_representative="李", assurance_level="high"
    ),
    credentials.MANDATE: mandate(amount_fen_max=100),
    credentials.CREDIT_GRADE: credentials.credit_grade(
        grade_at_least="B", as_of=date(2025, 11, 1), access_slot="c2xvdA", pairwise_seed="c2VlZA"
    ),
}


def dated(claims: Claims) -> dict:
    return claims.dated(
        issuer="https://issuer.example",
        issued_s=NOW_S,
        expires_s=NOW_S + YEAR_S,
        status_uri="https://issuer.example/status/1",
        status_index=7,
    )


@pytest.mark.parametrize(
    ("born", "on", "years"),
    [
        (date(2007, 11, 1), date(2025, 10, 31), 17),
        (date(2007, 11, 1), date(2025, 11, 1), 18),
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
        (date(2008, 2, 29), date(2028, 2, 29), 20),
    ],
)
def test_years_are_counted_by_the_calendar(born, on, years):
    assert credentials.years_between(born, on) == years
    assert person(born, on).claims["age_over_18"] is (years >= 18)


@given(st.dates(date(1900, 1, 1), date(2030, 1, 1)), st.integers(0, 40_000))
def test_nobody_grows_younger(born, days):
    first, second = born.toordinal() + days, born.toordinal() + days + 1
    ages = [credentials.years_between(born, date.fromordinal(day)) for day in (first, second)]
    assert 0 <= ages[0] <= ages[1] <= ages[0] + 1


def test_who_turns_18_after_the_offer_is_18_in_what_is_issued():
    minor = person(date(2007, 11, 2), date(2025, 11, 1))
    assert minor.claims["age_over_18"] is False
    assert credentials.refreshed(minor, date(2025, 11, 2)).claims["age_over_18"] is True
    assert credentials.refreshed(mandate(), date(2025, 11, 2)) == mandate()


def test_mandate_whose_beginning_lies_ahead_does_not_count_yet():
    token = sd_jwt.issue(dated(mandate(not_before_s=NOW_S + 3_600)), mandate().disclosable, ISSUER)
    with pytest.raises(sd_jwt.InvalidToken, match="not valid yet"):
        sd_jwt.verify(token, ISSUER.public_key, NOW_S)
    assert sd_jwt.verify(token, ISSUER.public_key, NOW_S + 3_600).claims["powers"] == ["view", "sign"]


@pytest.mark.parametrize("vct", credentials.TYPES)
def test_each_type_is_issued_and_each_disclosable_claim_can_be_shown_alone(vct):
    made = ALL[vct]
    token = sd_jwt.issue(dated(made), made.disclosable, ISSUER, holder_key=HOLDER.public_key)
    always = {path[0] for path in made.disclosable}
    for path in made.disclosable:
        shown = sd_jwt.verify(sd_jwt.present(token, [path]), ISSUER.public_key, NOW_S)
        assert always & {p[0] for p in shown.disclosed} == {path[0]}


@pytest.mark.parametrize("vct", credentials.TYPES)
def test_each_claim_is_described_in_both_languages_as_it_is_issued(vct):
    made, described = ALL[vct], credentials.type_metadata(vct)
    paths = {tuple(claim["path"]): claim for claim in described["claims"]}
    assert described["vct"] == vct
    for name in made.claims:
        if name in NEVER_DISCLOSABLE:
            continue
        claim = paths[name,]
        whole = (name,) in made.disclosable
        assert claim["sd"] == ("always" if whole else "never")
        assert {each["locale"] for each in claim["display"]} == {"zh-CN", "en"}
        labels = {each["locale"]: each["label"] for each in claim["display"]}
        assert labels == {locale: credentials.label(vct, name, locale) for locale in labels}


@pytest.mark.parametrize(
    ("vct", "lasts_s", "is_short"),
    [
        (credentials.CREDIT_GRADE, 86_400, True),
        (credentials.CREDIT_GRADE, 86_401, False),
        (credentials.NATURAL_PERSON, 60, False),
        ("urn:other:1", 60, False),
    ],
)
def test_only_a_type_that_counts_for_a_day_and_no_longer_needs_no_status_list(vct, lasts_s, is_short):
    assert credentials.is_short_lived({"vct": vct, "iat": NOW_S, "exp": NOW_S + lasts_s}) is is_short
    assert not credentials.is_short_lived({"vct": vct, "exp": NOW_S + lasts_s})


def test_claim_that_no_type_describes_is_called_by_its_name():
    assert credentials.label("urn:other:1", "family_name", "en") == "family_name"
    assert credentials.label(credentials.NATURAL_PERSON, "other", "zh-CN") == "other"


@pytest.mark.parametrize("vct", credentials.TYPES)
def test_claims_come_back_from_the_store_as_they_were(vct):
    assert Claims.from_json(ALL[vct].to_json()) == ALL[vct]
    assert dated(ALL[vct])["iat"] % credentials.DAY_S == 0
