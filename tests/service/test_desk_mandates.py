# SPDX-License-Identifier: Apache-2.0
"""Companies and mandates at the desk, each act executed by the ledger's real rules."""

from dataclasses import replace

import pytest
from desk_cards_rig import ORGANISATION, CardsRig
from sqlalchemy import select
from store_rig import Rig

from identity.api.desk import legal, mandate_reveal, mandates
from identity.api.desk.cards_history import history
from identity.api.desk.legal import CompanyState, Particulars
from identity.api.desk.legal_tables import Company, Mandate
from identity.api.desk.mandate_codes import CodeUse, Secret, WrongCode, read, write
from identity.api.desk.mandates import MandateState, Terms
from identity.mandates import counts, load_mandate
from service.problems import Problem
from service.sign_in.roles import Role
from service.store.models import Person

DAY_MS = 86_400_000
COMPANY = Particulars("91110000600037341L", "佛山某某食品有限公司", "Foshan Food Ltd", "李卫", "440604197501010019")
LETTERED = "N2440604MF1234567C"


@pytest.fixture
def cards(rig: Rig) -> CardsRig:
    return CardsRig(rig)


@pytest.fixture
def small(sqlite_rig: Rig) -> CardsRig:
    return CardsRig(sqlite_rig)


def opened(cards: CardsRig, company_id: str) -> legal.Opened:
    with cards.store.read() as session:
        return legal.open_company(cards.desk, session, ORGANISATION, company_id)


async def observed(cards: CardsRig, company_id: str) -> CompanyState:
    record = await legal.on_ledger(cards.desk, opened(cards, company_id).uscc)
    legal.observe(cards.desk, ORGANISATION, company_id, record)
    return opened(cards, company_id).state


async def confirmed(cards: CardsRig, entered: Particulars = COMPANY) -> str:
    company_id = legal.draft(cards.desk, cards.clerk, entered)
    assert cards.act(Role.CLERK, legal.proposal(opened(cards, company_id))[0]) == ""
    record = await legal.on_ledger(cards.desk, entered.uscc)
    assert cards.act(Role.APPROVER, legal.confirmation(opened(cards, company_id), record)[0]) == ""
    assert await observed(cards, company_id) is CompanyState.ACTIVE
    return company_id


# ---------------------------------------------------------------- companies


async def test_company_is_proposed_by_one_officer_and_confirmed_by_another(cards: CardsRig) -> None:
    company_id = legal.draft(cards.desk, cards.clerk, COMPANY)
    assert opened(cards, company_id).state is CompanyState.DRAFT
    operations, words = legal.proposal(opened(cards, company_id))
    assert COMPANY.name_zh in words["zh-CN"][0]
    assert cards.act(Role.CLERK, operations) == ""
    assert await observed(cards, company_id) is CompanyState.PROPOSED
    record = await legal.on_ledger(cards.desk, COMPANY.uscc)
    assert cards.act(Role.APPROVER, legal.confirmation(opened(cards, company_id), record)[0]) == ""
    assert await observed(cards, company_id) is CompanyState.ACTIVE
    found = opened(cards, company_id)
    assert found.pending is None
    assert found.present is not None
    assert found.present.representative == "李卫"
    with cards.store.read() as session:
        row = legal.own(session, ORGANISATION, company_id)
        steps = [step.step for step in history(session, row)]
    assert steps == ["observed", "observed", "draft"]


async def test_company_with_a_code_that_begins_with_a_letter_is_registered(small: CardsRig) -> None:
    await confirmed(small, replace(COMPANY, uscc=LETTERED))


async def test_confirming_officer_is_refused_what_differs_from_the_draft(cards: CardsRig) -> None:
    company_id = legal.draft(cards.desk, cards.clerk, COMPANY)
    cards.act(Role.CLERK, legal.proposal(opened(cards, company_id))[0])
    record = await legal.on_ledger(cards.desk, COMPANY.uscc)
    legal.draft(cards.desk, cards.clerk, replace(COMPANY, representative="王芳"))
    with pytest.raises(Problem, match=r"legal\.different"):
        legal.confirmation(opened(cards, company_id), record)


async def test_what_nobody_proposed_cannot_be_confirmed(small: CardsRig) -> None:
    company_id = legal.draft(small.desk, small.clerk, COMPANY)
    with pytest.raises(Problem, match=r"legal\.nothing-proposed"):
        legal.confirmation(opened(small, company_id), await legal.on_ledger(small.desk, COMPANY.uscc))


