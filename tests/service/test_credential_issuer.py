# SPDX-License-Identifier: Apache-2.0
"""The credential issuer: what a wallet gets and what it is refused, and what its lists say at each tick."""

import asyncio
import gzip
import hashlib
import itertools

import pytest
from issuer_rig import CONFIGURATION, DATA, DAY_S, ORIGIN, PERSON_KEY, SALT, Office, Wallet, claims
from sqlalchemy import select
from store_rig import Rig

from client.errors import TransportError
from identity import status_list
from identity.api.issuer import lists, publishing
from identity.api.issuer.confirmed import Opening
from identity.api.issuer.offers import OFFER_MS, TOKEN_MS, TRIES_MAX
from identity.api.issuer.proofs import NONCE_MS
from identity.api.issuer.tables import IssuerCopy, IssuerList, IssuerOffer, IssuerPlace
from identity.credentials import NATURAL_PERSON, Claims, legal_person, mandate
from identity.jose import jwk_of
from identity.legal_persons import legal_person_key
from identity.pb import identity_pb2 as pb
from identity.status_list import Status


@pytest.fixture
def office(sqlite_rig: Rig) -> Office:
    return Office(sqlite_rig)


def error(response) -> str:
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"
    return response.json()["error"]


async def test_wallet_gets_what_the_desk_offered_on_either_database(rig):
    office = Office(rig)
    async with office.wallet() as wallet:
        (credential,) = await wallet.fetch(office.offer())
        verified = office.verify(credential)
        assert verified.claims["vct"] == NATURAL_PERSON
        assert verified.claims["family_name"] == "李"
        assert verified.claims["age_over_18"] is True
        assert await wallet.status(credential) == Status.VALID


async def test_batch_of_copies_shares_no_key_place_salt_or_signature(office):
    async with office.wallet() as wallet:
        copies = await wallet.fetch(office.offer(), 5)
        verified = [office.verify(copy) for copy in copies]
        assert len({each.holder_key for each in verified}) == 5
        assert len({each.status.index for each in verified}) == 5
        pieces = [piece for copy in copies for piece in copy.split("~")[1:-1]]
        assert len(set(pieces)) == len(pieces)
        assert len({each.claims["iat"] for each in verified}) == len({each.claims["exp"] for each in verified}) == 1
        assert all(each.claims["iat"] % DAY_S == 0 for each in verified)


async def test_places_are_drawn_anew_and_not_counted_up(office):
    async with office.wallet() as wallet:
        places = [office.verify(copy).status.index for copy in await wallet.fetch(office.offer(copies=30), 30)]
    assert places != sorted(places)
    assert max(places) - min(places) > lists.PLACES // 4


async def test_metadata_says_where_everything_is(office):
    async with office.wallet() as wallet:
        issuer = (await wallet.http.get("/.well-known/openid-credential-issuer")).json()
        server = (await wallet.http.get("/.well-known/oauth-authorization-server")).json()
        keys = (await wallet.http.get("/.well-known/jwt-vc-issuer")).json()
        described = (await wallet.http.get("/types/natural-person")).json()
        assert (await wallet.http.get("/types/unknown")).status_code == 404
    assert issuer["credential_issuer"] == server["issuer"] == keys["issuer"] == ORIGIN
    assert issuer["credential_configurations_supported"][CONFIGURATION]["vct"] == described["vct"] == NATURAL_PERSON
    assert keys["jwks"] == office.keys.jwks(office.now_s)
    assert server["pre-authorized_grant_anonymous_access_supported"] is True


async def test_offer_is_a_qr_code_whose_address_holds_the_code_and_not_the_digits(office):
    offer = office.offer()
    assert offer.qr_svg().startswith("<svg")
    async with office.wallet() as wallet:
        document = await wallet.document(offer)
        assert document["credential_configuration_ids"] == [CONFIGURATION]
        assert offer.tx_code not in str(document)
        assert (await wallet.http.get("/oid4vci/offers/unknown")).status_code == 404


async def test_store_holds_neither_code_nor_digits_nor_token_nor_anything_personal(office):
    async with office.wallet() as wallet:
        offer = office.offer()
        code = await wallet.code(offer)
        token = await wallet.token(offer)
        (credential,) = [
            each["credential"]
            for each in (await wallet.ask(token, [wallet.proof(await wallet.nonce(), wallet.key())])).json()[
                "credentials"
            ]
        ]
    secrets = [code, token, offer.tx_code + "\n", credential, '"李"', "小明", "1990-05-17", PERSON_KEY.decode()]
    written = b"".join(path.read_bytes() for path in office.rig.folder.rglob("store.sqlite*"))
    assert len(written) > 10_000
    assert [secret for secret in secrets if secret.encode() in written] == []


