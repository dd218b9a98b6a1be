# SPDX-License-Identifier: Apache-2.0
"""A verifier over a store, a registrar, relying parties, wallets and cards; the ledger says what a test wants."""

import json
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from joserfc import jwe
from joserfc.jwk import ECKey
from store_rig import Rig

from chain.errors import LedgerError
from chain.types import sha256
from client.errors import TransportError
from identity import issuer_keys, sd_jwt, status_list
from identity.access import slot_of_claim
from identity.api.verifier import clients, upkeep
from identity.api.verifier.cards import CardTrust, login_message
from identity.api.verifier.checking import Judge
from identity.api.verifier.clients import Client
from identity.api.verifier.ledger import Issuers, Proven
from identity.api.verifier.outbound import NotReached, Outbound
from identity.api.verifier.part import verifier_part
from identity.api.verifier.registered import Access, NotRegistered, Purpose, Recorded
from identity.api.verifier.status_lists import StatusLists
from identity.api.verifier.verifier import Realm, Verifier
from identity.cards.objects import Slot
from identity.cards.statuses import Ending, Reason, StatusTable
from identity.cards.verifying import load_chain
from identity.credentials import LEGAL_PERSON, MANDATE, NATURAL_PERSON, Proofing, legal_person, mandate, natural_person
from identity.issuer_keys import KeySet, Trust
from identity.jose import MemorySigner, decode_jws, decompress, encode_base64url, load_object
from identity.sd_jwt import Binding
from service.app import create_app
from service.settings import Address, parse_settings
from service.store import Store
from tests.cards.authority_rig import new_authority

ORIGIN = "https://verifier.example.org"
STATUS_URI = "https://issuer.example.org/status/list-1"
DAY_S = 86_400
LOGIN, MANDATES, EMERGENCY, STALE = 101, 102, 103, 104
BANK, CLINIC = "bank-one", "clinic-two"
PAGE = "https://bank.example"
ALL_CLAIMS = frozenset({"family_name", "given_name", "birthdate", "age_over_18", "address", "assurance_level"})
ATTRIBUTES = {
    NATURAL_PERSON: ALL_CLAIMS,
    LEGAL_PERSON: frozenset({"legal_name", "uscc"}),
    MANDATE: frozenset({"kind", "principal", "powers", "scope", "amount_fen_max"}),
}


def signer(number: int) -> MemorySigner:
    return MemorySigner(ec.derive_private_key(number, ec.SECP256R1()))


def query(*claims: Any, vct: str = NATURAL_PERSON, name: str = "person") -> dict[str, Any]:
    """A DCQL query for one credential; a claim is a name or a path."""
    paths = [[claim] if isinstance(claim, str) else list(claim) for claim in claims]
    asked = {"claims": [{"path": path} for path in paths]} if paths else {}
    return {"credentials": [{"id": name, "format": "dc+sd-jwt", "meta": {"vct_values": [vct]}, **asked}]}


@dataclass
class FakeDirectory:
    """Relying parties as a test wants them."""

    purposes: dict[tuple[str, int], Purpose] = field(default_factory=dict)
    error: Exception | None = None

    async def purpose(self, relying_party: str, purpose: int) -> Purpose:
        if self.error is not None:
            raise self.error
        if (relying_party, purpose) not in self.purposes:
            raise NotRegistered("no such purpose")
        return self.purposes[relying_party, purpose]


@dataclass
class FakeRecorder:
    """Keeps entries; fails while a test says so, and for what a real keeper of lists refuses."""

    entries: dict[str, Access] = field(default_factory=dict)
    slots: dict[str, bytes] = field(default_factory=dict)
    error: Exception | None = None

    async def record(self, access: Access) -> Recorded:
        if self.error is not None:
            raise self.error
        try:
            slot_of_claim(access.slot)
        except LedgerError as error:
            raise TransportError(str(error), "accesses.refused") from None
        self.entries[access.id] = access
        slot = self.slots.setdefault(access.id, secrets.token_bytes(32))
        return Recorded(slot, b"receipt of " + slot)