async def test_changed_name_counts_after_two_officers_and_the_old_one_until_then(cards: CardsRig) -> None:
    company_id = await confirmed(cards)
    legal.draft(cards.desk, cards.clerk, replace(COMPANY, name_zh="佛山新名食品有限公司"))
    found = opened(cards, company_id)
    assert (found.state, found.present and found.present.name_zh) == (CompanyState.ACTIVE, COMPANY.name_zh)
    cards.act(Role.CLERK, legal.proposal(found)[0])
    record = await legal.on_ledger(cards.desk, COMPANY.uscc)
    cards.act(Role.APPROVER, legal.confirmation(opened(cards, company_id), record)[0])
    await observed(cards, company_id)
    assert (opened(cards, company_id).present or COMPANY).name_zh == "佛山新名食品有限公司"


async def test_withdrawn_proposal_is_a_draft_again(small: CardsRig) -> None:
    company_id = legal.draft(small.desk, small.clerk, COMPANY)
    small.act(Role.CLERK, legal.proposal(opened(small, company_id))[0])
    await observed(small, company_id)
    assert small.act(Role.CLERK, legal.withdrawal(opened(small, company_id))[0]) == ""
    assert await observed(small, company_id) is CompanyState.DRAFT


async def test_company_is_suspended_reinstated_and_dissolved_for_good(cards: CardsRig) -> None:
    company_id = await confirmed(cards)
    for signer, act, expected in (
        (Role.CLERK, legal.suspension, CompanyState.SUSPENDED),
        (Role.APPROVER, legal.reinstatement, CompanyState.ACTIVE),
        (Role.APPROVER, legal.dissolution, CompanyState.DISSOLVED),
    ):
        assert cards.act(signer, act(opened(cards, company_id))[0]) == ""
        assert await observed(cards, company_id) is expected
    with pytest.raises(Problem, match=r"legal\.dissolved"):
        legal.draft(cards.desk, cards.clerk, COMPANY)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"uscc": "91110000600037341X"}, "uscc"),
        ({"uscc": "N2440604MF1234567D"}, "uscc"),
        ({"uscc": ""}, "uscc"),
        ({"name_zh": ""}, "name_zh"),
        ({"name_zh": "某\u202e公司"}, "name_zh"),
        ({"name_en": "x" * 65}, "name_en"),
        ({"representative": "李"}, "representative"),
        ({"representative_number": "1"}, "representative_number"),
    ],
)
def test_wrong_particulars_are_told_by_field_and_not_kept(small: CardsRig, change: dict[str, str], field: str) -> None:
    entered = replace(COMPANY, **change)
    assert field in legal.faults(entered)
    with pytest.raises(Problem, match=r"legal\.particulars"):
        legal.draft(small.desk, small.clerk, entered)


def test_another_organisation_does_not_see_the_company(small: CardsRig) -> None:
    company_id = legal.draft(small.desk, small.clerk, COMPANY)
    with pytest.raises(Problem, match=r"legal\.unknown"), small.store.read() as session:
        legal.open_company(small.desk, session, "org-s", company_id)


def test_nobody_reads_the_representative_from_the_database(small: CardsRig) -> None:
    legal.draft(small.desk, small.clerk, COMPANY)
    with small.store.read() as session:
        row = session.scalars(select(Company)).one()
        kept = b"".join(value for value in (row.pending, row.private, row.representative) if value)
    assert COMPANY.representative.encode() not in kept
    assert COMPANY.representative_number.encode() not in kept


# ---------------------------------------------------------------- mandates


def terms(cards: CardsRig, principal: str, agent: str, kind: str = "person", **changes: object) -> Terms:
    now = cards.rules.time_ms
    made = Terms(kind, principal, agent, ["tax", "health"], ["view", "apply"], 0, now - 1, now + DAY_MS, False, "D-1")
    return replace(made, **changes)  # type: ignore[arg-type]


def sealed(cards: CardsRig, row_id: str) -> tuple[mandates.Content, dict[str, Secret]]:
    with cards.store.read() as session:
        row = mandates.own(session, ORGANISATION, row_id)
        return mandates.content_of(cards.desk, session, row), mandates.slips(cards.desk, session, row)


