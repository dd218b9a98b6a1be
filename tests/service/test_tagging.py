# SPDX-License-Identifier: Apache-2.0
"""The uniqueness service: one tag for each person, seats for registrars, rotation, and attacks on each of them."""

import asyncio
import json
import logging
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from store_rig import Rig, readable
from structlog.testing import capture_logs
from tagging_rig import Office, number, office, stolen
from test_openapi import operations, references

import identity.uniqueness as rules
from chain.errors import Refused
from client.errors import TransportError
from identity.api.tagging import registrars
from identity.api.tagging.client import HttpTagger
from identity.api.tagging.keys import TagKeys
from identity.api.tagging.part import uniqueness_part
from identity.api.tagging.tags import content_of, normalised
from identity.api.tagging.uniqueness import Uniqueness
from identity.commitments import holder_commitment
from identity.documents import NumberKind
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from service.app import create_app
from service.errors import ConfigError, KeyFileError
from service.problems import Problem
from service.settings import Address, Settings
from service.store import audit
from service.store.models import AuditEntry
from tests import softhsm
from tests.identity_rig import enrol, random_id

R, S = registrar_digest("org-r"), registrar_digest("org-s")
ADDRESS = Address("uniqueness", "127.0.0.1:8805", "https://uniqueness.example.org")


def holder(what: object) -> bytes:
    return holder_commitment(random_id(what), b"s" * 32)


def acts(made: Office) -> list[tuple[str, str]]:
    with made.store.read() as session:
        audit.verify_chain(session)
        return [(row.actor, row.act) for row in session.scalars(select(AuditEntry).order_by(AuditEntry.number))]


@pytest.fixture
def made(rig: Rig) -> Office:
    return office(rig)


@pytest.fixture
def small(sqlite_rig: Rig) -> Office:
    return office(sqlite_rig, per_minute=5, per_day=12)


# ---------------------------------------------------------------- tags


async def test_number_has_one_tag_however_it_is_typed_and_whoever_asks(made: Office) -> None:
    r, s = made.tagger(made.r), made.tagger(made.s)
    typed = number(1)
    tag = await r.tag("resident", typed)
    assert (tag.version, len(tag.value), tag.previous) == (1, 32, None)
    wide = "".join(chr(ord(c) + 0xFEE0) for c in f"{typed[:6]} {typed[6:14]}-{typed[14:].lower()}" if c != " ")
    for same in (f" {typed[:6]} {typed[6:]} ", typed.lower(), wide):
        assert await s.tag("resident", same) == tag
    assert (await r.tag("resident", number(2))).value != tag.value


async def test_same_digits_in_another_space_of_numbers_are_another_person(made: Office) -> None:
    tagger = made.tagger()
    tags = [
        await tagger.tag("tw-travel-permit", "12345678"),
        await tagger.tag("passport", "DEU:12345678"),
        await tagger.tag("passport", "USA:12345678"),
    ]
    assert len({tag.value for tag in tags}) == 3


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("resident", "110105194912310020"),
        ("resident", number(1)[:17]),
        ("resident", ""),
        ("resident", "1" * 10_000),
        ("resident", "9" + number(1)[1:]),
        ("resident", "110105194912310021; DROP TABLE"),
        ("passport", "C01234567"),
        ("passport", "D:"),
        ("driving-licence", number(1)),
        ("", number(1)),
    ],
)
async def test_what_is_no_number_gets_no_tag_and_is_not_repeated(made: Office, kind: str, text: str) -> None:
    with pytest.raises(Refused) as refused:
        await made.tagger().tag(kind, text)
    assert refused.value.code == "uniqueness.number"
    assert not text or text not in str(refused.value)


