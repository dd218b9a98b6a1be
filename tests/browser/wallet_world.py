# SPDX-License-Identifier: Apache-2.0
"""A wallet, an issuer and a verifier, each served on a port of its own, over a ledger that certifies at once."""

import asyncio
import json
import secrets
import shutil
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import issuer_rig
import verifier_rig
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Browser, Page, expect
from space_rig import SpaceOffice
from store_rig import Rig
from visiting import ROOT, WAIT_MS_MAX, Size, Visit, serve, visiting

from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.types import Millis
from identity import issuer_keys
from identity.access import make_entry
from identity.access_content import encode_content
from identity.access_rules import access_key
from identity.api.accesses import lists
from identity.api.issuer.offers import Offer
from identity.api.issuer.part import issuer_part
from identity.api.verifier.checking import Judge
from identity.api.verifier.ledger import Issuers
from identity.api.verifier.part import SITE as VERIFIER_SITE
from identity.api.verifier.part import verifier_part
from identity.api.verifier.registered import Purpose
from identity.api.verifier.status_lists import StatusLists
from identity.api.verifier.verifier import Realm
from identity.api.wallet.part import SITE, wallet_part
from identity.api.wallet.program import KIND, STREAM, Program
from identity.jose import MemorySigner, encode_base64url, jwk_of
from identity.pb import access_pb2
from identity.pb import identity_pb2 as pb
from identity.relying_rules import relying_party_key
from membership.anchors import anchor_key
from membership.pb import membership_pb2
from membership.state import organisation_key
from service.app import Part
from service.shell import shell_part
from sim.instant_ledger import InstantLedger
from tests.ports import free_base_port

Found = TypeVar("Found")
IN_THREAD_S_MAX = 120
"""It takes a tenth of a second; a machine with many tests at once takes its time."""
OPERATOR = "city-wallet"
"""The organisation that anchors the wallet's program."""
ATTRIBUTES = sorted(f"natural-person/{name}" for name in ("age_over_18", "birthdate", "family_name", "given_name"))


class LivingRig(Rig):
    """A rig whose clock is this machine's, as the browser's is."""

    def __getattribute__(self, name: str) -> Any:
        if name == "clock_ms":
            return int(time.time() * 1000)
        return super().__getattribute__(name)


class LivingLedger(InstantLedger):
    """A ledger whose newest block is never old: devices refuse a proof of ten minutes ago, however long the tests take.

    Its blocks are of half a minute ago, so that some can be added at once without one being of a time to come.
    """

    BEHIND_MS = 30_000
    IDLE_MS_MAX = 60_000

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names, Millis(_now_ms() - self.IDLE_MS_MAX))
        self._turn = threading.RLock()  # a test appends while services ask

    def append(self, *outcomes: Any, **more: Any) -> Checkpoint:
        with self._turn:
            time_ms = Millis(max(self.checkpoint.time_ms, _now_ms() - self.BEHIND_MS))
            self.checkpoint = replace(self.checkpoint, time_ms=time_ms)
            return super().append(*outcomes, **more)

    def receipt(self, *places: Any, **more: Any) -> bytes:
        with self._turn:
            if _now_ms() - self.checkpoint.time_ms > self.BEHIND_MS + self.IDLE_MS_MAX:
                self.append()
            return super().receipt(*places, **more)


def _now_ms() -> int:
    return int(time.time() * 1000)


@dataclass
class Directory(verifier_rig.FakeDirectory):
    """The bank's registration as it stands on the ledger when somebody is asked; a test may say another proof."""

    ledger: InstantLedger | None = None
    forged: bytes | None = None

    async def purpose(self, relying_party: str, purpose: int) -> Purpose:
        found = await super().purpose(relying_party, purpose)
        if relying_party != verifier_rig.BANK or self.ledger is None:
            return found
        return replace(found, receipt=self.forged or World.receipt(self.ledger))


