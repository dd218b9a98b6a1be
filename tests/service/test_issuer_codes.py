# SPDX-License-Identifier: Apache-2.0
"""Tokens for offline codes: whoever shows a living credential gets a batch for proven keys, and nobody else does."""

from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from issuer_rig import DATA, DAY_S, ORIGIN, PERSON_KEY, Office, Wallet
from sqlalchemy import func, select
from store_rig import Rig

from client.errors import TransportError
from identity import offline_qr, sd_jwt, status_list
from identity.api.issuer import lists
from identity.api.issuer.codes import LIFETIME_S, LIVING_MAX
from identity.api.issuer.tables import IssuerCopy
from identity.jose import MemorySigner, decode_base64url
from identity.offline_qr import OfflineToken, Seen
from identity.sd_jwt import Binding
from identity.status_list import Status

SHOWN = [("family_name",), ("given_name",), ("age_over_18",)]


@dataclass
class Holder:
    """Somebody whose wallet has a credential."""

    office: Office
    wallet: Wallet
    credential: str
    key: MemorySigner

    @classmethod
    async def of(cls, office: Office, wallet: Wallet, **options: Any) -> "Holder":
        offer, key = office.offer(**options), wallet.key()
        token, nonce = await wallet.token(offer), await wallet.nonce()
        response = await wallet.ask(token, [wallet.proof(nonce, key)])
        assert response.status_code == 200, response.text
        return cls(office, wallet, response.json()["credentials"][0]["credential"], key)

    def presented(
        self, nonce: str, *, by: MemorySigner | None = None, audience: str = ORIGIN, shown: Any = SHOWN, age_s: int = 0
    ) -> str:
        now_s = self.office.now_s - age_s
        binding = Binding(audience, nonce)
        return sd_jwt.present(self.credential, shown, key=by or self.key, binding=binding, now_s=now_s)

    async def ask(self, keys: list[MemorySigner], **changes: Any) -> Any:
        """Ask for tokens as a wallet does, but for what a test changes."""
        nonce = changes.pop("nonce", None) or await self.wallet.nonce()
        presentation = changes.pop("presentation", None)
        proofs = changes.pop("proofs", None) or [self.wallet.proof(nonce, key) for key in keys]
        made = self.presented(nonce, **changes) if presentation is None else presentation
        body = {"presentation": made, "proofs": {"jwt": proofs}}
        return await self.wallet.http.post("/oid4vci/codes", json=body)

    def shown(self, token: str, key: MemorySigner) -> OfflineToken:
        """What a verifier without a connection reads."""
        now_s, trust = self.office.now_s, self.office.trust
        code = offline_qr.show(decode_base64url(token, "token"), key, now_s=now_s)
        return offline_qr.verify(code, lambda key_id: trust.key_of_id(key_id, now_s), now_s)


@pytest.fixture
def office(sqlite_rig: Rig) -> Office:
    return Office(sqlite_rig)


def refused(response: Any) -> tuple[int, str]:
    assert response.headers["cache-control"] == "no-store"
    return response.status_code, response.json()["error"]


def issued(office: Office) -> int:
    with office.store.read() as session:
        return session.scalar(select(func.count()).select_from(IssuerCopy).where(IssuerCopy.is_code)) or 0


async def test_holder_gets_a_batch_of_one_time_tokens_that_say_what_they_disclosed(rig: Rig) -> None:
    office = Office(rig)
    async with office.wallet() as wallet:
        holder, keys = await Holder.of(office, wallet), [wallet.key() for _ in range(30)]
        response = await holder.ask(keys)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["expires_in"] == LIFETIME_S
        codes = [holder.shown(token, key) for token, key in zip(answer["tokens"], keys, strict=True)]
        assert all(
            code.claims == {"family_name": "李", "given_name": "小明", "age_over_18": True} | LEVEL for code in codes
        )
        assert {code.holder_key for code in codes} == {key.public_key for key in keys}
        assert len({code.token_id for code in codes}) == len({code.status.index for code in codes}) == 30
        assert codes[0].expires_s == office.now_s + LIFETIME_S
        seen = Seen()
        seen.take(codes[0], office.now_s)
        with pytest.raises(offline_qr.InvalidToken, match="before"):
            seen.take(codes[0], office.now_s)


LEVEL = {"assurance_level": "high"}
"""What no holder keeps back."""