def test_tag_is_pinned_for_a_known_key() -> None:
    """A change of what is tagged would part every registered person from their tag."""
    kind, text = normalised("resident", "11010519491231002x", date(2026, 1, 1))
    assert (kind, text) == (NumberKind.RESIDENT, "11010519491231002X")
    content = content_of(3, kind, text)
    assert content == (b"\0\0\0\x17zhixin/uniqueness-tag/1\0\0\0\x013\0\0\0\x08resident\0\0\0\x1211010519491231002X")


# ---------------------------------------------------------------- registering


async def test_registering_gives_the_registrar_a_seat_once_however_often_it_is_asked(made: Office) -> None:
    tagger = made.tagger()
    for _ in range(3):
        await tagger.register("resident", number(1), R, holder(1))
    state = made.ledger.rules.state
    assert rules.load_seats(state.get, R) == pb.SeatsRecord(free=1)
    assert len(made.ledger.sent) == 1
    tag = await tagger.tag("resident", number(1))
    record = rules.load_tag(state.get, tag.version, tag.value)
    assert record == pb.TagRecord(registrar=R, holder=holder(1))


@pytest.mark.parametrize("again", ["other registration", "other registrar"])
async def test_person_who_is_registered_is_not_registered_again(made: Office, again: str) -> None:
    await made.tagger().register("resident", number(1), R, holder(1))
    rival = made.tagger(made.s) if again == "other registrar" else made.tagger()
    with pytest.raises(Refused) as refused:
        await rival.register("resident", number(1), S if again == "other registrar" else R, holder(2))
    assert refused.value.code == "identity.tag-taken"
    assert rules.load_seats(made.ledger.rules.state.get, S) == pb.SeatsRecord()