async def granted(cards: CardsRig, wanted: Terms) -> tuple[str, mandates.Content, dict[str, Secret]]:
    row_id = mandates.draft(cards.desk, cards.clerk, wanted)
    content, slips = sealed(cards, row_id)
    assert cards.act(Role.CLERK, mandates.grant(content, "M-1")[0]) == ""
    assert await looked_at(cards, row_id) is MandateState.GRANTED
    return row_id, content, slips


async def looked_at(cards: CardsRig, row_id: str) -> MandateState:
    content, _ = sealed(cards, row_id)
    return mandates.observe(cards.desk, ORGANISATION, row_id, await mandates.on_ledger(cards.desk, content))


def show(cards: CardsRig, code: str, wants: CodeUse) -> str:
    """A side shows its code at the counter; "" or the code of the rule that refused."""
    revealed = mandate_reveal.reveal(cards.desk, ORGANISATION, code, wants)
    return cards.act("desk@p256", [revealed.operation])


def is_counting(cards: CardsRig, content: mandates.Content) -> bool:
    record = load_mandate(cards.rules.state.get, bytes.fromhex(content.id))
    return counts(cards.rules.state.get, record, cards.rules.time_ms)


async def test_mandate_counts_when_both_sides_have_shown_their_codes(cards: CardsRig) -> None:
    row_id, content, slips = await granted(cards, terms(cards, cards.person("甲"), cards.person("乙")))
    for side in ("agent", "principal"):
        assert not is_counting(cards, content)
        assert show(cards, slips[side].code(CodeUse.ACCEPT), CodeUse.ACCEPT) == ""
    assert is_counting(cards, content)
    assert await looked_at(cards, row_id) is MandateState.ACCEPTED


@pytest.mark.parametrize("side", ["principal", "agent"])
@pytest.mark.parametrize("accepted", [False, True])
async def test_either_side_ends_or_declines_with_its_own_code(small: CardsRig, side: str, accepted: bool) -> None:
    row_id, content, slips = await granted(small, terms(small, small.person("甲"), small.person("乙")))
    if accepted:
        for one in slips.values():
            assert show(small, one.code(CodeUse.ACCEPT), CodeUse.ACCEPT) == ""
    assert show(small, slips[side].code(CodeUse.END), CodeUse.END) == ""
    assert await looked_at(small, row_id) is MandateState.ENDED
    assert not is_counting(small, content)


@pytest.mark.parametrize("accepted", [False, True])
async def test_code_that_accepts_ends_nothing_accepted_or_not(small: CardsRig, accepted: bool) -> None:
    _, content, slips = await granted(small, terms(small, small.person("甲"), small.person("乙")))
    for one in slips.values() if accepted else ():
        assert show(small, one.code(CodeUse.ACCEPT), CodeUse.ACCEPT) == ""
    with pytest.raises(Problem, match=r"mandate\.code"):
        show(small, slips["agent"].code(CodeUse.ACCEPT), CodeUse.END)
    assert is_counting(small, content) is accepted


async def test_mandate_of_a_company_counts_while_the_company_is_active(cards: CardsRig) -> None:
    company_id = await confirmed(cards)
    _, content, slips = await granted(cards, terms(cards, COMPANY.uscc, cards.person("乙"), "company"))
    for one in slips.values():
        assert show(cards, one.code(CodeUse.ACCEPT), CodeUse.ACCEPT) == ""
    assert is_counting(cards, content)
    with cards.store.read() as session:
        (found,) = mandates.of_company(cards.desk, session, ORGANISATION, COMPANY.uscc)
        assert found.kind == "company"
    cards.act(Role.CLERK, legal.suspension(opened(cards, company_id))[0])
    assert not is_counting(cards, content)


@pytest.mark.parametrize("kind", mandates.OFFICER_ACCEPTS)
async def test_second_officer_accepts_for_a_minor_or_a_ward_and_the_first_cannot(small: CardsRig, kind: str) -> None:
    _, content, slips = await granted(small, terms(small, small.person("小甲"), small.person("乙"), kind))
    operations, _ = mandates.officer_accepts(content, "M-1")
    assert small.act(Role.CLERK, operations) == "identity.not-on-duty"
    assert small.act(Role.APPROVER, operations) == ""
    assert show(small, slips["agent"].code(CodeUse.ACCEPT), CodeUse.ACCEPT) == ""
    assert is_counting(small, content)


async def test_principal_of_full_age_is_not_accepted_for_by_an_officer(small: CardsRig) -> None:
    _, content, _ = await granted(small, terms(small, small.person("甲"), small.person("乙")))
    with pytest.raises(Problem, match=r"mandate\.sides"):
        mandates.officer_accepts(content, "M-1")


