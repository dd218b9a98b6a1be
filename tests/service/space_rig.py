# SPDX-License-Identifier: Apache-2.0
"""A registrar with the data space: desk and issuer over one store, the ledger's rules, and receipts that verify."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import issuer_rig
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from desk_cards_rig import ORGANISATION, Executed
from issuer_rig import Wallet
from store_rig import Rig

from chain.errors import Refused
from chain.transaction import SignedTransaction
from chain.types import Millis, Network
from client.answers import ProvenTransaction
from client.errors import TransportError
from identity.access_rules import SEALING_ROLE
from identity.api.accesses import lists
from identity.api.desk import cards
from identity.api.desk.base import DeskContext
from identity.api.desk.cards_keys import BoundKey
from identity.api.desk.cards_life import CardState
from identity.api.desk.cards_tables import Card
from identity.api.desk.details import Details, Method
from identity.api.desk.part import DESK_SITE
from identity.api.desk.persons import Secrets
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.api.issuer.confirmed import Opening
from identity.api.issuer.offers import Offer
from identity.api.issuer.part import issuer_part
from identity.api.space.acts import SpaceContext, act_hash
from identity.api.space.part import space_part
from identity.cards.authority import compressed_key, load_certificate
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.documents import DocumentKind
from identity.jose import MemorySigner, decompress
from identity.pb import identity_pb2 as pb
from identity.registrations import person_key
from identity.sd_jwt import Binding, present
from identity.standing import Reading
from service.app import create_app
from service.settings import Address, RetentionSettings, Settings
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer
from service.store import new_id
from sim.instant_ledger import InstantLedger
from tests.identity_rig import IdentityRig, new_key
from tests.rig import NETWORK, Shell, organisation, signer

NUMBER = "11010519491231002X"
KEYS = (new_key("card 9A", pb.CONTROL_PURPOSE_AUTHENTICATE), new_key("card 9C", pb.CONTROL_PURPOSE_SIGN))
SEALER = "org-p"


class Rules(IdentityRig):
    """The rules with the clock of a store; org-p may seal entries, and writes accesses itself."""

    def __init__(self, rig: Rig) -> None:
        self.rig: Rig | None = None
        super().__init__(organisation(SEALER, roles=(SEALING_ROLE, "verifier")))
        self.rig = rig

    @property
    def time_ms(self) -> int:
        return super().time_ms if self.rig is None else self.rig.clock_ms


@dataclass
class SpaceLedger:
    """What desk and issuer read, submit to and prove by; whatever the rules write is certified at once."""

    rules: Rules
    chain: InstantLedger
    network: Network = NETWORK
    is_reachable: bool = True
    loses_answers: bool = False
    done: dict[bytes, Executed] = field(default_factory=dict)
    mirrored: dict[bytes, bytes] = field(default_factory=dict)

    async def read(self, keys: Sequence[bytes]) -> Reading:
        self._reach()
        self.mirror()
        height, time_ms = self.chain.checkpoint.height, self.rules.time_ms
        return Reading(height, time_ms, {key: self.chain.tree.prove(key)[0] for key in keys})

    async def prove(self, keys: Sequence[bytes]) -> tuple[bytes, dict[bytes, bytes | None]]:
        self._reach()
        self.mirror()
        return self.chain.receipt([], list(keys)), {key: self.chain.tree.prove(key)[0] for key in keys}

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """As the registrar's service submits; the signature itself is a stand-in."""
        self._reach()
        if transaction.id not in self.done:
            code = self.rules.code("desk@p256", *transaction.operations)
            if code:
                raise Refused("the rules refuse it", code)
            self.done[transaction.id] = Executed()
        if self.loses_answers:
            raise TransportError("the connection broke")
        return self.done[transaction.id]  # type: ignore[return-value]  # a stand-in for a proven transaction

    async def anchor(self, stream: bytes, digest: bytes, size: int) -> None:
        """Lists are anchored nowhere here."""

    def mirror(self) -> None:
        """Certify what the rules wrote since."""
        now = self.rules.state
        changed: dict[bytes, bytes | None] = {
            key: value for key, value in now.items() if self.mirrored.get(key) != value
        }
        changed.update(dict.fromkeys(self.mirrored.keys() - now.keys()))
        if changed:
            self.chain.append([], changed)
            self.mirrored = dict(now)

    def _reach(self) -> None:
        if not self.is_reachable:
            raise TransportError("no node answers")