async def test_six_wrong_digits_five_times_end_the_offer(office):
    offer = office.offer()
    async with office.wallet() as wallet:
        code = await wallet.code(offer)
        wrong = f"{(int(offer.tx_code) + 1) % 10**6:06d}"
        for _ in range(TRIES_MAX):
            assert error(await wallet.redeem(code, wrong)) == "invalid_grant"
        assert error(await wallet.redeem(code, offer.tx_code)) == "invalid_grant"


async def test_wrong_digits_four_times_leave_the_fifth_try(office):
    offer = office.offer()
    async with office.wallet() as wallet:
        code = await wallet.code(offer)
        for _ in range(TRIES_MAX - 1):
            await wallet.redeem(code, "000000" if offer.tx_code != "000000" else "111111")
        assert (await wallet.redeem(code, offer.tx_code)).status_code == 200


async def test_code_is_good_once(office):
    offer = office.offer()
    async with office.wallet() as wallet:
        code = await wallet.code(offer)
        assert (await wallet.redeem(code, offer.tx_code)).status_code == 200
        assert error(await wallet.redeem(code, offer.tx_code)) == "invalid_grant"


async def test_offer_is_over_after_its_minutes(office):
    offer = office.offer()
    async with office.wallet() as wallet:
        code = await wallet.code(offer)
        office.rig.clock_ms += OFFER_MS
        assert error(await wallet.redeem(code, offer.tx_code)) == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"tx_code": ""}, "invalid_request"),
        ({"pre-authorized_code": ""}, "invalid_request"),
        ({"pre-authorized_code": "unknown"}, "invalid_grant"),
    ],
)
async def test_token_request_out_of_form_is_refused(office, changes, expected):
    offer = office.offer()
    async with office.wallet() as wallet:
        assert error(await wallet.redeem(await wallet.code(offer), offer.tx_code, changes)) == expected