async def test_two_desks_that_register_one_person_at_once_get_one_seat(made: Office) -> None:
    calls = [
        made.tagger(made.r).register("resident", number(1), R, holder(1)),
        made.tagger(made.s).register("resident", number(1), S, holder(2)),
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["NoneType", "Refused"]
    state = made.ledger.rules.state
    assert rules.load_seats(state.get, R).free + rules.load_seats(state.get, S).free == 1


async def test_answer_lost_after_the_ledger_took_it_is_made_up_for_by_the_same_call(made: Office) -> None:
    made.ledger.dies = True
    with pytest.raises(TransportError):
        await made.tagger().register("resident", number(1), R, holder(1))
    made.ledger.dies = False
    await made.tagger().register("resident", number(1), R, holder(1))
    assert rules.load_seats(made.ledger.rules.state.get, R).free == 1


async def test_ledger_down_gives_no_tag_and_no_seat(made: Office) -> None:
    made.ledger.down = True
    with pytest.raises(TransportError):
        await made.tagger().tag("resident", number(1))
    with pytest.raises(TransportError):
        await made.tagger().register("resident", number(1), R, holder(1))


async def test_organisation_that_is_no_registrar_on_the_ledger_gets_no_seat(made: Office) -> None:
    stranger, _ = registrars.add(made.store, "org-a", made.rig.now())
    with pytest.raises(TransportError) as refused:
        await made.tagger(stranger).register("resident", number(1), registrar_digest("org-a"), holder(1))
    assert refused.value.code == "uniqueness.not-registrar"
    assert made.ledger.sent == []


# ---------------------------------------------------------------- attacks by a registrar


async def test_enumeration_by_a_registrar_ends_with_its_minute_and_its_day(small: Office) -> None:
    rig, tagger = small.rig, small.tagger()
    outcomes: list[str] = []
    for attempt in range(60):
        (outcome,) = await asyncio.gather(tagger.tag("resident", number(attempt)), return_exceptions=True)
        outcomes.append(outcome.code if isinstance(outcome, TransportError) else type(outcome).__name__)
        if attempt % 10 == 9:
            rig.clock_ms += 60_000
    assert outcomes.count("Tag") == 12  # five a minute, then the day is used up
    assert outcomes.count("uniqueness.rate") == 48
    assert await small.tagger(small.s).tag("resident", number(1))  # another registrar has its own
    rig.clock_ms += 24 * 3_600_000
    assert await tagger.tag("resident", number(1))


async def test_enumeration_goes_on_neither_through_another_call_nor_after_a_restart(small: Office) -> None:
    for attempt in range(5):
        await small.tagger().tag("resident", number(attempt))
    small.service = office_again(small)
    for call in (
        small.tagger().tag("resident", number(9)),
        small.tagger().register("resident", number(9), R, holder(9)),
        small.tagger().release("resident", number(9)),
    ):
        with pytest.raises(TransportError) as refused:
            await call
        assert refused.value.code == "uniqueness.rate"
    assert small.ledger.sent == []


def office_again(old: Office) -> Uniqueness:
    """The same service in a new process."""
    service = old.service
    return Uniqueness(
        old.store,
        TagKeys(old.settings, {}),
        service._ledger,
        service._signer,
        service._questions,
        service._moves,
        old.rig.now,
    )


async def test_questions_at_once_never_exceed_the_budget(small: Office) -> None:
    calls = [small.tagger().tag("resident", number(attempt)) for attempt in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(one, Exception) for one in outcomes) == 5


async def test_refusals_alone_fill_no_audit_table(small: Office) -> None:
    for attempt in range(40):
        with pytest.raises(TransportError) if attempt >= 5 else nothing():
            await small.tagger().tag("resident", number(attempt))
    said = acts(small)
    assert said.count((small.r.id, "uniqueness.asked")) == 5
    assert said.count((small.r.id, "uniqueness.budget-used-up")) == 1


class nothing:  # noqa: N801 - reads as a word
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


async def test_registrar_cannot_take_a_seat_in_another_s_name(made: Office) -> None:
    with pytest.raises(Refused) as refused:
        await made.tagger(made.s).register("resident", number(1), R, holder(1))
    assert refused.value.code == "uniqueness.not-yours"
    assert made.ledger.sent == []


async def test_tag_of_one_registrar_is_neither_moved_nor_released_by_another(made: Office) -> None:
    await made.tagger().register("resident", number(1), R, holder(1))
    with pytest.raises(Refused) as refused:
        await made.tagger(made.s).release("resident", number(1))
    assert refused.value.code == "uniqueness.not-yours"
    assert await made.service.rotate() == 2
    with pytest.raises(Refused) as moved:
        await made.tagger(made.s).retag("resident", number(1), holder(2))
    assert moved.value.code == "uniqueness.not-yours"
    assert rules.load_tag_key(made.ledger.rules.state.get).previous_tags == 1


async def test_release_and_retag_answer_alike_for_nobody_and_for_somebody_else_s(made: Office) -> None:
    await made.tagger().register("resident", number(1), R, holder(1))
    await made.service.rotate()
    answers = set()
    for which in (1, 2):
        for call in (
            made.tagger(made.s).release("resident", number(which)),
            made.tagger(made.s).retag("resident", number(which), holder(3)),
        ):
            with pytest.raises(Refused) as refused:
                await call
            answers.add((refused.value.code, str(refused.value)))
    assert len(answers) == 1


async def test_key_that_was_ended_opens_nothing_not_even_what_is_under_way(made: Office) -> None:
    assert registrars.find(made.store, made.r_key) == made.r
    assert registrars.end(made.store, made.r.id, made.rig.now())
    assert not registrars.end(made.store, made.r.id, made.rig.now())
    for key in (made.r_key, "zxu_" + "A" * 43, "", "zxu_" + "A" * 10_000, made.s_key[:-1]):
        with pytest.raises(Problem) as refused:
            registrars.find(made.store, key)
        assert refused.value.kind.code == "uniqueness.bearer"
    with pytest.raises(TransportError):
        await made.tagger().tag("resident", number(1))


# ---------------------------------------------------------------- rotation


async def test_rotation_moves_each_person_and_forgets_the_old_key_when_none_is_left(made: Office) -> None:
    tagger = made.tagger()
    for which in (1, 2):
        await tagger.register("resident", number(which), R, holder(which))
    old = await tagger.tag("resident", number(1))
    assert await made.service.rotate() == 2
    tag = await tagger.tag("resident", number(1))
    assert (tag.version, tag.previous) == (2, old.value)
    assert tag.value != old.value
    assert await made.service.forget() == 1  # tags are left under it
    with pytest.raises(Refused, match="the ledger's rules refuse") as early:
        await made.service.rotate()
    assert early.value.code == "identity.retagging-open"
    await tagger.retag("resident", number(1), holder("new"))
    await tagger.retag("resident", number(1), holder("new"))  # repeated: nothing happens
    with pytest.raises(Refused) as again:
        await tagger.retag("resident", number(1), holder("other"))
    assert again.value.code == "uniqueness.no-rotation"
    assert rules.load_tag_key(made.ledger.rules.state.get) == pb.TagKeyRecord(key_version=2, tags=1, previous_tags=1)
    await tagger.retag("resident", number(2), holder("new too"))
    await tagger.retag("resident", number(2), holder("new too"))  # its answer may have been lost
    with pytest.raises(Refused) as done:
        await tagger.retag("resident", number(2), holder("other"))
    assert done.value.code == "uniqueness.no-rotation"
    assert await made.service.forget() == 2
    assert made.keys.versions == [2, 3]  # the third was made when it was begun too early
    assert await made.service.rotate() == 3


@pytest.mark.parametrize("who", ["r", "s"])
async def test_person_under_the_old_version_is_not_registered_under_the_new_one(made: Office, who: str) -> None:
    await made.tagger().register("resident", number(1), R, holder(1))
    await made.service.rotate()
    rival = made.tagger(made.r if who == "r" else made.s)
    with pytest.raises(Refused) as refused:
        await rival.register("resident", number(1), R if who == "r" else S, holder(2))
    assert refused.value.code == "identity.tag-taken"
    await made.tagger().register("resident", number(1), R, holder(1))  # the same registration: nothing happens
    await made.tagger().register("resident", number(2), R, holder(2))
    assert rules.load_seats(made.ledger.rules.state.get, R).free == 2


async def test_rotation_between_reading_and_writing_is_noticed_and_the_new_key_used(made: Office) -> None:
    await made.tagger().register("resident", number(1), R, holder(1))
    made.keys.make(2)
    ledger = made.ledger

    def rotated() -> None:
        assert ledger.rules.code("org-u:attest", pb.RotateTagKey(key_version=2)) == ""

    ledger.before_submit = rotated
    await made.tagger().register("resident", number(2), R, holder(2))
    tag = await made.tagger().tag("resident", number(2))
    assert tag.version == 2
    record = rules.load_tag(ledger.rules.state.get, 2, tag.value)
    assert record is not None
    assert record.holder == holder(2)


async def test_key_of_another_version_gives_another_tag_and_a_missing_one_none(made: Office, tmp_path: Path) -> None:
    made.keys.make(2)
    content = content_of(1, NumberKind.RESIDENT, number(1))
    assert made.keys.digest(1, content) != made.keys.digest(2, content)
    assert content != content_of(2, NumberKind.RESIDENT, number(1))
    with pytest.raises(KeyFileError, match="no key of version 3"):
        made.keys.digest(3, content)
    shutil.rmtree(made.settings.keys)
    made.service = office_again(made)
    assert not await made.service.is_ready()
    with pytest.raises(TransportError) as refused:
        await made.tagger().tag("resident", number(1))
    assert refused.value.code == "uniqueness.no-key"
    del tmp_path


async def test_service_is_ready_again_once_a_command_has_begun_a_version(made: Office) -> None:
    running = office_again(made)
    assert await running.is_ready()
    assert await made.service.rotate() == 2  # another process
    assert await running.is_ready()
    assert running.key_versions == [1, 2]


async def test_keys_of_two_versions_swapped_in_their_file_do_not_open(made: Office) -> None:
    made.keys.make(2)
    path = Path(made.settings.keys) / "tag-keys.json"
    document = json.loads(path.read_text())
    first, second = document["keys"]
    first["wrapped"], second["wrapped"] = second["wrapped"], first["wrapped"]
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFileError, match="does not open"):
        TagKeys(made.settings, {})


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": "x"}', '{"format": "zhixin-tag-keys/1", "wrapping": "", "keys": 1}']
)
def test_file_of_keys_that_is_none_is_named(sqlite_rig: Rig, content: str) -> None:
    made = office(sqlite_rig)
    (Path(made.settings.keys) / "tag-keys.json").write_text(content)
    with pytest.raises(KeyFileError, match=r"tag-keys\.json is not a"):
        TagKeys(made.settings, {})