async def test_next_batch_needs_nobody_at_a_counter_and_tokens_in_use_are_bounded(office: Office) -> None:
    async with office.wallet() as wallet:
        holder = await Holder.of(office, wallet)
        for _ in range(LIVING_MAX // 30):
            assert (await holder.ask([wallet.key() for _ in range(30)])).status_code == 200
        assert refused(await holder.ask([wallet.key()])) == (400, "credential_request_denied")
        office.rig.clock_ms += (LIFETIME_S + 1) * 1000
        await office.tick()
        assert (await holder.ask([wallet.key() for _ in range(30)])).status_code == 200


async def test_codes_end_with_the_record_of_which_they_speak(office: Office) -> None:
    async with office.wallet() as wallet:
        holder, key = await Holder.of(office, wallet), wallet.key()
        code = holder.shown((await holder.ask([key])).json()["tokens"][0], key)
        office.ledger.statuses[PERSON_KEY] = Status.SUSPENDED
        await office.tick()
        listed = status_list.decode((await wallet.http.get(code.status.uri)).text)
        assert listed.get(code.status.index) == Status.SUSPENDED
        assert refused(await holder.ask([wallet.key()])) == (400, "credential_request_denied")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"by": MemorySigner(ec.derive_private_key(55, ec.SECP256R1()))}, "invalid_credential_request"),
        ({"audience": "https://other.example.org"}, "invalid_credential_request"),
        ({"age_s": 600}, "invalid_credential_request"),
        ({"shown": [("birthdate",)]}, None),
        ({"presentation": ""}, "invalid_credential_request"),
        ({"presentation": 7}, "invalid_credential_request"),
        ({"presentation": "a~b~c"}, "invalid_credential_request"),
        ({"proofs": ["a.b.c"]}, "invalid_proof"),
        ({"proofs": [7]}, "invalid_proof"),
    ],
    ids=["another key", "another verifier", "stale", "another claim", "empty", "a number", "no token", "bad", "none"],
)
async def test_presentation_and_proofs_are_held_to_the_rules_of_issuing(
    office: Office, changes: dict[str, Any], error: str | None
) -> None:
    async with office.wallet() as wallet:
        holder, key = await Holder.of(office, wallet), wallet.key()
        response = await holder.ask([key], **changes)
        if error is None:
            assert holder.shown(response.json()["tokens"][0], key).claims == LEVEL, "nothing else was disclosed"
        else:
            assert refused(response) == (400, error)
            assert issued(office) == 0


async def test_presentation_without_key_binding_is_refused(office: Office) -> None:
    async with office.wallet() as wallet:
        holder = await Holder.of(office, wallet)
        asked = await holder.ask([wallet.key()], presentation=holder.credential)
        assert refused(asked) == (400, "invalid_credential_request")


async def test_presentation_that_was_overheard_gets_nothing_under_other_proofs(office: Office) -> None:
    async with office.wallet() as wallet:
        holder = await Holder.of(office, wallet)
        nonce = await wallet.nonce()
        overheard = holder.presented(nonce)
        assert (await holder.ask([wallet.key()], nonce=nonce, presentation=overheard)).status_code == 200
        again = await holder.ask([wallet.key()], nonce=nonce, presentation=overheard)
        assert refused(again) == (400, "invalid_nonce")
        fresh = await holder.ask([wallet.key()], presentation=overheard)
        assert refused(fresh) == (400, "invalid_credential_request")
        assert issued(office) == 1


async def test_nonce_that_ended_or_is_none_of_ours_is_refused(office: Office) -> None:
    async with office.wallet() as wallet:
        holder = await Holder.of(office, wallet)
        nonce = await wallet.nonce()
        office.rig.clock_ms += 301_000
        await office.tick()
        for one in (nonce, "AAAA"):
            assert refused(await holder.ask([wallet.key()], nonce=one)) == (400, "invalid_nonce")


async def test_key_that_has_a_token_and_a_key_twice_are_refused_and_use_nothing_up(office: Office) -> None:
    async with office.wallet() as wallet:
        holder, key = await Holder.of(office, wallet), wallet.key()
        assert (await holder.ask([key])).status_code == 200
        nonce = await wallet.nonce()
        assert refused(await holder.ask([wallet.key(), key], nonce=nonce)) == (400, "invalid_proof")
        fresh = wallet.key()
        assert refused(await holder.ask([fresh, fresh], nonce=nonce)) == (400, "invalid_proof")
        assert (await holder.ask([fresh], nonce=nonce)).status_code == 200
        assert issued(office) == 2


