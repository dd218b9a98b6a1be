# SPDX-License-Identifier: Apache-2.0
"""`/v1/credit`: attested by the source's own key, read with consent alone, each look noted, all with its proof."""

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from credit_service_rig import ACTOR, SOURCE_X, CreditDesk, HolderAt, credit_desk
from cryptography.hazmat.primitives.asymmetric import ec
from store_rig import Rig
from structlog.testing import capture_logs

from chain.strict_json import parse
from chain.types import Network
from cli.credit import credit_parts
from credit.api import consents
from credit.api.base import date_of
from credit.api.clients import add_client, clients_of, end_client
from credit.api.grades import issue_grade
from credit.api.reading import StoredAccesses
from credit.api.reports import make_report
from credit.api.requests import dispute, follow_requests, requests_of
from credit.report import SHOWN_MS_MAX, show, verify
from identity import issuer_keys, sd_jwt
from identity.credentials import CREDIT_GRADE as VCT
from identity.issuer_keys import KeySet, issuing_key
from identity.jose import InvalidToken, MemorySigner, decode_jws, load_object
from service.app import create_app
from service.serve import Ground
from service.settings import local_address, parse_settings
from service.sign_in.roles import Role
from tests.certified_ledger import make_genesis

ANN = "440601199001011234"
NONCE = bytes(range(32))
ASKED = sd_jwt.Binding("https://bank.example.org", "a fresh nonce of the bank")


def issuing_keys(now_ms: int) -> KeySet:
    now_s = now_ms // 1000
    registrar, private = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    begins, ends = now_s - 86_400, now_s + 86_400 * 400
    anchor = issuer_keys.make_registrar("Registrar", registrar, serial=1, begins_s=begins, ends_s=ends)
    signer = MemorySigner(private)
    certificate = issuer_keys.certify(anchor, registrar, signer.public_key, serial=2, begins_s=begins, ends_s=ends)
    return KeySet([issuing_key(certificate, signer, signs_from_s=begins, signs_until_s=ends)])


@pytest.fixture
async def desk(sqlite_rig: Rig) -> AsyncIterator[CreditDesk]:
    async with credit_desk(sqlite_rig, issuing=issuing_keys(1_700_000_000_000 + 86_400_000 * 1_100)) as made:
        yield made