def test_keys_are_encrypted_unless_a_test_network_says_otherwise(sqlite_rig: Rig) -> None:
    made = office(sqlite_rig)
    strict = replace(made.settings, allow_plain=False, keys=str(sqlite_rig.folder / "strict"))
    with pytest.raises(KeyFileError, match="give ZHIXIN_PASSPHRASE"):
        TagKeys(strict, {}).make(1)
    TagKeys(strict, {"ZHIXIN_PASSPHRASE": "right"}).make(1)
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        TagKeys(strict, {"ZHIXIN_PASSPHRASE": "wrong"})


async def test_keys_in_a_token_tag_rotate_and_are_destroyed_there(sqlite_rig: Rig) -> None:
    pin = {"ZHIXIN_PKCS11_PIN": softhsm.PIN}
    uri = softhsm.uri(f"tags-{secrets.token_hex(4)}")
    made = await asyncio.to_thread(lambda: office(sqlite_rig, token=uri, **pin))
    await made.tagger().register("resident", number(1), R, holder(1))
    shutil.copytree(made.settings.keys, sqlite_rig.folder / "stolen")
    assert sorted(path.name for path in (sqlite_rig.folder / "stolen").iterdir()) == ["lock", "tag-keys.json"]
    await made.service.rotate()
    await made.tagger().retag("resident", number(1), holder(2))
    assert await made.service.forget() == 2
    with pytest.raises(KeyFileError, match="is not there"):
        await asyncio.to_thread(TagKeys, stolen(sqlite_rig.folder / "stolen", made.settings), pin)
    with pytest.raises(KeyFileError, match=r"set uniqueness\.token"):
        await asyncio.to_thread(TagKeys, replace(made.settings, token=""), pin)