async def test_token_request_with_a_field_twice_or_as_json_is_refused(office):
    async with office.wallet() as wallet:
        twice = await wallet.http.post(
            "/oid4vci/token",
            content="tx_code=1&tx_code=2",
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert error(twice) == "invalid_request"
        assert error(await wallet.http.post("/oid4vci/token", json={"tx_code": "1"})) == "invalid_request"


async def refused(office: Office, proofs, configuration: str = CONFIGURATION) -> str:
    """What a wallet with a good token is told for the proofs that `proofs(wallet, nonce)` makes."""
    async with office.wallet() as wallet:
        token, nonce = await wallet.token(office.offer()), await wallet.nonce()
        response = await wallet.ask(token, proofs(wallet, nonce), configuration)
        assert response.status_code == 400
        code = error(response)
        with office.store.read() as session:
            assert session.scalars(select(IssuerCopy)).all() == []
        # nothing was used up: the same token works with a good proof
        assert (await wallet.ask(token, [wallet.proof(await wallet.nonce(), wallet.key())])).status_code == 200
        return code


async def test_forged_key_proof_is_refused(office):
    def forged(wallet: Wallet, nonce: str) -> list[str]:
        header, payload, _ = wallet.proof(nonce, wallet.key()).split(".")
        return [f"{header}.{payload}.{'A' * 86}"]

    assert await refused(office, forged) == "invalid_proof"


async def test_proof_whose_key_was_swapped_is_refused(office):
    assert await refused(office, lambda w, n: [w.proof(n, w.key(), by=w.key())]) == "invalid_proof"


async def test_proof_for_another_audience_is_refused(office):
    assert await refused(office, lambda w, n: [w.proof(n, w.key(), aud="https://other.example")]) == "invalid_proof"


async def test_proof_with_its_audience_in_an_array_is_refused(office):
    assert await refused(office, lambda w, n: [w.proof(n, w.key(), aud=[ORIGIN])]) == "invalid_proof"


async def test_proof_without_nonce_is_refused(office):
    assert await refused(office, lambda w, n: [w.proof(None, w.key())]) == "invalid_nonce"


@pytest.mark.parametrize(
    "changed", [lambda nonce: "A" + nonce[1:-4] + "AAAA", lambda _: "x", lambda _: "", lambda _: 7]
)
async def test_proof_with_a_nonce_that_is_none_of_ours_is_refused(office, changed):
    assert await refused(office, lambda w, n: [w.proof(changed(n), w.key())]) == "invalid_nonce"


async def test_proof_with_another_nonce_than_its_neighbours_is_refused(office):
    async with office.wallet() as wallet:
        token = await wallet.token(office.offer())
        proofs = [wallet.proof(await wallet.nonce(), wallet.key()) for _ in range(2)]
        assert error(await wallet.ask(token, proofs)) == "invalid_nonce"


async def test_proof_with_a_stale_nonce_is_refused(office):
    async with office.wallet() as wallet:
        nonce = await wallet.nonce()
        office.rig.clock_ms += NONCE_MS
        await office.tick()
        token = await wallet.token(office.offer(now_ms=office.rig.clock_ms))
        assert error(await wallet.ask(token, [wallet.proof(nonce, wallet.key())])) == "invalid_nonce"


async def test_proof_that_was_used_before_is_refused(office):
    async with office.wallet() as wallet:
        nonce, key = await wallet.nonce(), wallet.key()
        proof = wallet.proof(nonce, key)
        assert (await wallet.ask(await wallet.token(office.offer()), [proof])).status_code == 200
        replayed = await wallet.ask(await wallet.token(office.offer()), [proof])
        assert error(replayed) == "invalid_nonce"


async def test_key_that_has_a_credential_already_is_refused_under_a_fresh_nonce(office):
    async with office.wallet() as wallet:
        key = wallet.key()
        first = await wallet.ask(await wallet.token(office.offer()), [wallet.proof(await wallet.nonce(), key)])
        assert first.status_code == 200
        second = await wallet.ask(await wallet.token(office.offer()), [wallet.proof(await wallet.nonce(), key)])
        assert error(second) == "invalid_proof"


async def test_one_key_twice_in_a_batch_is_refused(office):
    def twice(wallet: Wallet, nonce: str) -> list[str]:
        key = wallet.key()
        return [wallet.proof(nonce, key), wallet.proof(nonce, key, extra=1)]

    assert await refused(office, twice) == "invalid_proof"


@pytest.mark.parametrize("offset_s", [-301, 61])
async def test_proof_that_was_not_made_just_now_is_refused(office, offset_s):
    made_s = office.now_s + offset_s
    assert await refused(office, lambda w, n: [w.proof(n, w.key(), iat=made_s)]) == "invalid_proof"


@pytest.mark.parametrize(
    "header",
    [{"typ": "JWT"}, {"typ": "openid4vci-proof+jwt", "alg": "none"}, {"kid": "1"}, {"x5c": ["AA"]}, {"jwk": None}],
)
async def test_proof_with_another_header_is_refused(office, header):
    assert await refused(office, lambda w, n: [w.proof(n, w.key(), header=header)]) == "invalid_proof"


async def test_proof_that_brings_a_private_key_is_refused(office):
    def private(wallet: Wallet, nonce: str) -> list[str]:
        key = wallet.key()
        return [wallet.proof(nonce, key, header={"jwk": {**jwk_of(key.public_key), "d": "AA"}})]

    assert await refused(office, private) == "invalid_proof"


@pytest.mark.parametrize("proofs", [[], [1], [None], ["x"], ["a.b.c"]])
async def test_request_without_proofs_is_refused(office, proofs):
    assert await refused(office, lambda w, n: proofs) == "invalid_proof"


async def test_more_proofs_than_copies_are_refused(office):
    code = await refused(office, lambda w, n: [w.proof(n, w.key()) for _ in range(6)])
    assert code == "invalid_credential_request"


async def test_another_credential_than_was_offered_is_refused(office):
    code = await refused(office, lambda w, n: [w.proof(n, w.key())], "legal-person-1")
    assert code == "unknown_credential_configuration"


async def test_access_token_is_good_once_and_for_minutes(office):
    async with office.wallet() as wallet:
        token = await wallet.token(office.offer())
        assert (await wallet.ask(token, [wallet.proof(await wallet.nonce(), wallet.key())])).status_code == 200
        again = await wallet.ask(token, [wallet.proof(await wallet.nonce(), wallet.key())])
        assert (again.status_code, error(again)) == (401, "invalid_token")
        late = await wallet.token(office.offer())
        office.rig.clock_ms += TOKEN_MS
        assert error(await wallet.ask(late, [wallet.proof(await wallet.nonce(), wallet.key())])) == "invalid_token"


async def test_request_without_a_token_is_refused(office):
    async with office.wallet() as wallet:
        response = await wallet.http.post("/oid4vci/credential", json={})
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_two_wallets_with_one_token_get_credentials_once(office):
    async with office.wallet() as wallet:
        token, nonces = await wallet.token(office.offer()), [await wallet.nonce() for _ in range(2)]
        answers = await asyncio.gather(
            *(wallet.ask(token, [wallet.proof(nonce, wallet.key())]) for nonce in nonces), return_exceptions=False
        )
    assert sorted(answer.status_code for answer in answers) == [200, 401]


GARBAGE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'{"proofs": {}}',
    b'{"proofs": {"jwt": "x"}}',
    b'{"proofs": {"jwt": [{}]}}',
    b'{"proofs": {"jwt": ["a.b.c"], "ldp_vp": []}}',
    b'{"proofs": {"jwt": ["\\ud800"]}}',
    b'{"credential_configuration_id": {"a": 1}, "proofs": {"jwt": ["a.b.c"]}}',
    b'{"proofs": {"jwt": ["\xff"]}}',
    b"[" * 5_000,
]


