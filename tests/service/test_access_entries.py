# SPDX-License-Identifier: Apache-2.0
"""Access entries from an answer to a person's list, by the ledger's own rules: none is left out, none is lost."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.orm import Session
from verifier_rig import BANK, LOGIN

from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.errors import Refused
from chain.p256 import P256Signer
from chain.signing import TransactionSigner
from chain.strict_json import Json
from chain.transaction import Operation
from client.errors import TransportError
from identity.access import make_batch, slot_of_claim
from identity.api.accesses import lists
from identity.api.accesses.part import accesses_part
from identity.api.accesses.signed_requests import HEADER, Asked, sign
from identity.api.accesses.tables import AccessOpeningRow
from identity.api.accesses.writers import STANDING_MS
from identity.api.verifier import outbound
from identity.api.verifier.ledger import Proven
from identity.api.verifier.outbound import Outbound
from identity.api.verifier.recording import OPERATION, Drawn, HttpKeeper, KeeperRefused, SlotRecorder
from identity.api.verifier.registered import Access
from identity.pb import access_pb2, identity_pb2
from membership.pb import membership_pb2
from membership.state import organisation_key
from service.app import create_app
from service.settings import Address, Settings
from service.store import new_id
from tests.identity_rig import IdentityRig
from tests.rig import key_section, organisation

KEEPER = "https://issuer.example.org"
WRITER, OUTSIDER, ATTESTER = (P256Signer(ec.derive_private_key(number, ec.SECP256R1())) for number in (11, 12, 13))
STRANGER = Ed25519Signer(bytes(32))


def keys(*pairs: tuple[TransactionSigner, str]) -> tuple[dict[str, Json], ...]:
    """Keys of an organisation in genesis, each with its purpose."""
    return tuple(key_section(key.signer, purpose) for key, purpose in pairs)


class Ledger:
    """The ledger's rules, executed at once; a registrar's service key writes, as a verifier's would."""

    def __init__(self) -> None:
        verifier = organisation("org-w", roles=("verifier",), extra=keys((WRITER, "submit"), (ATTESTER, "attest")))
        self.rules = IdentityRig(verifier, organisation("org-x", extra=keys((OUTSIDER, "submit"))))
        self.values = self.rules.state
        self.batches: list[int] = []
        self.fail: Exception | None = None
        self.lose_answer = False

    async def submit(self, batch: identity_pb2.RecordAccesses) -> None:
        if self.fail is not None:
            raise self.fail
        code = self.rules.code("desk@p256", Operation.make(OPERATION, encode(batch)))
        if code:
            raise Refused("the rules refuse it", code)
        self.batches.append(len(batch.entries))
        if self.lose_answer:
            self.lose_answer = False
            raise TransportError("no answer", "submission.unknown")

    def put(self, entry: identity_pb2.AccessEntry) -> None:
        """Another writer's entry."""
        batch = make_batch([entry])
        assert self.rules.code("desk@p256", Operation.make(OPERATION, encode(batch))) == ""

    async def read(self, keys: Sequence[bytes], *, height: int = 0) -> Proven:
        return Proven(height, 1, {key: self.values.get(key) for key in keys}, {key: b"r" + key for key in keys})

    async def values_of(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        return dict((await self.read(keys)).values)


class City:
    """A registrar that keeps lists, and a verifier's recorder, with a store each."""

    def __init__(self, rig) -> None:
        self.rig = rig
        self.registrar = rig.open(rig.settings(keys="registrar-keys"))
        self.own = rig.open(rig.settings(keys="verifier-keys"))
        self.ledger = Ledger()
        self.people_told: list[str] = []
        app = create_app(
            [accesses_part(self.registrar, lambda: self.ledger.values_of, self.tell_person, self.rig.now)],
            Settings(),
            Address("issuer", "127.0.0.1:8804", KEEPER),
        )

        async def resolve(_host: str, _port: int) -> list[str]:
            return ["93.184.216.34"]

        self.outbound = Outbound(resolve=resolve, transport=httpx.ASGITransport(app, client=("198.51.100.9", 1)))

    def keeper(self, key: TransactionSigner) -> HttpKeeper:
        """The registrar's lists, as an organisation with this key asks them."""
        return HttpKeeper(KEEPER, self.outbound, key, self.rig.now)

    def recorder(self) -> SlotRecorder:
        keeper = self.keeper(WRITER)
        return SlotRecorder(self.own, keeper, self.ledger, self.ledger.submit, self.rig.now, tick_s=0.01)

    def person(self) -> dict[str, str]:
        with self.registrar.write() as session:
            person = self.registrar.people.add(session)
            return {"id": person, **lists.own_claims(session, self.registrar, person, self.rig.clock_ms)}

    def tell_person(self, _session: Session, person_id: str) -> None:
        self.people_told.append(person_id)

    def told(self) -> list[access_pb2.AccessOpening]:
        with self.registrar.read() as session:
            rows = session.query(AccessOpeningRow).order_by(AccessOpeningRow.number).all()
            texts = [self.registrar.people.open(session, row, AccessOpeningRow.opening) for row in rows]
        return [access_pb2.AccessOpening.FromString(bytes.fromhex(text or "")) for text in texts]


def access(slot: str) -> Access:
    return Access(new_id(), slot, BANK, LOGIN, ("natural-person/age_over_18",), 1_700_000_000_000, is_emergency=False)


@pytest.fixture
async def city(sqlite_rig, monkeypatch):
    monkeypatch.setattr(outbound, "TIMEOUT_S", 60.0)  # the keeper runs in this process, beside whatever else runs
    made = City(sqlite_rig)
    yield made
    await made.outbound.close()


async def eventually(check) -> None:
    async with asyncio.timeout(60):
        while not check():  # noqa: ASYNC110 - what is waited for is in a database
            await asyncio.sleep(0.01)


async def test_claims_of_a_person_are_the_same_in_each_credential_and_others_in_another_persons(city):
    one = city.person()
    with city.registrar.write() as session:
        again = lists.own_claims(session, city.registrar, one["id"], 5)
    assert again == {name: one[name] for name in ("access_slot", "pairwise_seed")}
    assert not set(again.values()) & set(city.person().values())


async def test_entries_of_many_people_go_out_among_decoys_and_the_keeper_hears_what_they_say(city):
    people = [city.person() for _ in range(5)]
    recorder = city.recorder()
    recorder.start()
    recorded = await asyncio.gather(*(recorder.record(access(one["access_slot"])) for one in people))
    await eventually(lambda: len([one for one in city.told() if one.content]) == 5)
    await recorder.stop()
    assert all(size in {4, 16} for size in city.ledger.batches)
    assert {one.slot for one in recorded} == {slot_of_claim(one["access_slot"]) for one in people}
    content = access_pb2.AccessContent.FromString(city.told()[0].content)
    assert (content.organisation, content.purpose, list(content.attributes)) == (
        BANK,
        LOGIN,
        ["natural-person/age_over_18"],
    )


async def test_two_accesses_of_one_person_stand_one_after_the_other_in_one_list(city):
    one = city.person()
    recorder = city.recorder()
    recorder.start()
    first, second = await asyncio.gather(*(recorder.record(access(one["access_slot"])) for _ in range(2)))
    await eventually(lambda: len([each for each in city.told() if each.content]) == 2)
    await recorder.stop()
    openings = city.told()
    slots = {slot_of_claim(one["access_slot"]), openings[0].next_slot}
    assert {first.slot, second.slot} == slots


async def test_person_is_told_of_each_answer_once_however_often_the_writer_tells_it(city, monkeypatch):
    one, other = city.person(), city.person()
    drawn, tell = [], HttpKeeper.tell

    async def keep(self: HttpKeeper, entry: Drawn) -> None:
        drawn.append(entry)
        await tell(self, entry)

    monkeypatch.setattr(HttpKeeper, "tell", keep)
    recorder = city.recorder()
    recorder.start()
    for whose in (one, other, one):
        await recorder.record(access(whose["access_slot"]))
    await eventually(lambda: len(city.people_told) == 3)
    await recorder.stop()
    assert sorted(city.people_told) == sorted([one["id"], one["id"], other["id"]])
    await city.keeper(WRITER).tell(drawn[0])
    with pytest.raises(KeeperRefused):
        await city.keeper(WRITER).tell(replace(drawn[1], content=drawn[0].content + b"!"))
    assert len(city.people_told) == 3


async def test_slot_that_another_writer_took_gives_way_to_the_next_one_and_no_entry_is_lost(city):
    one = city.person()
    handed = await lists.hand_out(city.registrar, city.ledger.values_of, one["access_slot"])
    recorder = city.recorder()
    asked = access(one["access_slot"])
    drawn = await recorder._drawn(asked)
    assert drawn.slot == handed.slot
    city.ledger.put(identity_pb2.AccessEntry(slot=handed.slot, content=bytes(32), next=handed.link))
    recorder.start()
    recorded = await recorder.record(asked)
    await recorder.stop()
    assert recorded.slot == handed.next_slot


async def test_entry_whose_answer_was_lost_is_found_on_the_ledger_and_not_written_twice(city):
    one = city.person()
    city.ledger.lose_answer = True
    asked = access(one["access_slot"])
    recorder = city.recorder()
    recorder.start()
    with pytest.raises(TransportError):
        await recorder.record(asked)
    await recorder.stop()
    again = city.recorder()  # as after a restart
    again.start()
    recorded = await again.record(asked)
    await eventually(lambda: city.told() and city.told()[0].content)
    await again.stop()
    assert recorded.slot == slot_of_claim(one["access_slot"])
    assert len(city.told()) == 1


async def test_while_the_ledger_is_down_nothing_is_recorded_and_whoever_waits_is_told(city):
    city.ledger.fail = TransportError("down", "ledger.down")
    recorder = city.recorder()
    recorder.start()
    with pytest.raises(TransportError):
        await recorder.record(access(city.person()["access_slot"]))
    await recorder.stop()


@pytest.mark.parametrize("slot", ["A" * 43, "no slot", ""])
async def test_unknown_list_is_not_found(city, slot):
    recorder = city.recorder()
    recorder.start()
    with pytest.raises(TransportError):
        await recorder.record(access(slot))
    await recorder.stop()


async def test_keeper_takes_no_content_but_what_the_ledger_commits_to(city):
    one = city.person()
    recorder = city.recorder()
    recorder.start()
    recorded = await recorder.record(access(one["access_slot"]))
    await recorder.stop()
    with pytest.raises(lists.UnknownList):
        await lists.tell(city.registrar, city.ledger.values_of, recorded.slot, b"made up", bytes(32))


@pytest.mark.parametrize("slot", ["A" * 43, "B" * 43, "no slot", ""])
async def test_entry_that_the_keeper_refuses_holds_no_others_up(city, slot):
    recorder = city.recorder()
    recorder.start()
    outcomes = await asyncio.gather(
        recorder.record(access(slot)), recorder.record(access(city.person()["access_slot"])), return_exceptions=True
    )
    await recorder.stop()
    assert isinstance(outcomes[0], TransportError)
    assert outcomes[1].slot


async def test_list_whose_free_slot_was_taken_with_another_link_says_so_and_the_person_gets_another(city):
    one = city.person()
    first = await lists.hand_out(city.registrar, city.ledger.values_of, one["access_slot"])
    city.ledger.put(identity_pb2.AccessEntry(slot=first.slot, content=bytes(32), next=bytes([7]) * 32))
    for _ in range(2):  # found on the ledger, then known
        with pytest.raises(lists.Broken):
            await lists.hand_out(city.registrar, city.ledger.values_of, one["access_slot"])
    assert city.told() == []
    with city.registrar.write() as session:
        claims = [lists.own_claims(session, city.registrar, one["id"], city.rig.clock_ms) for _ in range(2)]
    assert claims[0] == claims[1]
    assert claims[0]["access_slot"] != one["access_slot"]
    assert claims[0]["pairwise_seed"] == one["pairwise_seed"]
    recorder = city.recorder()
    recorder.start()
    recorded = await recorder.record(access(claims[0]["access_slot"]))
    await recorder.stop()
    assert recorded.slot == slot_of_claim(claims[0]["access_slot"])


async def test_last_entry_of_a_full_list_is_told_like_any_other(city, monkeypatch):
    monkeypatch.setattr(lists, "ENTRIES_MAX", 2)
    one = city.person()
    recorder = city.recorder()
    recorder.start()
    for _ in range(2):
        await recorder.record(access(one["access_slot"]))
    await eventually(lambda: not recorder._untold())
    await recorder.stop()
    assert [bool(each.content) for each in city.told()] == [True, True]


@pytest.mark.parametrize("key", [STRANGER, OUTSIDER, ATTESTER])
async def test_list_answers_no_key_but_one_that_may_write_accesses(city, key):
    slot = city.person()["access_slot"]
    with pytest.raises(KeeperRefused, match="401"):
        await city.keeper(key).hand_out(slot)
    assert (await city.keeper(WRITER).hand_out(slot))[0] == slot_of_claim(slot)


async def test_list_answers_no_organisation_that_is_suspended_once_its_standing_is_looked_at_again(city):
    slot = city.person()["access_slot"]
    await city.keeper(WRITER).hand_out(slot)
    where = organisation_key("org-w")
    record = membership_pb2.OrganisationRecord.FromString(city.ledger.values[where])
    record.status = membership_pb2.ORGANISATION_STATUS_SUSPENDED
    city.ledger.values[where] = encode(record)
    city.rig.clock_ms += STANDING_MS
    with pytest.raises(KeeperRefused, match="401"):
        await city.keeper(WRITER).hand_out(slot)


async def test_signed_request_counts_once_for_a_minute_and_for_what_was_signed(city):
    body = json.dumps({"access_slot": city.person()["access_slot"]}).encode()
    host, path = "issuer.example.org", "/access-lists/slots"

    def signed(now_ms: int, **changes: object) -> str:
        return sign(WRITER, replace(Asked(host, "POST", path, body), **changes), now_ms)

    async with httpx.AsyncClient(transport=city.outbound._client._transport, base_url=KEEPER) as http:

        async def status(header: str) -> int:
            headers = {"Content-Type": "application/json"} | ({HEADER: header} if header else {})
            return (await http.post(path, content=body, headers=headers)).status_code

        now_ms = city.rig.clock_ms
        good = signed(now_ms - 60_000)
        assert [await status(good), await status(good)] == [200, 401]
        assert await status(signed(now_ms)) == 200
        others = [{"host": "other.example.org"}, {"method": "GET"}, {"path": "/access-lists/entries"}, {"body": b"{}"}]
        refused = [signed(now_ms, **one) for one in others]
        refused += ["", "1.2", "9" * 300, "3" + signed(now_ms)[1:], signed(now_ms - 60_001), signed(now_ms + 60_001)]
        assert {await status(header) for header in refused} == {401}


async def test_erased_person_is_told_of_no_entry_and_others_are(city):
    gone, one = city.person(), city.person()
    recorder = city.recorder()
    recorder._keeper, keeper = Deaf(), recorder._keeper
    recorder._keeper.hand_out = keeper.hand_out
    recorder.start()
    await asyncio.gather(*(recorder.record(access(each["access_slot"])) for each in (gone, one)))
    city.registrar.erase(gone["id"])
    recorder._keeper = keeper
    await eventually(lambda: [each for each in city.told() if each.content])
    await eventually(lambda: not recorder._untold())
    await recorder.stop()


class Deaf:
    """A keeper that takes nothing now."""

    async def tell(self, _drawn) -> None:
        raise TransportError("not now", "accesses.unavailable")
