# SPDX-License-Identifier: Apache-2.0
"""Each attack on the verifier by its name."""

import asyncio
import gzip
import json
from base64 import b64encode
from dataclasses import replace

import httpx
import pytest
import verifier_rig
from cryptography.hazmat.primitives.asymmetric import ec
from verifier_rig import BANK, DAY_S, LOGIN, MANDATES, STALE, STATUS_URI, Citizen, Office, code_of, query, signer

from identity import sd_jwt
from identity.api.verifier import clients, upkeep
from identity.api.verifier.answers import check_answer
from identity.api.verifier.clients import KNOWN_MS
from identity.api.verifier.outbound import NotReached, Outbound, parse_place, resolved
from identity.api.verifier.tables import VerifierClient
from identity.issuer_keys import Trust
from identity.jose import InvalidToken, MemorySigner, decode_base64url, decode_jws, sign_jws
from identity.sd_jwt import Binding
from identity.status_list import Status
from service.outside import is_public

LI = Citizen(1)


@pytest.fixture
def office(sqlite_rig):
    return Office(sqlite_rig)


async def outcome(bank, *, credential=None, key=None, purpose=LOGIN, asked=None, shown=None, **binding):
    """The report on one presentation, with what a test makes of it."""
    made = await bank.asked(asked, purpose)
    claims = await bank.request(made)
    key = bank.new_key() if key is None else key
    credential = bank.office.credential(LI, key) if credential is None else credential
    response = await bank.post(claims, {"person": bank.present(claims, credential, key, shown, **binding)})
    assert response.status_code == 200, response.text
    return (await bank.result(made["id"]))["report"]


# ---------------------------------------------------------------- nonces, tokens, keys


@pytest.mark.parametrize(
    ("binding", "code"),
    [
        ({"nonce": "another-nonce-0123456789"}, "identity.binding-nonce"),
        ({"audience": "x509_hash:somebody-else"}, "identity.binding-audience"),
        ({"audience": "https://bank.example"}, "identity.binding-audience"),
    ],
    ids=["foreign nonce", "presentation for another verifier", "presentation for the relying party itself"],
)
async def test_presentation_for_another_nonce_or_audience_is_refused(office, binding, code):
    async with office.serving() as bank:
        assert code_of(await outcome(bank, **binding), "bound") == code
    assert not office.recorder.entries


@pytest.mark.parametrize("shift_s", [-301, 61], ids=["holder's clock far behind", "holder's clock ahead"])
async def test_key_binding_by_a_clock_that_is_off_is_refused(office, shift_s):
    async with office.serving() as bank:
        report = await outcome(bank, now_s=office.now_s + shift_s)
    assert code_of(report, "bound") == "identity.binding-time"


async def test_replayed_presentation_is_refused(office):
    async with office.serving() as bank:
        made = await bank.asked()
        claims = await bank.request(made)
        key = bank.new_key()
        tokens = {"person": bank.present(claims, office.credential(LI, key), key)}
        assert (await bank.post(claims, tokens)).status_code == 200
        again = await bank.post(claims, tokens)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_request")
        other = await bank.request(await bank.asked())
        stolen = await bank.post(other, tokens)
        assert stolen.status_code == 200
    assert len(office.recorder.entries) == 1


async def test_of_two_answers_at_once_one_counts(office):
    async with office.serving() as bank:
        made = await bank.asked()
        claims = await bank.request(made)
        keys = [bank.new_key() for _ in range(4)]
        tokens = [{"person": bank.present(claims, office.credential(Citizen(i + 1), k), k)} for i, k in enumerate(keys)]
        answers = await asyncio.gather(*(bank.post(claims, each) for each in tokens))
    assert [each.status_code for each in answers].count(200) == 1
    assert len(office.recorder.entries) == 1


async def test_presentation_whose_key_was_swapped_is_refused(office):
    async with office.serving() as bank:
        owner, thief = bank.new_key(), bank.new_key()
        report = await outcome(bank, credential=office.credential(LI, owner), key=thief)
    assert code_of(report, "bound") == "identity.token-signature"