async def test_whatever_is_sent_for_a_credential_is_refused_and_is_no_defect(office):
    async with office.wallet() as wallet:
        token = await wallet.token(office.offer())
        for body in GARBAGE:
            for header in (f"Bearer {token}", "Bearer x", "Basic x", "Bearer é".encode("latin-1")):
                answer = await wallet.http.post("/oid4vci/credential", content=body, headers={"authorization": header})
                assert answer.status_code in {400, 401}, (body, answer.text)


async def test_whatever_is_sent_for_a_token_is_refused_and_is_no_defect(office):
    async with office.wallet() as wallet:
        for body in (b"", b"a", b"%", b"grant_type=%ff&tx_code=%00", b"a=b" * 3_000, b"&".join([b"a=1"] * 50), b"\xff"):
            for kind in ("application/x-www-form-urlencoded", "text/plain", "", "application/json"):
                answer = await wallet.http.post("/oid4vci/token", content=body, headers={"content-type": kind})
                assert answer.status_code == 400, (body, kind, answer.text)


# statuses


async def test_record_that_is_suspended_and_revoked_on_the_ledger_shows_at_the_next_tick(office):
    async with office.wallet() as wallet:
        (credential,) = await wallet.fetch(office.offer())
        for status in (Status.SUSPENDED, Status.VALID, Status.INVALID):
            office.ledger.statuses[PERSON_KEY] = status
            await office.tick()
            assert await wallet.status(credential) == status


async def test_nothing_is_issued_for_a_record_that_does_not_count(office):
    async with office.wallet() as wallet:
        offer = office.offer()
        office.ledger.statuses[PERSON_KEY] = Status.SUSPENDED
        await office.tick()
        response = await wallet.ask(await wallet.token(offer), [wallet.proof(await wallet.nonce(), wallet.key())])
        assert error(response) == "credential_request_denied"


async def test_credentials_of_an_erased_person_count_no_longer(office):
    async with office.wallet() as wallet:
        copies = await wallet.fetch(office.offer(), 3)
        office.store.erase(office.person)
        await office.tick()
        assert [await wallet.status(copy) for copy in copies] == [Status.INVALID] * 3


async def test_lost_phone_ends_all_copies_and_no_other_persons(office):
    async with office.wallet() as wallet:
        mine = await wallet.fetch(office.offer(), 3)
        with office.store.write() as session:
            other = office.store.people.add(session)
        (theirs,) = await wallet.fetch(office.offer(person_id=other))
        with office.store.write() as session:
            assert lists.revoke_copies(session, office.person) == 3
        await office.tick()
        assert [await wallet.status(copy) for copy in mine] == [Status.INVALID] * 3
        assert await wallet.status(theirs) == Status.VALID


