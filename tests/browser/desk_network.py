# SPDX-License-Identifier: Apache-2.0
"""A real network with a registrar and a uniqueness service, and the desk on a store of its own, served to browsers."""

import asyncio
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message
from office_rig import join
from playwright.sync_api import Browser
from sqlalchemy import select
from visiting import Size, Visit, serve, visiting

from chain.codec import encode
from chain.errors import Refused
from chain.pb import ledger_pb2
from chain.signing import Scheme, TransactionSigner
from chain.transaction import Operation
from cli.devnet.network import Devnet, bring_up, remove
from client.answers import ProvenTransaction
from client.session import Session
from identity.api.desk.offer_pages import offers_part
from identity.api.desk.part import DESK_SITE, desk_part
from identity.pb import identity_pb2 as pb
from membership.pb import membership_pb2
from service.app import Part
from service.settings import StoreSettings, local_address
from service.sign_in.office import Office
from service.sign_in.part import OfficeLedger, staffed_parts
from service.sign_in.people import first_link, invite
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer
from service.sign_in.tables import ACTIVE, Passkey, StaffMember
from service.store import Store, open_store

T = TypeVar("T")

REGISTRAR = "registrar"
LET_IN_S_MAX = 60.0
"""For an answer of the ledger, of which a page itself waits for some seconds."""
DUTIES = {Role.CLERK: [pb.DUTY_ENROL], Role.APPROVER: [pb.DUTY_CONFIRM], Role.SUPERVISOR: [pb.DUTY_CONFIRM]}