async def test_presentation_without_key_binding_is_refused(office):
    async with office.serving() as bank:
        made = await bank.asked()
        claims = await bank.request(made)
        key = bank.new_key()
        bare = sd_jwt.present(office.credential(LI, key), [("age_over_18",)])
        await bank.post(claims, {"person": bare})
        report = (await bank.result(made["id"]))["report"]
    assert code_of(report, "bound") == "identity.binding-missing"


async def test_disclosures_exchanged_after_signing_are_refused(office):
    async with office.serving() as bank:
        made = await bank.asked()
        claims = await bank.request(made)
        key = bank.new_key()
        credential = office.credential(LI, key)
        binding = Binding(claims["client_id"], claims["nonce"])
        signed = sd_jwt.present(credential, [("age_over_18",)], key=key, binding=binding, now_s=office.now_s)
        more = sd_jwt.present(credential, [("age_over_18",), ("access_slot",), ("pairwise_seed",)])
        await bank.post(claims, {"person": more + signed.rpartition("~")[2]})
        report = (await bank.result(made["id"]))["report"]
    assert code_of(report, "bound") == "identity.binding-hash"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"by": signer(999)}, "identity.token-signature"),
        ({"exp": 1_700_000_000}, "identity.token-expired"),
        ({"nbf": 4_000_000_000}, "identity.token-early"),
        ({"vct": "urn:other:1"}, "identity"),
    ],
    ids=["forged issuer", "expired", "not valid yet", "other type"],
)
async def test_forged_expired_or_other_credential_is_refused(office, changes, code):
    async with office.serving() as bank:
        key = bank.new_key()
        report = await outcome(bank, credential=office.credential(LI, key, **changes), key=key)
    assert report["outcome"] == "refused"
    assert report["steps"][-1]["code"].startswith(code) or report["steps"][-1]["code"] == "verifier.not-answered"


async def test_credential_of_a_registrar_that_nobody_trusts_is_refused(office, tmp_path):
    async with office.serving() as bank:
        judge = office.verifier.realm.judge
        object.__setattr__(judge, "trust", Trust([office.own_anchor]))
        report = await outcome(bank)
    assert code_of(report, "issued") == "identity.issuer-untrusted"


async def test_response_encrypted_to_another_key_or_not_at_all_is_refused_and_uses_nothing_up(office):
    async with office.serving() as bank:
        made, other = await bank.asked(), await bank.asked()
        claims, foreign = await bank.request(made), await bank.request(other)
        key = bank.new_key()
        token = bank.present(claims, office.credential(LI, key), key)
        content = {"vp_token": {"person": [token]}, "state": claims["state"]}
        wrong = {"response": verifier_rig.encrypted(foreign, content)}
        plain = {"vp_token": json.dumps(content["vp_token"]), "state": claims["state"]}
        for form in (wrong, plain, {"response": "a.b.c.d.e"}, {"response": ""}, {}):
            response = await bank.http.post(claims["response_uri"], data=form)
            assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
        assert (await bank.post(claims, {"person": token})).status_code == 200


async def test_request_that_is_over_is_answered_by_nobody(office):
    async with office.serving() as bank:
        late, cancelled = await bank.asked(), await bank.asked()
        claims = [await bank.request(each) for each in (late, cancelled)]
        path = f"/v1/verifications/{cancelled['id']}"
        assert (await bank.http.delete(path, headers=bank.headers)).status_code == 204
        assert (await bank.http.delete(path, headers=bank.headers)).status_code == 409
        office.rig.clock_ms += 301_000
        for each in claims:
            key = bank.new_key()
            response = await bank.post(each, {"person": bank.present(each, office.credential(LI, key), key)})
            assert response.status_code == 400
        assert (await bank.result(late["id"]))["state"] == "expired"


# ---------------------------------------------------------------- status


async def test_revoked_and_suspended_credentials_are_refused_each_with_its_code(office):
    async with office.serving() as bank:
        for status, code in ((Status.INVALID, "revoked"), (Status.SUSPENDED, "suspended")):
            office.statuses.set(office.places + 1, status)
            office.rig.clock_ms += 31_000
            assert code_of(await outcome(bank), "status") == f"identity.credential-{code}"


async def test_stale_status_list_is_refused_or_answered_with_its_age_as_the_purpose_says(office):
    office.listed_s = office.now_s - 700
    async with office.serving() as bank:
        strict = await outcome(bank)
        lenient = await outcome(bank, purpose=STALE)
    assert code_of(strict, "status") == "verifier.status-stale"
    assert (lenient["outcome"], lenient["statuses"][0]["age_s"]) == ("held", 700)


