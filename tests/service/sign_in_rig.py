# SPDX-License-Identifier: Apache-2.0
"""A service with sign-in, browsers of people, and an authenticator in software that can be made to misbehave."""

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import FastAPI
from sqlalchemy import select
from store_rig import Rig
from webauthn.helpers import encode_cbor

from chain.types import sha256
from service.app import create_app
from service.settings import Address, LimitSettings, Settings
from service.shell import shell_part
from service.sign_in.access import session_of
from service.sign_in.devices import Device
from service.sign_in.office import Office
from service.sign_in.part import OFFICE_SITE, sign_in_part
from service.sign_in.people import first_link, invite, look_at_link
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer, resolve
from service.sign_in.staff_cards import StaffCards
from service.store import Store
from service.store.models import AuditEntry

ORIGIN = "https://desk.example.org"
PARTY = "desk.example.org"
ADDRESS = Address("desk", "127.0.0.1:8801", ORIGIN)
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"
GENEROUS = Settings(limits=LimitSettings(address_per_second=10_000, address_burst=10_000, session_burst=10_000))


def words(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """A device with one passkey."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    count: int = 0
    origin: str = ORIGIN
    party: str = PARTY
    verified: bool = True
    algorithm: int = -7
    cross_origin: bool = False

    def _client_data(self, kind: str, challenge: str) -> bytes:
        data = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin}
        return json.dumps(data).encode()

    def _data(self, flags: int) -> bytes:
        flags |= 0x01 | (0x04 if self.verified else 0)
        return sha256(self.party.encode()) + bytes([flags]) + self.count.to_bytes(4)

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: self.algorithm, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + len(self.credential).to_bytes(2) + self.credential + encode_cbor(cose)
        attestation = encode_cbor({"fmt": "none", "attStmt": {}, "authData": self._data(0x40) + attested})
        client_data = self._client_data("webauthn.create", options["challenge"])
        return self._credential({"clientDataJSON": words(client_data), "attestationObject": words(attestation)})

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        if self.count:
            self.count += 1
        data, client_data = self._data(0), self._client_data("webauthn.get", options["challenge"])
        signature = self.key.sign(data + sha256(client_data), ec.ECDSA(SHA256()))
        response = {"clientDataJSON": client_data, "authenticatorData": data, "signature": signature}
        return self._credential({name: words(value) for name, value in response.items()})

    def _credential(self, response: dict[str, str]) -> dict[str, Any]:
        name = words(self.credential)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}


@dataclass
class Desk:
    """A service, its clock, and its people's browsers."""

    rig: Rig
    store: Store
    app: FastAPI
    office: Office
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def browser(self, agent: str = CHROME, address: str = "198.51.100.7") -> "Browser":
        transport = httpx.ASGITransport(self.app, client=(address, 40_000))
        headers = {"origin": ORIGIN, "sec-fetch-site": "same-origin", "user-agent": agent, "accept-language": "en"}
        client = httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)
        return Browser(self, client)

    def wait(self, milliseconds: int) -> None:
        self.rig.clock_ms += milliseconds

    def acts(self) -> list[str]:
        with self.store.read() as session:
            return list(session.scalars(select(AuditEntry.act).order_by(AuditEntry.number)))

    async def administrator(self, name: str = "Li Wei") -> tuple["Browser", Authenticator]:
        """Somebody who came by the first link, or by the operator's."""
        link = first_link(self.office, name, "civil-affairs", another=True)
        return await self.joined(link)

    async def joined(self, link: str, **options: Any) -> tuple["Browser", Authenticator]:
        browser, device = self.browser(), Authenticator(**options)
        answer = await browser.join(link, device)
        assert answer.status_code == 200, answer.text
        return browser, device

    async def colleague(
        self, by: "Browser", name: str = "Zhang Min", role: Role = Role.CLERK
    ) -> tuple["Browser", Authenticator]:
        return await self.joined(invite(self.office, by.officer(), name, "civil-affairs", role))


@dataclass
class Browser:
    """One browser with its cookies."""

    desk: Desk
    web: httpx.AsyncClient

    @property
    def token(self) -> str:
        return str(self.web.cookies.get(self.desk.office.session_cookie, default="") or "")

    def officer(self) -> Officer:
        found = resolve(self.desk.office, self.token, Device("Chrome, Linux", "198.51.100.0/24"))
        assert found is not None
        return found

    async def post(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return await self.web.post(path, json=body or {})

    async def join(self, link: str, device: Authenticator, name: str = "Phone") -> httpx.Response:
        token = link.partition("#")[2]
        options = await self.post("/join/options", {"token": token})
        if options.status_code != 200:
            return options
        credential = device.create(options.json())
        return await self.post("/join/verify", {"token": token, "credential": credential, "name": name})

    async def sign_in(self, device: Authenticator, back: str = "") -> httpx.Response:
        options = await self.post("/sign-in/options")
        return await self.post("/sign-in/verify", {"credential": device.get(options.json()), "next": back})

    async def confirm(self, device: Authenticator) -> httpx.Response:
        options = await self.post("/confirm/options")
        if options.status_code != 200:
            return options
        return await self.post("/confirm/verify", {"credential": device.get(options.json())})

    async def add(self, device: Authenticator, name: str = "Key ring") -> httpx.Response:
        options = await self.post("/passkeys/options")
        if options.status_code != 200:
            return options
        return await self.post("/passkeys/verify", {"credential": device.create(options.json()), "name": name})

    async def form(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with the token of a page."""
        page = await self.web.get("/passkeys", headers={"accept": "text/html"})
        token = page.text.partition('name="csrf_token" value="')[2][:64]
        return await self.web.post(path, data={"csrf_token": token, **fields}, headers={"accept": "text/html"})

    async def is_in(self) -> bool:
        return (await self.web.get("/sessions", headers={"accept": "application/json"})).status_code == 200


def desk_of(rig: Rig, cards: StaffCards | None = None) -> Desk:
    store = rig.open(rig.settings())
    office = Office.of(store, ADDRESS, rig.now, cards=cards)
    parts = [shell_part(OFFICE_SITE), sign_in_part(store, ADDRESS, OFFICE_SITE, office=office)]
    app = create_app(parts, GENEROUS, ADDRESS, secret=store.secret("http/desk"), replays=store.replays())
    app.state.office, app.state.caller = office, session_of
    return Desk(rig, store, app, office)


__all__ = ["FIREFOX", "ORIGIN", "Authenticator", "Browser", "Desk", "desk_of", "look_at_link", "raw", "words"]
