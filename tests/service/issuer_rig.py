# SPDX-License-Identifier: Apache-2.0
"""A credential issuer over a store, a ledger that says what a test wants, and a wallet that asks it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from store_rig import Rig

from chain.signing import Scheme, Signer
from identity import issuer_keys, sd_jwt, status_list
from identity.api.issuer import offers, publishing
from identity.api.issuer import part as issuer_running
from identity.api.issuer.confirmed import Opening
from identity.api.issuer.issuing import Issuer
from identity.api.issuer.offers import Offer
from identity.api.issuer.part import issuer_part
from identity.credentials import Claims, Proofing, natural_person
from identity.issuer_keys import KeySet, Trust
from identity.jose import MemorySigner, jwk_of, sign_jws
from identity.pb import identity_pb2 as pb
from identity.person_data import canonical_data, data_commitment
from identity.standing import Reading, Standing
from identity.status_list import Status
from membership.pb.membership_pb2 import PURPOSE_ATTEST, KeyRecord
from membership.state import signer_key
from service.app import create_app
from service.settings import Address, Settings
from service.store import Store, new_id

ORIGIN = "https://issuer.example.org"
CONFIGURATION = "natural-person-1"
PERSON_KEY = b"identity/person/" + b"ab" * 16
DAY_S = 86_400
REGISTRAR = ec.derive_private_key(901, ec.SECP256R1())


DATA = {
    "name": "李小明",
    "born": "1990-05-17",
    "method": "document-chip",
    "address": "广东省佛山市禅城区祖庙街道1号",
    "deceased_on": "",
}
"""What two officers confirmed, as far as credentials look at it; the desk commits to more."""
SALT = bytes(range(32))
OPENING = Opening(DATA, SALT)
STATUSES = {
    Status.VALID: pb.PERSON_STATUS_ACTIVE,
    Status.SUSPENDED: pb.PERSON_STATUS_SUSPENDED,
    Status.INVALID: pb.PERSON_STATUS_REVOKED,
}


@dataclass
class FakeLedger:
    """Says how records stand, and keeps what is anchored. Each registration asked for is that of the one person."""

    statuses: dict[bytes, Status] = field(default_factory=dict)
    values: dict[bytes, bytes | None] = field(default_factory=dict)
    height: int = 10
    anchors: list[tuple[bytes, bytes, int]] = field(default_factory=list)
    error: Exception | None = None

    async def read(self, keys: Sequence[bytes]) -> Reading:
        if self.error is not None:
            raise self.error
        self.height += 1
        return Reading(self.height, self.height * 1000, {key: self.value(key) for key in keys})

    def value(self, key: bytes) -> bytes | None:
        if key in self.values or not key.startswith(b"identity/"):
            return self.values.get(key)
        record = pb.PersonRecord(
            status=STATUSES[self.statuses.get(key, Status.VALID)],
            commitment=data_commitment(canonical_data(DATA), SALT),
            assurance_level=pb.ASSURANCE_LEVEL_HIGH,
        )
        return record.SerializeToString()

    def end_key(self, public_key: bytes) -> None:
        """The ledger has revoked an issuing key."""
        ended = KeyRecord(organisation="o", purposes=[PURPOSE_ATTEST], valid_from_ms=1, revoked_at_ms=2)
        self.values[signer_key(Signer(Scheme.P256, public_key))] = ended.SerializeToString()

    async def anchor(self, stream: bytes, digest: bytes, size: int) -> None:
        if self.error is not None:
            raise self.error
        self.anchors.append((stream, digest, size))


def claims() -> Claims:
    return natural_person(
        family_name="李",
        given_name="小明",
        birthdate=date(1990, 5, 17),
        region="广东省",
        locality="佛山市禅城区",
        assurance_level="high",
        proofing=Proofing("document-chip", date(2025, 10, 1), "禅城区行政服务中心", "clerk"),
        as_of=date(2025, 11, 1),
        access_slot="c2xvdA",
    )


class Office:
    """The issuer, with the clock of its store."""

    def __init__(self, rig: Rig, origin: str = ORIGIN) -> None:
        self.rig = rig
        self.origin = origin
        self.store: Store = rig.open(rig.settings())
        self.ledger = FakeLedger()
        now_s = rig.clock_ms // 1000
        self.anchor = issuer_keys.make_registrar(
            "Civil affairs", REGISTRAR, serial=1, begins_s=now_s, ends_s=now_s + 7000 * DAY_S
        )
        self.signer = MemorySigner(ec.derive_private_key(902, ec.SECP256R1()))
        leaf = issuer_keys.certify(
            self.anchor, REGISTRAR, self.signer.public_key, serial=2, begins_s=now_s, ends_s=now_s + 580 * DAY_S
        )
        key = issuer_keys.issuing_key(leaf, self.signer, signs_from_s=now_s, signs_until_s=now_s + 180 * DAY_S)
        self.keys = KeySet([key])
        part = issuer_part(self.store, self.keys, origin, source=self.ledger, anchor=self.ledger, now=rig.now)
        self.app: FastAPI = create_app([part], Settings(), Address("issuer", "127.0.0.1:8804", origin))
        self.issuer = Issuer(self.store, self.keys, origin, rig.now)
        self.trust = Trust([self.anchor], [leaf])
        with self.store.write() as session:
            self.person = self.store.people.add(session)

    @property
    def now_s(self) -> int:
        return self.rig.clock_ms // 1000

    def offer(self, **options: Any) -> Offer:
        arguments = {
            "person_id": self.person,
            "claims": claims(),
            "subjects": [PERSON_KEY],
            "opening": OPENING,
            "issuer": self.origin,
            "now_ms": self.rig.clock_ms,
            "copies": 5,
            "actor": new_id(),
        } | options
        with self.store.write() as session:
            return offers.create_offer(session, self.store, **arguments)

    def confirm(self, data: dict[str, str], status: int = pb.PERSON_STATUS_ACTIVE) -> None:
        """Two officers changed the person's data on the ledger."""
        record = pb.PersonRecord.FromString(self.ledger.value(PERSON_KEY) or b"")
        record.commitment, record.status = data_commitment(canonical_data(data), SALT), status
        self.ledger.values[PERSON_KEY] = record.SerializeToString()

    async def tick(self) -> Standing:
        """One tick of the issuer that serves requests, if it does; of one beside it otherwise."""
        issuer = getattr(self.app.state, "issuer", self.issuer)
        return await publishing.tick(issuer, self.ledger, self.ledger)

    def verify(self, credential: str) -> sd_jwt.Verified:
        return sd_jwt.verify(credential, lambda header: self.trust.key_of(header, self.now_s), self.now_s)

    @asynccontextmanager
    async def wallet(self) -> AsyncIterator["Wallet"]:
        """A wallet, while the service runs."""
        transport = httpx.ASGITransport(self.app, client=("198.51.100.7", 40_000))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(issuer_running, "TICK_S", DAY_S)  # tests say when the next tick is
            async with (
                self.app.router.lifespan_context(self.app),
                httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http,
            ):
                await asyncio.sleep(0)  # the service's own first tick has its turn, then ours
                await self.tick()
                yield Wallet(self, http)


