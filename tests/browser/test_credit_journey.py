# SPDX-License-Identifier: Apache-2.0
"""A real network and three browsers: attested, objected to, corrected; the score follows, earlier readers are told."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from desk_network import REGISTRAR, Network, in_thread, running_network
from office_rig import join
from playwright.sync_api import Browser, expect
from sqlalchemy import select
from visiting import Size, Visit, serve, visiting

from chain.p256 import P256Signer
from chain.pb import ledger_pb2
from chain.strict_json import canonical
from chain.types import sha256
from cli.scenes.credit import SCORECARD, _good, _penalty
from credit.api import draws
from credit.api.base import CreditContext, date_of
from credit.api.clients import add_client
from credit.api.desk_pages import CREDIT_SITE
from credit.api.ledger import FollowedLedger
from credit.api.monitor_figures import AGE, SEX, Card, Reference, Scored, before, figures_of, month_of
from credit.api.monitor_job import keep_month
from credit.api.part import credit_part
from credit.api.proof_pages import proof_part
from credit.api.requests import BENEFIT, OPEN, add_request
from credit.api.subjects import find_subject
from credit.model import scorecard
from credit.monitor import Acts, Standing
from credit.pb import credit_pb2 as pb
from credit.population import LAST_DAY, Population
from credit.report import verify
from credit.score import score
from credit.showing import verify_file
from identity.commitments import SALT_BYTES, holder_commitment
from identity.officers import registrar_digest
from identity.pb import identity_pb2
from identity.registrations import load_person, person_key, proposal_digest
from identity.relying_rules import relying_proposal_key
from membership.pb import membership_pb2
from service.app import Part
from service.settings import StoreSettings, local_address
from service.sign_in.office import Office
from service.sign_in.part import OfficeLedger, staffed_parts
from service.sign_in.people import first_link, invite
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer
from service.sign_in.tables import ACTIVE, StaffMember
from service.store import Store, open_store
from service.store.engine import make_engine

pytestmark = pytest.mark.network

ANN = "440601199001011234"
SHOP = "91440604MA1234580C"
FOLLOWED_S_MAX = 90.0
"""Some blocks of an idle network, on a machine that does other things, too."""
AHEAD = 15
"""Blocks until a draw: an idle network makes one a second, and the announcement has to be proven before."""
PROVEN_MS_MAX = 30_000
"""To fetch a report and verify it, on a machine that does other things, too."""
STATES = """() => {
  const strip = document.getElementById("proof");
  window.states = [];
  new MutationObserver(() => states.push(strip.dataset.state)).observe(strip, { attributeFilter: ["data-state"] });
}"""
"""Notes each state of the strip from here on."""
STANDING_S_MAX = 60.0
"""Longer than an answer of the ledger about an officer is believed."""


@dataclass
class ServedCredit:
    """The service as browsers find it."""

    network: Network
    store: Store
    office: Office
    context: CreditContext
    boss: Officer

    @property
    def origin(self) -> str:
        return self.office.address.public_origin

    def register(self, browser: Browser, staff: ExitStack, role: Role, name: str, size: Size, language: str) -> Visit:
        """Somebody with a browser and a passkey that is being registered; `admit` waits for the ledger."""
        link = invite(self.office, self.boss, name, REGISTRAR, role)
        seen = staff.enter_context(visiting(browser, self.origin, size=size, language=language))
        seen.add_authenticator()
        join(seen, link, "Key")
        seen.page.click("form[action='/passkeys/register'] button")
        seen.page.wait_for_url("**/acts/*")
        sign(seen)
        return seen


@dataclass
class Staff:
    """The office's people, each with a passkey that the ledger knows; one of each for all tests of this module."""

    clerk: Visit
    approver: Visit
    reviewer: Visit
    supervisor: Visit


@pytest.fixture(scope="module")
def credit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCredit]:
    with running_network(tmp_path_factory.mktemp("credit") / "net") as network:
        found(network)
        with served(network, tmp_path_factory.mktemp("credit-store")) as made:
            yield made