class SpaceOffice(issuer_rig.Office):
    """Issuer and data space of org-r, with one registered person."""

    def __init__(self, rig: Rig, origin: str = issuer_rig.ORIGIN, chain: InstantLedger | None = None) -> None:
        super().__init__(rig, origin)
        chain = chain or InstantLedger(tuple("abcd"), Millis(rig.clock_ms - 60_000))
        self.space_ledger = ledger = SpaceLedger(Rules(rig), chain)
        self.desk = DeskContext(
            self.store, DESK_SITE, ledger, None, Shell(signer("org-r:submit")), RetentionSettings(), rig.now
        )
        self.space = SpaceContext(self.issuer, self.desk, ledger, ledger.prove)
        self.parts = [
            issuer_part(self.store, self.keys, origin, source=ledger, anchor=ledger, prove=ledger.prove, now=rig.now),
            space_part(lambda: self.space),
        ]
        self.app = create_app(self.parts, Settings(), Address("issuer", "127.0.0.1:8804", origin))
        self.details = Details(
            document=DocumentKind.RESIDENT_CARD,
            number=NUMBER,
            name="李小明",
            born="1990-05-17",
            address="广东省佛山市禅城区祖庙街道1号",
            phone="13900001234",
            method=Method.CHIP,
        )
        self.secrets = self._registered()

    @property
    def registration(self) -> bytes:
        return self.secrets.registration_id

    def record(self) -> pb.PersonRecord:
        return self.space_ledger.rules.person(self.registration)

    def officer(self, role: Role = Role.CLERK) -> Officer:
        ids = [new_id() for _ in range(4)]
        return Officer(ids[0], ids[1], role.title(), role, ORGANISATION, ids[2], ids[3], self.rig.clock_ms, b"b" * 32)

    def give_card(self, card: EmulatedCard) -> bytes:
        """Bind a card's keys to the person, as the desk does, and note that its holder has it; its identifier."""
        piv = Piv(card)
        piv.select()
        chuid = piv.chuid()
        assert chuid is not None, "it was personalised"
        keys = []
        for slot in (Slot.AUTHENTICATE, Slot.SIGN):
            raw = piv.certificate(slot) or b""
            point = decompress(compressed_key(load_certificate(raw)))
            public = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            keys.append(BoundKey.of(slot, public, raw))
        rules, secrets_ = self.space_ledger.rules, self.secrets
        change = pb.Change(
            commitment=self.details.commitment(bytes.fromhex(secrets_.salt)),
            assurance_level=pb.ASSURANCE_LEVEL_HIGH,
            proofing_method=pb.PROOFING_METHOD_DOCUMENT_CHIP,
            binds=[pb.NewKey(purpose=key.purpose, commitment=key.commitment) for key in keys],
        )
        assert rules.code("ann@p256", pb.ProposeChange(id=self.registration, change=change)) == ""
        assert rules.code("bob@webauthn", rules.confirm(self.registration)) == ""
        with self.store.write() as session:
            now_ms = self.rig.clock_ms
            row = Card(
                id=new_id(),
                person_id=self.person,
                state=CardState.ACTIVE,
                reason="first",
                requested_by="x",
                requested_ms=now_ms,
                since_ms=now_ms,
            )
            session.add(row)
            session.flush()
            cards.keep_keys(self.desk, session, row, chuid.guid, keys)
        return chuid.guid

    async def tick(self) -> Any:
        issuer = getattr(self.app.state, "issuer", self.issuer)
        return await issuer_rig.publishing.tick(issuer, self.space_ledger, self.space_ledger)

    def offer(self, **options: Any) -> Offer:
        """Of the credential that says what was registered."""
        with self.store.write() as session:
            own = lists.own_claims(session, self.store, self.person, self.rig.clock_ms)
        made = issuer_rig.claims()
        seeded = replace(made, claims=made.claims | own, disclosable=(*made.disclosable, ("pairwise_seed",)))
        opening = Opening(self.details.claims(), bytes.fromhex(self.secrets.salt))
        defaults = {"claims": seeded, "subjects": [person_key(self.registration)], "opening": opening}
        return super().offer(**(defaults | options))

    def _registered(self) -> Secrets:
        """By two officers, on the ledger too."""
        known = Secrets.new().confirmed()
        rules = self.space_ledger.rules
        rules.tag(known.registration)
        change = pb.Change(
            commitment=self.details.commitment(bytes.fromhex(known.salt)),
            assurance_level=pb.ASSURANCE_LEVEL_HIGH,
            proofing_method=pb.PROOFING_METHOD_DOCUMENT_CHIP,
            binds=KEYS,
        )
        assert rules.code("ann@p256", pb.Enrol(id=known.registration_id, change=change)) == ""
        assert rules.code("bob@webauthn", rules.confirm(known.registration_id)) == ""
        with self.store.write() as session:
            now_ms, people = self.rig.clock_ms, self.store.people
            row = DeskPerson(
                person_id=self.person,
                organisation=ORGANISATION,
                state=PersonState.ACTIVE,
                created_ms=now_ms,
                changed_ms=now_ms,
            )
            people.seal(session, row, DeskPerson.name, self.details.name)
            people.seal(session, row, DeskPerson.number, self.details.number)
            people.seal(session, row, DeskPerson.phone, self.details.phone)
            people.seal(session, row, DeskPerson.details, self.details.encode())
            people.seal(session, row, DeskPerson.secrets, known.encode())
        return known


@dataclass
class Holder:
    """Somebody with a credential, who acts in their data space."""

    wallet: Wallet
    token: str
    key: MemorySigner

    @classmethod
    async def with_credential(cls, wallet: Wallet) -> "Holder":
        key = wallet.key()
        access, nonce = await wallet.token(wallet.office.offer()), await wallet.nonce()
        answer = await wallet.ask(access, [wallet.proof(nonce, key)])
        assert answer.status_code == 200, answer.text
        return cls(wallet, str(answer.json()["credentials"][0]["credential"]), key)

    async def send(self, act: Any, **changes: Any) -> httpx.Response:
        """Sign an act and send it; `changes` are of the body."""
        text = act if isinstance(act, str) else json.dumps(act)
        nonce = await self.wallet.nonce()
        presentation = self.presented(text, nonce)
        body = {"presentation": presentation, "nonce": nonce, "act": text} | changes
        return await self.wallet.http.post("/space/acts", json=body)

    def presented(self, text: str, nonce: str, key: MemorySigner | None = None) -> str:
        binding = Binding(issuer_rig.ORIGIN, nonce)
        now_s = self.wallet.office.now_s
        return present(
            self.token, [], key=key or self.key, binding=binding, now_s=now_s, extra={"act_hash": act_hash(text)}
        )

    async def do(self, name: str, **fields: Any) -> dict[str, Any]:
        answer = await self.send({"do": name, **fields})
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return dict(answer.json())

    async def refused(self, name: str, **fields: Any) -> str:
        answer = await self.send({"do": name, **fields})
        assert answer.status_code in {400, 503}, answer.text
        return str(answer.json()["error"])
