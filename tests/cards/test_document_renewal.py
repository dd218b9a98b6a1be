# SPDX-License-Identifier: Apache-2.0
"""Newer time stamps over signed documents: what is renewed in time outlives the keys that it began with."""

import asyncio
import io
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from test_signed_documents import SIGNED_S, World, openssl, parts_of
from test_signed_documents import world as signed_world

from identity.cards.profile import seconds
from identity.pades.errors import InvalidEvidence, InvalidTimeStamp
from identity.pades.renewal import Renewed, renew_pdf
from identity.pades.time_stamps import TimeStampAuthority, make_certificate
from identity.pades.verifying import Outcome, Trust, verify_pdf
from tests.cards.authority_rig import new_signer

world = signed_world
"""The fixture of a card, its authorities and a document that was signed with all of them."""
SIGNED = datetime.fromtimestamp(SIGNED_S, UTC)
YEAR = timedelta(days=365)
LATE = SIGNED + 9 * YEAR


def authority_of(moment: datetime) -> TimeStampAuthority:
    """An authority whose key begins with the day of a moment, and whose clock stands there."""
    signer, now_s = new_signer(), moment.timestamp()
    return TimeStampAuthority(make_certificate(signer, "Chancheng", seconds(int(now_s))), signer, lambda: now_s)


def with_trust(world: World, *more: TimeStampAuthority) -> Trust:
    return Trust(world.trust.chains, [*world.trust.time_stamps, *(one.certificate for one in more)])


@pytest.fixture(scope="module")
def second() -> TimeStampAuthority:
    return authority_of(LATE)


@pytest.fixture(scope="module")
def renewed(world: World, second: TimeStampAuthority) -> Renewed:
    trust = with_trust(world, second)
    return asyncio.run(renew_pdf(world.signed.content, second, trust, LATE + timedelta(minutes=1)))


def test_document_that_was_renewed_in_time_counts_beyond_the_key_of_its_first_stamp(world, second, renewed):
    trust, then = with_trust(world, second), SIGNED + 15 * YEAR
    assert renewed.content.startswith(world.signed.content)
    assert renewed.report.level == "B-LTA"
    report = verify_pdf(renewed.content, trust, at=then)
    assert (report.is_valid, report.level) == (True, "B-LTA")
    assert report.signed_at == SIGNED, "the newer stamp says nothing of when it was signed"
    assert report.closed_at == LATE
    assert verify_pdf(world.signed.content, trust, at=then).outcome is Outcome.UNKNOWN
    assert verify_pdf(renewed.content, trust, at=LATE + 11 * YEAR).outcome is Outcome.UNKNOWN


def test_document_is_renewed_again_and_again(world, second, renewed):
    third = authority_of(LATE + 9 * YEAR)
    trust = with_trust(world, second, third)
    again = asyncio.run(renew_pdf(renewed.content, third, trust, LATE + 9 * YEAR + timedelta(minutes=1)))
    assert verify_pdf(again.content, trust, at=LATE + 18 * YEAR).level == "B-LTA"


def test_openssl_verifies_the_newer_stamp(second, renewed, tmp_path):
    token, about = parts_of(renewed.content)[-1]
    (tmp_path / "token.der").write_bytes(token)
    (tmp_path / "about.bin").write_bytes(about)
    (tmp_path / "second.pem").write_bytes(second.certificate.public_bytes(Encoding.PEM))
    moment = ["-attime", str(int(LATE.timestamp()))]
    verify = ["ts", "-verify", "-data", "about.bin", "-CAfile", "second.pem", *moment]
    assert "OK" in openssl(tmp_path, *verify, "-in", "token.der", "-token_in")


async def test_stamp_that_comes_too_late_helps_nothing(world):
    late = authority_of(SIGNED + 11 * YEAR)
    with pytest.raises(InvalidEvidence, match="does not count now"):
        await renew_pdf(world.signed.content, late, with_trust(world, late), SIGNED + 11 * YEAR)


async def test_altered_document_is_not_renewed(world, second):
    content = bytearray(world.signed.content)
    place = content.index(b"/MediaBox")
    content[place + 12] ^= 1
    with pytest.raises(InvalidEvidence, match="does not count now"):
        await renew_pdf(bytes(content), second, with_trust(world, second), LATE)


async def test_authority_that_is_not_pinned_renews_nothing(world, second):
    with pytest.raises(InvalidEvidence, match="does not verify"):
        await renew_pdf(world.signed.content, second, world.trust, LATE + timedelta(minutes=1))


async def test_authority_that_answers_nonsense_or_cannot_be_reached_renews_nothing(world, second):
    class Nonsense:
        async def answer(self, _request: bytes) -> bytes:
            return b"no time stamp"

    class Away:
        async def answer(self, _request: bytes) -> bytes:
            raise ConnectionError("away")

    trust = with_trust(world, second)
    with pytest.raises(InvalidTimeStamp):
        await renew_pdf(world.signed.content, Nonsense(), trust, LATE)
    with pytest.raises(ConnectionError):
        await renew_pdf(world.signed.content, Away(), trust, LATE)


def test_something_added_after_the_newer_stamp_is_found(world, second, renewed):
    writer = IncrementalPdfFileWriter(io.BytesIO(renewed.content))
    writer.root["/Lang"] = generic.pdf_string("en")
    writer.update_root()
    out = io.BytesIO()
    writer.write(out)
    assert not verify_pdf(out.getvalue(), with_trust(world, second)).is_valid
