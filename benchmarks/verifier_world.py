# SPDX-License-Identifier: Apache-2.0
"""A verifier in a process of its own and people with cards, for `benchmarks.verifier`.

The ledger says of everything that it has nothing, at once; an access entry stands the moment that it is handed over.
So what is measured is the verifier's own, and the ledger's finality comes on top where an entry is due.
"""

import os
import secrets
import socket
import time
from base64 import b64encode
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import identity.api.verifier.tables  # noqa: F401 - a store has all its tables
from benchmarks.person import person
from chain.types import sha256
from identity import issuer_keys, sd_jwt, status_list
from identity.api.verifier import clients
from identity.api.verifier.cards import CardTrust, login_message
from identity.api.verifier.checking import Judge
from identity.api.verifier.ledger import Issuers, Proven
from identity.api.verifier.outbound import Outbound
from identity.api.verifier.part import verifier_part
from identity.api.verifier.registered import Access, Purpose, Recorded
from identity.api.verifier.status_lists import StatusLists
from identity.api.verifier.verifier import Realm, Verifier
from identity.cards.authority import CardAuthority
from identity.cards.objects import Slot
from identity.cards.profile import Places, make_issuing, make_root, seconds
from identity.cards.statuses import StatusTable
from identity.cards.verifying import Chain
from identity.credentials import NATURAL_PERSON
from identity.issuer_keys import IssuingKey, KeySet, Trust
from identity.jose import JsonObject, MemorySigner, encode_base64url
from identity.sd_jwt import Binding
from service.app import create_app
from service.settings import Address, StoreSettings, parse_settings
from service.store import open_store
from service.store.replays import unix_ms

ORIGIN = "https://bank.example"
PURPOSE = 101
STATUS_URI = "http://issuer.example/status/1"
KEEP_ALIVE_S = 120
"""Beyond each pause of a busy machine: a connection that is closed just when it is used again is nobody's fault."""
DAY_S = 86_400
QUERY: JsonObject = {
    "credentials": [
        {
            "id": "person",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [NATURAL_PERSON]},
            "claims": [{"path": ["age_over_18"]}],
        }
    ]
}
_SHOWN = [("age_over_18",), ("access_slot",), ("pairwise_seed",)]
_LIMITS = """
[http]
requests_max = 2000
address_requests_max = 2000
address_connections_max = 2000
[limits]
address_per_second = 10000
address_burst = 10000
[logging]
access = false
"""


class _Directory:
    async def purpose(self, relying_party: str, purpose: int) -> Purpose:
        return Purpose(
            relying_party,
            purpose,
            "银行",
            "Bank",
            "contract",
            {NATURAL_PERSON: frozenset({"age_over_18"})},
            is_emergency=False,
            status_age_s_max=3_600,
            per_second_max=1_000,
            valid_to_ms=2**42,
        )


class _Silent:
    async def read(self, keys: Sequence[bytes], *, height: int = 0) -> Proven:
        return Proven(height, 1, dict.fromkeys(keys), dict.fromkeys(keys, b""))


class _AtOnce:
    async def record(self, access: Access) -> Recorded:
        assert access.attributes, "an entry says what was told"
        return Recorded(secrets.token_bytes(32), bytes(4_096))  # about as long as a receipt


@dataclass(frozen=True, slots=True)
class Card:
    """Somebody's card, and a credential that is bound to its key.

    Attributes:
        signer: Slot 9A.
        certificate: DER in base64.
        credential: As issued; "": none.
    """

    signer: MemorySigner
    certificate: str
    credential: str

    def answer(self, challenge: str, now_s: int) -> JsonObject:
        """What a page posts once the card signed.

        Args:
            challenge: As the verifier gave it.
            now_s: Unix time in s.
        """
        signature = self.signer.sign(sha256(login_message(ORIGIN, challenge)))
        token: JsonObject = {
            "unverifiedCertificate": self.certificate,
            "signature": b64encode(signature).decode(),
        }
        if not self.credential:
            return {"token": token}
        binding = Binding(ORIGIN, challenge)
        shown = sd_jwt.present(self.credential, _SHOWN, key=self.signer, binding=binding, now_s=now_s)
        return {"token": token, "presented": {"person": shown}}