async def test_status_list_out_of_reach_is_refused_unless_one_that_counts_is_at_hand(office):
    async with office.serving() as bank:
        office.list_error = NotReached("it does not answer")
        assert code_of(await outcome(bank), "status") == "verifier.status-unreachable"
        office.list_error = None
        assert (await outcome(bank))["outcome"] == "held"
        office.list_error = NotReached("it does not answer")
        office.rig.clock_ms += 120_000
        report = await outcome(bank)
        assert (report["outcome"], report["statuses"][0]["age_s"]) == ("held", 120)
        office.rig.clock_ms += 2 * DAY_S * 1000
        assert code_of(await outcome(bank, purpose=STALE), "status") == "identity.token-expired"


async def test_status_lists_host_that_hangs_costs_one_look_its_timeout_while_a_list_is_at_hand(office):
    async with office.serving() as bank:
        assert (await outcome(bank))["outcome"] == "held"
        office.list_error = NotReached("it does not answer")
        office.rig.clock_ms += 31_000
        before = office.fetched
        for _ in range(5):
            assert (await outcome(bank))["outcome"] == "held"
        assert office.fetched == before + 1
        office.list_error = None
        office.rig.clock_ms += 31_000
        assert (await outcome(bank))["statuses"][0]["age_s"] == 0


async def test_older_status_list_that_somebody_replays_does_not_replace_a_newer_one(office):
    async with office.serving() as bank:
        assert (await outcome(bank))["statuses"][0]["age_s"] == 0
        issued_s = office.now_s
        office.rig.clock_ms += 40_000
        office.listed_s = issued_s - 5_000
        assert (await outcome(bank))["statuses"][0]["issued_s"] == issued_s


async def test_list_signed_by_another_registrar_does_not_count(office):
    rogue = signer(4_711)
    office.issuing, real = rogue, office.issuing
    async with office.serving() as bank:
        key = bank.new_key()
        credential = office.credential(LI, key, by=real)
        assert code_of(await outcome(bank, credential=credential, key=key), "status") == "identity.token-signature"


# ---------------------------------------------------------------- who asks


@pytest.mark.parametrize("key", ["", "zxv_", "zxv_" + "A" * 43, "other", "zxv_\u00e9", "zxt_" + "B" * 43])
async def test_unknown_key_learns_nothing(office, key):
    async with office.serving() as bank:
        headers = {"authorization": f"Bearer {key}".encode()} if key else {}
        response = await bank.http.post(
            "/v1/verifications", json={"purpose": LOGIN, "query": query("age_over_18")}, headers=headers
        )
    assert (response.status_code, response.json()["code"]) == (401, "verifier.key")


async def test_ended_key_counts_no_longer(office):
    async with office.serving() as bank:
        made = await bank.asked()
        assert clients.end(office.store, office.bank.id, 1)
        office.rig.clock_ms += KNOWN_MS
        assert (await bank.ask()).json()["code"] == "verifier.key"
        response = await bank.http.post(
            f"/oid4vp/requests/{made['wallet_link'].rpartition('%2F')[2].partition('&')[0]}"
        )
    assert (response.status_code, response.json()["error"]) == (404, "invalid_request")


async def test_ended_key_that_was_just_used_counts_no_longer_by_a_clock_that_was_set_back(office):
    async with office.serving() as bank:
        await bank.asked()
        assert clients.end(office.store, office.bank.id, 1)
        office.rig.clock_ms -= 1
        assert (await bank.ask()).json()["code"] == "verifier.key"


async def test_key_is_kept_as_a_digest_alone(office):
    with office.store.read() as session:
        rows = session.query(VerifierClient).all()
    assert all(office.bank_key.encode() not in bytes(row.key_digest) for row in rows)
    assert {len(row.key_digest) for row in rows} == {32}