class System:
    """An organisation's own system."""

    def __init__(self, desk: CreditDesk, organisation: str) -> None:
        self.desk = desk
        self.key = add_client(desk.service.context, ACTOR, organisation)
        self.web = desk.browser().web

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self.web.post(f"/v1/credit{path}", json=body, headers={"authorization": f"Bearer {self.key}"})

    async def get(self, path: str) -> httpx.Response:
        return await self.web.get(f"/v1/credit{path}", headers={"authorization": f"Bearer {self.key}"})

    async def handle(self, number: str = ANN) -> str:
        answer = await self.post("/subjects", {"number": number})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["subject"])

    def event(self, of: str, reference: str = "r-1", **changes: Any) -> dict[str, Any]:
        day = date_of(self.desk.service.context.today - 3).isoformat()
        return {"subject": of, "class": 301, "occurred": day, "document": day, "reference": reference} | changes

    async def prepare(self, *events: dict[str, Any]) -> httpx.Response:
        signer = {"scheme": "ed25519", "public_key": SOURCE_X.signer.public_key.hex()}
        return await self.post("/events", {"signer": signer, "events": list(events)})

    async def record(self, *events: dict[str, Any]) -> dict[str, Any]:
        made = (await self.prepare(*events)).json()
        signature = SOURCE_X.sign(b64decode(made["to_sign"])).hex()
        answer = await self.post(f"/events/{made['batch']}/signature", {"signature": signature})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def test_batch_is_signed_by_its_source_and_answered_with_its_receipt(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    source = System(desk, "org-x")
    subject = await source.handle()
    done = await source.record(source.event(subject, "1"), source.event(subject, "2"))
    assert (done["state"], done["count"], done["ledger_code"]) == ("done", 2, "")
    assert b64decode(done["receipt"])
    assert (await source.get(f"/events/{done['batch']}")).json() == done
    assert (await System(desk, "org-y").get(f"/events/{done['batch']}")).status_code == 404
    assert len((await make_report(desk.service.context, ann)).event_ids) == 2
    assert [one.what for one in StoredAccesses(desk.service.context).of(ann)[0]] == ["handle"]


async def test_handles_of_one_subject_differ_between_organisations_and_open_nothing_for_others(
    desk: CreditDesk,
) -> None:
    await desk.service.open_log(ANN)
    x, y = System(desk, "org-x"), System(desk, "org-y")
    of_x, of_y = await x.handle(), await y.handle()
    assert of_x != of_y
    assert (await y.post("/reports", {"subject": of_x, "purpose": "tender"})).status_code == 404


@pytest.mark.parametrize(
    "smuggled",
    [
        {"note": "张三, phone 13900001234"},
        {"reference": "张三 13900001234"},
        {"evidence": "13900001234"},
        {"severity": "very bad person"},
        {"subject": ANN},
        {"occurred": "in spring"},
    ],
    ids=["a further field", "the reference", "evidence", "severity", "a number for a handle", "a date in words"],
)
async def test_personal_data_smuggled_into_any_field_is_refused_and_not_repeated(
    desk: CreditDesk, smuggled: dict[str, str]
) -> None:
    await desk.service.open_log(ANN)
    source = System(desk, "org-x")
    answer = await source.prepare(source.event(await source.handle(), **smuggled))
    assert answer.status_code == 422
    assert "13900001234" not in answer.text
    assert ANN not in answer.text


async def test_report_needs_consent_is_limited_to_its_purpose_and_noted(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    source = System(desk, "org-x")
    subject = await source.handle()
    await source.record(
        source.event(subject, "good"), source.event(subject, "bad", **{"class": 101, "severity": "general"})
    )
    reader = System(desk, "org-y")
    theirs = context.handle_of("org-y", ann)
    asked = {"subject": theirs, "purpose": "tender"}
    assert (await reader.post("/reports", asked)).json()["code"] == "credit.consent"
    consent = await consents.give(context, ann, "org-y", "tender", 3)
    answer = (await reader.post("/reports", asked)).json()
    raw = b64decode(answer["report"])
    found = verify(raw, context.ledger.genesis, allow_withheld=True)
    assert [(one.catalogued.dimension, one.content is None) for one in found.entries] == [(2, True), (1, False)]
    assert (answer["events"], answer["withheld"]) == (2, 1)
    assert (await reader.post("/reports", asked | {"purpose": "deposit-waiver"})).status_code == 403
    await consents.end(context, ann, consent)
    assert (await reader.post("/reports", asked)).status_code == 403
    noted = [(one.organisation, one.purpose, one.what) for one in StoredAccesses(context).of(ann)[0]]
    assert ("org-y", "tender", "report") in noted
    assert len([one for one in noted if one[2] == "report"]) == 1


async def test_consent_runs_out(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    reader = System(desk, "org-y")
    await consents.give(desk.service.context, ann, "org-y", "tender", 1)
    asked = {"subject": await reader.handle(), "purpose": "tender"}
    assert (await reader.post("/reports", asked)).status_code == 200
    desk.service.ledger.pass_blocks(86_400_001)
    assert (await reader.post("/reports", asked)).status_code == 403


async def test_grade_is_answered_with_a_credential_that_shows_neither_points_nor_events(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    holder = await desk.holder(ann)
    source = System(desk, "org-x")
    await source.record(source.event(await source.handle()))
    reader = System(desk, "org-y")
    await consents.give(context, ann, "org-y", "trust-approval", 3)
    answer = (await reader.post("/checks", {"subject": await reader.handle(), "purpose": "trust-approval"})).json()
    assert (answer["met"], answer["at_least"]) == (True, "B")
    assert context.issuing is not None
    key, now_s = context.issuing.current(context.now() // 1000), context.now() // 1000
    found = sd_jwt.verify(answer["credential"], key.public_key, now_s, vct=VCT)
    assert set(found.claims) == {"iss", "vct", "iat", "exp", "sub", "grade_at_least", "as_of"}
    assert (found.claims["grade_at_least"], found.claims["sub"]) == ("B", await reader.handle())
    shown = sd_jwt.present(answer["credential"], key=MemorySigner(holder.key._private_key), binding=ASKED, now_s=now_s)
    with pytest.raises(InvalidToken):  # whoever was answered shows it to nobody
        sd_jwt.verify(shown, key.public_key, now_s, binding=ASKED, vct=VCT)
    bound = issue_grade(context, key, "B", date_of(context.today), holder.key.signer.public_key, {})
    shown_to_another_verifier(bound, holder, key.public_key, now_s)
    bad = source.event(await source.handle(), "bad", **{"class": 101, "severity": "serious"})
    await source.record(bad)
    answer = (await reader.post("/checks", {"subject": await reader.handle(), "purpose": "trust-approval"})).json()
    assert (answer["met"], answer["credential"]) == (False, "")


async def test_two_relying_parties_cannot_join_people_by_what_a_grade_is_answered_with(desk: CreditDesk) -> None:
    context, people = desk.service.context, [ANN, "440601199001011250", "440601199001011277"]
    desk.service.ledger.register("org-x")
    parties = {name: System(desk, name) for name in ("org-x", "org-y")}
    said: dict[str, set[str]] = {name: set() for name in parties}
    for number in people:
        subject = await desk.service.open_log(number)
        await desk.holder(subject)
        source = parties["org-x"]
        await source.record(source.event(await source.handle(number), number[-4:]))
        for name, party in parties.items():
            await consents.give(context, subject, name, "trust-approval", 3)
            asked = {"subject": await party.handle(number), "purpose": "trust-approval"}
            answer = (await party.post("/checks", asked)).json()
            claims = load_object(decode_jws(answer["credential"].split("~")[0], None, "it").payload, "it")
            same = {"iss", "vct", "iat", "exp", "grade_at_least", "as_of"}
            said[name] |= {json.dumps(value) for key, value in claims.items() if key not in same}
            said[name] |= {str(value) for value in answer["consent"].values()}
    assert len(said["org-x"]) >= len(people)
    assert not said["org-x"] & said["org-y"]


def shown_to_another_verifier(credential: str, holder: HolderAt, trusted: bytes, now_s: int) -> None:
    """Its holder shows it to whoever asks with a nonce; nobody else can, and it is good for that request alone."""
    asked = ASKED
    own, other = MemorySigner(holder.key._private_key), MemorySigner(ec.generate_private_key(ec.SECP256R1()))
    shown = sd_jwt.present(credential, key=own, binding=asked, now_s=now_s)
    proven = sd_jwt.verify(shown, trusted, now_s, binding=asked, vct=VCT)
    assert proven.claims["grade_at_least"] == "B"
    stolen = sd_jwt.present(credential, key=other, binding=asked, now_s=now_s)
    for token, binding, late_s in (
        (stolen, asked, 0),
        (shown, sd_jwt.Binding("https://shop.example.org", asked.nonce), 0),
        (shown, sd_jwt.Binding(asked.audience, "another nonce of the bank"), 0),
        (shown, asked, 86_401),
    ):
        with pytest.raises(InvalidToken):
            sd_jwt.verify(token, trusted, now_s + late_s, binding=binding, vct=VCT)


async def asked_with(desk: CreditDesk, holder: HolderAt, ann: str, reader: System, **changes: Any) -> httpx.Response:
    """A benefit asked for with a report that the holder signs now."""
    context = desk.service.context
    raw = changes.get("raw") or (await make_report(context, ann)).raw
    network = Network(context.ledger.genesis.network)
    at_ms = changes.get("at_ms", context.now())
    nonce = changes.get("nonce", NONCE)
    audience, purpose = changes.get("audience", "org-y"), changes.get("purpose", "trust-approval")
    shown = show(raw, network, holder.key, audience, purpose, nonce, at_ms)
    body = {"subject": await reader.handle(), "purpose": "trust-approval"}
    return await reader.post("/benefits", body | {"shown": b64encode(shown).decode(), "nonce": nonce.hex()})


async def test_benefit_asked_with_a_report_older_than_its_purpose_allows_is_refused(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    holder, reader = await desk.holder(ann), System(desk, "org-y")
    old = (await make_report(desk.service.context, ann)).raw
    desk.service.ledger.pass_blocks(86_400_001 + 60_000)
    answer = await asked_with(desk, holder, ann, reader, raw=old)
    assert (answer.status_code, answer.json()["code"]) == (409, "credit.too-old")
    assert answer.json()["ledger_code"] == "receipt.too-old"
    answer = await asked_with(desk, holder, ann, reader, at_ms=desk.service.context.now() - 3_600_000)
    assert answer.json()["ledger_code"] == "receipt.shown-time"
    assert (await asked_with(desk, holder, ann, reader)).status_code == 201


async def test_benefit_asked_with_a_report_of_another_or_for_another_is_refused(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    bob = await desk.service.open_log("440601199001015678")
    holder, reader = await desk.holder(ann), System(desk, "org-y")
    others = (await make_report(desk.service.context, bob)).raw
    for changes in ({"raw": others}, {"audience": "org-x"}):
        answer = await asked_with(desk, holder, ann, reader, **changes)
        assert (answer.status_code, answer.json()["code"]) == (422, "credit.report")
    thief = await desk.holder(bob)
    assert (await asked_with(desk, thief, ann, reader)).json()["ledger_code"] == "receipt.holder"
    body = {"subject": await reader.handle(), "purpose": "tender", "shown": "no base64!", "nonce": NONCE.hex()}
    assert (await reader.post("/benefits", body)).status_code == 422


async def test_report_that_its_holder_signed_for_another_purpose_opens_no_benefit(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    holder, reader = await desk.holder(ann), System(desk, "org-y")
    answer = await asked_with(desk, holder, ann, reader, purpose="tender")
    assert (answer.status_code, answer.json()["ledger_code"]) == (422, "receipt.purpose")
    assert (await asked_with(desk, holder, ann, reader)).status_code == 201


async def test_report_shown_once_opens_one_benefit_whatever_its_purpose(desk: CreditDesk) -> None:
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    holder, reader = await desk.holder(ann), System(desk, "org-y")
    subject, raw = await reader.handle(), (await make_report(context, ann)).raw

    def body(purpose: str, nonce: bytes) -> dict[str, str]:
        signed = show(raw, Network(context.ledger.genesis.network), holder.key, "org-y", purpose, nonce, at_ms)
        shown = b64encode(signed).decode()
        return {"subject": subject, "purpose": purpose, "shown": shown, "nonce": nonce.hex()}

    at_ms = context.now() + SHOWN_MS_MAX  # the holder's clock may be ahead
    assert (await reader.post("/benefits", body("tender", NONCE))).status_code == 201
    for purpose in ("tender", "trust-approval"):
        answer = await reader.post("/benefits", body(purpose, NONCE))
        assert (answer.status_code, answer.json()["code"]) == (409, "credit.used-up")
    late = body("tender", NONCE)
    desk.service.ledger.pass_blocks(2 * SHOWN_MS_MAX)
    assert (await reader.post("/benefits", late)).json()["code"] == "credit.used-up"
    desk.service.ledger.pass_blocks(1)
    assert (await reader.post("/benefits", late)).json()["ledger_code"] == "receipt.shown-time"
    at_ms = context.now()
    assert (await reader.post("/benefits", body("tender", bytes(32)))).status_code == 201


async def test_benefits_that_wait_are_bounded_and_keep_nobody_from_objecting(
    desk: CreditDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credit.api.requests.OPEN_MAX", 2)
    monkeypatch.setattr("credit.api.requests.FOLLOWED_MAX", 2)
    context = desk.service.context
    ann = await desk.service.open_log(ANN)
    source, holder, reader = System(desk, "org-x"), await desk.holder(ann), System(desk, "org-y")
    await source.record(source.event(await source.handle(), "bad", **{"class": 101, "severity": "general"}))
    for nonce, status in ((bytes([1] * 16), 201), (bytes([2] * 16), 201), (bytes([3] * 16), 409)):
        answer = await asked_with(desk, holder, ann, reader, nonce=nonce)
        assert answer.status_code == status, answer.text
    assert answer.json()["code"] == "credit.not-now"
    (event_id,) = (await make_report(context, ann)).event_ids
    request_id = await dispute(context, ann, event_id, "It was not me")
    desk.service.ledger.pass_blocks(30 * 86_400_000)
    follow_requests(context)
    assert {one.row.state for one in requests_of(context, ann) if one.row.id == request_id} == {"escalated"}


async def test_refused_benefit_is_a_humans_act_with_a_reason_that_its_person_reads(desk: CreditDesk) -> None:
    ann = await desk.service.open_log(ANN)
    holder, reader = await desk.holder(ann), System(desk, "org-y")
    asked = (await asked_with(desk, holder, ann, reader)).json()
    assert (asked["grade"], asked["met"]) == ("C", False)
    approver = await desk.officer("org-y", Role.APPROVER)
    path = f"/requests/{asked['request']}/decide"
    assert (await approver.post(path, verdict="refuse")).status_code == 409
    await approver.post_and_sign(path, verdict="refuse", why="The grade asked for is B")
    (decision,) = [key for key in desk.service.ledger.state if key.startswith(b"credit/decision/")]
    assert decision
    assert "The grade asked for is B" in (await holder.get("/me")).text


async def test_key_of_a_system_ends_and_nobody_without_one_gets_anything(desk: CreditDesk) -> None:
    await desk.service.open_log(ANN)
    source = System(desk, "org-x")
    context = desk.service.context
    (client,) = clients_of(context, "org-x")
    end_client(context, ACTOR, "org-y", client.id)
    assert (await source.post("/subjects", {"number": ANN})).status_code == 200
    end_client(context, ACTOR, "org-x", client.id)
    assert (await source.post("/subjects", {"number": ANN})).status_code == 401
    assert (await source.web.post("/v1/credit/subjects", json={"number": ANN})).status_code == 401


async def test_organisation_without_rights_and_consent_learns_nothing_of_who_has_a_log(desk: CreditDesk) -> None:
    await desk.service.open_log(ANN)
    reader = System(desk, "org-s")
    known, unknown = [(await reader.post("/subjects", {"number": n})).json() for n in (ANN, "440601199001019999")]
    assert (known["code"], known["detail"]) == (unknown["code"], unknown["detail"])


async def test_scorecard_in_use_is_told_with_its_proof(desk: CreditDesk) -> None:
    answer = (await desk.browser().web.get("/v1/credit/scorecard")).json()
    assert (answer["number"], answer["version"]) == (1, 1)
    value = parse(answer["document"].encode(), size_max=20_000, depth_max=8)
    assert isinstance(value, dict)
    assert value["base"] == 600
    assert b64decode(answer["receipt"])


async def test_description_of_the_interface_is_whole(desk: CreditDesk) -> None:
    document = (await desk.browser().web.get("/openapi.json")).json()
    ours = {path: item for path, item in document["paths"].items() if path.startswith("/v1/credit/")}
    assert set(ours) == {
        f"/v1/credit/{name}"
        for name in (
            "subjects", "events", "events/{batch}", "events/{batch}/signature", "notices", "scorecard", "reports",
            "checks", "benefits",
        )
    }  # fmt: skip
    identifiers = [operation["operationId"] for item in ours.values() for operation in item.values()]
    assert len(set(identifiers)) == len(identifiers)
    for item in ours.values():
        for operation in item.values():
            assert operation["summary"]
            assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]


def test_settings_of_an_index_that_are_not_for_credits_are_named_in_the_log(sqlite_rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_bytes(make_genesis())
    store = sqlite_rig.open(sqlite_rig.settings())

    def named(more: str) -> list[str]:
        text = f"[ledger]\ngenesis = '{tmp_path}/genesis.json'\n[index]\nfolder = '{tmp_path}/index'\n{more}"
        with capture_logs() as lines:
            credit_parts(Ground(parse_settings(text, {}), store), local_address("credit", "127.0.0.1:8810"))
        return [line["setting"] for line in lines if line["event"] == "credit.setting-not-used"]

    assert named("") == []
    assert named("url = 'postgresql://localhost/explorer'\nfrom_height = 7\n") == ["index.url", "index.from_height"]


async def test_service_is_put_together_from_settings_and_starts_without_a_node_that_answers(
    sqlite_rig: Rig, tmp_path: Path
) -> None:
    (tmp_path / "genesis.json").write_bytes(make_genesis())
    text = f"[ledger]\ngenesis = '{tmp_path}/genesis.json'\n[index]\nfolder = '{tmp_path}/index'\n"
    settings = parse_settings(text, {})
    address = local_address("credit", "127.0.0.1:8810")
    parts = credit_parts(Ground(settings, sqlite_rig.open(sqlite_rig.settings())), address)
    app = create_app(parts, settings, address)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8810") as web,
    ):
        assert (await web.get("/health")).status_code == 200
        assert (await web.get("/ready")).status_code == 503
        assert (await web.get("/me/sign-in", headers={"accept": "text/html"})).status_code == 200
        assert (await web.get("/v1/credit/scorecard")).json()["code"] == "credit.no-scorecard"