class City:
    """A card authority with an empty list, and a registrar."""

    def __init__(self) -> None:
        now_s = int(time.time())
        today = seconds(now_s // DAY_S * DAY_S)
        root_key, issuing_key = (MemorySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
        places = Places("http://cards.example/i.cer", "http://cards.example/cards.crl", "http://cards.example/ocsp")
        root = make_root(root_key, "District", today)
        issuing = make_issuing(root, root_key, issuing_key.public_key, today, places)
        self.chain = Chain(root, issuing)
        self._authority = CardAuthority(issuing, issuing_key, places, allows_emulated=True)
        self.revocation_list = self._authority.revocation_list(StatusTable(1, now_s, {}))
        self._begin_s = now_s // DAY_S * DAY_S
        self.registrar, self._issuer = certified("R")

    def card(self, number: int, *, with_credential: bool) -> Card:
        """A new card; its holder is nobody else."""
        private = ec.generate_private_key(ec.SECP256R1())
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        der = self._authority.certify(
            Slot.AUTHENTICATE, point, os.urandom(16), self._begin_s, self._begin_s + 900 * DAY_S, emulated=True
        )
        signer = MemorySigner(private)
        credential = self._credential(signer, number) if with_credential else ""
        return Card(signer, b64encode(der).decode(), credential)

    def _credential(self, holder: MemorySigner, number: int) -> str:
        claims = person(
            access_slot=encode_base64url(secrets.token_bytes(32)),
            pairwise_seed=encode_base64url(secrets.token_bytes(32)),
        )
        whole = claims.dated(
            issuer="http://issuer.example",
            issued_s=int(time.time()),
            expires_s=int(time.time()) + DAY_S,
            status_uri=STATUS_URI,
            status_index=number,
        )
        assert self._issuer.signer is not None, "it was made to sign"
        header = self._issuer.header
        return sd_jwt.issue(whole, claims.disclosable, self._issuer.signer, holder_key=holder.public_key, header=header)

    def status_list(self) -> str:
        """The registrar's list, on which everybody counts."""
        assert self._issuer.signer is not None, "it was made to sign"
        now_s = int(time.time())
        return status_list.sign(
            status_list.StatusList(65_536),
            STATUS_URI,
            self._issuer.signer,
            issued_s=now_s,
            expires_s=now_s + DAY_S,
            ttl_s=30,
            header=self._issuer.header,
        )


def certified(name: str) -> tuple[bytes, IssuingKey]:
    """A registrar's own certificate, and a key that it certified."""
    now_s = int(time.time())
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    anchor = issuer_keys.make_registrar(name, root, serial=1, begins_s=now_s - 60, ends_s=now_s + 900 * DAY_S)
    signer = MemorySigner(key)
    leaf = issuer_keys.certify(
        anchor, root, signer.public_key, serial=2, begins_s=now_s - 60, ends_s=now_s + 500 * DAY_S
    )
    return anchor, issuer_keys.issuing_key(leaf, signer, signs_from_s=now_s - 60, signs_until_s=now_s + 100 * DAY_S)


def serve(
    folder: Path, listening: socket.socket, city: City, port: int, ready: Event, keys: MutableSequence[str]
) -> None:
    """The verifier, in its own process, with its store on disk."""
    store = open_store(
        StoreSettings(folder=str(folder / "data"), keys=str(folder / "keys"), allow_plain=True), {}, unix_ms
    )
    _, signing = certified("V")
    states = _Silent()

    async def fetch_crl(_url: str) -> bytes:
        return city.revocation_list

    async def fetch_list(_url: str) -> str:
        return city.status_list()

    def now_s() -> int:
        return unix_ms() // 1000

    judge = Judge(Trust([city.registrar]), Issuers(states), StatusLists(fetch_list, now_s))
    origin = f"http://localhost:{port}"
    verifier = Verifier(
        store,
        KeySet([signing]),
        origin,
        Realm(_Directory(), _AtOnce(), judge),
        None,
        CardTrust([city.chain], fetch_crl, states, now_s),
        Outbound(),
        30,
        unix_ms,
    )
    _, key = clients.add(store, "bank", unix_ms(), origins=[ORIGIN])
    keys.append(key)
    app = create_app(
        [verifier_part(verifier, states)],
        parse_settings(_LIMITS, {}),
        Address("verifier", f"127.0.0.1:{port}", origin),
        replays=store.replays(),
    )
    config = uvicorn.Config(app, log_config=None, access_log=False, loop="uvloop", timeout_keep_alive=KEEP_ALIVE_S)
    server = uvicorn.Server(config)
    ready.set()
    server.run(sockets=[listening])