@pytest.fixture(scope="module")
def staff(browser: Browser, credit: ServedCredit) -> Iterator[Staff]:
    with ExitStack() as opened:
        made = Staff(
            credit.register(browser, opened, Role.CLERK, "Zhang Min", "desktop", "zh-CN"),
            credit.register(browser, opened, Role.APPROVER, "Chen Hua", "tablet", "en"),
            credit.register(browser, opened, Role.APPROVER, "Wu Lan", "desktop", "zh-CN"),
            credit.register(browser, opened, Role.SUPERVISOR, "He Lan", "desktop", "zh-CN"),
        )
        for seen in (made.clerk, made.approver, made.reviewer, made.supervisor):
            admit(seen)
        yield made


def admit(seen: Visit) -> None:
    """Wait until the service knows that the ledger knows somebody's passkey."""
    deadline = time.monotonic() + STANDING_S_MAX
    while seen.page.request.get(seen.origin + "/requests").status != 200:
        assert time.monotonic() < deadline, "a registered officer is not let in"
        time.sleep(0.2)


def found(network: Network) -> None:
    """A credit authority with a catalogue, the registrar as authority and source too, three living registrations."""
    authority = network.founders[1]
    acts = [
        membership_pb2.Act(grant_role=membership_pb2.GrantRole(organisation=name, role="credit-authority"))
        for name in (authority, REGISTRAR)
    ]
    expires_ms = int(time.time() * 1000) + 3_600_000
    asked = membership_pb2.Propose(epoch=1, expires_at_ms=expires_ms, acts=acts)
    proposal = network.submit([network.signer(authority)], asked)
    for name in (network.founders[0], network.founders[2]):
        network.submit([network.signer(name)], membership_pb2.Approve(proposal_id=proposal.id, epoch=1))
    penalty = _penalty()
    penalty.effects.append(pb.EFFECT_BURDEN)  # it stands on the statutory list
    classes = [penalty, _good(201, pb.KIND_PLEDGE, "信用承诺"), _good(301, pb.KIND_RECORD, "志愿服务")]
    grant = pb.GrantSource(organisation=REGISTRAR, classes=[101, 201, 301])
    card = pb.PutScorecard(scorecard=1, version=1, document=canonical(SCORECARD))
    network.submit([network.signer(authority)], *classes, grant, card)
    enrol(network, 3)


def enrol(network: Network, count: int) -> None:
    """Living registrations, by two officers; all of one kind in one transaction."""
    clerk, approver = [P256Signer(ec.generate_private_key(ec.SECP256R1())) for _ in range(2)]
    registrar = network.signer(REGISTRAR)
    appointed: list[Any] = []
    for officer, duty in ((clerk, identity_pb2.DUTY_ENROL), (approver, identity_pb2.DUTY_CONFIRM)):
        key = ledger_pb2.Signer(scheme=ledger_pb2.SCHEME_P256, public_key=officer.signer.public_key)
        purposes = [membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_ATTEST]
        appointed.append(membership_pb2.AddKey(key=membership_pb2.KeyGrant(key=key, purposes=purposes)))
        appointed.append(identity_pb2.AppointOfficer(key=key, officer=secrets.token_bytes(16), duties=[duty]))
    network.submit([registrar, clerk, approver], *appointed)
    registrations = [secrets.token_bytes(16) for _ in range(count)]
    tags = [
        identity_pb2.RegisterTag(
            key_version=1,
            tag=secrets.token_bytes(32),
            registrar=registrar_digest(REGISTRAR),
            holder=holder_commitment(registration, secrets.token_bytes(SALT_BYTES)),
        )
        for registration in registrations
    ]
    network.submit([network.signer(network.founders[0])], *tags)
    changes = [
        identity_pb2.Enrol(
            id=registration,
            change=identity_pb2.Change(
                commitment=sha256(secrets.token_bytes(32)),
                assurance_level=identity_pb2.ASSURANCE_LEVEL_HIGH,
                proofing_method=identity_pb2.PROOFING_METHOD_DOCUMENT_INSPECTED,
            ),
        )
        for registration in registrations
    ]
    network.submit([clerk], *changes)

    async def proposed() -> list[bytes]:
        async with network.session() as session:
            states = await session.read_many([person_key(one) for one in registrations])
            values = {state.key: state.value for state in states}
            records = [load_person(values.get, one) for one in registrations]
            return [proposal_digest(record.proposal) for record in records if record is not None]

    digests = in_thread(proposed)
    confirmed = [
        identity_pb2.Confirm(id=one, digest=digest) for one, digest in zip(registrations, digests, strict=True)
    ]
    network.submit([approver], *confirmed)
    register_reader(network, clerk, approver)