async def test_all_copies_end_once_two_officers_changed_what_they_say_and_new_ones_count(office):
    async with office.wallet() as wallet:
        before = await wallet.fetch(office.offer(), 3)
        data = DATA | {"address": "广东省佛山市禅城区石湾镇街道2号"}
        office.confirm(data)
        assert [await wallet.status(copy) for copy in before] == [Status.VALID] * 3, "until the tick"
        await office.tick()
        assert [await wallet.status(copy) for copy in before] == [Status.INVALID] * 3
        (after,) = await wallet.fetch(office.offer(opening=Opening(data, SALT)))
        await office.tick()
        assert await wallet.status(after) == Status.VALID
        assert [await wallet.status(copy) for copy in before] == [Status.INVALID] * 3


async def test_new_keys_and_a_higher_level_end_no_copy(office):
    async with office.wallet() as wallet:
        (credential,) = await wallet.fetch(office.offer())
        record = pb.PersonRecord.FromString(office.ledger.value(PERSON_KEY))
        record.assurance_level = pb.ASSURANCE_LEVEL_SUBSTANTIAL
        record.keys.add(commitment=b"k" * 32)
        office.ledger.values[PERSON_KEY] = record.SerializeToString()
        await office.tick()
        assert await wallet.status(credential) == Status.VALID


async def test_copy_whose_data_changed_and_whose_person_is_suspended_does_not_come_back(office):
    async with office.wallet() as wallet:
        (credential,) = await wallet.fetch(office.offer())
        office.confirm(DATA | {"name": "李大明"}, pb.PERSON_STATUS_SUSPENDED)
        await office.tick()
        assert await wallet.status(credential) == Status.INVALID


async def test_lists_change_at_each_tick_though_nothing_happened_and_decoys_are_nobodys(office):
    async with office.wallet() as wallet:
        copies = await wallet.fetch(office.offer(), 5)
        uri = office.verify(copies[0]).status.uri
        arrays = []
        for _ in range(6):
            office.rig.clock_ms += 30_000
            await office.tick()
            arrays.append(status_list.decode((await wallet.http.get(uri)).text).to_bytes())
        assert all(before != after for before, after in itertools.pairwise(arrays))
        assert [await wallet.status(copy) for copy in copies] == [Status.VALID] * 5


async def test_decoys_stay_within_their_share_of_the_list(office, monkeypatch):
    monkeypatch.setattr(lists, "DECOYS_MAX", 10)
    async with office.wallet() as wallet:
        await wallet.fetch(office.offer())
        for _ in range(40):
            with office.store.write() as session:
                lists.flip_decoys(session, 1)
                taken = session.scalars(select(IssuerPlace).where(IssuerPlace.copy_id == "")).all()
                assert len(taken) <= 10


async def test_half_full_list_is_followed_by_a_new_one_that_can_be_fetched_at_once(office, monkeypatch):
    monkeypatch.setattr(lists, "TAKEN_MAX", 3)
    async with office.wallet() as wallet:
        copies = await wallet.fetch(office.offer(), 5)
        uris = {office.verify(copy).status.uri for copy in copies}
        assert len(uris) == 2
        assert [await wallet.status(copy) for copy in copies] == [Status.VALID] * 5


async def test_nothing_is_issued_while_lists_are_stale_and_the_service_is_not_ready(office):
    async with office.wallet() as wallet:
        await wallet.fetch(office.offer())
        office.rig.clock_ms += 61_000
        token = await wallet.token(office.offer())
        response = await wallet.ask(token, [wallet.proof(await wallet.nonce(), wallet.key())])
        assert (response.status_code, error(response)) == (503, "temporarily_unavailable")
        assert (await wallet.http.get("/ready")).status_code == 503


async def test_tick_without_the_ledger_publishes_nothing(office):
    async with office.wallet() as wallet:
        (credential,) = await wallet.fetch(office.offer())
        uri = office.verify(credential).status.uri
        before = (await wallet.http.get(uri)).text
        office.ledger.error = TransportError("nobody answers")
        with pytest.raises(TransportError):
            await office.tick()
        assert (await wallet.http.get(uri)).text == before


async def test_ledger_that_takes_no_anchor_does_not_keep_lists_from_being_published(office):
    class Refusing:
        async def anchor(self, stream: bytes, digest: bytes, size: int) -> None:
            raise TransportError("nobody answers")

    async with office.wallet() as wallet:
        (credential,) = await wallet.fetch(office.offer())
        office.ledger.statuses[PERSON_KEY] = Status.INVALID
        await publishing.tick(office.app.state.issuer, office.ledger, Refusing())
        assert await wallet.status(credential) == Status.INVALID