@dataclass
class Wallet:
    """Does what a wallet does, one step at a time."""

    office: Office
    http: httpx.AsyncClient
    made: int = 0

    def key(self) -> MemorySigner:
        self.made += 1
        return MemorySigner(ec.derive_private_key(10_000 + self.made, ec.SECP256R1()))

    def address(self, offer: Offer) -> str:
        found: str = httpx.URL(offer.uri).params["credential_offer_uri"]
        return found

    async def document(self, offer: Offer) -> dict[str, Any]:
        response = await self.http.get(self.address(offer))
        response.raise_for_status()
        return response.json()

    async def code(self, offer: Offer) -> str:
        (grant,) = (await self.document(offer))["grants"].values()
        found: str = grant["pre-authorized_code"]
        return found

    async def redeem(self, code: str, tx_code: str, changes: dict[str, str] | None = None) -> httpx.Response:
        fields = {"grant_type": offers.GRANT, "pre-authorized_code": code, "tx_code": tx_code} | (changes or {})
        return await self.http.post("/oid4vci/token", data=fields)

    async def token(self, offer: Offer) -> str:
        response = await self.redeem(await self.code(offer), offer.tx_code)
        assert response.status_code == 200, response.text
        found: str = response.json()["access_token"]
        return found

    async def nonce(self) -> str:
        response = await self.http.post("/oid4vci/nonce")
        assert response.headers["cache-control"] == "no-store"
        found: str = response.json()["c_nonce"]
        return found

    def proof(
        self,
        nonce: Any,
        key: MemorySigner,
        *,
        header: dict[str, Any] | None = None,
        by: MemorySigner | None = None,
        **more,
    ) -> str:
        claims = {"aud": ORIGIN, "iat": self.office.now_s, "nonce": nonce} | more
        whole = {"typ": "openid4vci-proof+jwt", "jwk": jwk_of(key.public_key)} | (header or {})
        return sign_jws(
            {name: value for name, value in whole.items() if value is not None},
            {name: value for name, value in claims.items() if value is not None},
            by or key,
        )

    async def ask(self, token: str, proofs: list[Any], configuration: str = CONFIGURATION) -> httpx.Response:
        body = {"credential_configuration_id": configuration, "proofs": {"jwt": proofs}}
        return await self.http.post("/oid4vci/credential", json=body, headers={"authorization": f"Bearer {token}"})

    async def fetch(self, offer: Offer, count: int = 1) -> list[str]:
        token, nonce = await self.token(offer), await self.nonce()
        response = await self.ask(token, [self.proof(nonce, self.key()) for _ in range(count)])
        assert response.status_code == 200, response.text
        return [each["credential"] for each in response.json()["credentials"]]

    async def status(self, credential: str) -> int:
        """What the list that a credential names says of it, as a verifier learns it."""
        reference = self.office.verify(credential).status
        assert reference is not None
        response = await self.http.get(reference.uri)
        assert response.headers["content-type"] == status_list.MEDIA_TYPE
        now_s = self.office.now_s
        token = status_list.verify(
            response.text, lambda header: self.office.trust.key_of(header, now_s), now_s, reference.uri
        )
        return status_list.check(token, reference)