# ---------------------------------------------------------------- what is kept and logged


async def test_audit_has_a_row_for_each_call_and_nothing_holds_the_number(made: Office) -> None:
    tagger, typed = made.tagger(), number(1)
    tag = await tagger.tag("resident", typed)
    await tagger.register("resident", typed, R, holder(1))
    await tagger.tag("resident", number(2))
    said = [act for actor, act in acts(made) if actor == made.r.id]
    assert said == ["uniqueness.asked", "uniqueness.register-asked", "uniqueness.registered", "uniqueness.asked"]
    with made.store.read() as session:
        rows = session.scalars(
            select(AuditEntry).where(AuditEntry.actor == made.r.id).order_by(AuditEntry.number)
        ).all()
    assert rows[0].record == rows[1].record == rows[2].record != rows[3].record
    assert rows[0].record != tag.value.hex()  # the table alone does not say who was asked for, not even to who has tags
    words = [typed.encode(), typed[:17].encode()]
    assert readable(made.rig.files(made.stored), words) == []


async def test_revoked_person_is_released_and_registered_anew(made: Office) -> None:
    await made.tagger().register("resident", number(1), R, holder(1))
    with pytest.raises(Refused) as early:
        await made.tagger().release("resident", number(1))
    assert early.value.code == "identity.no-ended-seat"
    net, person = made.ledger.rules, random_id(1)
    assert net.code("ann@p256", enrol(person)) == ""
    assert net.code("bob@webauthn", net.confirm(person)) == ""
    revoke = pb.SetPersonStatus(id=person, status=pb.STATUS_REVOKED, reason=pb.REASON_HOLDER_REQUEST)
    assert net.code("bob@webauthn", revoke) == ""
    await made.tagger().release("resident", number(1))
    await made.tagger(made.s).register("resident", number(1), S, holder(2))