async def test_officer_ends_a_mandate_whose_codes_are_lost(small: CardsRig) -> None:
    row_id, content, _ = await granted(small, terms(small, small.person("甲"), small.person("乙")))
    assert small.act(Role.CLERK, mandates.officer_ends(content, "M-1")[0]) == ""
    assert await looked_at(small, row_id) is MandateState.ENDED


async def test_side_brings_an_anchor_of_its_own_and_the_desk_has_no_code_for_it(small: CardsRig) -> None:
    own = Secret.new()
    wanted = terms(small, small.person("甲"), small.person("乙"), agent_anchor=own.anchor.hex())
    _, content, slips = await granted(small, wanted)
    assert set(slips) == {"principal"}
    assert show(small, own.code(CodeUse.ACCEPT), CodeUse.ACCEPT) == ""
    assert show(small, slips["principal"].code(CodeUse.ACCEPT), CodeUse.ACCEPT) == ""
    assert is_counting(small, content)


async def test_desk_forgets_the_codes_that_it_has_given_out(cards: CardsRig) -> None:
    row_id, _, _ = await granted(cards, terms(cards, cards.person("甲"), cards.person("乙")))
    mandates.forget_slip(cards.desk, cards.clerk, row_id, "agent")
    assert set(sealed(cards, row_id)[1]) == {"principal"}
    mandates.forget_slip(cards.desk, cards.clerk, row_id, "principal")
    with cards.store.read() as session:
        assert session.scalars(select(Mandate.slips)).one() is None


def test_one_person_is_not_both_sides(small: CardsRig) -> None:
    person = small.person()
    with pytest.raises(Problem, match=r"mandate\.sides"):
        mandates.draft(small.desk, small.clerk, terms(small, person, person))


def test_mandate_goes_with_the_principal_who_is_erased(small: CardsRig) -> None:
    principal, agent = small.person("甲"), small.person("乙")
    mandates.draft(small.desk, small.clerk, terms(small, principal, agent))
    small.store.erase(principal)
    with small.store.read() as session:
        assert session.scalars(select(Mandate)).all() == []
        assert session.get(Person, agent) is not None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "king"}, "kind"),
        ({"kind": "company", "principal": "91110000600037341X"}, "principal"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"powers": []}, "powers"),
        ({"amount_fen_max": -1}, "amount"),
        ({"valid_to_ms": 1}, "valid_to"),
        ({"valid_from_ms": 0}, "valid_to"),
        ({"document": "x" * 201}, "document"),
        ({"agent_anchor": "00"}, "agent_anchor"),
        ({"principal_anchor": "Z" * 64}, "principal_anchor"),
    ],
)
def test_wrong_terms_are_told_by_field(small: CardsRig, change: dict[str, object], field: str) -> None:
    wanted = replace(terms(small, "a", "b"), **change)  # type: ignore[arg-type]  # by field, each of its type
    assert field in mandates.faults(wanted, small.desk.now())
    with pytest.raises(Problem, match=r"mandate\.terms"):
        mandates.draft(small.desk, small.clerk, wanted)


# ---------------------------------------------------------------- codes


@pytest.mark.parametrize("use", CodeUse)
def test_code_is_read_back_however_it_is_typed(use: CodeUse) -> None:
    proof = bytes(range(32))
    code = write(use, proof)
    for typed in (code, code.lower(), code.replace("-", " "), code.replace("0", "O").replace("1", "l")):
        assert read(typed) == (use, proof)


def test_code_with_any_character_wrong_is_refused() -> None:
    code = write(CodeUse.END, bytes(range(32)))
    for position, character in enumerate(code):
        if character != "-":
            wrong = "7" if character != "7" else "8"
            with pytest.raises(WrongCode):
                read(code[:position] + wrong + code[position + 1 :])


@pytest.mark.parametrize("code", ["", "A", "E-", "X-1234", "A-" + "0" * 200, "E-字字"])
def test_text_that_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(WrongCode):
        read(code)


def test_code_of_no_mandate_here_is_refused(small: CardsRig) -> None:
    with pytest.raises(Problem, match=r"mandate\.code"):
        mandate_reveal.reveal(small.desk, ORGANISATION, Secret.new().code(CodeUse.ACCEPT), CodeUse.ACCEPT)