def register_reader(network: Network, clerk: P256Signer, approver: P256Signer) -> None:
    """What the organisation that reads may ask people for."""
    reader, day_ms, now_ms = network.founders[3], 86_400_000, int(time.time() * 1_000)
    purpose = identity_pb2.RelyingPurpose(
        number=1,
        name_zh="容缺受理",
        legal_basis="行政许可法",
        attributes=["credit-trust-approval/grade", "credit-trust-approval/report"],
        needs_consent=True,
        per_second_max=10,
    )
    terms = identity_pb2.RelyingTerms(purposes=[purpose], valid_from_ms=now_ms - day_ms, valid_to_ms=now_ms + day_ms)
    network.submit([clerk], identity_pb2.ProposeRelyingParty(organisation=reader, terms=terms))

    async def proposed() -> bytes:
        async with network.session() as session:
            return sha256((await session.read(relying_proposal_key(reader))).value or b"")

    network.submit([approver], identity_pb2.ConfirmRelyingParty(organisation=reader, digest=in_thread(proposed)))


@contextmanager
def served(network: Network, folder: Path) -> Iterator[ServedCredit]:
    """Serve credit on a fresh store."""
    settings = StoreSettings(folder=str(folder / "data"), keys=str(folder / "keys"), allow_plain=True)
    store = open_store(settings, {})
    home = network.devnet.home
    genesis, own = home.genesis(), home.signer(REGISTRAR)
    ledger = OfficeLedger(genesis, home.endpoints(genesis), cosigners=(own,), governor=own)
    engine = make_engine(StoreSettings(url=f"sqlite:///{folder / 'index' / 'credit.sqlite'}"))
    unknown = local_address("credit", "127.0.0.1:1")
    made: dict[str, object] = {"office": Office.of(store, unknown)}

    async def start(app: object) -> None:
        made["office"] = app.state.office = Office.of(store, app.state.address)  # type: ignore[attr-defined]  # the port is known only now

    async def started(app: object) -> None:
        made["context"] = app.state.credit  # type: ignore[attr-defined]  # likewise

    parts = [
        *staffed_parts(store, unknown, CREDIT_SITE, ledger),
        Part("place", start=start),
        credit_part(store, engine, FollowedLedger(genesis, home.endpoints(genesis), engine), "", service_key=own),
        proof_part(home.genesis_path.read_bytes()),
        Part("started", start=started),
    ]
    try:
        with serve(parts, "credit"):
            office, context = made["office"], made["context"]
            assert isinstance(office, Office)
            assert isinstance(context, CreditContext)
            yield ServedCredit(network, store, office, context, boss_of(office, store))
    finally:
        store.close()


def boss_of(office: Office, store: Store) -> Officer:
    """An administrator without a browser: what they do in pages other tests hold."""
    first_link(office, "Li Wei", REGISTRAR)
    with store.write() as session:
        member = session.scalar(select(StaffMember))
        assert member is not None
        member.state = ACTIVE
    return Officer(member.id, member.person_id, "Li Wei", Role.ADMINISTRATOR, REGISTRAR, "0" * 32, "", 0, b"")


def sign(seen: Visit) -> None:
    """Sign the act on whose page the browser is; a passkey of five minutes ago is asked for once more before."""
    done = seen.page.locator("main .notice.good a, main a[download]").first
    again = seen.page.locator("form[data-path='/confirm'] button")
    seen.page.click("main form[data-ceremony] button")
    expect(done.or_(again)).to_be_visible()
    if again.count():
        again.click()
        seen.page.wait_for_url("**/acts/*")
        seen.page.click("main form[data-ceremony] button")
    done.wait_for()


def look(seen: Visit, name: str) -> None:
    """Keep a picture, and hold the page against the rules of accessibility."""
    seen.keep(f"credit-{name}")
    assert seen.axe() == []
    assert not seen.is_wider_than_screen()