async def test_key_that_goes_with_a_certificate_is_taken_only_from_the_proxy_that_saw_it(sqlite_rig):
    office = Office(sqlite_rig)
    der = office.leaf
    _, key = office.client(BANK, certificate=der)
    shown = f":{b64encode(der).decode()}:"
    other = f":{b64encode(office.anchor).decode()}:"
    cases = [
        (0, True, {"client-cert": shown}, 201),
        (0, True, {"client-cert": other}, 401),
        (0, True, {}, 401),
        (40_000, True, {"client-cert": shown}, 401),
        (0, False, {"client-cert": shown}, 401),
    ]
    for port, is_behind_proxy, headers, status in cases:
        async with office.serving(client=("198.51.100.7", port), is_behind_proxy=is_behind_proxy) as bank:
            body = {"purpose": LOGIN, "query": query("age_over_18")}
            response = await bank.http.post(
                "/v1/verifications", json=body, headers=headers | {"authorization": f"Bearer {key}"}
            )
        assert response.status_code == status, (port, is_behind_proxy, headers)


async def test_programs_do_not_see_each_others_questions_and_ids_tell_nothing(office):
    async with office.serving() as bank:
        made = await bank.asked()
        other = bank.by(office.clinic_key)
        for identifier in (made["id"], "0" * 32, "../" + made["id"], "x" * 500):
            response = await bank.http.get(f"/v1/verifications/{identifier}", headers=other.headers)
            assert response.status_code in {400, 404}
        assert (await bank.result(made["id"]))["state"] == "open"


async def test_purpose_asked_too_often_is_slowed_down_by_its_registration(office):
    office.directory.purposes[BANK, LOGIN] = replace(office.purpose(BANK, LOGIN), per_second_max=2)
    async with office.serving() as bank:
        answers = [await bank.ask() for _ in range(5)]
        assert [each.status_code for each in answers] == [201] * 4 + [429]
        assert answers[-1].headers["retry-after"]
        assert (await bank.ask(purpose=MANDATES)).status_code == 201


async def test_relying_party_that_was_suspended_meanwhile_gets_no_answer(office):
    async with office.serving() as bank:
        made = await bank.asked()
        claims = await bank.request(made)
        del office.directory.purposes[BANK, LOGIN]
        key = bank.new_key()
        response = await bank.post(claims, {"person": bank.present(claims, office.credential(LI, key), key)})
    assert response.status_code == 400
    assert not office.recorder.entries


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "https://bank.example.evil.example/",
        "https://bank.example@evil.example/",
        "http://bank.example/",
        "https://bank.example:444/",
        "javascript:alert(1)",
        "https://bank.example/#x",
        "//bank.example/",
        "https://bank.example\\@evil.example/",
        "",
    ],
)
async def test_notice_or_return_to_an_address_that_is_not_the_programs_own_is_refused(office, url):
    async with office.serving() as bank:
        for name in ("notify_url", "return_url"):
            response = await bank.ask(**{name: url})
            assert response.status_code == (201 if url == "" else 403), name


@pytest.mark.parametrize("host", ["inside.example", "both.example"])
async def test_name_that_leads_into_the_verifiers_own_network_is_not_asked(sqlite_rig, host):
    office = Office(sqlite_rig)
    office.bank, office.bank_key = office.client(BANK, origins=[f"https://{host}"])
    async with office.serving() as bank:
        await bank.answered(LI, notify_url=f"https://{host}/hook")
        await told(office)
    assert office.sent == []


async def told(office):
    """A round of notices."""
    notices = upkeep.Notices(office.verifier)
    await notices.begin()
    await notices.told()


async def test_receiver_that_hangs_holds_up_neither_others_notices_nor_upkeep(sqlite_rig):
    office = Office(sqlite_rig)
    arrived, hung, release = asyncio.Event(), asyncio.Event(), asyncio.Event()
    hanging = 0

    async def receive(request):
        nonlocal hanging
        if "evil" in request.url.path:
            hanging += 1
            hung.set()
            await release.wait()
        else:
            arrived.set()
        return httpx.Response(204)

    async def resolve(_host, _port):
        return ["93.184.216.34"]

    office.refuse_notices = True  # the service's own rounds, if one falls here
    async with office.serving() as bank:
        clinic = bank.by(office.clinic_key)
        for caller, path in ((bank, "evil"), (bank, "evil"), (bank, "evil"), (clinic, "good")):
            made = await caller.asked(notify_url=f"{verifier_rig.PAGE}/{path}")
            claims = await caller.request(made)
            await caller.http.post(claims["response_uri"], data={"error": "access_denied", "state": claims["state"]})
    office.rig.clock_ms += 11_000
    outbound = Outbound(resolve=resolve, transport=httpx.MockTransport(receive))
    object.__setattr__(office.verifier, "outbound", outbound)
    notices = upkeep.Notices(office.verifier)
    await notices.begin()
    await asyncio.wait_for(asyncio.gather(arrived.wait(), hung.wait()), 60)
    await notices.begin()
    await asyncio.wait_for(upkeep.tick(office.verifier), 60)
    assert not release.is_set()
    assert hanging == 1, "a program has one notice at a time"
    await notices.stop()
    await outbound.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "::7f00:1",
        "::a00:5",
        "64:ff9b:1::7f00:1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "224.0.0.1",
        "255.255.255.255",
        "no address",
    ],
)
def test_addresses_that_are_not_public_are_known(address):
    assert not is_public(address)


