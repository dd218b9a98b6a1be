# SPDX-License-Identifier: Apache-2.0
"""Time stamps over HTTP: openssl asks and verifies, and nobody keeps the authority's key busy."""

import asyncio
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from asn1crypto import tsp
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from chain.types import sha256
from cli.sealing import served_stamps_of
from identity.api.documents.stamp_keys import make_stamp_authority
from identity.api.time_stamps import far
from identity.api.time_stamps.far import FarStamps
from identity.api.time_stamps.part import BURST, PATH, PER_SECOND, QUERY_TYPE, REPLY_TYPE, time_stamps_part
from identity.cards.profile import seconds
from identity.jose import MemorySigner
from identity.pades.time_stamps import (
    REQUEST_BYTES_MAX,
    TOKEN_BYTES_MAX,
    TimeStampAuthority,
    TimeStampResponse,
    make_certificate,
)
from service.app import create_app
from service.document_settings import DocumentSettings
from service.errors import ConfigError
from service.settings import Address, parse_settings

ORIGIN = "https://verifier.example.org"
HEADERS = {"content-type": QUERY_TYPE}


class Clock:
    """For rates; a test moves it."""

    ms = 1_000_000


@pytest.fixture(scope="module")
def authority() -> TimeStampAuthority:
    signer = MemorySigner(ec.generate_private_key(ec.SECP256R1()))
    return TimeStampAuthority(make_certificate(signer, "Chancheng", seconds(int(time.time()))), signer, time.time)


@pytest.fixture
def app(authority):
    settings = parse_settings("[limits]\naddress_burst = 5000\naddress_per_second = 1000\n", {})
    part = time_stamps_part(authority, clock_ms=lambda: Clock.ms)
    return create_app([part], settings, Address("verifier", "127.0.0.1:8807", ORIGIN))


def asking(app, address: str = "198.51.100.7") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url=ORIGIN)


def query(digest: bytes = bytes(32)) -> bytes:
    imprint = tsp.MessageImprint({"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": digest})
    return tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "nonce": 4711}).dump()


def openssl(folder: Path, *arguments: str, is_refused: bool = False) -> str:
    ended = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode != 0) is is_refused, ended.stderr
    return ended.stdout + ended.stderr


async def test_openssl_asks_for_a_time_stamp_and_verifies_it(app, authority, tmp_path):
    (tmp_path / "letter.txt").write_text("I have moved.")
    openssl(tmp_path, "ts", "-query", "-data", "letter.txt", "-sha256", "-cert", "-out", "question.tsq")
    async with asking(app) as http:
        answer = await http.post(PATH, content=(tmp_path / "question.tsq").read_bytes(), headers=HEADERS)
        pinned = await http.get("/time-stamps/stamps.pem")
    assert (answer.status_code, answer.headers["content-type"]) == (200, REPLY_TYPE)
    assert answer.headers["cache-control"] == "no-store"
    assert pinned.content == authority.certificate.public_bytes(Encoding.PEM)
    (tmp_path / "answer.tsr").write_bytes(answer.content)
    (tmp_path / "stamps.pem").write_bytes(pinned.content)
    verify = ["ts", "-verify", "-queryfile", "question.tsq", "-in", "answer.tsr", "-CAfile", "stamps.pem"]
    assert "OK" in openssl(tmp_path, *verify)
    digest = sha256(b"I have moved elsewhere.").hex()
    openssl(tmp_path, "ts", "-verify", "-digest", digest, *verify[4:], is_refused=True)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", bytes(range(200)), query()[:-1], query() + b"\x00", query(bytes(20))],
    ids=["nothing", "JSON", "bytes", "cut short", "too long", "another digest's length"],
)
async def test_what_is_no_request_is_refused_in_the_protocols_own_form(app, body):
    async with asking(app) as http:
        answer = await http.post(PATH, content=body, headers=HEADERS)
    assert (answer.status_code, answer.headers["content-type"]) == (200, REPLY_TYPE)
    read = TimeStampResponse.load(answer.content, strict=True)
    assert (read["status"]["status"].native, read["time_stamp_token"].native) == ("rejection", None)