def until(seen: Visit, path: str, holds: Callable[[], bool]) -> None:
    """Open a page until the service has followed the ledger."""
    deadline = time.monotonic() + FOLLOWED_S_MAX
    while True:
        seen.open(path)
        if holds():
            return
        assert time.monotonic() < deadline, f"{path} does not show it"
        time.sleep(0.3)


def points(seen: Visit) -> str:
    return seen.page.locator(".credit-points").inner_text().strip()


def test_dispute_runs_from_objection_to_correction_in_browsers_and_earlier_readers_are_told(
    browser: Browser, credit: ServedCredit, staff: Staff
) -> None:
    clerk, approver = staff.clerk, staff.approver
    with visiting(browser, credit.origin, size="phone", language="zh-CN") as holder:
        clerk.open("/logs")
        look(clerk, "logs")
        clerk.page.select_option("#kind", "person")
        clerk.page.fill("#number", ANN)
        clerk.page.fill("#name", "王芳")
        clerk.page.click("form[action='/logs'] button")
        link = clerk.page.locator(".notice.good code").first.inner_text()

        holder.open(link.removeprefix(credit.origin))
        look(holder, "join")
        holder.page.click("[data-holder-button]")
        holder.page.wait_for_url("**/me")
        look(holder, "empty")

        clerk.open("/attest")
        look(clerk, "attest")
        clerk.page.fill("#number", ANN)
        clerk.page.select_option("#event_class", "101")
        clerk.page.select_option("#severity", "serious")
        clerk.page.fill("#reference", "P-2026/1")
        clerk.page.click("form[action='/attest'] button")
        clerk.page.wait_for_url("**/acts/*")
        look(clerk, "act")
        sign(clerk)

        until(holder, "/me", lambda: points(holder) == "440")
        expect(holder.page.locator("[data-recomputed]")).to_have_attribute("data-recomputed", "agrees")
        expect(holder.page.locator("#proof")).to_have_attribute("data-state", "proved", timeout=PROVEN_MS_MAX)
        look(holder, "score")
        holder.page.select_option("select[data-event='0']", "repaired")
        expect(holder.page.locator("[data-would]")).to_contain_text("600")
        holder.open("/me?theme=dark")
        holder.keep("credit-score-dark")
        holder.open("/me?theme=light&lang=en")
        look(holder, "score-en")

        before = given_report(credit, holder)
        shown_link, file = handed_out(credit, holder)
        read_by_somebody(browser, credit, shown_link, file)
        holder.open("/me")
        holder.page.click(".credit-events a")
        expect(holder.page.locator("#proof")).to_have_attribute("data-state", "proved", timeout=PROVEN_MS_MAX)
        look(holder, "event")
        holder.page.fill("#words", "It was a small matter and I paid the same day.")
        event = holder.page.url.removeprefix(credit.origin)
        with holder.page.expect_response(lambda one: one.request.method == "POST"):
            holder.page.click("form[action$='/dispute'] button")
        until(holder, event, lambda: "Objected to" in holder.page.locator(".heading .badge").first.inner_text())
        look(holder, "disputed")
        until(holder, "/me", lambda: points(holder) == "600")

        approver.open("/requests")
        look(approver, "requests")
        approver.page.click("tbody a")
        look(approver, "request")
        approver.page.select_option("#severity", "minor")
        approver.page.fill("#answer", "You are right: it was minor.")
        approver.page.locator("form:has(input[value=correct]) button").click()
        approver.page.wait_for_url("**/acts/*")
        sign(approver)

        until(holder, "/me", lambda: points(holder) == "580")
        expect(holder.page.locator("[data-recomputed]")).to_have_attribute("data-recomputed", "agrees")
        holder.page.click(".credit-events a")
        expect(holder.page.locator("main")).to_contain_text("You are right: it was minor.")
        look(holder, "corrected")
        told(credit, holder, before)

        holder.open("/me/readers")
        look(holder, "readers")
        holder.open("/me/pledge")
        look(holder, "pledge")
        holder.page.click(".tools form button")
        holder.page.wait_for_url("**/me/sign-in")
        look(holder, "sign-in")
        holder.page.click("[data-holder-button]")
        holder.page.wait_for_url("**/me")
        for seen, paths in ((clerk, ("/", "/import", "/pledges")), (approver, ("/",))):
            for path in paths:
                seen.open(path)
                look(seen, f"desk-{path.strip('/') or 'home'}")


