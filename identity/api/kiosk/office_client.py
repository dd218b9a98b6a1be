# SPDX-License-Identifier: Apache-2.0
"""The office as a kiosk asks it: over HTTP, each request signed with the device's key; or in the same process.

What the office says of the kiosk itself (its clock, its key) is never taken for an answer about a statement: it waits.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from chain.errors import InvalidMessage
from chain.signing import TransactionSigner
from chain.strict_json import parse
from identity.api.accesses.signed_requests import HEADER, Asked, sign
from identity.api.kiosk.base import (
    Agency,
    Bill,
    CardProof,
    Filed,
    Holder,
    OfficeAway,
    OfficeRefused,
    PhoneProof,
    SignIn,
    Way,
)
from identity.api.kiosk.device import Device
from identity.api.kiosk.office import KioskDesk
from identity.api.kiosk.problems import CODES
from service.errors import ConfigError
from service.language import Language
from service.store.replays import unix_ms

TIMEOUT_S: Final = 30.0
"""A statement waits for the ledger."""
ANSWER_BYTES_MAX: Final = 64 * 1024
PAPER_BYTES_MAX: Final = 4 * 2**20
"""A sealed paper, in Base64; ours have some 200 KB."""
PREFIX: Final = "/kiosks"
_PLAIN: Final = ("name", "registration", "registrar", "level", "proofed", "address", "visit", "presence", "method")


class LocalOffice:
    """The office in the same process; the device is looked up as over HTTP.

    Args:
        desk: The office.
        device: The kiosk's key.
    """

    def __init__(self, desk: KioskDesk, device: TransactionSigner) -> None:
        self._desk = desk
        self._device = device

    async def box_key(self) -> bytes:
        """See `Office`."""
        await self._own()
        return self._desk.box_key()

    async def challenge(self) -> bytes:
        """See `Office`."""
        return self._desk.challenge(await self._own())

    async def open(self, proof: CardProof | PhoneProof) -> Holder:
        """See `Office`."""
        return await self._desk.open(await self._own(), proof)

    async def file(self, stream: bytes, sealed: str) -> Filed:
        """See `Office`."""
        return await self._desk.file(await self._own(), stream, sealed)

    async def paper(self, visit: str, stream: bytes, language: Language) -> bytes:
        """See `Office`."""
        return await self._desk.paper(await self._own(), visit, stream, language)

    async def stop_lost(self, number: str, phone: str) -> int:
        """See `Office`."""
        return await self._desk.stop_lost(await self._own(), number, phone)

    async def _own(self) -> Device:
        found = await self._desk.device(self._device.signer)
        if found is None:
            raise OfficeAway("the office does not deal with this kiosk")
        return found


class HttpOffice:
    """The office over HTTP.

    Args:
        origin: Where it is, such as "https://desk.example.org".
        device: The kiosk's key.
        ca_file: Certificates that its own is signed by; "": the system's.
        now_ms: Unix time in ms.
        transport: For tests.

    Raises:
        ConfigError: The address is none, is not encrypted, or the certificates can't be read.
    """

    def __init__(
        self,
        origin: str,
        device: TransactionSigner,
        ca_file: str = "",
        *,
        now_ms: Callable[[], int] = unix_ms,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
            raise ConfigError("kiosk.office is no origin; write https://host or https://host:port")
        if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
            raise ConfigError("kiosk.office must begin with https:// unless it is on this machine")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.netloc
        self._device = device
        self._now_ms = now_ms
        self._transport = transport
        try:
            self._verify = httpx.create_ssl_context(verify=ca_file or True)
        except OSError as error:
            raise ConfigError(f"kiosk.ca_file cannot be read: {error.strerror}") from None

    async def box_key(self) -> bytes:
        """See `Office`."""
        answer = await self._ask("/key", {})
        try:
            return bytes.fromhex(str(answer["key"]))
        except (KeyError, ValueError):
            raise OfficeAway("the office's answer has no key") from None

    async def challenge(self) -> bytes:
        """See `Office`."""
        answer = await self._ask("/challenges", {})
        try:
            return bytes.fromhex(str(answer["nonce"]))
        except (KeyError, ValueError):
            raise OfficeAway("the office's answer has no nonce") from None

    async def open(self, proof: CardProof | PhoneProof) -> Holder:
        """See `Office`."""
        body = {"time_ms": proof.time_ms, "nonce": proof.nonce.hex(), "evidence": proof.evidence.decode("ascii")}
        if isinstance(proof, PhoneProof):
            answer = await self._ask("/phone-openings", body | {"answer": proof.answer})
        else:
            own = {"guid": proof.guid.hex(), "signature": proof.signature.hex()}
            answer = await self._ask("/openings", body | own)
        try:
            return holder_of(answer)
        except (KeyError, TypeError, ValueError):
            raise OfficeAway("the office's answer is no person") from None

    async def file(self, stream: bytes, sealed: str) -> Filed:
        """See `Office`."""
        answer = await self._ask("/statements", {"stream": stream.hex(), "sealed": sealed})
        return Filed(str(answer.get("organisation")), str(answer.get("reference")))

    async def paper(self, visit: str, stream: bytes, language: Language) -> bytes:
        """See `Office`."""
        body = {"visit": visit, "stream": stream.hex(), "language": language}
        answer = await self._ask("/papers", body, PAPER_BYTES_MAX)
        try:
            return b64decode(str(answer["paper"]), validate=True)
        except (KeyError, ValueError):
            raise OfficeAway("the office's answer is no paper") from None

    async def stop_lost(self, number: str, phone: str) -> int:
        """See `Office`."""
        answer = await self._ask("/lost", {"number": number, "phone": phone})
        stopped = answer.get("stopped")
        return stopped if isinstance(stopped, int) else 0

    async def _ask(self, path: str, body: Mapping[str, object], bytes_max: int = ANSWER_BYTES_MAX) -> Mapping[str, Any]:
        raw = json.dumps(body).encode()
        asked = Asked(self._host, "POST", PREFIX + path, raw)
        headers = {"content-type": "application/json", HEADER: sign(self._device, asked, self._now_ms())}
        try:
            async with (
                httpx.AsyncClient(
                    verify=self._verify, timeout=TIMEOUT_S, follow_redirects=False, transport=self._transport
                ) as web,
                web.stream("POST", self._origin + PREFIX + path, content=raw, headers=headers) as response,
            ):
                content = b""
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > bytes_max:
                        raise OfficeAway("the office's answer is too long")
                answer: Any = parse(content, size_max=bytes_max, depth_max=4)
        except (httpx.HTTPError, InvalidMessage, UnicodeDecodeError) as error:
            raise OfficeAway(f"the office does not answer: {type(error).__name__}") from None
        if not isinstance(answer, dict):
            raise OfficeAway("the office's answer is none")
        if response.status_code == httpx.codes.OK:
            return answer
        code = str(answer.get("code", ""))
        if code in CODES:
            raise OfficeRefused(code)
        raise OfficeAway(f"the office answers with {response.status_code}")


def holder_json(holder: Holder) -> dict[str, object]:
    """A holder for the way to the kiosk."""
    return {
        "name": holder.name,
        "registration": holder.registration,
        "registrar": holder.registrar,
        "level": holder.level,
        "proofed": holder.proofed,
        "address": holder.address,
        "visit": holder.visit,
        "presence": holder.presence,
        "method": holder.method,
        "card_fen": holder.card_fen,
        "ways": [
            {
                "id": one.id,
                "way": one.way,
                "reference": one.reference,
                "is_stopped": one.is_stopped,
                "is_here": one.is_here,
            }
            for one in holder.ways
        ],
        "agencies": [{"id": one.id, "uscc": one.uscc, "company": one.company} for one in holder.agencies],
        "bills": [
            {
                "reference": one.reference,
                "payee": one.payee,
                "purpose": one.purpose,
                "amount_fen": one.amount_fen,
            }
            for one in holder.bills
        ],
    }


def holder_of(answer: Mapping[str, Any]) -> Holder:
    """What `holder_json` made.

    Raises:
        KeyError, TypeError, ValueError: It is something else.
    """
    plain = {name: str(answer[name]) for name in _PLAIN}
    bytes.fromhex(plain["registration"])
    ways = [
        SignIn(
            str(one["id"]), Way(one["way"]), str(one["reference"]), one["is_stopped"] is True, one["is_here"] is True
        )
        for one in answer["ways"]
    ]
    agencies = [
        Agency(bytes.fromhex(one["id"]).hex(), str(one["uscc"]), str(one["company"])) for one in answer["agencies"]
    ]
    bills = [
        Bill(str(one["reference"]), str(one["payee"]), str(one["purpose"]), int(one["amount_fen"]))
        for one in answer["bills"]
    ]
    card_fen = int(answer["card_fen"])
    return Holder(**plain, ways=tuple(ways), agencies=tuple(agencies), bills=tuple(bills), card_fen=card_fen)
