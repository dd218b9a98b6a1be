# SPDX-License-Identifier: Apache-2.0
"""The uniqueness service as a desk asks it: over HTTP in production, in the same process in tests and the demo.

Neither the number nor the key is in any error or log. What the service refuses because of the ledger's rules is
`Refused`; everything else that keeps it from answering is `TransportError`, whose code says what it was.
"""

import ipaddress
import json
import ssl
from types import TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

import httpx

from chain.errors import Refused
from client.errors import TransportError
from identity.api.tagging.problems import NOT_YOURS, NUMBER
from identity.api.tagging.registrars import Registrar
from identity.api.tagging.tags import Tag
from identity.api.tagging.uniqueness import Uniqueness
from identity.officers import registrar_digest
from service.errors import ConfigError
from service.problems import Problem

TIMEOUT_S: Final = 30.0
"""A registration waits for the ledger."""
ANSWER_BYTES_MAX: Final = 16 * 1024
TAG_BYTES: Final = 32
_CODE_CHARACTERS_MAX = 64


class Tagger(Protocol):
    """The uniqueness service as a desk asks it."""

    async def tag(self, number_kind: str, number: str) -> Tag:
        """The tag of a number.

        Args:
            number_kind: A value of `identity.documents.NumberKind`.
            number: As typed; a passport's has the state that issued it and a colon in front.

        Raises:
            Refused: No such number ("uniqueness.number").
            TransportError: It does not answer, or not this registrar, or not now.
        """

    async def register(self, number_kind: str, number: str, registrar: bytes, holder: bytes) -> None:
        """Register a number's tag for this registrar; the same once more changes nothing.

        Args:
            number_kind: See `tag`.
            number: See `tag`.
            registrar: `identity.officers.registrar_digest` of the caller's own organisation.
            holder: `identity.commitments.holder_commitment`, 32 bytes.

        Raises:
            Refused: The tag is registered for somebody else ("identity.tag-taken"), or another rule says no.
            TransportError: See `tag`.
        """

    async def retag(self, number_kind: str, number: str, holder: bytes) -> None:
        """Move the tag of somebody whom this registrar registered to the present version of the key.

        Raises:
            Refused: It is not this registrar's ("uniqueness.not-yours"), or nothing is to be moved.
            TransportError: See `tag`.
        """

    async def release(self, number_kind: str, number: str) -> None:
        """Take away the tag of somebody whose registration this registrar revoked.

        Raises:
            Refused: It is not this registrar's, or nobody was revoked.
            TransportError: See `tag`.
        """


class LocalTagger:
    """The service in the same process.

    Args:
        service: The service.
        registrar: For whom it is asked.
    """

    def __init__(self, service: Uniqueness, registrar: Registrar) -> None:
        self._service = service
        self._registrar = registrar

    async def tag(self, number_kind: str, number: str) -> Tag:
        """See `Tagger.tag`."""
        try:
            return await self._service.tag(self._registrar, number_kind, number)
        except Problem as problem:
            raise _failure(problem.kind.code, problem.kind.status) from None

    async def register(self, number_kind: str, number: str, registrar: bytes, holder: bytes) -> None:
        """See `Tagger.register`."""
        if registrar != registrar_digest(self._registrar.organisation):
            raise _failure(NOT_YOURS.code, NOT_YOURS.status)
        try:
            await self._service.register(self._registrar, number_kind, number, holder)
        except Problem as problem:
            raise _failure(problem.kind.code, problem.kind.status) from None

    async def retag(self, number_kind: str, number: str, holder: bytes) -> None:
        """See `Tagger.retag`."""
        try:
            await self._service.retag(self._registrar, number_kind, number, holder)
        except Problem as problem:
            raise _failure(problem.kind.code, problem.kind.status) from None

    async def release(self, number_kind: str, number: str) -> None:
        """See `Tagger.release`."""
        try:
            await self._service.release(self._registrar, number_kind, number)
        except Problem as problem:
            raise _failure(problem.kind.code, problem.kind.status) from None