def test_authority_sees_companies_and_draws_whom_to_inspect(
    credit: ServedCredit, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws, "DRAW_AHEAD", AHEAD)
    clerk, authority = staff.clerk, staff.supervisor
    clerk.open("/logs?lang=en")
    clerk.page.select_option("#kind", "company")
    clerk.page.fill("#number", "91440604MA1234567A")
    clerk.page.fill("#name", "禅城示范食品有限公司")
    clerk.page.click("form[action='/logs'] button")
    clerk.page.locator(".notice.good code").first.wait_for()
    look(clerk, "log-opened")
    authority.open("/companies")
    expect(authority.page.locator("tbody")).to_contain_text("禅城示范食品有限公司")
    look(authority, "companies")
    authority.open("/draws")
    look(authority, "draws")
    authority.page.fill("#count", "1")
    authority.page.fill("#inspectors", "陈华\n张敏")
    authority.page.click("form[action='/draws'] button")
    authority.page.wait_for_url("**/draws/*")
    path = authority.page.url.removeprefix(credit.origin)
    until(authority, path, lambda: authority.page.locator("#drawn").count() == 1)
    look(authority, "draw")
    authority.open("/clients")
    authority.page.click("form[action='/clients'] button")
    look(authority, "clients")


def test_authority_enters_a_company_on_a_list_reviews_a_refusal_and_reads_the_month(
    browser: Browser, credit: ServedCredit, staff: Staff
) -> None:
    clerk, authority, decider, reviewer = staff.clerk, staff.supervisor, staff.reviewer, staff.approver
    with (
        visiting(browser, credit.origin, size="phone", language="zh-CN") as company,
        visiting(browser, credit.origin, size="phone", language="en") as anybody,
    ):
        clerk.open("/logs")
        clerk.page.select_option("#kind", "company")
        clerk.page.fill("#number", SHOP)
        clerk.page.fill("#name", "禅城示范冷链有限公司")
        clerk.page.click("form[action='/logs'] button")
        link = clerk.page.locator(".notice.good code").first.inner_text()
        company.open(link.removeprefix(credit.origin))
        company.page.click("[data-holder-button]")
        company.page.wait_for_url("**/me")
        clerk.open("/attest")
        clerk.page.fill("#number", SHOP)
        clerk.page.select_option("#event_class", "101")
        clerk.page.select_option("#severity", "serious")
        clerk.page.fill("#reference", "P-2026/7")
        clerk.page.click("form[action='/attest'] button")
        clerk.page.wait_for_url("**/acts/*")
        sign(clerk)
        until(company, "/me", lambda: points(company) == "440")

        authority.open("/statutory")
        authority.page.fill("#number", SHOP)
        authority.page.click("form[action='/statutory/find'] button")
        authority.page.fill("#document", "佛禅信认〔2026〕3号")
        for name in ("funds", "honours"):
            authority.page.check(f"input[value={name}]")
        look(authority, "list-enter")
        authority.page.click("form[action='/statutory'] button")
        authority.page.wait_for_url("**/acts/*")
        sign(authority)
        until(authority, "/statutory", lambda: "有效" in authority.page.locator("main").inner_text())
        look(authority, "list-office")
        authority.page.click("tbody a")
        look(authority, "list-one")
        anybody.open("/lists")
        look(anybody, "list-public")
        anybody.page.click(".credit-events a")
        look(anybody, "list-entry")

        request_id = refused(credit, decider)
        company.open("/me/decisions")
        look(company, "decisions")
        company.page.locator("a[href^='/me/decisions/listings/']").first.click()
        look(company, "my-listing")
        company.open(f"/me/decisions/{request_id}")
        look(company, "decision")
        company.page.fill("#words", "罚款当天已缴清，情节轻微，请重新审查。")
        company.page.click("form[action$='/review'] button")
        expect(company.page.locator("#review")).to_be_visible()
        decider.open("/requests")
        decider.page.locator("tbody a").last.click()
        look(decider, "review-own")
        reviewer.open("/requests")
        reviewer.page.locator("tbody a").last.click()
        look(reviewer, "review")
        reviewer.page.fill("#answer", "It was paid at once, and the rest is small.")
        reviewer.page.locator("button[value=grant]").click()
        reviewer.page.wait_for_url("**/acts/*")
        sign(reviewer)
        decision = company.page.locator("main")
        until(company, f"/me/decisions/{request_id}?theme=dark", lambda: "It was paid at once" in decision.inner_text())
        look(company, "decision-dark")

        month = keep_city(credit.context)
        for path, name in (("/monitor", "monitor"), (f"/monitor/{month}", "month")):
            authority.open(path)
            expect(authority.page.locator("figure svg").first).to_be_visible()
            look(authority, name)
        authority.open(f"/monitor/{month}?theme=dark&lang=en")
        look(authority, "month-dark-en")
        authority.page.set_viewport_size({"width": 390, "height": 844})
        look(authority, "month-narrow")


