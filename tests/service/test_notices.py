# SPDX-License-Identifier: Apache-2.0
"""Notices: put with what they are about, delivered at least once by real protocols, bounded; logs tell nothing."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from store_rig import Rig

from service.errors import ConfigError, PersonErased
from service.notice_settings import NoticeSettings
from service.notices import Message, NoticeKind, NotTaken, Provider, add_kind, outbox, put, webhook
from service.notices.outbox import CLAIMED_MAX, DAY_MS, LEASE_MS, TRIES_MAX, WAITING_MAX, WAITS_MS, NoticeState
from service.notices.part import Courier
from service.notices.providers import Way
from service.notices.setup import providers_of
from service.notices.smtp import MailServer, SmtpProvider, is_address
from service.notices.tables import Notice
from service.notices.webhook import WebhookProvider, parse_key
from service.store import Store

PHONE, MAIL = "13900001234", "chen.jie@example.org"
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
URGENT = add_kind(NoticeKind("test-urgent", "told.suspended", "told.suspended-text"))
FLOOD = add_kind(NoticeKind("test-flood", "told.suspended", "told.suspended-text"))
CALM = add_kind(NoticeKind("test-calm", "told.looked-at", "told.looked-at-text", is_urgent=False))
DAILY = add_kind(NoticeKind("test-daily", "told.looked-at", "told.looked-at-text", is_urgent=False, every_ms=DAY_MS))


@pytest.fixture(autouse=True)
def _words_of_the_desk() -> None:
    import identity.api.desk.notice_kinds  # noqa: F401, PLC0415 - its catalogue has the texts that these kinds borrow


@dataclass
class Recording:
    """A provider that does as it is told."""

    ways: frozenset[Way] = frozenset(Way)
    name: str = "test"
    taken: list[Message] = field(default_factory=list)
    fails: Callable[[Message], None] = lambda _message: None

    async def send(self, message: Message) -> None:
        self.fails(message)
        self.taken.append(message)

    async def close(self) -> None:
        pass


@dataclass
class Post:
    """A store with one person, and whoever delivers."""

    rig: Rig
    store: Store
    person: str
    settings: NoticeSettings = field(default_factory=NoticeSettings)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def put(self, kind: NoticeKind = URGENT, *channels: str, person: str = "", due_ms: int = 0) -> int:
        with self.store.write() as session:
            return put(
                self.store, session, kind, person or self.person, channels or (PHONE,), self.rig.clock_ms, due_ms=due_ms
            )

    def courier(self, *providers: Provider) -> Courier:
        return Courier(self.store, providers, self.settings, self.rig.now, CollectorRegistry())

    def rows(self) -> list[Notice]:
        with self.store.read() as session:
            return list(outbox.told(session, self.person))

    def states(self) -> list[str]:
        return [row.state for row in self.rows()]

    def someone(self) -> str:
        with self.store.write() as session:
            return self.store.people.add(session)


def post_of(rig: Rig) -> Post:
    store = rig.open(rig.settings())
    with store.write() as session:
        person = store.people.add(session)
    return Post(rig, store, person)


@pytest.fixture
def post(sqlite_rig: Rig) -> Post:
    return post_of(sqlite_rig)


def refusal(code: str, *, is_final: bool) -> Callable[[Message], None]:
    def fails(_message: Message) -> None:
        raise NotTaken(code, is_final=is_final)

    return fails


# ---------------------------------------------------------------- the outbox


def test_notice_is_gone_where_what_it_is_about_was_rolled_back(post: Post) -> None:
    def change_that_fails() -> None:
        with post.store.write() as session:
            put(post.store, session, URGENT, post.person, [PHONE], post.rig.clock_ms)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_that_fails()
    assert post.rows() == []


async def test_notice_by_each_channel_is_delivered_once_in_both_languages_and_its_address_forgotten(rig: Rig) -> None:
    post = post_of(rig)
    assert post.put(URGENT, PHONE, MAIL, PHONE, "") == 2
    provider = Recording()
    courier = post.courier(provider)
    assert [await courier.deliver(), await courier.deliver()] == [2, 0]
    assert {(one.way, one.channel) for one in provider.taken} == {(Way.PHONE, PHONE), (Way.MAIL, MAIL)}
    assert all("Your registration was stopped" in one.text and "您的登记已暂停" in one.text for one in provider.taken)
    assert {(row.state, row.provider, row.channel, row.words) for row in post.rows()} == {("sent", "test", None, None)}


async def test_notice_in_a_language_that_the_person_reads_is_in_that_one_alone(post: Post) -> None:
    with post.store.write() as session:
        put(post.store, session, URGENT, post.person, [PHONE], post.rig.clock_ms, language="en-GB")
    provider = Recording()
    await post.courier(provider).deliver()
    assert provider.taken[0].subject == "Your registration is suspended"
    assert provider.taken[0].text.isascii()


async def test_notice_that_is_not_due_yet_waits_until_it_is(post: Post) -> None:
    post.put(CALM, due_ms=post.rig.clock_ms + 1_000)
    courier = post.courier(Recording())
    assert await courier.deliver() == 0
    post.rig.clock_ms += 1_000
    assert await courier.deliver() == 1


async def test_gateway_that_is_away_is_asked_again_later_under_the_same_id_and_given_up_at_last(post: Post) -> None:
    post.put()
    seen: list[str] = []

    def away(message: Message) -> None:
        seen.append(message.id)
        raise NotTaken("test.away", is_final=False)

    courier = post.courier(Recording(fails=away))
    for wait_ms in WAITS_MS:
        assert await courier.deliver() == 1
        post.rig.clock_ms += wait_ms - 1
        assert await courier.deliver() == 0, "not before its time"
        post.rig.clock_ms += 1
        assert post.states() == ["waiting"]
    assert await courier.deliver() == 1
    assert (post.states(), len(seen), len(set(seen))) == (["failed"], TRIES_MAX, 1)
    assert (post.rows()[0].code, post.rows()[0].channel) == ("test.away", None)


async def test_refusal_for_good_is_not_tried_again(post: Post) -> None:
    post.put()
    courier = post.courier(Recording(fails=refusal("test.unknown", is_final=True)))
    assert await courier.deliver() == 1
    post.rig.clock_ms += 30 * DAY_MS
    assert (await courier.deliver(), post.states()) == (0, ["failed"])


async def test_process_that_dies_while_it_sends_leaves_a_notice_that_another_sends_after_the_lease(post: Post) -> None:
    post.put()
    reached = asyncio.Event()

    class Dying(Recording):
        async def send(self, message: Message) -> None:
            self.taken.append(message)
            reached.set()
            await asyncio.sleep(60)

    dying, other = Dying(), Recording()
    task = asyncio.create_task(post.courier(dying).deliver())
    await reached.wait()
    assert await post.courier(other).deliver() == 0, "two processes never try the same notice at once"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    post.rig.clock_ms += LEASE_MS
    assert await post.courier(other).deliver() == 1
    assert other.taken[0].id == dying.taken[0].id
    assert post.states() == ["sent"]


def test_claim_that_outlived_its_lease_settles_nothing(post: Post) -> None:
    post.put()
    rates = outbox.Rates(10, 10)
    claims = []
    for _ in range(2):
        with post.store.write() as session:
            claims += outbox.claim(post.store, session, frozenset(Way), rates, post.rig.clock_ms)
        post.rig.clock_ms += LEASE_MS
    with post.store.write() as session:
        outbox.settle(session, claims[0], "late", "test.away", post.rig.clock_ms, is_final=True)
    assert post.states() == ["waiting"]


async def test_notice_whose_every_try_broke_off_is_given_up(post: Post) -> None:
    post.put()
    for _ in range(TRIES_MAX):
        with post.store.write() as session:
            assert outbox.claim(post.store, session, frozenset(Way), outbox.Rates(10, 10), post.rig.clock_ms)
        post.rig.clock_ms += LEASE_MS
    assert await post.courier(Recording()).deliver() == 0
    assert [(row.state, row.code) for row in post.rows()] == [("failed", outbox.OUT_OF_TRIES)]


async def test_channel_that_nobody_serves_waits_and_goes_out_once_somebody_does(post: Post) -> None:
    post.put(URGENT, PHONE, MAIL)
    mail = Recording(frozenset({Way.MAIL}))
    assert await post.courier(mail).deliver() == 1
    waiting = next(row for row in post.rows() if row.way == "phone")
    assert (waiting.state, waiting.code, waiting.tries) == ("waiting", outbox.NO_PROVIDER, 0)
    post.rig.clock_ms += outbox.NOBODY_MS
    assert await post.courier(Recording()).deliver() == 1


async def test_person_gets_so_many_a_day_and_what_is_urgent_is_not_held_up_by_what_can_wait(post: Post) -> None:
    post.settings = NoticeSettings(ordinary_per_day=3, urgent_per_day=5)
    other = post.someone()
    for _ in range(10):
        post.put(CALM)
    post.put(CALM, person=other)
    provider = Recording()
    courier = post.courier(provider)
    await courier.deliver()
    assert len(provider.taken) == 4, "three of one person, and the other's"
    assert {row.code for row in post.rows() if row.state == "waiting"} == {outbox.RATE}
    post.put(URGENT)
    await courier.deliver()
    assert provider.taken[-1].kind == URGENT.name
    post.rig.clock_ms += DAY_MS + 1
    await courier.deliver()
    assert len(provider.taken) == 8


async def test_thief_who_makes_urgent_notices_of_one_kind_delays_none_of_another(post: Post) -> None:
    post.settings = NoticeSettings(urgent_per_day=3)
    for _ in range(20):
        post.put(FLOOD)
    provider = Recording()
    courier = post.courier(provider)
    while await courier.deliver():
        pass
    assert len(provider.taken) == 3
    post.put(URGENT)
    await courier.deliver()
    assert provider.taken[-1].kind == URGENT.name


async def test_text_messages_to_a_gateway_that_hangs_hold_up_no_mail(post: Post) -> None:
    for _ in range(3 * CLAIMED_MAX):
        post.put(URGENT, person=post.someone())
    post.put(CALM, MAIL)

    came = asyncio.Event()

    class Hanging(Recording):
        async def send(self, message: Message) -> None:
            self.taken.append(message)
            await asyncio.Event().wait()

    mail, hanging = Recording(frozenset({Way.MAIL}), fails=lambda _: came.set()), Hanging(frozenset({Way.PHONE}))
    first = asyncio.create_task(post.courier(mail, hanging).deliver())
    async with asyncio.timeout(60):
        await came.wait()
    assert len(hanging.taken) <= CLAIMED_MAX
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_kind_of_once_a_day_is_put_once_a_day(post: Post) -> None:
    assert [post.put(DAILY) for _ in range(3)] == [1, 0, 0]
    post.rig.clock_ms += DAY_MS
    assert post.put(DAILY) == 1


def test_flood_of_notices_to_one_person_is_cut_and_leaves_others_alone(post: Post) -> None:
    assert sum(post.put(CALM) for _ in range(WAITING_MAX + 20)) == WAITING_MAX
    assert post.put(URGENT) == 1
    assert sum(post.put(FLOOD) for _ in range(WAITING_MAX + 20)) == WAITING_MAX
    assert post.put(URGENT) == 1, "a flood of one urgent kind silences no other"
    assert post.put(CALM, person=post.someone()) == 1


async def test_round_takes_a_bounded_number_and_urgent_ones_first(post: Post) -> None:
    for _ in range(CLAIMED_MAX):
        post.put(CALM, person=post.someone())
    post.put(URGENT)
    provider = Recording()
    assert await post.courier(provider).deliver() == CLAIMED_MAX
    assert URGENT.name in {one.kind for one in provider.taken}


async def test_row_that_was_changed_fails_alone(post: Post) -> None:
    post.put()
    post.put()
    with post.store.write() as session:
        first = outbox.told(session, post.person)[0]
        first.channel = (first.channel or b"")[:-1] + bytes([(first.channel or b"")[-1] ^ 1])
        session.add(first)
    provider = Recording()
    assert await post.courier(provider).deliver() == 1
    assert sorted(post.states()) == ["failed", "sent"]


async def test_provider_with_a_defect_stops_nobody_elses_notices(post: Post) -> None:
    post.put(URGENT, PHONE, MAIL)

    def broken(message: Message) -> None:
        raise ValueError(message.channel)

    mail = Recording(frozenset({Way.MAIL}))
    assert await post.courier(mail, Recording(frozenset({Way.PHONE}), "broken", fails=broken)).deliver() == 2
    assert {(row.way, row.state, row.code) for row in post.rows()} == {
        ("mail", "sent", ""),
        ("phone", "waiting", "broken.broke"),
    }


async def test_erased_person_is_told_nothing_more(post: Post) -> None:
    post.put()
    post.store.erase(post.person)
    provider = Recording()
    assert await post.courier(provider).deliver() == 0
    with pytest.raises(PersonErased):
        post.put()


async def test_what_was_settled_long_ago_is_forgotten_and_what_waits_is_not(post: Post) -> None:
    post.put()
    await post.courier(Recording()).deliver()
    post.rig.clock_ms += 366 * DAY_MS
    post.put()
    await post.courier(Recording(fails=refusal("test.away", is_final=False))).deliver()
    assert post.states() == ["waiting"]


async def test_metrics_tell_what_waits_what_failed_and_for_how_long(post: Post) -> None:
    registry = CollectorRegistry()
    post.put(URGENT, PHONE)
    post.put(URGENT, MAIL)
    refusing = Recording(frozenset({Way.PHONE}), "sms", fails=refusal("sms.unknown", is_final=True))
    courier = Courier(post.store, [refusing], post.settings, post.rig.now, registry)
    post.rig.clock_ms += 20_000
    await courier.deliver()
    text = generate_latest(registry).decode()
    assert 'zhixin_notices_total{outcome="failed",provider="sms"} 1.0' in text
    assert 'zhixin_notices_held{state="failed"} 1.0' in text
    assert 'zhixin_notices_held{state="waiting"} 1.0' in text
    assert "zhixin_notices_oldest_seconds 20.0" in text, "put off for want of a provider, and as old as it is"


async def test_logs_hold_no_address_text_or_person(
    post: Post, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(message: Message) -> None:
        raise ValueError(message.channel, message.text)

    with caplog.at_level(logging.DEBUG):
        for fails in (broken, refusal("test.away", is_final=False), refusal("test.no", is_final=True)):
            post.put(URGENT, PHONE, MAIL)
            await post.courier(Recording(fails=fails)).deliver()
            post.rig.clock_ms += WAITS_MS[0]
    said = caplog.text + "".join(capsys.readouterr())
    assert "not-taken" in said
    assert not [word for word in (PHONE, MAIL, post.person, "suspended", "暂停") if word in said]


# ---------------------------------------------------------------- SMTP


@dataclass
class MailSink:
    """A mail server of a few lines: speaks SMTP, takes mail, answers as it is told."""

    taken: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers: Mapping[str, str] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line.partition(" ")[0].upper()
            answer = self.answers.get(
                verb, "354 go on" if verb == "DATA" else "221 bye" if verb == "QUIT" else "250 ok"
            )
            if verb == "RCPT":
                self.recipients.append(line)
            writer.write(answer.encode() + b"\r\n")
            if verb == "QUIT":
                break
            if verb == "DATA" and answer.startswith("354"):
                raw = (await reader.readuntil(b"\r\n.\r\n"))[:-3]
                found = message_from_bytes(raw, policy=policy.default)
                assert isinstance(found, EmailMessage)
                self.taken.append(found)
                writer.write(self.answers.get(".", "250 taken").encode() + b"\r\n")
        writer.close()


@asynccontextmanager
async def mail_server(**answers: str) -> AsyncIterator[tuple[MailSink, SmtpProvider]]:
    sink = MailSink(answers=answers)
    async with await asyncio.start_server(sink.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield sink, SmtpProvider(MailServer("127.0.0.1", port, "none", "notices@example.org"))


async def test_mail_server_gets_the_notice_as_a_mail_in_both_languages(post: Post) -> None:
    post.put(URGENT, MAIL)
    async with mail_server() as (sink, provider):
        await post.courier(provider).deliver()
    assert post.states() == ["sent"]
    (mail,) = sink.taken
    assert (mail["From"], mail["To"]) == ("notices@example.org", MAIL)
    assert mail["Subject"] == "您的登记已暂停 / Your registration is suspended"
    assert mail["Message-ID"] == f"<{post.rows()[0].id}@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "只有本人到场才能恢复" in mail.get_content()


@pytest.mark.parametrize(
    ("answers", "state", "code"),
    [
        ({"RCPT": "550 no such user"}, "failed", "smtp.550"),
        ({"RCPT": "450 try later"}, "waiting", "smtp.450"),
        ({"MAIL": "530 log in first"}, "waiting", "smtp.530"),
        ({".": "554 we do not want it"}, "failed", "smtp.554"),
        ({".": "451 disk full"}, "waiting", "smtp.451"),
    ],
)
async def test_mail_servers_answer_decides_whether_it_is_tried_again(
    post: Post, answers: dict[str, str], state: str, code: str
) -> None:
    post.put(URGENT, MAIL)
    async with mail_server(**answers) as (_, provider):
        await post.courier(provider).deliver()
    assert [(row.state, row.code) for row in post.rows()] == [(state, code)]


async def test_mail_server_that_is_away_or_has_no_tls_leaves_the_notice_waiting_and_nothing_in_the_clear(
    post: Post,
) -> None:
    post.put(URGENT, MAIL)
    async with mail_server() as (sink, provider):
        server = provider._server
    await post.courier(provider).deliver()
    assert post.rows()[0].code == "smtp.unreachable"
    post.rig.clock_ms += WAITS_MS[0]
    async with mail_server() as (sink, provider):
        port = provider._server.port
        await post.courier(SmtpProvider(MailServer(server.host, port, "starttls", server.sender))).deliver()
    assert (post.states(), sink.recipients) == (["waiting"], [])


@pytest.mark.parametrize(
    "address", ["a@b@example.org", "a b@example.org", "x@example.org\r\nBcc: all@example.org", '"q"@example.org', "x@"]
)
async def test_address_that_would_write_a_header_reaches_no_mail_server(post: Post, address: str) -> None:
    assert not is_address(address)
    post.put(URGENT, address)
    async with mail_server() as (sink, provider):
        await post.courier(provider).deliver()
    assert [row.code for row in post.rows()] == ["smtp.no-address"]
    assert sink.recipients == []


# ---------------------------------------------------------------- webhook


@dataclass
class Gateway:
    """A gateway of text messages of a few lines: speaks HTTP, checks nothing, remembers everything."""

    answer: str = "202 Accepted"
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
        self.headers.append(found)
        self.bodies.append(await reader.readexactly(int(found["content-length"])))
        writer.write(f"HTTP/1.1 {self.answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def gateway(answer: str = "202 Accepted") -> AsyncIterator[tuple[Gateway, WebhookProvider]]:
    found = Gateway(answer)
    async with await asyncio.start_server(found.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider = WebhookProvider(f"http://127.0.0.1:{port}/sms", parse_key(KEY), now_s=lambda: 1_763_800_000)
        yield found, provider
        await provider.close()


async def test_gateway_gets_the_notice_signed_so_that_it_can_check_who_sent_it(post: Post) -> None:
    post.put()
    async with gateway() as (found, provider):
        await post.courier(provider).deliver()
    assert post.states() == ["sent"]
    (headers,), (body,) = found.headers, found.bodies
    content = json.loads(body)
    assert (content["id"], content["to"], content["kind"]) == (headers["webhook-id"], PHONE, URGENT.name)
    assert "暂停" in content["text"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(bytes(range(32)), signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("422 Unprocessable", "failed"),
        ("410 Gone", "failed"),
        ("401 Unauthorized", "waiting"),
        ("307 Temporary Redirect", "waiting"),
        ("503 Unavailable", "waiting"),
    ],
)
async def test_gateways_answer_decides_whether_it_is_tried_again(post: Post, answer: str, state: str) -> None:
    post.put()
    async with gateway(answer) as (found, provider):
        await post.courier(provider).deliver()
    assert [(row.state, row.code) for row in post.rows()] == [(state, f"webhook.{answer[:3]}")]
    assert len(found.bodies) == 1


async def test_gateway_that_is_away_leaves_the_notice_waiting(post: Post) -> None:
    post.put()
    async with gateway() as (_, provider):
        url = provider._url
    gone = WebhookProvider(url, parse_key(KEY))
    await post.courier(gone).deliver()
    await gone.close()
    assert post.rows()[0].code == "webhook.unreachable"


async def test_gateway_that_answers_byte_by_byte_holds_a_try_no_longer_than_one_that_is_silent(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.put()
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.3)

    ended = asyncio.Event()

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        ended.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        provider = WebhookProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/sms", parse_key(KEY))
        async with asyncio.timeout(60):
            await post.courier(provider).deliver()
            await provider.close()
            await ended.wait()
    assert [(row.state, row.code) for row in post.rows()] == [("waiting", "webhook.timeout")]


# ---------------------------------------------------------------- folder and settings


async def test_folder_for_development_holds_what_is_said_and_not_to_whom(post: Post, tmp_path: Path) -> None:
    post.put(URGENT, PHONE, MAIL)
    (provider,) = providers_of(NoticeSettings(folder=str(tmp_path / "told")))
    await post.courier(provider).deliver()
    written = [path.read_text() for path in (tmp_path / "told").iterdir()]
    assert len(written) == 2
    assert all("您的登记已暂停" in text for text in written)
    assert not [text for text in written if PHONE in text or MAIL in text or post.person in text]


def secret(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"smtp": "mail.example.org:25", "smtp_security": "none"}, "in the clear"),
        ({"smtp": "mail.example.org"}, "host:port"),
        ({"smtp": "mail.example.org:587", "smtp_security": "ssl"}, "starttls, tls or none"),
        ({"smtp": "mail.example.org:587", "smtp_from": "Notices <n@example.org>"}, "smtp_from"),
        ({"webhook": "http://sms.example.org/send"}, "https://"),
        ({"webhook": "https://user@sms.example.org/send"}, "no user"),
        ({"webhook": "https://sms.example.org/send", "webhook_key_file": "/nowhere"}, "webhook_key_file"),
        ({"ca_file": "/nowhere", "folder": "told"}, "ca_file"),
    ],
)
def test_settings_nobody_can_send_by_are_refused_with_what_to_do(changes: dict[str, str], said: str) -> None:
    settings = NoticeSettings(**({"smtp_from": "notices@example.org"} | changes))  # type: ignore[arg-type]  # texts alone
    with pytest.raises(ConfigError, match=said):
        providers_of(settings)


def test_key_of_the_webhook_is_taken_from_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    def built(file: str) -> list[Provider]:
        return providers_of(NoticeSettings(webhook="https://sms.example.org/send", webhook_key_file=file))

    assert [one.name for one in built(secret(tmp_path, KEY + "\n"))] == ["webhook"]
    for text, mode, said in ((KEY, 0o644, "open to others"), ("secret", 0o600, "whsec_"), ("", 0o600, "one line")):
        with pytest.raises(ConfigError, match=said):
            built(secret(tmp_path, text, mode))


def test_settings_without_a_gateway_have_no_provider() -> None:
    assert providers_of(NoticeSettings()) == []


def test_each_state_is_told_of(post: Post) -> None:
    post.put()
    with post.store.read() as session:
        assert outbox.counts(session) == {NoticeState.WAITING: 1, NoticeState.SENT: 0, NoticeState.FAILED: 0}