@dataclass
class Reads(issuer_rig.FakeLedger):
    """What the issuer reads: records as tests want them, and people's lists of accesses as the ledger has them."""

    chain: InstantLedger | None = None

    def value(self, key: bytes) -> bytes | None:
        if key.startswith(b"identity/access/"):
            assert self.chain is not None
            return self.chain.tree.prove(key)[0]
        return super().value(key)

    async def prove(self, keys: Sequence[bytes]) -> tuple[bytes, dict[bytes, bytes | None]]:
        assert self.chain is not None
        return self.chain.receipt([], list(keys)), {key: self.chain.tree.prove(key)[0] for key in keys}


def in_thread(work: Coroutine[Any, Any, Found]) -> Found:
    """Run asynchronous work beside the browser, whose loop has this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result(IN_THREAD_S_MAX)


@dataclass
class World:
    """All three, with what a test changes."""

    issuer: issuer_rig.Office
    verifier: verifier_rig.CardOffice
    wallet_origin: str
    ledger: InstantLedger
    record: pb.RelyingPartyRecord
    directory: Directory

    def offer(self, **options: Any) -> Offer:
        made = issuer_rig.claims()
        with self.issuer.store.write() as session:
            own = lists.own_claims(session, self.issuer.store, self.issuer.person, self.issuer.rig.clock_ms)
        seeded = made.claims | own
        claims = replace(made, claims=seeded, disclosable=(*made.disclosable, ("pairwise_seed",)))
        return self.issuer.offer(**({"claims": claims, "copies": 30} | options))

    def look(self, content: access_pb2.AccessContent) -> None:
        """Somebody looked at the person's data: the entry stands on the ledger, and the registrar has what it says."""
        store = self.issuer.store
        with store.write() as session:
            first = lists.own_claims(session, store, self.issuer.person, 0)["access_slot"]

        async def read(keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
            return {key: self.ledger.tree.prove(key)[0] for key in keys}

        handed = in_thread(lists.hand_out(store, read, first))
        raw, salt = encode_content(content), secrets.token_bytes(32)
        entry = make_entry(handed.slot, handed.link, raw, salt)
        record = pb.AccessRecord(writer=bytes(32), time_ms=content.at_ms, content=entry.content, next=entry.next)
        self.ledger.append([], {access_key(handed.slot): encode(record)})
        in_thread(lists.hand_out(store, read, first))
        in_thread(lists.tell(store, read, handed.slot, raw, salt))

    def ask(self, query: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The bank asks."""
        body = {"purpose": verifier_rig.LOGIN, "query": query, "response_mode": "direct_post.jwt"} | more
        response = httpx.post(f"{self.verifier.origin}/v1/verifications", json=body, headers=self.headers, timeout=30)
        assert response.status_code == 201, response.text
        return dict(response.json())

    def result(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What the bank is told."""
        response = httpx.get(f"{self.verifier.origin}/v1/verifications/{asked['id']}", headers=self.headers, timeout=30)
        return dict(response.json())

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.verifier.bank_key}"}

    def register(self, record: pb.RelyingPartyRecord | None = None, *, receipt: bytes | None = None) -> None:
        """What the verifier's requests carry as the bank's registration."""
        if record is not None:
            self.ledger.append([], {relying_party_key(verifier_rig.BANK): encode(record)})
        self.directory.forged = receipt

    @staticmethod
    def receipt(ledger: InstantLedger) -> bytes:
        keys = sorted([relying_party_key(verifier_rig.BANK), organisation_key(verifier_rig.BANK)])
        return ledger.receipt([], keys)

    @contextmanager
    def visit(
        self, browser: Browser, size: Size = "phone", language: str = "zh-CN", theme: str = "light"
    ) -> Iterator[Visit]:
        """A phone with an empty wallet."""
        with visiting(browser, self.wallet_origin, size=size, language=language, theme=theme) as visit:
            visit.expect("left the machine: http://(localhost|127.0.0.1):")
            yield visit


def take(visit: Visit, served: World) -> Page:
    """Take a credential, as its holder does: scan, type the digits."""
    offer = served.offer()
    page = visit.open("/#" + quote(offer.uri, safe=""))
    expect(page.locator("#offer-title")).to_be_visible()
    page.fill("#digits", offer.tx_code)
    page.locator("#offer-form button.btn").first.click()
    expect(page.locator("#done-title")).to_be_visible()
    return page


def paste(page: Page, link: str) -> None:
    """Give the wallet a link by hand."""
    page.fill("#link", link)
    page.locator("#link-form button.btn").click()


def registration(keys: list[bytes], **changes: Any) -> pb.RelyingPartyRecord:
    """The bank's, as two officers made it."""
    now_ms = int(time.time() * 1000)
    purpose = pb.RelyingPurpose(
        number=verifier_rig.LOGIN,
        name_zh="开立账户",
        name_en="Opening an account",
        legal_basis="反洗钱法第二十九条",
        attributes=changes.pop("attributes", ATTRIBUTES),
        status_age_s_max=600,
        per_second_max=100,
    )
    terms = pb.RelyingTerms(
        purposes=[purpose], keys=sorted(keys), valid_from_ms=now_ms - 60_000, valid_to_ms=now_ms + 86_400_000
    )
    record = pb.RelyingPartyRecord(
        registrar="registrar", status=pb.PERSON_STATUS_ACTIVE, since_ms=now_ms - 60_000, version=1, terms=terms
    )
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def instant(record: pb.RelyingPartyRecord, names: tuple[str, ...] = ("a", "b", "c", "d")) -> LivingLedger:
    """A network that knows the bank."""
    ledger = LivingLedger(names)
    organisation = membership_pb2.OrganisationRecord(
        id=verifier_rig.BANK,
        name_zh="第一银行",
        name_en="Bank One",
        status=membership_pb2.ORGANISATION_STATUS_ACTIVE,
        quota_operations_s=10,
    )
    ledger.append(
        [],
        {
            relying_party_key(verifier_rig.BANK): encode(record),
            organisation_key(verifier_rig.BANK): encode(organisation),
        },
    )
    return ledger


@dataclass
class JudgeProcess:
    """The verifier that is not ours, while it waits for an answer."""

    process: subprocess.Popen[str]
    link: str

    def verdict(self) -> dict[str, Any]:
        """What it found; it ends with that."""
        out, errors = self.process.communicate(timeout=60)
        assert out.strip(), errors
        return dict(json.loads(out))


@contextmanager
def judging(made: World, query: dict[str, Any]) -> Iterator[JudgeProcess]:
    """Let the judge ask; it has a key and certificate of its own, which the bank's registration names beside ours."""
    node = shutil.which("node")
    assert node, "Node.js is missing"
    private = ec.derive_private_key(905, ec.SECP256R1())
    own = MemorySigner(private)
    record = pb.RelyingPartyRecord()
    record.CopyFrom(made.record)
    record.terms.keys[:] = sorted([*made.record.terms.keys, own.public_key])
    made.register(record)
    now_s = int(time.time())
    certificate = issuer_keys.make_registrar("Judge", private, serial=9, begins_s=now_s - 60, ends_s=now_s + 86_400)
    numbers = private.private_numbers()
    secret = jwk_of(own.public_key) | {"d": encode_base64url(numbers.private_value.to_bytes(32, "big"))}
    told = {
        "modules": str(ROOT / "web/node_modules"),
        "key": secret,
        "certificate": b64encode(certificate).decode(),
        "registration": {
            "relying_party": verifier_rig.BANK,
            "purpose": verifier_rig.LOGIN,
            "receipt": b64encode(made.receipt(made.ledger)).decode(),
        },
        "query": query,
        "issuer": jwk_of(made.issuer.signer.public_key),
    }
    script = ROOT / "tests/browser/verifier_judge.mjs"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([node, script], text=True, **pipes) as process:  # type: ignore[call-overload]  # pipes
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(told))
            process.stdin.close()
            process.stdin = None
            begun = json.loads(process.stdout.readline())
            assert "link" in begun, begun
            yield JudgeProcess(process, begun["link"])
        finally:
            process.kill()
            made.register(made.record)