def refused(credit: ServedCredit, decider: Visit) -> str:
    """A benefit of the company's that an approver refuses; its request."""
    context = credit.context
    with context.store.write() as session:
        subject = find_subject(context, session, SHOP)
        content = {
            "purpose": "trust-approval",
            "grade": "C",
            "met": False,
            "lost": [[101, 160]],
            "why": "",
            "decision": "",
        }
        row = add_request(context, session, subject.id, BENEFIT, REGISTRAR, "", OPEN, content)
        request_id = row.id
    decider.open(f"/requests/{request_id}")
    decider.page.fill("#why", "容缺受理要求 B 级以上。")
    decider.page.locator("button[value=refuse]").click()
    decider.page.wait_for_url("**/acts/*")
    sign(decider)
    return request_id


def keep_city(context: CreditContext) -> str:
    """Two months of a made-up city, the second against the first; the second's name."""
    month = before(month_of(date_of(context.today)))
    acts = Acts(
        granted=40, refused=12, overruled=2, reviewed=5, disputes_decided=20, disputes_upheld=7, disputes_late=1
    )
    then, now = (
        [
            Standing(found.points, found.grade, tuple(one for one in member.groups if one[0] in (AGE, SEX)))
            for member in Population(600, 0, seed=7, slant=200).members()
            for found in [score(member.at(day), scorecard(), day)]
        ]
        for day in (LAST_DAY - 700, LAST_DAY)
    )
    named, bases = Card("ab" * 32, 1), {AGE: "个人信息保护法第24条", SEX: "个人信息保护法第24条"}
    for name, standings, reference in (
        (before(month), then, Reference.of(before(before(month)), then)),
        (month, now, Reference.of(before(before(month)), then)),
    ):
        scored = Scored(standings)
        made = figures_of(name, context.today, named, scored, acts, reference=reference, bases=bases, is_over=True)
        keep_month(context, made)
    return month