def in_thread(work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine in a thread of its own: while the browser is there, this one has a running event loop."""
    made: list[T] = []
    failed: list[BaseException] = []

    async def run() -> None:
        made.append(await work())

    def started() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - handed over to the test's thread below
            failed.append(error)

    thread = threading.Thread(target=started)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


@dataclass
class Network:
    """A devnet whose first founder is also the uniqueness service."""

    devnet: Devnet

    def submit(self, signers: Sequence[TransactionSigner], *messages: Message) -> ProvenTransaction:
        """A transaction that must succeed."""

        async def run() -> ProvenTransaction:
            async with self.session() as session:
                proven = await session.submit_one(session.sign([operation(one) for one in messages], signers))
                assert proven.failed is None, proven.failed
                return proven

        return in_thread(run)

    def session(self) -> Session:
        home = self.devnet.home
        genesis = home.genesis()
        return Session(genesis, endpoints=home.endpoints(genesis))

    def signer(self, organisation: str) -> TransactionSigner:
        return self.devnet.home.signer(organisation)

    @property
    def founders(self) -> list[str]:
        return [founder.organisation for founder in self.devnet.home.genesis().founders]

    def make_unique(self) -> None:
        """Give the first founder the role of the uniqueness service, and its first key."""
        act = membership_pb2.Act(grant_role=membership_pb2.GrantRole(organisation=self.founders[0], role="uniqueness"))
        expires_ms = int(time.time() * 1000) + 3_600_000
        asked = membership_pb2.Propose(epoch=1, expires_at_ms=expires_ms, acts=[act])
        proposal = self.submit([self.signer(self.founders[0])], asked)
        for name in self.founders[1:3]:
            self.submit([self.signer(name)], membership_pb2.Approve(proposal_id=proposal.id, epoch=1))
        self.submit([self.signer(self.founders[0])], pb.RotateTagKey(key_version=1))


def operation(message: Message) -> Operation:
    package = message.DESCRIPTOR.full_name.split(".")[1]
    return Operation.make(f"{package}.{message.DESCRIPTOR.name}", encode(message))


@dataclass(frozen=True)
class KnownTag:
    version: int
    value: bytes
    previous: bytes | None = None


@dataclass(frozen=True)
class NetworkTagger:
    """A uniqueness service whose key is known to the test; it registers on the real network."""

    network: Network

    async def tag(self, number_kind: str, number: str) -> KnownTag:
        return KnownTag(1, hmac.digest(b"k" * 32, f"{number_kind}|{number}".encode(), hashlib.sha256))

    async def register(self, number_kind: str, number: str, registrar: bytes, holder: bytes) -> None:
        tag = await self.tag(number_kind, number)
        message = pb.RegisterTag(key_version=1, tag=tag.value, registrar=registrar, holder=holder)
        async with self.network.session() as session:
            signed = session.sign([operation(message)], [self.network.signer(self.network.founders[0])])
            proven = await session.submit_one(signed)
        if proven.failed is not None:
            raise Refused("the rules refuse it", proven.failed.code)

    async def release(self, number_kind: str, number: str) -> None:
        tag = await self.tag(number_kind, number)
        message = pb.ReleaseTag(key_version=1, tag=tag.value)
        async with self.network.session() as session:
            signed = session.sign([operation(message)], [self.network.signer(self.network.founders[0])])
            await session.submit_one(signed)


@dataclass
class ServedDesk:
    """The desk as browsers find it."""

    network: Network
    store: Store
    office: Office
    settings: StoreSettings
    boss: Officer | None = None

    @property
    def origin(self) -> str:
        return self.office.address.public_origin

    @contextmanager
    def officer(
        self, browser: Browser, role: Role, name: str, *, size: Size = "desktop", language: str = "zh-CN"
    ) -> Iterator[Visit]:
        """Somebody with a browser, a passkey in it, and their appointment on the ledger."""
        link = invite(self.office, self._boss(), name, REGISTRAR, role)
        with visiting(browser, self.origin, size=size, language=language) as seen:
            seen.add_authenticator()
            join(seen, link, "Key")
            if role in DUTIES:
                seen.page.click("form[action='/passkeys/register'] button")
                seen.page.wait_for_url("**/acts/*")
                seen.page.click("main form[data-ceremony] button")
                seen.page.locator("main .notice.good a, main a[download]").first.wait_for()
                self._appoint(name, DUTIES[role])
                _let_in(seen)
            yield seen

    def _boss(self) -> Officer:
        """An administrator without a browser: what they do in pages other tests hold."""
        if self.boss is None:
            first_link(self.office, "Li Wei", REGISTRAR)
            with self.store.write() as session:
                member = session.scalar(select(StaffMember))
                assert member is not None
                member.state = ACTIVE
            self.boss = Officer(
                member.id, member.person_id, "Li Wei", Role.ADMINISTRATOR, REGISTRAR, "0" * 32, "", 0, b""
            )
        return self.boss

    def _appoint(self, name: str, duties: list[int]) -> None:
        with self.store.read() as session:
            member = next(
                one
                for one in session.scalars(select(StaffMember))
                if self.store.people.open(session, one, StaffMember.name) == name
            )
            public_key = session.scalar(select(Passkey.public_key).where(Passkey.staff_id == member.id))
        key = ledger_pb2.Signer(scheme=ledger_pb2.Scheme.ValueType(Scheme.WEBAUTHN_ES256), public_key=public_key)
        officer = pb.AppointOfficer(
            key=key, officer=secrets.token_bytes(16), duties=[pb.Duty.ValueType(duty) for duty in duties]
        )
        self.network.submit([self.network.signer(REGISTRAR)], officer)


def _let_in(seen: Visit) -> None:
    """Whom the ledger knows by now is never refused; only where it does not answer in time is it asked again."""
    deadline = time.monotonic() + LET_IN_S_MAX
    while (status := seen.page.request.get(seen.origin + "/look-up").status) == 503:
        assert time.monotonic() < deadline, "the ledger does not answer"
        time.sleep(0.5)
    assert status == 200, "let in at the first answer"


@contextmanager
def running_network(root: Path) -> Iterator[Network]:
    """Four validators, a registrar, a uniqueness service."""
    devnet = in_thread(lambda: bring_up(root, validators=4, base_port=None))
    try:
        network = Network(devnet)
        network.make_unique()
        yield network
    finally:
        devnet.stop(devnet.names)
        remove(root)


@contextmanager
def served_desk(
    network: Network,
    folder: Path,
    more: Callable[[Store], Sequence[Part]] = lambda _: (),
    issuer: str = "https://issuer.example.org",
    *,
    has_key: bool = False,
) -> Iterator[ServedDesk]:
    """Serve the desk on a fresh store.

    Args:
        network: Where registrations stand.
        folder: For the store.
        more: Parts beside the desk's own.
        issuer: Where the credentials that it offers are fetched.
        has_key: Whether the desk has a key of its own, which stops cards and writes accesses, here each second.
    """
    settings = StoreSettings(folder=str(folder / "data"), keys=str(folder / "keys"), allow_plain=True)
    store = open_store(settings, {})
    home = network.devnet.home
    genesis = home.genesis()
    ledger = OfficeLedger(genesis, home.endpoints(genesis), governor=home.signer(REGISTRAR))
    unknown = local_address("desk", "127.0.0.1:1")
    office = [Office.of(store, unknown)]

    async def start(app: object) -> None:
        office[0] = Office.of(store, app.state.address)  # type: ignore[attr-defined]  # the port is known only now
        app.state.office = office[0]  # type: ignore[attr-defined]  # likewise

    parts = [
        *staffed_parts(store, unknown, DESK_SITE, ledger),
        Part("place", start=start),
        desk_part(
            store,
            tagger=NetworkTagger(network),
            service_key=network.signer(REGISTRAR) if has_key else None,
            access_tick_ms=1_000,
        ),
        offers_part(issuer),
        *more(store),
    ]
    try:
        with serve(parts, "desk"):
            yield ServedDesk(network, store, office[0], settings)
    finally:
        store.close()