async def test_digest_of_what_is_served_is_anchored(office):
    async with office.wallet() as wallet:
        (credential,) = await wallet.fetch(office.offer())
        await office.tick()
        served = (await wallet.http.get(office.verify(credential).status.uri)).content
        with office.store.read() as session:
            row = session.scalar(select(IssuerList))
            assert office.ledger.anchors[-1] == (row.stream, hashlib.sha256(served).digest(), lists.PLACES)
            assert row.anchored == hashlib.sha256(served).digest()


async def test_key_that_the_ledger_has_ended_issues_nothing(office):
    async with office.wallet() as wallet:
        office.ledger.end_key(office.signer.public_key)
        await office.tick()
        token = await wallet.token(office.offer())
        response = await wallet.ask(token, [wallet.proof(await wallet.nonce(), wallet.key())])
        assert error(response) == "temporarily_unavailable"


async def test_list_is_served_with_its_digest_as_etag_and_deflated_for_who_asks(office):
    async with office.wallet() as wallet:
        (credential,) = await wallet.fetch(office.offer())
        uri = office.verify(credential).status.uri
        plain = await wallet.http.get(uri, headers={"accept-encoding": "identity"})
        assert plain.headers["etag"] == f'"{hashlib.sha256(plain.content).hexdigest()[:32]}"'
        assert plain.headers["cache-control"].startswith("public, max-age=")
        again = await wallet.http.get(uri, headers={"if-none-match": plain.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        async with wallet.http.stream("GET", uri, headers={"accept-encoding": "gzip"}) as packed:
            assert packed.headers["content-encoding"] == "gzip"
            raw = b"".join([piece async for piece in packed.aiter_raw()])
        assert gzip.decompress(raw) == plain.content
        assert (await wallet.http.get(f"{uri}?time=1")).status_code == 404
        assert (await wallet.http.get("/status/unknown")).status_code == 404


async def test_card_gets_a_credential_for_its_one_key_and_the_one_before_ends(office):
    async with office.wallet() as wallet:
        key = wallet.key()

        async def fetched(person: str):
            offer = office.offer(person_id=person, copies=1)
            proof = wallet.proof(await wallet.nonce(), key)
            return await wallet.ask(await wallet.token(offer), [proof])

        first = (await fetched(office.person)).json()["credentials"][0]["credential"]
        second = (await fetched(office.person)).json()["credentials"][0]["credential"]
        await office.tick()
        assert [await wallet.status(one) for one in (first, second)] == [Status.INVALID, Status.VALID]
        with office.store.write() as session:
            other = office.store.people.add(session)
        assert error(await fetched(other)) == "invalid_proof"


@pytest.mark.parametrize(
    ("change", "data"),
    [
        ({"family_name": "王"}, {}),
        ({"birthdate": "1990-05-18"}, {}),
        ({"assurance_level": "substantial"}, {}),
        ({"address": {"region": "广东省", "locality": "广州市"}}, {}),
        ({"proofing": {"method": "vouched", "at": "2025-10-01", "office": "x", "officer_role": "clerk"}}, {}),
        ({"family_name": "王"}, {"name": "王小明"}),
        ({}, {"deceased_on": "2025-01-01"}),
        ({}, {"phone": "1"}),
        ({}, None),
    ],
)
async def test_compromised_desk_server_has_nothing_issued_that_two_officers_did_not_confirm(office, change, data):
    made = claims()
    forged = Claims(made.vct, {**made.claims, **change}, made.disclosable)
    opening = None if data is None else Opening({**DATA, **data}, SALT)
    async with office.wallet() as wallet:
        offer = office.offer(claims=forged, opening=opening)
        response = await wallet.ask(await wallet.token(offer), [wallet.proof(await wallet.nonce(), wallet.key())])
        assert error(response) == "credential_request_denied"


async def test_compromised_desk_server_has_nothing_issued_for_a_person_whom_nobody_registered(office):
    async with office.wallet() as wallet:
        unknown = b"identity/person/" + b"cd" * 16
        office.ledger.values[unknown] = None
        for subjects in ([unknown], [], [PERSON_KEY, unknown], [b"identity/mandate/" + b"a" * 32]):
            offer = office.offer(subjects=subjects)
            response = await wallet.ask(await wallet.token(offer), [wallet.proof(await wallet.nonce(), wallet.key())])
            assert error(response) == "credential_request_denied"


async def test_company_is_called_as_the_ledger_calls_it_and_its_credential_ends_with_the_name(office):
    uscc = "91110000600037341L"
    key = legal_person_key(uscc)
    record = pb.LegalPersonRecord(status=pb.PERSON_STATUS_ACTIVE, name_zh="某某公司", name_en="Some Company")
    office.ledger.values[key] = record.SerializeToString()

    def named(name: str) -> Claims:
        return legal_person(legal_name=name, uscc=uscc, legal_representative="李", assurance_level="high")

    async with office.wallet() as wallet:
        for name, status in (("某某公司", 200), ("Some Company", 200), ("另一公司", 400)):
            offer = office.offer(claims=named(name), subjects=[key], opening=None)
            proofs = [wallet.proof(await wallet.nonce(), wallet.key())]
            asked = await wallet.ask(await wallet.token(offer), proofs, "legal-person-1")
            assert asked.status_code == status
            if name == "某某公司":
                credential = asked.json()["credentials"][0]["credential"]
        record.name_zh = "新名公司"
        office.ledger.values[key] = record.SerializeToString()
        await office.tick()
        assert await wallet.status(credential) == Status.INVALID


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"powers": ["view", "sign", "pay"]}, 400),
        ({"scopes": ["tax"]}, 400),
        ({"kind": "person"}, 400),
        ({"may_delegate": True}, 400),
        ({"amount_fen_max": None}, 400),
        ({"not_before_s": 0}, 400),
    ],
)
async def test_mandate_says_no_more_than_the_ledger_does(office, change, status):
    key = b"identity/mandate/" + b"a" * 32
    record = pb.MandateRecord(
        kind=pb.MANDATE_KIND_LEGAL_PERSON,
        scopes=[pb.SCOPE_TAX, pb.SCOPE_SOCIAL_INSURANCE],
        powers=[pb.POWER_VIEW, pb.POWER_SIGN],
        amount_fen_max=100,
        valid_from_ms=1_000,
        principal_accepted=True,
        agent_accepted=True,
    )
    office.ledger.values[key] = record.SerializeToString()
    arguments = {
        "kind": "company",
        "principal": "某某公司",
        "agent": "李小明",
        "scopes": ["tax", "social-insurance"],
        "powers": ["view", "sign"],
        "may_delegate": False,
        "not_before_s": 1,
        "amount_fen_max": 100,
    } | change
    async with office.wallet() as wallet:
        offer = office.offer(claims=mandate(**arguments), subjects=[key], opening=None)
        proofs = [wallet.proof(await wallet.nonce(), wallet.key())]
        assert (await wallet.ask(await wallet.token(offer), proofs, "mandate-1")).status_code == status