# ---------------------------------------------------------------- over HTTP


@asynccontextmanager
async def served(made: Office) -> AsyncIterator[FastAPI]:
    app = create_app([uniqueness_part(made.service)], Settings(), ADDRESS, replays=made.store.replays())
    async with app.router.lifespan_context(app):
        yield app


def over_http(app: FastAPI, key: str) -> HttpTagger:
    return HttpTagger(ADDRESS.public_origin, key, transport=httpx.ASGITransport(app))


async def test_desk_asks_over_http_and_gets_what_it_gets_in_process(made: Office) -> None:
    async with served(made) as app, over_http(app, made.r_key) as desk, over_http(app, made.s_key) as other:
        assert await desk.tag("resident", number(1)) == await made.tagger().tag("resident", number(1))
        await desk.register("resident", number(1), R, holder(1))
        await desk.register("resident", number(1), R, holder(1))
        with pytest.raises(Refused) as taken:
            await other.register("resident", number(1), S, holder(2))
        assert taken.value.code == "identity.tag-taken"
        with pytest.raises(Refused) as foreign:
            await other.register("resident", number(2), R, holder(2))
        assert foreign.value.code == "uniqueness.not-yours"
        with pytest.raises(Refused) as bad:
            await desk.tag("resident", "1")
        assert bad.value.code == "uniqueness.number"
        await made.service.rotate()
        assert (await desk.tag("resident", number(1))).previous is not None
        await desk.retag("resident", number(1), holder(3))
        with pytest.raises(Refused) as seated:
            await desk.release("resident", number(1))
        assert seated.value.code == "identity.no-ended-seat"
        made.ledger.down = True
        with pytest.raises(TransportError) as down:
            await desk.tag("resident", number(1))
        assert down.value.code == "transport.unavailable"


async def test_description_of_the_interface_is_whole_and_names_the_key(small: Office) -> None:
    async with served(small) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS.public_origin) as web:
            described = (await web.get("/openapi.json")).json()
    found = {path: operation for path, _, operation in operations(described)}
    own = {path for path in found if path.startswith("/v1/")}
    assert own == {"/v1/tags", "/v1/registrations", "/v1/retaggings", "/v1/releases"}
    tags = {tag["name"] for tag in described["tags"]}
    for path, operation in found.items():
        assert set(operation["tags"]) <= tags, path
        assert operation["summary"], path
    assert all(found[path]["security"] == [{"HTTPBearer": []}] for path in own)
    schemas = described["components"]["schemas"]
    assert {one for one in references(described) if "/schemas/" in one} == {
        f"#/components/schemas/{name}" for name in schemas
    }


async def test_caller_without_a_key_or_with_a_stranger_s_learns_nothing(made: Office) -> None:
    async with served(made) as app:
        for key in ("zxu_" + "A" * 43, "x"):
            async with over_http(app, key) as stranger:
                with pytest.raises(TransportError) as refused:
                    await stranger.tag("resident", number(1))
                assert refused.value.code == "uniqueness.bearer"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS.public_origin) as browser:
            answer = await browser.post("/v1/tags", json={"number_kind": "resident", "number": number(1)})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            cookie = {"cookie": f"__Host-uniqueness-session={made.r_key}"}
            answer = await browser.post("/v1/tags", json={}, headers=cookie)
            assert answer.status_code == 401


