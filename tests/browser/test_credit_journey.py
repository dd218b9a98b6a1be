# SPDX-License-Identifier: Apache-2.0
"""A real network and three browsers: attested, objected to, corrected; the score follows, earlier readers are told."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
from credit.api.base import CreditContext
from credit.api.clients import add_client
from credit.api.desk_pages import CREDIT_SITE
from credit.api.ledger import FollowedLedger
from credit.api.part import credit_part
from credit.pb import credit_pb2 as pb
from credit.report import verify
from identity.commitments import SALT_BYTES, holder_commitment
from identity.officers import registrar_digest
from identity.pb import identity_pb2
from identity.registrations import load_person, person_key, proposal_digest
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

    @contextmanager
    def officer(
        self, browser: Browser, role: Role, name: str, *, size: Size = "desktop", language: str = "zh-CN"
    ) -> Iterator[Visit]:
        """Somebody with a browser and a passkey that the ledger knows."""
        link = invite(self.office, self.boss, name, REGISTRAR, role)
        with visiting(browser, self.origin, size=size, language=language) as seen:
            seen.add_authenticator()
            join(seen, link, "Key")
            seen.page.click("form[action='/passkeys/register'] button")
            seen.page.wait_for_url("**/acts/*")
            sign(seen)
            deadline = time.monotonic() + STANDING_S_MAX
            while seen.page.request.get(seen.origin + "/requests").status != 200:
                assert time.monotonic() < deadline, "a registered officer is not let in"
                time.sleep(0.2)
            yield seen


@pytest.fixture(scope="module")
def credit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCredit]:
    with running_network(tmp_path_factory.mktemp("credit") / "net") as network:
        found(network)
        with served(network, tmp_path_factory.mktemp("credit-store")) as made:
            yield made


def found(network: Network) -> None:
    """A credit authority with a catalogue, the registrar as authority and source too, two living registrations."""
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
    classes = [_penalty(), _good(201, pb.KIND_PLEDGE, "信用承诺"), _good(301, pb.KIND_RECORD, "志愿服务")]
    grant = pb.GrantSource(organisation=REGISTRAR, classes=[101, 201, 301])
    card = pb.PutScorecard(scorecard=1, version=1, document=canonical(SCORECARD))
    network.submit([network.signer(authority)], *classes, grant, card)
    for _ in range(2):
        enrol(network)


def enrol(network: Network) -> None:
    """One living registration, by two officers."""
    clerk, approver = [P256Signer(ec.generate_private_key(ec.SECP256R1())) for _ in range(2)]
    registrar = network.signer(REGISTRAR)
    for officer, duty in ((clerk, identity_pb2.DUTY_ENROL), (approver, identity_pb2.DUTY_CONFIRM)):
        key = ledger_pb2.Signer(scheme=ledger_pb2.SCHEME_P256, public_key=officer.signer.public_key)
        purposes = [membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_ATTEST]
        added = membership_pb2.AddKey(key=membership_pb2.KeyGrant(key=key, purposes=purposes))
        appointed = identity_pb2.AppointOfficer(key=key, officer=secrets.token_bytes(16), duties=[duty])
        network.submit([registrar, officer], added, appointed)
    registration = secrets.token_bytes(16)
    tag = identity_pb2.RegisterTag(
        key_version=1,
        tag=secrets.token_bytes(32),
        registrar=registrar_digest(REGISTRAR),
        holder=holder_commitment(registration, secrets.token_bytes(SALT_BYTES)),
    )
    network.submit([network.signer(network.founders[0])], tag)
    change = identity_pb2.Change(
        commitment=sha256(secrets.token_bytes(32)),
        assurance_level=identity_pb2.ASSURANCE_LEVEL_HIGH,
        proofing_method=identity_pb2.PROOFING_METHOD_DOCUMENT_INSPECTED,
    )
    network.submit([clerk], identity_pb2.Enrol(id=registration, change=change))

    async def proposed() -> bytes:
        async with network.session() as session:
            key = person_key(registration)
            record = load_person({key: (await session.read(key)).value}.get, registration)
            assert record is not None
            return proposal_digest(record.proposal)

    network.submit([approver], identity_pb2.Confirm(id=registration, digest=in_thread(proposed)))


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
    """Sign the act on whose page the browser is."""
    seen.page.click("main form[data-ceremony] button")
    seen.page.locator("main .notice.good a, main a[download]").first.wait_for()


def look(seen: Visit, name: str) -> None:
    """Keep a picture, and hold the page against the rules of accessibility."""
    seen.keep(f"credit-{name}")
    assert seen.axe() == []
    assert not seen.is_wider_than_screen()


def until(seen: Visit, path: str, holds: Callable[[], bool]) -> None:
    """Open a page until the service has followed the ledger."""
    deadline = time.monotonic() + 20
    while True:
        seen.open(path)
        if holds():
            return
        assert time.monotonic() < deadline, f"{path} does not show it"
        time.sleep(0.3)


def points(seen: Visit) -> str:
    return seen.page.locator(".credit-points").inner_text().strip()


def test_dispute_runs_from_objection_to_correction_in_browsers_and_earlier_readers_are_told(
    browser: Browser, credit: ServedCredit
) -> None:
    with (
        credit.officer(browser, Role.CLERK, "Zhang Min", language="zh-CN") as clerk,
        credit.officer(browser, Role.APPROVER, "Chen Hua", size="tablet", language="en") as approver,
        visiting(browser, credit.origin, size="phone", language="zh-CN") as holder,
    ):
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
        look(holder, "score")
        holder.page.select_option("select[data-event='0']", "repaired")
        expect(holder.page.locator("[data-would]")).to_contain_text("600")
        holder.open("/me?theme=dark")
        holder.keep("credit-score-dark")
        holder.open("/me?theme=light&lang=en")
        look(holder, "score-en")

        before = given_report(credit, holder)
        holder.open("/me")
        holder.page.click(".credit-events a")
        look(holder, "event")
        holder.page.fill("#words", "It was a small matter and I paid the same day.")
        holder.page.click("form[action$='/dispute'] button")
        expect(holder.page.locator(".heading .badge")).to_contain_text("Objected to")
        look(holder, "disputed")
        holder.open("/me")
        assert points(holder) == "600"

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


def test_authority_sees_companies_and_draws_whom_to_inspect(browser: Browser, credit: ServedCredit) -> None:
    with (
        credit.officer(browser, Role.CLERK, "Liu Yi", language="en") as clerk,
        credit.officer(browser, Role.SUPERVISOR, "He Lan", language="zh-CN") as authority,
    ):
        clerk.open("/logs")
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


def told(credit: ServedCredit, holder: Visit, before: tuple[str, str]) -> None:
    """The reader of the report before is told that it is no longer so."""
    key, access = before
    deadline = time.monotonic() + 20
    while True:
        answer = holder.context.request.get(
            credit.origin + "/v1/credit/notices", headers={"authorization": f"Bearer {key}"}
        )
        notices = answer.json()
        if notices:
            break
        assert time.monotonic() < deadline, "nobody was told"
        time.sleep(0.3)
    assert [(one["report"], one["status"]) for one in notices] == [(access, "corrected")]