def issuing(issuer: issuer_rig.Office, ledger: InstantLedger) -> Sequence[Part]:
    """The issuer's parts."""
    if isinstance(issuer, SpaceOffice):
        return issuer.parts
    reads = issuer.ledger = Reads(chain=ledger)
    now = issuer.rig.now
    return [
        issuer_part(issuer.store, issuer.keys, issuer.origin, source=reads, anchor=reads, prove=reads.prove, now=now)
    ]


def anchor(ledger: InstantLedger, digest: bytes, organisation: str = OPERATOR) -> None:
    """Put a program's digest on the ledger."""
    record = membership_pb2.AnchorRecord(digest=digest, size=1, since_ms=ledger.checkpoint.time_ms)
    ledger.append([], {anchor_key(organisation, KIND, STREAM): encode(record)})


def wallet_parts(
    ledger: InstantLedger, origin: str, made: list[Program] | None = None, card_agent: str = ""
) -> Sequence[Part]:
    """The citizen's service, its program anchored when it starts.

    Args:
        ledger: Where.
        origin: Of the service.
        made: Takes the program, for a test that changes it.
        card_agent: Origin of the card's program.
    """

    async def anchored(program: Program) -> str:
        anchor(ledger, program.digest)
        if made is not None:
            made.append(program)
        return OPERATOR

    prove = Reads(chain=ledger).prove
    return [
        shell_part(SITE),
        wallet_part(
            ledger.genesis_bytes, ledger.genesis.network, origin, card_agent=card_agent, prove=prove, anchor=anchored
        ),
    ]


