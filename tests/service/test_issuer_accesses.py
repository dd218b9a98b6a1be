# SPDX-License-Identifier: Apache-2.0
"""A list of accesses is shown to the holder of a credential that names it, and to nobody else."""

from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest
from issuer_rig import ORIGIN, FakeLedger, Office, Wallet, claims
from sqlalchemy import select

from chain.codec import encode
from client.errors import TransportError
from identity.api.accesses import lists
from identity.api.issuer import lists as issuer_lists
from identity.api.issuer.part import issuer_part
from identity.jose import MemorySigner, decode_base64url
from identity.pb import access_pb2, identity_pb2
from identity.sd_jwt import Binding, present
from service.app import create_app
from service.settings import Address, Settings
from service.store.models import AuditEntry


class Chain(FakeLedger):
    """Nobody has looked at anything yet."""

    def value(self, key: bytes) -> bytes | None:
        return None if key.startswith(b"identity/access/") else super().value(key)

    async def prove(self, keys: Sequence[bytes]) -> tuple[bytes, dict[bytes, bytes | None]]:
        return b"receipt", dict.fromkeys(keys)


@pytest.fixture
def office(sqlite_rig):
    made = Office(sqlite_rig)
    made.ledger = chain = Chain()
    part = issuer_part(made.store, made.keys, ORIGIN, source=chain, anchor=chain, prove=chain.prove, now=sqlite_rig.now)
    made.app = create_app([part], Settings(), Address("issuer", "127.0.0.1:8804", ORIGIN))
    return made


def offer(office: Office):
    with office.store.write() as session:
        own = lists.own_claims(session, office.store, office.person, office.rig.clock_ms)
    made = claims()
    return office.offer(
        claims=replace(made, claims=made.claims | own, disclosable=(*made.disclosable, ("pairwise_seed",)))
    )


async def credential(wallet: Wallet, key: MemorySigner) -> str:
    token, nonce = await wallet.token(offer(wallet.office)), await wallet.nonce()
    response = await wallet.ask(token, [wallet.proof(nonce, key)])
    assert response.status_code == 200, response.text
    return str(response.json()["credentials"][0]["credential"])


async def asked(
    wallet: Wallet,
    text: str,
    key: MemorySigner,
    *,
    nonce: str = "",
    shown: Sequence[tuple[str, ...]] = (("access_slot",),),
    audience: str = ORIGIN,
    bound_to: str = "",
) -> httpx.Response:
    nonce = nonce or await wallet.nonce()
    binding = Binding(audience, bound_to or nonce)
    presentation = present(text, shown, key=key, binding=binding, now_s=wallet.office.now_s)
    return await wallet.http.post("/oid4vci/accesses", json={"presentation": presentation, "nonce": nonce})


async def test_holder_is_shown_their_list_and_the_audit_says_so(office):
    async with office.wallet() as wallet:
        key = wallet.key()
        answer = await asked(wallet, await credential(wallet, key), key)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        report = access_pb2.AccessReport.FromString(decode_base64url(answer.json()["report"], "report"))
        assert (report.receipt, len(report.openings)) == (b"receipt", 0)
    with office.store.read() as session:
        assert session.scalars(select(AuditEntry.act)).all().count("accesses.shown") == 1


async def test_holder_who_asks_without_end_is_slowed_down_and_leaves_no_rows_without_end(office):
    async with office.wallet() as wallet:
        key = wallet.key()
        text = await credential(wallet, key)
        answers = [await asked(wallet, text, key) for _ in range(40)]
        office.rig.clock_ms += 10_000
        later = await asked(wallet, text, key)
    assert [one.status_code for one in answers] == [200] * 30 + [503] * 10
    assert (error(answers[-1]), later.status_code) == ("temporarily_unavailable", 200)
    with office.store.read() as session:
        assert session.scalars(select(AuditEntry.act)).all().count("accesses.shown") == 31


async def test_presentation_is_good_once(office):
    async with office.wallet() as wallet:
        key, nonce = wallet.key(), await wallet.nonce()
        text = await credential(wallet, key)
        assert (await asked(wallet, text, key, nonce=nonce)).status_code == 200
        assert error(await asked(wallet, text, key, nonce=nonce)) == "invalid_nonce"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nonce": "AAAA"}, "invalid_nonce"),
        ({"bound_to": "another"}, "invalid_credential_request"),
        ({"audience": "https://elsewhere.example"}, "invalid_credential_request"),
        ({"shown": (("given_name",),)}, "invalid_credential_request"),
    ],
)
async def test_presentation_that_is_not_for_this_is_refused(office, change, code):
    async with office.wallet() as wallet:
        key = wallet.key()
        assert error(await asked(wallet, await credential(wallet, key), key, **change)) == code


async def test_somebody_who_has_the_credential_and_not_its_key_is_refused(office):
    async with office.wallet() as wallet:
        text = await credential(wallet, wallet.key())
        assert error(await asked(wallet, text, wallet.key())) == "invalid_credential_request"


async def test_credential_that_was_ended_shows_no_list(office):
    async with office.wallet() as wallet:
        key = wallet.key()
        text = await credential(wallet, key)
        with office.store.write() as session:
            issuer_lists.revoke_copies(session, office.person)
        assert error(await asked(wallet, text, key)) == "credential_request_denied"


async def test_list_that_somebodys_entry_ended_is_refused_and_not_shown_as_if_it_were_whole(office, monkeypatch):
    junk = encode(identity_pb2.AccessRecord(writer=bytes(32), next=bytes(32), content=bytes(32), time_ms=1))
    async with office.wallet() as wallet:
        key = wallet.key()
        text = await credential(wallet, key)
        taken = Chain.value
        monkeypatch.setattr(
            Chain, "value", lambda self, key: junk if key.startswith(b"identity/access/") else taken(self, key)
        )
        assert error(await asked(wallet, text, key)) == "credential_request_denied"


async def test_ledger_out_of_reach_is_told_as_such(office):
    async with office.wallet() as wallet:
        key = wallet.key()
        text = await credential(wallet, key)
        office.ledger.error = TransportError("down", "ledger.down")
        answer = await asked(wallet, text, key)
        assert (answer.status_code, error(answer)) == (503, "temporarily_unavailable")


@pytest.mark.parametrize("body", [{}, {"presentation": 1, "nonce": 2}, {"presentation": "x", "nonce": []}])
async def test_body_of_another_form_is_refused(office, body):
    async with office.wallet() as wallet:
        answer = await wallet.http.post("/oid4vci/accesses", json=body)
        assert answer.status_code == 400


def error(answer: httpx.Response) -> str:
    assert answer.status_code in {400, 503}, answer.text
    return str(answer.json()["error"])