async def test_answer_that_redirects_inside_is_not_followed():
    async def resolve(_host, _port):
        return ["93.184.216.34"]

    def redirect(_request):
        return httpx.Response(302, headers={"location": "http://127.0.0.1/"})

    outbound = Outbound(resolve=resolve, transport=httpx.MockTransport(redirect))
    with pytest.raises(NotReached, match="302"):
        await outbound.send("GET", "https://list.example/", bytes_max=100)
    await outbound.close()


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_addresses_that_are_public_are_known(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["a..b", ".a", "a..", ".", f"{'a' * 64}.example", f"{'a' * 63}.{'.'.join(['b' * 60] * 4)}"]
)
def test_address_whose_host_no_resolver_can_be_asked_for_is_none(host):
    with pytest.raises(NotReached, match="no name"):
        parse_place(f"https://{host}/x")


@pytest.mark.parametrize("host", ["a", "list.example", "list.example.", f"{'a' * 63}.example", "127.0.0.1", "[::1]"])
def test_address_whose_host_is_a_name_or_a_number_is_one(host):
    assert parse_place(f"https://{host}/x").origin == f"https://{host}"


def test_program_whose_origin_no_resolver_can_be_asked_for_is_refused(office):
    with pytest.raises(clients.InvalidClient, match="no name"):
        office.client(BANK, origins=["https://a..b"])


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
async def test_name_that_no_resolver_can_be_asked_for_does_not_resolve(host):
    with pytest.raises(NotReached, match="does not resolve"):
        await resolved(host, 443)


async def test_packed_answer_is_refused_before_it_is_unpacked():
    async def resolve(_host, _port):
        return ["93.184.216.34"]

    def packed(request):
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, content=gzip.compress(b"x"), headers={"content-encoding": "gzip"})

    outbound = Outbound(resolve=resolve, transport=httpx.MockTransport(packed))
    with pytest.raises(NotReached, match="packed"):
        await outbound.send("GET", "https://list.example/", bytes_max=100)
    await outbound.close()


async def test_connection_to_one_name_is_never_used_for_another_at_the_same_address():
    """Whoever makes a name lead to their own server would be asked in it without a certificate for it."""
    ports: list[int] = []
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        ports.append(writer.get_extra_info("peername")[1])
        while await reader.readline() not in {b"\r\n", b""}:
            pass
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def resolve(_host, _port):
        return ["127.0.0.1"]

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    origins = [f"http://{name}.example:{port}" for name in ("mine", "theirs")]
    outbound = Outbound(origins, resolve)
    for origin in origins:
        assert await outbound.send("GET", f"{origin}/", bytes_max=100) == b"ok"
    await outbound.close()
    await asyncio.gather(*(task for task in served if task is not None))
    server.close()
    assert len(set(ports)) == 2


async def test_answer_that_is_too_long_is_not_read_to_its_end():
    async def resolve(_host, _port):
        return ["93.184.216.34"]

    outbound = Outbound(
        resolve=resolve, transport=httpx.MockTransport(lambda _r: httpx.Response(200, content=b"x" * 101))
    )
    with pytest.raises(NotReached, match="too long"):
        await outbound.send("GET", "https://list.example/", bytes_max=100)
    await outbound.close()


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 5_000,  # beyond what the program recurses to; py-ecc lets tests in one process go far deeper
        b'{"a":' * 5_000,
        b"{",
        b"\xff\xfe",
        b"null",
        b"1",
        b'"x"',
        b'{"purpose": 1e999}',
        b'{"purpose": 101, "query": ' + b'{"credentials":' * 500 + b"1" + b"}" * 501,
    ],
    ids=["deep lists", "deep objects", "cut short", "no UTF-8", "null", "number", "text", "infinite", "deep query"],
)
async def test_malformed_or_deeply_nested_body_is_refused_without_failing(office, body):
    async with office.serving() as bank:
        response = await bank.http.post(
            "/v1/verifications", content=body, headers=bank.headers | {"content-type": "application/json"}
        )
    assert response.status_code in {400, 403, 422}