@dataclass
class FakeStates:
    """State keys as a test wants them."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    time_ms: int = 1_763_780_000_000
    height: int = 10
    error: Exception | None = None

    async def read(self, keys: Sequence[bytes], *, height: int = 0) -> Proven:
        if self.error is not None:
            raise self.error
        return Proven(
            height or self.height,
            self.time_ms,
            {key: self.values.get(key) for key in keys},
            {key: b"receipt of " + key for key in keys},
        )


@dataclass
class Citizen:
    """Somebody with a phone: a seed, a list of accesses, and a fresh key for each copy."""

    number: int
    given_name: str = "小明"
    born: date = date(1990, 5, 17)

    @property
    def seed(self) -> str:
        return encode_base64url(self.number.to_bytes(32, "big"))

    @property
    def slot(self) -> str:
        return encode_base64url((self.number + 10**9).to_bytes(32, "big"))


class Office:
    """A registrar, a verifier, two relying parties."""

    def __init__(self, rig: Rig, settings: str = "", origin: str = ORIGIN, **more: Any) -> None:
        self.rig = rig
        self.origin = origin
        self.store: Store = rig.open(rig.settings())
        now_s = self.now_s
        registrar = ec.derive_private_key(901, ec.SECP256R1())
        self.anchor = issuer_keys.make_registrar("R", registrar, serial=1, begins_s=now_s, ends_s=now_s + 7000 * DAY_S)
        self.issuing = signer(902)
        self.leaf = issuer_keys.certify(
            self.anchor, registrar, self.issuing.public_key, serial=2, begins_s=now_s, ends_s=now_s + 580 * DAY_S
        )
        self.key = issuer_keys.issuing_key(
            self.leaf, self.issuing, signs_from_s=now_s, signs_until_s=now_s + 180 * DAY_S
        )
        own = ec.derive_private_key(903, ec.SECP256R1())
        self.own_anchor = issuer_keys.make_registrar("V", own, serial=3, begins_s=now_s, ends_s=now_s + 7000 * DAY_S)
        leaf = issuer_keys.certify(
            self.own_anchor, own, signer(904).public_key, serial=4, begins_s=now_s, ends_s=now_s + 580 * DAY_S
        )
        self.keys = KeySet(
            [issuer_keys.issuing_key(leaf, signer(904), signs_from_s=now_s, signs_until_s=now_s + 180 * DAY_S)]
        )
        self.trust = Trust([self.own_anchor])
        self.directory, self.recorder, self.states = FakeDirectory(), FakeRecorder(), FakeStates()
        for relying_party in (BANK, CLINIC):
            for number in (LOGIN, MANDATES, EMERGENCY, STALE):
                self.directory.purposes[relying_party, number] = self.purpose(relying_party, number)
        self.statuses = status_list.StatusList(1_024)
        self.listed_s: int | None = None
        self.list_error: Exception | None = None
        self.fetched = 0
        self.crl: bytes | None = None
        self.places = 0
        self.sent: list[tuple[str, bytes]] = []
        self.refuse_notices = False
        lists = StatusLists(self._fetch, lambda: self.now_s)
        issuers = Issuers(self.states, lambda: self.rig.clock_ms)
        judge = Judge(Trust([self.anchor], [self.leaf]), issuers, lists, self.states)
        outbound = Outbound(resolve=self._resolve, transport=httpx.MockTransport(self._receive))
        self.verifier = Verifier(
            self.store,
            self.keys,
            origin,
            Realm(self.directory, more.pop("recorder", self.recorder), judge),
            more.pop("sandbox", None),
            more.pop("cards", lambda _office: None)(self),
            outbound,
            30,
            rig.now,
        )
        self.more_parts = more.pop("parts", lambda _office: [])
        self.settings = parse_settings(settings, {})
        self.bank, self.bank_key = self.client(BANK)
        self.clinic, self.clinic_key = self.client(CLINIC)

    @property
    def now_s(self) -> int:
        return self.rig.clock_ms // 1000

    def purpose(self, relying_party: str, number: int) -> Purpose:
        return Purpose(
            relying_party,
            number,
            "第一银行",
            "Bank One",
            "Anti-money-laundering law, article 29",
            ATTRIBUTES,
            is_emergency=number == EMERGENCY,
            status_age_s_max=None if number == STALE else 600,
            per_second_max=1_000,
            valid_to_ms=2**42,
            receipt=b"registration of " + relying_party.encode(),
        )

    def client(self, relying_party: str, **more: Any) -> tuple[Client, str]:
        options: dict[str, Any] = {"origins": [PAGE]} | more
        return clients.add(self.store, relying_party, self.rig.clock_ms, **options)

    def app(self, **more: Any) -> FastAPI:
        part = verifier_part(self.verifier, self.states, **more)
        address = Address("verifier", "127.0.0.1:8807", self.origin)
        return create_app(
            [part, *self.more_parts(self)], self.settings, address, secret=bytes(32), replays=self.store.replays()
        )

    @asynccontextmanager
    async def serving(
        self, *, client: tuple[str, int] = ("198.51.100.7", 40_000), **more: Any
    ) -> AsyncIterator["Caller"]:
        """The service's own rounds run once, at its start; tests say when the next one is."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(upkeep, "TICK_S", DAY_S)
            app = self.app(**more)
            transport = httpx.ASGITransport(app, client=client)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url=self.origin) as http,
            ):
                yield Caller(self, http, self.bank_key)

    # ------------------------------------------------------------ the registrar

    def credential(self, citizen: Citizen, key: MemorySigner, **changes: Any) -> str:
        """A copy of a citizen's credential, bound to a key."""
        claims = natural_person(
            family_name="李",
            given_name=citizen.given_name,
            birthdate=citizen.born,
            region="广东省",
            locality="佛山市禅城区",
            assurance_level="high",
            proofing=Proofing("document-chip", date(2025, 10, 1), "禅城区行政服务中心", "clerk"),
            as_of=date(2025, 11, 1),
            access_slot=citizen.slot,
        )
        seeded = {"pairwise_seed": citizen.seed}
        claims = replace(claims, claims=claims.claims | seeded, disclosable=(*claims.disclosable, ("pairwise_seed",)))
        return self.issued(claims, key, **changes)

    def company(self, key: MemorySigner) -> str:
        return self.issued(
            legal_person(
                legal_name="禅城食品有限公司",
                uscc="91110000600037341L",
                legal_representative="王芳",
                assurance_level="high",
            ),
            key,
        )

    def mandate(self, key: MemorySigner) -> str:
        made = mandate(
            kind="company",
            principal="91110000600037341L",
            agent="李小明",
            scopes=["tax"],
            powers=["view", "sign"],
            may_delegate=False,
            not_before_s=self.now_s,
            amount_fen_max=100_000,
        )
        return self.issued(made, key)

    def issued(self, claims: Any, key: MemorySigner, **changes: Any) -> str:
        self.places += 1
        whole = claims.dated(
            issuer="https://issuer.example.org",
            issued_s=self.now_s,
            expires_s=self.now_s + 300 * DAY_S,
            status_uri=STATUS_URI,
            status_index=self.places,
        )
        by = changes.pop("by", self.issuing)
        return sd_jwt.issue(whole | changes, claims.disclosable, by, holder_key=key.public_key, header=self.key.header)

    async def _fetch(self, uri: str) -> str:
        self.fetched += 1
        if self.list_error is not None:
            raise self.list_error
        issued_s = self.now_s if self.listed_s is None else self.listed_s
        return status_list.sign(
            self.statuses,
            uri,
            self.issuing,
            issued_s=issued_s,
            expires_s=issued_s + DAY_S,
            ttl_s=30,
            header=self.key.header,
        )

    async def fetch_crl(self, _url: str) -> bytes:
        if self.crl is None:
            raise NotReached("it does not answer")
        return self.crl

    # ------------------------------------------------------------ the world outside

    async def _resolve(self, host: str, _port: int) -> list[str]:
        return {"inside.example": ["10.0.0.5"], "both.example": ["93.184.216.34", "127.0.0.1"]}.get(
            host, ["93.184.216.34"]
        )

    def _receive(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((str(request.url), request.content))
        return httpx.Response(500 if self.refuse_notices else 204)


@dataclass
class Caller:
    """A relying party's program, and wallets that answer it."""

    office: Office
    http: httpx.AsyncClient
    key: str
    made: int = 0

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def by(self, key: str) -> "Caller":
        return Caller(self.office, self.http, key)

    async def ask(self, asked: Any = None, purpose: int = LOGIN, **more: Any) -> httpx.Response:
        body = {"purpose": purpose, "query": query("age_over_18") if asked is None else asked} | more
        return await self.http.post("/v1/verifications", json=body, headers=self.headers)

    async def asked(self, asked: Any = None, purpose: int = LOGIN, **more: Any) -> dict[str, Any]:
        response = await self.ask(asked, purpose, **more)
        assert response.status_code == 201, response.text
        return response.json()

    async def result(self, identifier: str, **parameters: str) -> dict[str, Any]:
        response = await self.http.get(f"/v1/verifications/{identifier}", headers=self.headers, params=parameters)
        assert response.status_code == 200, response.text
        return response.json()

    async def request(self, made: Mapping[str, Any]) -> dict[str, Any]:
        """What the wallet is asked; its signature checked."""
        (address,) = parse_qs(urlsplit(made["wallet_link"]).query)["request_uri"]
        response = await self.http.post(address)
        assert response.status_code == 200, response.text
        jws = decode_jws(response.text, "oauth-authz-req+jwt", "the request")
        self.office.trust.key_of(jws.header, self.office.now_s)
        claims = load_object(jws.payload, "the request")
        assert claims["client_id"] == parse_qs(urlsplit(made["wallet_link"]).query)["client_id"][0]
        return claims

    def new_key(self) -> MemorySigner:
        self.made += 1
        return signer(20_000 + self.made + secrets.randbelow(2**60))

    def present(
        self, claims: Mapping[str, Any], credential: str, key: MemorySigner, shown: Any = None, **binding: Any
    ) -> str:
        """A presentation for a request; `binding` replaces what the key binding says."""
        asked = Binding(binding.pop("audience", claims["client_id"]), binding.pop("nonce", claims["nonce"]))
        paths = shown
        if paths is None:
            (one,) = claims["dcql_query"]["credentials"]
            paths = [tuple(claim["path"]) for claim in one.get("claims", []) if claim["path"] != ["assurance_level"]]
        now_s = binding.pop("now_s", self.office.now_s)
        return sd_jwt.present(credential, paths, key=key, binding=asked, now_s=now_s, extra=binding.pop("extra", None))

    async def post(self, claims: Mapping[str, Any], tokens: Mapping[str, str], **changes: Any) -> httpx.Response:
        """The wallet's answer, encrypted if it was asked for."""
        content = {"vp_token": {name: [token] for name, token in tokens.items()}, "state": claims["state"]} | changes
        if claims["response_mode"] == "direct_post":
            form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}
        else:
            form = {"response": encrypted(claims, content)}
        return await self.http.post(claims["response_uri"], data=form)

    async def answered(
        self, citizen: Citizen, asked: Any = None, purpose: int = LOGIN, **more: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A whole verification: what the wallet was told, and the result."""
        made = await self.asked(asked, purpose, **more)
        claims = await self.request(made)
        key = self.new_key()
        token = self.present(claims, self.office.credential(citizen, key), key)
        response = await self.post(claims, {"person": token})
        assert response.status_code == 200, response.text
        return response.json(), await self.result(made["id"])


def encrypted(claims: Mapping[str, Any], content: Mapping[str, Any], enc: str = "A256GCM") -> str:
    """A response to a request's own key."""
    (jwk,) = claims["client_metadata"]["jwks"]["keys"]
    header = {"alg": "ECDH-ES", "enc": enc, "kid": jwk["kid"]}
    return jwe.encrypt_compact(
        header,
        json.dumps(content),
        ECKey.import_key({k: v for k, v in jwk.items() if k != "alg"}),
        algorithms=["ECDH-ES", enc],
    )


def steps(report: Mapping[str, Any]) -> dict[str, str]:
    """Each step's outcome; the worst, where there are several."""
    order = ["held", "not-asked", "unknown", "failed"]
    found: dict[str, str] = {}
    for one in report["steps"]:
        before = found.get(one["step"], "held")
        found[one["step"]] = max(before, one["outcome"], key=order.index)
    return found


def code_of(report: Mapping[str, Any], step: str) -> str:
    """Why a step failed or is unknown."""
    return next(
        one["code"] for one in report["steps"] if one["step"] == step and one["outcome"] in {"failed", "unknown"}
    )


class CardOffice(Office):
    """An office whose verifier knows an authority of cards."""

    def __init__(self, rig: Rig, **more: Any) -> None:
        self.card_keys = new_authority(now_s=rig.clock_ms // 1000 // DAY_S * DAY_S)
        self.chain = load_chain(self.card_keys.chain_pem)

        def trust(office: Office) -> CardTrust:
            return CardTrust([self.chain], office.fetch_crl, office.states, lambda: office.now_s)

        super().__init__(rig, cards=trust, **more)
        self.publish()

    def publish(self, *revoked: int) -> None:
        """Make the revocation list anew."""
        ended = {serial: Ending(Reason.LOST, self.now_s) for serial in revoked}
        self.crl = self.card_keys.authority.revocation_list(StatusTable(7, self.now_s, ended))

    def card(self, slot: Slot = Slot.AUTHENTICATE, key: MemorySigner | None = None) -> "HeldCard":
        """A card's key and certificate."""
        key = signer(30_000 + secrets.randbelow(2**60)) if key is None else key
        point = decompress(key.public_key).public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        begin = self.now_s // DAY_S * DAY_S
        der = self.card_keys.authority.certify(
            slot, point, secrets.token_bytes(16), begin, begin + 1_800 * DAY_S, emulated=True
        )
        return HeldCard(key, der)


@dataclass
class HeldCard:
    """A key with its certificate."""

    key: MemorySigner
    certificate: bytes

    @property
    def serial(self) -> int:
        return x509.load_der_x509_certificate(self.certificate).serial_number

    def token(self, origin: str, challenge: str, **changes: Any) -> dict[str, Any]:
        """What the browser hands over."""
        signature = self.key.sign(sha256(login_message(origin, challenge)))
        return {
            "unverifiedCertificate": b64encode(self.certificate).decode(),
            "algorithm": "ES256",
            "signature": b64encode(signature).decode(),
            "format": "web-eid:1.0",
            "appVersion": "https://web-eid.eu/web-eid-app/releases/2.5.0",
        } | changes