async def test_nothing_is_issued_while_the_ledger_cannot_be_asked(office):
    async with office.wallet() as wallet:
        token = await wallet.token(office.offer())
        office.ledger.error = TransportError("nobody answers")
        response = await wallet.ask(token, [wallet.proof(await wallet.nonce(), wallet.key())])
        assert (response.status_code, error(response)) == (503, "temporarily_unavailable")
        office.ledger.error = None
        assert (await wallet.ask(token, [wallet.proof(await wallet.nonce(), wallet.key())])).status_code == 200


async def test_what_has_ended_is_forgotten(office):
    async with office.wallet() as wallet:
        await wallet.fetch(office.offer())
        office.offer()
        office.rig.clock_ms += 400 * DAY_S * 1000 // 4
        await office.tick()
        with office.store.read() as session:
            assert session.scalars(select(IssuerOffer)).all() == []
            assert len(session.scalars(select(IssuerCopy)).all()) == 1
            lists.forget(session, office.now_s + 400 * DAY_S)
            assert session.scalars(select(IssuerCopy)).all() == []
            assert session.scalars(select(IssuerPlace).where(IssuerPlace.copy_id != "")).all() == []


async def test_offer_goes_with_its_person(office):
    async with office.wallet() as wallet:
        offer = office.offer()
        address = wallet.address(offer)
        assert (await wallet.http.get(address)).status_code == 200
        office.store.erase(office.person)
        assert (await wallet.http.get(address)).status_code == 404
    with office.store.read() as session:
        assert session.scalars(select(IssuerOffer)).all() == []