async def test_oversized_bodies_are_refused(office):
    async with office.serving() as bank:
        large = b"x" * (600 * 1024)
        api = await bank.http.post("/v1/verifications", content=large, headers=bank.headers)
        wallet = await bank.http.post("/oid4vp/responses/x", content=large)
    assert (api.status_code, wallet.status_code) == (413, 413)


@pytest.mark.parametrize(
    "vp_token",
    [
        "[]",
        "{}",
        '{"person": "x"}',
        '{"person": []}',
        '{"person": [1]}',
        '{"person": ["a", "b"]}',
        '{"other": ["a"]}',
        "{" * 200,
        "x",
        '{"person": ["' + "a" * 300_000 + '"]}',
    ],
)
async def test_vp_token_of_another_form_is_refused_and_uses_nothing_up(office, vp_token):
    async with office.serving() as bank:
        made = await bank.asked(response_mode="direct_post")
        claims = await bank.request(made)
        response = await bank.http.post(claims["response_uri"], data={"vp_token": vp_token, "state": claims["state"]})
        state = (await bank.result(made["id"]))["state"]
    if vp_token.startswith('{"person": ["aaa'):
        assert (response.status_code, state) == (200, "refused")
    else:
        assert (response.status_code, state) == (400, "open")


@pytest.mark.parametrize(
    "change",
    [
        lambda q: q.update(credentials=[]),
        lambda q: q.update(credentials=q["credentials"] * 5),
        lambda q: q.update(extra=1),
        lambda q: q["credentials"][0].update(format="mso_mdoc"),
        lambda q: q["credentials"][0].update(multiple=True),
        lambda q: q["credentials"][0].update(require_cryptographic_holder_binding=False),
        lambda q: q["credentials"][0].update(trusted_authorities=[{"type": "aki", "values": ["x"]}]),
        lambda q: q["credentials"][0].update(id="a b"),
        lambda q: q["credentials"][0]["claims"][0].update(path=[]),
        lambda q: q["credentials"][0]["claims"][0].update(path=[None]),
        lambda q: q["credentials"][0]["claims"][0].update(path=["address", -1]),
        lambda q: q["credentials"][0]["claims"][0].update(path=["address", True]),
        lambda q: q["credentials"][0].update(claim_sets=[["x"]]),
        lambda q: q.update(credential_sets=[{"options": [["nobody"]]}]),
    ],
)
async def test_query_that_cannot_be_judged_is_refused_and_never_ignored(office, change):
    asked = query("age_over_18")
    change(asked)
    async with office.serving() as bank:
        response = await bank.ask(asked)
    assert (response.status_code, response.json()["code"]) == (422, "verifier.query"), response.text


# ---------------------------------------------------------------- answers


async def test_forged_answer_and_one_of_a_sandbox_are_not_taken_for_evidence(office):
    async with office.serving() as bank:
        _, result = await bank.answered(LI)
    claims = result["report"]
    forged = MemorySigner(ec.derive_private_key(5, ec.SECP256R1()))
    header = decode_jws(result["answer"], None, "x").header
    made = sign_jws({k: v for k, v in header.items() if k != "alg"}, claims, forged)
    with pytest.raises(InvalidToken):
        check_answer(made, office.trust, None)
    key = office.keys.current(office.now_s)
    sandboxed = sign_jws({"typ": "zhixin-sandbox-answer+jwt", **key.header}, claims, key.signer)
    with pytest.raises(InvalidToken) as caught:
        check_answer(sandboxed, office.trust, None)
    assert caught.value.code == "identity.token-sandbox", "who kept it is not accused of having changed it"
    notice = sign_jws({"typ": "zhixin-notice+jwt", **key.header}, claims, key.signer)
    with pytest.raises(InvalidToken) as caught:
        check_answer(notice, office.trust, None)
    assert caught.value.code == "identity.token-type"