def given_report(credit: ServedCredit, holder: Visit) -> tuple[str, str]:
    """Let an organisation read, and have its system fetch a report; its key and the report's id."""
    reader = credit.network.founders[3]
    holder.open("/me/readers")
    holder.page.fill("#organisation", reader)
    holder.page.select_option("#purpose", "trust-approval")
    holder.page.click("form[action='/me/consents'] button")
    handle = holder.page.locator("[data-copy]").first.get_attribute("data-copy")
    key = add_client(credit.context, "0" * 32, reader)
    answer = holder.context.request.post(
        credit.origin + "/v1/credit/reports",
        data=json.dumps({"subject": handle, "purpose": "trust-approval"}),
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    assert answer.status == 200, answer.text()
    made = answer.json()
    found = verify(base64.b64decode(made["report"]), credit.network.devnet.home.genesis())
    assert (found.score().points, made["withheld"]) == (440, 0)
    return key, made["access"]


def handed_out(credit: ServedCredit, holder: Visit) -> tuple[str, bytes]:
    """Have the holder's phone make a report for a reader; its link and its file."""
    reader = credit.network.founders[3]
    holder.open("/me/show?lang=zh-CN")
    holder.page.fill("#to", reader)
    holder.page.select_option("#purpose", "trust-approval")
    holder.page.click("form[action='/me/show'] button")
    expect(holder.page.locator("[data-sign]")).to_be_enabled()
    look(holder, "show")
    holder.page.click("[data-sign]")
    expect(holder.page.locator("[data-linked]")).to_be_visible()
    look(holder, "show-made")
    holder.page.emulate_media(color_scheme="dark")
    holder.keep("credit-show-made-dark")
    holder.page.emulate_media(color_scheme="light")
    link = holder.page.locator("[data-link]").input_value()
    with holder.page.expect_download() as download:
        holder.page.click("a[data-file]")
    found = verify_file(download.value.path().read_bytes(), credit.network.devnet.home.genesis())
    assert (found.statement.name, found.audience, found.report.score().points) == ("王芳", reader, 440)
    holder.open("/me?lang=en")
    return link, download.value.path().read_bytes()


def read_by_somebody(browser: Browser, credit: ServedCredit, link: str, file: bytes) -> None:
    """A reader without an account opens the link, then, without a connection, the file, and one that was changed."""
    with visiting(browser, credit.origin, size="phone", language="en") as reader:
        strip = reader.page.locator("#proof")
        reader.open(link.removeprefix(credit.origin))
        expect(strip).to_have_attribute("data-state", "proved", timeout=PROVEN_MS_MAX)
        expect(reader.page.locator("[data-fact=name]")).to_have_text("王芳")
        expect(reader.page.locator("[data-fact=points]")).to_have_text("440")
        expect(reader.page.locator("[data-fact=purpose]")).to_have_text("Approval on trust")
        look(reader, "read")
        expect(reader.page.locator("html")).to_have_attribute("data-kept", "yes")
        reader.context.set_offline(True)
        reader.open("/read")
        given = {"name": "report.zxreport", "mimeType": "application/json", "buffer": file}
        reader.page.set_input_files("#report-file", files=[given])  # type: ignore[list-item]  # the form that it documents
        expect(strip).to_have_attribute("data-state", "proved", timeout=PROVEN_MS_MAX)
        expect(reader.page.locator("[data-fact=points]")).to_have_text("440")
        words = json.loads(file)
        shown = bytearray(base64.b64decode(words["shown"]))
        shown[len(shown) // 2] ^= 1
        altered = json.dumps({**words, "shown": base64.b64encode(shown).decode()}).encode()
        reader.page.set_input_files("#report-file", files=[{**given, "buffer": altered}])  # type: ignore[list-item]  # likewise
        expect(strip).to_have_attribute("data-state", "failed", timeout=PROVEN_MS_MAX)
        expect(reader.page.locator("[data-fact=name]")).to_be_hidden()
        reader.keep("credit-read-altered")
        reader.page.evaluate(STATES)
        for content in (file, b"no report"):  # the second, of which it is known at once, while the first is verified
            reader.page.set_input_files("#report-file", files=[{**given, "buffer": content}])  # type: ignore[list-item]  # likewise
        reader.until("states.includes('proved') && states.lastIndexOf('failed') > states.lastIndexOf('proved')")
        expect(reader.page.locator("[data-fact=name]")).to_be_hidden()
        reader.context.set_offline(False)
        reader.page.set_viewport_size({"width": 1440, "height": 900})
        reader.open("/read?lang=zh-CN&theme=dark")
        reader.page.set_input_files("#report-file", files=[given])  # type: ignore[list-item]  # likewise
        expect(strip).to_have_attribute("data-state", "proved", timeout=PROVEN_MS_MAX)
        look(reader, "read-wide-zh-dark")


def told(credit: ServedCredit, holder: Visit, before: tuple[str, str]) -> None:
    """The reader of the report before is told that it is no longer so."""
    key, access = before
    deadline = time.monotonic() + FOLLOWED_S_MAX
    while True:
        answer = holder.context.request.get(
            credit.origin + "/v1/credit/notices", headers={"authorization": f"Bearer {key}"}
        )
        notices = answer.json()
        if len(notices) == 2:
            break
        assert time.monotonic() < deadline, "nobody was told"
        time.sleep(0.3)
    assert (access, "corrected") in [(one["report"], one["status"]) for one in notices]
    assert len({one["report"] for one in notices}) == 2, "the reader of what the holder handed out is told, too"