async def test_other_media_types_longer_bodies_and_methods_are_refused(app):
    async with asking(app) as http:
        typed = await http.post(PATH, content=query(), headers={"content-type": "application/octet-stream"})
        form = await http.post(PATH, data={"a": "b"})
        long = await http.post(PATH, content=bytes(REQUEST_BYTES_MAX + 1), headers=HEADERS)
        asked = await http.get(PATH)
    codes = [answer.json()["code"] for answer in (typed, form, long, asked)]
    assert codes == ["request.media-type", "request.media-type", "request.too-large", "request.method"]


async def test_interface_describes_what_is_sent_and_what_comes_back(app):
    async with asking(app) as http:
        described = (await http.get("/openapi.json")).json()["paths"][PATH]["post"]
    assert list(described["requestBody"]["content"]) == [QUERY_TYPE]
    assert REPLY_TYPE in described["responses"]["200"]["content"]


async def test_address_that_asks_too_often_waits_and_others_do_not(app):
    async with asking(app) as http, asking(app, "203.0.113.9") as other:
        for _ in range(BURST):
            assert (await http.post(PATH, content=query(), headers=HEADERS)).status_code == 200
        late = await http.post(PATH, content=query(), headers=HEADERS)
        beside = await other.post(PATH, content=query(), headers=HEADERS)
        Clock.ms += 1_000
        after = [(await http.post(PATH, content=query(), headers=HEADERS)).status_code for _ in range(PER_SECOND + 1)]
    assert (late.status_code, late.headers["retry-after"], beside.status_code) == (429, "1", 200)
    assert after == [200] * PER_SECOND + [429]


async def test_far_authority_is_asked_over_http(app, authority):
    stamps = FarStamps(ORIGIN + PATH, lambda: asking(app))
    read = TimeStampResponse.load(await stamps.answer(query()), strict=True)
    assert read["status"]["status"].native == "granted"


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<html>"),
        (302, REPLY_TYPE, b""),
        (429, "application/problem+json", b"{}"),
        (200, REPLY_TYPE, bytes(TOKEN_BYTES_MAX + 1)),
    ],
    ids=["a page", "elsewhere", "too often", "too long"],
)
async def test_what_is_no_answer_of_an_authority_is_not_taken(status, kind, body):
    async def sent():
        yield body

    def answer(_request: httpx.Request) -> httpx.Response:
        headers = {"content-type": kind, "location": "https://else.example"}
        return httpx.Response(status, headers=headers, content=sent())

    stamps = FarStamps(ORIGIN + PATH, lambda: httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    with pytest.raises(ConnectionError):
        await stamps.answer(query())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/time-stamps", "no address", "https://"])
async def test_address_at_which_nobody_is_says_so(url):
    with pytest.raises(ConnectionError, match="cannot be asked for a time stamp"):
        await FarStamps(url).answer(query())


def test_authority_is_served_only_where_settings_say_so(tmp_path):
    folder = str(tmp_path / "stamps")
    made = make_stamp_authority(Path(folder), "Chancheng", None, allow_plain=True, now_s=int(time.time()))
    assert served_stamps_of(DocumentSettings(stamps=folder, allow_plain=True)) is None
    served = served_stamps_of(DocumentSettings(stamps=folder, allow_plain=True, serve_stamps=True))
    assert served is not None
    assert served.certificate == made
    with pytest.raises(ConfigError, match=r"documents\.stamps"):
        served_stamps_of(DocumentSettings(serve_stamps=True))


async def test_authority_that_answers_drop_by_drop_is_left_after_the_time_for_a_whole_answer(monkeypatch):
    monkeypatch.setattr(far, "TIMEOUT_S", 0.2)

    async def drops():
        while True:
            yield b"\x30"
            await asyncio.sleep(0.01)

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": REPLY_TYPE}, content=drops())

    stamps = FarStamps(ORIGIN + PATH, lambda: httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    with pytest.raises(ConnectionError, match="TimeoutError"):
        await stamps.answer(query())