async def test_two_relying_parties_cannot_join_their_answers_about_a_hundred_people(sqlite_rig):
    """No value that tells one person from another stands in both stores, nor anything that the ledger has of them."""
    office = Office(sqlite_rig, "[limits]\naddress_per_second = 10000\naddress_burst = 10000\n")
    stores: dict[str, list[str]] = {BANK: [], "clinic": []}
    async with office.serving() as bank:
        for number in range(100):
            for name, key in ((BANK, office.bank_key), ("clinic", office.clinic_key)):
                _, result = await bank.by(key).answered(Citizen(number + 1), response_mode="direct_post")
                stores[name].append(json.dumps(result))
            office.rig.clock_ms += 997
    values = {name: [set(_values(json.loads(each))) for each in kept] for name, kept in stores.items()}
    common = set.union(*values[BANK]) & set.union(*values["clinic"])
    for value in common:
        for kept in values.values():
            holders = sum(value in each for each in kept)
            times = str(value).isdecimal()
            assert holders > 1 or times, f"{value!r} is of one person in both stores"
    on_ledger = {slot.hex() for slot in office.recorder.slots.values()} | {f"{i + 1:064x}" for i in range(100)}
    on_ledger |= {Citizen(i + 1).slot for i in range(100)} | {Citizen(i + 1).seed for i in range(100)}
    assert not any(secret in each for kept in stores.values() for each in kept for secret in on_ledger)
    pseudonyms = [json.loads(each)["report"]["pseudonym"] for kept in stores.values() for each in kept]
    assert len(set(pseudonyms)) == 200


def _values(value):
    """Every value in a document, but for the answer's own bytes, which are those of the report."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name != "answer":
                yield from _values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner)
    else:
        yield value


async def test_enumerating_pseudonyms_and_places_in_status_lists_leads_nowhere(office):
    """Nothing that is asked takes a pseudonym or a place, no answer tells a place, and neither can be counted up."""
    async with office.serving() as bank:
        answers = [(await bank.answered(Citizen(number)))[1] for number in (41, 42, 43)]
        described = (await bank.http.get("/openapi.json")).json()
        guesses = [await bank.http.get(f"/v1/verifications/{guess}", headers=bank.headers) for guess in _near(answers)]
    told = json.dumps(answers)
    assert STATUS_URI not in told
    assert not {"status_list", "idx", "uri"} & set(_names(answers))
    bodies = [one for name, one in described["components"]["schemas"].items() if name.startswith(("New", "Card"))]
    asked = {name for one in bodies for name in one.get("properties", {})}
    parameters = {one["name"] for path in described["paths"].values() for one in _parameters(path)}
    assert not {"pseudonym", "sub", "index", "slot", "seed"} & (asked | parameters)
    names = [decode_base64url(one["report"]["pseudonym"], "a pseudonym") for one in answers]
    differing = [(int.from_bytes(names[i]) ^ int.from_bytes(names[j])).bit_count() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(differing) > 60, "people one after the other have nothing in common"
    assert {(one.status_code, one.json()["code"]) for one in guesses} == {(404, "verifier.unknown")}


async def test_page_of_another_origin_gets_nothing_of_the_interface_by_a_visitors_browser(office):
    """Neither by asking first, nor with a cookie, nor by a form; the wallets' addresses alone may be read elsewhere."""
    headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "cookie": "session=1"}
    async with office.serving() as bank:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        first = await bank.http.options("/v1/verifications", headers=headers | asked)
        bare = await bank.http.post("/v1/verifications", json={}, headers=headers)
        known = await bank.http.post("/v1/verifications", json={}, headers=headers | bank.headers)
    assert bare.status_code == 401
    for response in (first, bare, known):
        assert "access-control-allow-origin" not in response.headers
        assert "set-cookie" not in response.headers


def _near(answers):
    """Ids beside those that were given out."""
    return [f"{int(one['id'], 16) + step:032x}" for one in answers for step in (-1, 1)]


def _names(value):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _parameters(path):
    for one in path.values():
        if isinstance(one, dict):
            yield from one.get("parameters", [])