async def test_number_is_in_no_answer_no_error_and_no_log_whatever_goes_wrong(
    made: Office, caplog: pytest.LogCaptureFixture
) -> None:
    typed = number(1)
    caplog.set_level(logging.DEBUG)
    bodies: list[object] = [
        {"number_kind": "resident", "number": typed},
        {"number_kind": "resident", "number": typed, "extra": typed},
        {"number_kind": typed, "number": typed},
        {"number_kind": "resident", "number": [typed]},
        {"number_kind": "resident", "number": typed + "0"},
        {"number_kind": "resident", "number": typed * 5},
        [typed],
        typed,
    ]
    seen = ""
    with capture_logs() as lines:
        async with served(made) as app:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            head = {"authorization": f"Bearer {made.r_key}"}
            async with httpx.AsyncClient(transport=transport, base_url=ADDRESS.public_origin, headers=head) as desk:
                for path in ("/v1/tags", "/v1/registrations", "/v1/retaggings", "/v1/releases", f"/v1/tags/{typed}"):
                    for body in bodies:
                        seen += (await desk.post(path, json=body)).text
                    seen += (await desk.post(path, content=typed.encode())).text
                made.ledger.down = True
                seen += (await desk.post("/v1/tags", json=bodies[0])).text
                made.ledger.down = False
                shutil.rmtree(made.settings.keys)
                made.keys._macs.clear()
                failed = await desk.post("/v1/tags", json=bodies[0])
                assert failed.status_code == 503
                seen += failed.text
    own = [one.getMessage() for one in caplog.records if not one.name.startswith("httpx")]  # not what the test sends
    said = str(lines) + str(own)
    assert re.search(r"v1/tags|makeTag", said)
    for where in (seen, said):
        assert typed not in where
        assert typed[:17] not in where
        assert made.r_key not in where


async def test_replayed_request_registers_nobody_twice_and_pays_again(small: Office) -> None:
    async with served(small) as app:
        head = {"authorization": f"Bearer {small.r_key}"}
        body = {"number_kind": "resident", "number": number(1), "registrar": R.hex(), "holder": holder(1).hex()}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS.public_origin) as thief:
            codes = [(await thief.post("/v1/registrations", json=body, headers=head)).status_code for _ in range(7)]
    assert codes == [204] * 5 + [429] * 2
    assert rules.load_seats(small.ledger.rules.state.get, R).free == 1


@pytest.mark.parametrize(
    "url", ["http://uniqueness.example.org", "ftp://localhost", "https://", "https://host/path", "", "localhost:8805"]
)
def test_desk_sends_numbers_to_no_address_in_the_open(url: str) -> None:
    with pytest.raises(ConfigError, match=r"uniqueness\.url"):
        HttpTagger(url, "key")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": 1, "tag": "00", "previous": null}',
        b'{"version": 0, "tag": "' + b"00" * 32 + b'", "previous": null}',
        b'{"version": 1, "tag": "' + b"00" * 32 + b'", "previous": "00"}',
        b"[" * 10_000,
        b"x" * 20_000,
    ],
)
@pytest.mark.parametrize("status", [200, 500, 409, 302])
async def test_lying_or_broken_service_is_an_error_and_no_tag(answer: bytes, status: int) -> None:
    def respond(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=answer, headers={"location": "http://elsewhere.example/"})

    async with HttpTagger("https://localhost", "key", transport=httpx.MockTransport(respond)) as desk:
        with pytest.raises((TransportError, Refused)):
            await desk.tag("resident", number(1))


async def test_service_that_is_not_there_is_an_error_without_the_number() -> None:
    async with HttpTagger("http://127.0.0.1:9", "key") as desk:
        with pytest.raises(TransportError, match="does not answer") as refused:
            await desk.tag("resident", number(1))
    assert number(1) not in str(refused.value)