@contextmanager
def world(folder: Path, *, data_space: bool = False, card_agent: str = "") -> Iterator[World]:
    """Serve all three.

    Args:
        folder: For what they store.
        data_space: Whether the registrar serves people's data space, too, over the ledger's real rules.
        card_agent: Origin of the card's program.
    """
    ports = {name: free_base_port(1) for name in ("issuer", "verifier", "wallet")}
    origins = {name: f"http://localhost:{port}" for name, port in ports.items()}
    rigs = [LivingRig(folder / name, None) for name in ("issuer", "verifier")]
    for rig in rigs:
        rig.folder.mkdir(parents=True)
    with ExitStack() as stack:
        for rig in rigs:
            stack.callback(rig.close)
        verifier = verifier_rig.CardOffice(rigs[1], origin=origins["verifier"])
        record = registration([verifier.keys.current(verifier.now_s).public_key])
        ledger = instant(record)
        verifier.directory = directory = Directory(verifier.directory.purposes, ledger=ledger)
        issuer = (
            SpaceOffice(rigs[0], origins["issuer"], ledger)
            if data_space
            else issuer_rig.Office(rigs[0], origins["issuer"])
        )

        async def fetch(uri: str) -> str:
            async with httpx.AsyncClient(timeout=WAIT_MS_MAX / 1000) as web:
                return (await web.get(uri)).text

        judge = Judge(issuer.trust, Issuers(verifier.states), StatusLists(fetch, lambda: verifier.now_s))
        verifier.verifier = replace(verifier.verifier, realm=Realm(directory, verifier.recorder, judge))
        stack.enter_context(serve(issuing(issuer, ledger), "issuer", ports["issuer"]))
        verifying = [shell_part(VERIFIER_SITE), verifier_part(verifier.verifier, verifier.states)]
        stack.enter_context(serve(verifying, "verifier", ports["verifier"], verifier.store.replays()))
        stack.enter_context(
            serve(wallet_parts(ledger, origins["wallet"], card_agent=card_agent), "citizen", ports["wallet"])
        )
        yield World(issuer, verifier, origins["wallet"], ledger, record, directory)