class HttpTagger:
    """The service over HTTP; use it as an async context manager, or close it.

    Args:
        url: Such as https://uniqueness.example.org; http only on this machine.
        bearer: The registrar's key.
        ca_file: Certificates that the service's is signed by; empty: the system's.
        transport: Another way to send requests, for tests.

    Raises:
        ConfigError: The URL is none, or would send numbers in the open.
    """

    def __init__(
        self, url: str, bearer: str, ca_file: str = "", transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigError("uniqueness.url must read https://host or https://host:port, without a path")
        if parts.scheme == "http" and not _is_here(parts.hostname):
            raise ConfigError("uniqueness.url must begin with https://, or people's numbers would travel in the open")
        try:
            verify = ssl.create_default_context(cafile=ca_file or None)
        except (OSError, ssl.SSLError):
            raise ConfigError("uniqueness.ca_file cannot be read as certificates") from None
        self._client = httpx.AsyncClient(
            base_url=f"{parts.scheme}://{parts.netloc}",
            headers={"Authorization": f"Bearer {bearer}", "Accept-Language": "en"},
            verify=verify,
            timeout=TIMEOUT_S,
            trust_env=False,  # no proxy of the environment sees numbers
            follow_redirects=False,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def tag(self, number_kind: str, number: str) -> Tag:
        """See `Tagger.tag`."""
        answer = await self._post("/v1/tags", {"number_kind": number_kind, "number": number})
        try:
            document = json.loads(answer)
            previous = document["previous"]
            found = Tag(
                int(document["version"]),
                bytes.fromhex(document["tag"]),
                None if previous is None else bytes.fromhex(previous),
            )
        except (KeyError, TypeError, ValueError, RecursionError):
            raise TransportError("the uniqueness service's answer is none", "uniqueness.answer") from None
        if found.version < 1 or any(len(one) != TAG_BYTES for one in (found.value, found.previous or found.value)):
            raise TransportError("the uniqueness service's answer is none", "uniqueness.answer")
        return found

    async def register(self, number_kind: str, number: str, registrar: bytes, holder: bytes) -> None:
        """See `Tagger.register`."""
        body = {"registrar": registrar.hex(), "holder": holder.hex()}
        await self._post("/v1/registrations", {"number_kind": number_kind, "number": number, **body})

    async def retag(self, number_kind: str, number: str, holder: bytes) -> None:
        """See `Tagger.retag`."""
        body = {"number_kind": number_kind, "number": number, "holder": holder.hex()}
        await self._post("/v1/retaggings", body)

    async def release(self, number_kind: str, number: str) -> None:
        """See `Tagger.release`."""
        await self._post("/v1/releases", {"number_kind": number_kind, "number": number})

    async def _post(self, path: str, body: dict[str, Any]) -> bytes:
        """Send a question.

        Raises:
            Refused: A rule, or what was asked, says no.
            TransportError: It does not answer, or not this registrar, or not now.
        """
        try:
            async with self._client.stream("POST", path, json=body) as answer:
                content = b""
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > ANSWER_BYTES_MAX:
                        raise TransportError("the uniqueness service's answer is too long", "uniqueness.answer")
        except (httpx.HTTPError, ssl.SSLError):
            raise TransportError("the uniqueness service does not answer", "uniqueness.unavailable") from None
        if answer.is_success:
            return content
        try:
            document = json.loads(content)
            code, rule = str(document["code"]), str(document.get("ledger_code", ""))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            code, rule = "uniqueness.unavailable", ""
        raise _failure((rule or code)[:_CODE_CHARACTERS_MAX], answer.status_code)


def _failure(code: str, status: int) -> Refused | TransportError:
    """What a desk is told: what it asked for is refused, or the service cannot be asked now."""
    if status == 409 or code in {NUMBER.code, NOT_YOURS.code}:
        return Refused("the uniqueness service refuses this", code)
    return TransportError("the uniqueness service does not answer this now", code)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