@pytest.mark.parametrize("count", [0, 31])
async def test_no_proofs_and_more_than_a_batch_are_refused(office: Office, count: int) -> None:
    async with office.wallet() as wallet:
        holder, nonce = await Holder.of(office, wallet), await wallet.nonce()
        body = {"presentation": holder.presented(nonce), "proofs": {"jwt": [wallet.proof(nonce, wallet.key())] * count}}
        assert refused(await wallet.http.post("/oid4vci/codes", json=body)) == (400, "invalid_proof")


async def test_credential_of_a_lost_phone_gets_no_more_codes(office: Office) -> None:
    async with office.wallet() as wallet:
        holder = await Holder.of(office, wallet)
        with office.store.write() as session:
            lists.revoke_copies(session, office.person)
        assert refused(await holder.ask([wallet.key()])) == (400, "credential_request_denied")


async def test_credential_whose_data_changed_gets_no_more_codes_and_those_that_it_got_end(office: Office) -> None:
    async with office.wallet() as wallet:
        holder, key = await Holder.of(office, wallet), wallet.key()
        (token,) = (await holder.ask([key])).json()["tokens"]
        office.confirm(DATA | {"name": "李大明"})
        assert refused(await holder.ask([wallet.key()])) == (400, "credential_request_denied")
        await office.tick()
        assert refused(await holder.ask([wallet.key()])) == (400, "credential_request_denied")
        reference = holder.shown(token, key).status
        assert reference is not None
        published = status_list.decode((await wallet.http.get(reference.uri)).text)
        assert published.get(reference.index) == Status.INVALID


async def test_credential_of_an_erased_person_gets_no_more_codes(office: Office) -> None:
    async with office.wallet() as wallet:
        holder = await Holder.of(office, wallet)
        office.store.erase(office.person)
        assert refused(await holder.ask([wallet.key()])) == (400, "credential_request_denied")


async def test_credential_that_expired_gets_no_more_codes(office: Office) -> None:
    async with office.wallet() as wallet:
        holder = await Holder.of(office, wallet, lifetime_s=2 * DAY_S)
        office.rig.clock_ms += 2 * DAY_S * 1000
        await office.tick()
        assert refused(await holder.ask([wallet.key()])) == (400, "invalid_credential_request")


async def test_credential_that_somebody_else_signed_is_refused(office: Office) -> None:
    async with office.wallet() as wallet:
        holder = await Holder.of(office, wallet)
        thief = MemorySigner(ec.derive_private_key(56, ec.SECP256R1()))
        said = office.verify(holder.credential).claims
        (key,) = office.keys
        plain = {name: value for name, value in said.items() if name != "cnf"} | {"family_name": "王"}
        forged = sd_jwt.issue(plain, [], thief, holder_key=holder.key.public_key, header=key.header)
        nonce = await wallet.nonce()
        binding = Binding(ORIGIN, nonce)
        shown = sd_jwt.present(forged, None, key=holder.key, binding=binding, now_s=office.now_s)
        asked = await holder.ask([wallet.key()], nonce=nonce, presentation=shown)
        assert refused(asked) == (400, "invalid_credential_request")


async def test_nothing_is_given_while_the_ledger_or_the_lists_cannot_be_relied_on(office: Office) -> None:
    async with office.wallet() as wallet:
        holder, nonce, key = await Holder.of(office, wallet), await wallet.nonce(), wallet.key()
        office.ledger.error = TransportError("nobody answers")
        assert refused(await holder.ask([key], nonce=nonce)) == (503, "temporarily_unavailable")
        office.rig.clock_ms += 61_000
        office.ledger.error = None
        assert refused(await holder.ask([key], nonce=nonce)) == (503, "temporarily_unavailable")
        await office.tick()
        assert (await holder.ask([key], nonce=nonce)).status_code == 200, "a refusal uses nothing up"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a":1.5}', b"x" * 10, b'"text"'])
async def test_whatever_else_is_sent_is_refused_and_is_no_defect(office: Office, body: bytes) -> None:
    async with office.wallet() as wallet:
        sent = await wallet.http.post("/oid4vci/codes", content=body)
        assert refused(sent)[0] == 400
        assert (await wallet.http.post("/oid4vci/codes", content=b" " * 300_000)).status_code == 413
