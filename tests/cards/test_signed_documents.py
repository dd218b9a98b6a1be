# SPDX-License-Identifier: Apache-2.0
"""Documents signed with a card: which count and why, judged by openssl, too; and how somebody might cheat."""

import asyncio
import io
import re
import subprocess
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import cms, tsp
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID
from fpdf import FPDF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from identity.cards.authority import CardAuthority, InvalidCardCertificate, load_certificate
from identity.cards.card import WrongPin
from identity.cards.emulator import EmulatedCard
from identity.cards.making import PersonalisedCard
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.cards.profile import make_issuing, make_root, seconds, sign
from identity.cards.statuses import Ending, Reason, StatusTable
from identity.cards.verifying import load_chain
from identity.jose import MemorySigner, decompress
from identity.pades import signing
from identity.pades.errors import InvalidDocument, InvalidEvidence, InvalidTimeStamp
from identity.pades.reading import DOCUMENT_BYTES_MAX
from identity.pades.revocation import Evidence, Good, Revoked, Unknown, standing_at
from identity.pades.signing import CardKey, SignedPdf, Statement, sign_pdf
from identity.pades.time_stamps import (
    Stamper,
    TimeStampAuthority,
    TimeStampResponse,
    load_certificates,
    make_certificate,
)
from identity.pades.verifying import Outcome, Report, StepName, Trust, verify_pdf
from tests.cards.authority_rig import NOW_S, PLACES, Keys, new_authority, new_signer
from tests.cards.making_rig import make

SIGNED_S = NOW_S + 7_200
STATEMENT = Statement("Change of address", "Kiosk 7")


@dataclass(frozen=True)
class World:
    """A card, its authority, an authority of time stamps, and a document that was signed with all of them."""

    keys: Keys
    piv: Piv
    made: PersonalisedCard
    stamps: TimeStampAuthority
    trust: Trust
    original: bytes
    signed: SignedPdf

    @property
    def serial(self) -> int:
        return load_certificate(self.made.certificates[Slot.SIGN]).serial_number

    def listed(self, made_s: int, ending: Ending | None = None) -> bytes:
        """A revocation list of a moment."""
        return self.keys.authority.revocation_list(StatusTable(7, made_s, {self.serial: ending}))

    def key(self) -> CardKey:
        return CardKey(self.piv, self.made.pin)


def document(words: str = "I have moved to 12 Renmin Road.") -> bytes:
    made = FPDF()
    made.add_page()
    made.set_font("helvetica", size=12)
    made.cell(text=words)
    return bytes(made.output())


def stamps_at(moment_s: int, signer: MemorySigner | None = None) -> TimeStampAuthority:
    signer = signer or new_signer()
    certificate = make_certificate(signer, "Chancheng District", seconds(NOW_S))
    return TimeStampAuthority(certificate, signer, lambda: moment_s)


@pytest.fixture(scope="module")
def world() -> World:
    keys, card = new_authority(), EmulatedCard()
    made = make(card, keys)
    piv = Piv(card)
    piv.select()
    stamps = stamps_at(SIGNED_S)
    trust = Trust([load_chain(keys.chain_pem)], [stamps.certificate])
    draft = World(keys, piv, made, stamps, trust, document(), None)  # type: ignore[arg-type]  # signed below
    evidence = Evidence([draft.listed(SIGNED_S - 60)])
    signed = asyncio.run(sign_pdf(draft.original, draft.key(), STATEMENT, evidence, stamps, trust))
    return replace(draft, signed=signed)


async def unchecked(
    world: World,
    *,
    evidence: Evidence | None = None,
    stamps: TimeStampAuthority | None = None,
    closing: TimeStampAuthority | None = None,
    key: signing.DocumentKey | None = None,
    between=lambda signed: signed,
) -> bytes:
    """A signed document that nobody verified before it was given out: an attacker's program does not."""
    key = key or world.key()
    stamps = stamps or world.stamps
    chain = world.trust.chains[0]
    signed = between(await signing._signed(world.original, key, STATEMENT, chain, Stamper(stamps)))
    given_out = evidence or Evidence([world.listed(SIGNED_S - 60)])
    return await signing._closed(signed, key.certificate, chain, given_out, Stamper(closing or stamps))


class Software:
    """A signing key in memory, with a certificate of the authority's."""

    def __init__(self, signer: MemorySigner, authority: CardAuthority, slot: Slot = Slot.SIGN) -> None:
        point = decompress(signer.public_key).public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        begin, end = NOW_S, NOW_S + 365 * 86_400
        self.certificate = authority.certify(slot, point, bytes(16), begin, end, emulated=True)
        self._signer = signer

    async def sign(self, digest: bytes) -> bytes:
        return self._signer.sign(digest)


def with_subject(certificate: x509.Certificate, subject: x509.Name, issuer: MemorySigner) -> x509.Certificate:
    """The same certificate under another name."""
    builder = x509.CertificateBuilder(
        certificate.issuer,
        subject,
        certificate.public_key(),
        certificate.serial_number,
        certificate.not_valid_before_utc.replace(tzinfo=None),
        certificate.not_valid_after_utc.replace(tzinfo=None),
        list(certificate.extensions),
    )
    return sign(builder, issuer)


def failure(report: Report) -> tuple[StepName, Outcome, str]:
    assert not report.is_valid
    return report.first_failure.name, report.first_failure.outcome, report.first_failure.code


def test_document_signed_with_a_card_counts_with_every_step_passed(world: World) -> None:
    report = verify_pdf(world.signed.content, world.trust)
    assert [(step.name, step.outcome) for step in report.steps] == [(name, Outcome.PASSED) for name in StepName]
    assert (report.level, report.emulated) == ("B-LTA", True)
    assert report.signed_at == report.closed_at == seconds(SIGNED_S)
    assert report.certificate == world.made.certificates[Slot.SIGN]
    assert report == world.signed.report
    assert world.signed.content.startswith(world.original), "what was there stays as it was"
    assert b"Change of address" in world.signed.content


def test_signature_names_nobody(world: World) -> None:
    subject = load_certificate(world.made.certificates[Slot.SIGN]).subject
    assert b"/Name" not in world.signed.content[len(world.original) :].replace(b"/Names", b"")
    assert re.fullmatch("[0-9a-f]{32}", str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value))


async def test_card_signs_once_and_forgets_the_pin(world: World) -> None:
    class Counting:
        certificate = world.made.certificates[Slot.SIGN]
        digests: list[bytes] = []  # noqa: RUF012 - one test's

        async def sign(self, digest: bytes) -> bytes:
            self.digests.append(digest)
            return await world.key().sign(digest)

    key = Counting()
    evidence = Evidence([world.listed(SIGNED_S - 60)])
    await sign_pdf(world.original, key, STATEMENT, evidence, world.stamps, world.trust)
    assert len(key.digests) == 1
    assert world.piv.pin_tries_left() == 3


async def test_wrong_pin_leaves_no_document(world: World) -> None:
    key = CardKey(world.piv, "000000")
    with pytest.raises(WrongPin):
        await sign_pdf(world.original, key, STATEMENT, Evidence(), world.stamps, world.trust)
    assert world.made.pin not in repr(key)
    world.piv.verify_pin(world.made.pin)
    world.piv.log_out()


# Judges ---------------------------------------------------------------------------------------------------------------


def openssl(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def parts_of(content: bytes) -> list[tuple[bytes, bytes]]:
    """Each signature's CMS and the bytes that it is about."""
    found = []
    for each in re.finditer(rb"/ByteRange \[\s*(\d+) (\d+) (\d+) (\d+)\s*\]", content):
        a, b, c, d = map(int, each.groups())
        raw = bytes.fromhex(content[b + 1 : c - 1].decode())
        found.append((cms.ContentInfo.load(raw).dump(), content[a : a + b] + content[c : c + d]))
    return found


def test_openssl_verifies_the_signature_up_to_the_root(world: World, tmp_path: Path) -> None:
    (signature, about), _ = parts_of(world.signed.content)
    (tmp_path / "signature.der").write_bytes(signature)
    (tmp_path / "about.bin").write_bytes(about)
    (tmp_path / "root.pem").write_bytes(world.keys.root.public_bytes(Encoding.PEM))
    command = (
        "cms -verify -cades -binary -inform DER -in signature.der -content about.bin -CAfile root.pem -purpose any"
    )
    assert "CAdES Verification successful" in openssl(tmp_path, *command.split(), "-purpose", "any", "-out", "out.bin")
    (tmp_path / "about.bin").write_bytes(about.replace(b"Kiosk 7", b"Kiosk 8"))
    with pytest.raises(AssertionError, match=r"digest failure|verification failure"):
        openssl(tmp_path, *command.split(), "-purpose", "any", "-out", "out.bin")


def test_openssl_verifies_the_closing_stamp_and_one_that_it_asked_for(world: World, tmp_path: Path) -> None:
    (tmp_path / "stamps.pem").write_bytes(world.stamps.certificate.public_bytes(Encoding.PEM))
    _, (token, about) = parts_of(world.signed.content)
    (tmp_path / "token.der").write_bytes(token)
    (tmp_path / "about.bin").write_bytes(about)
    verify = ["ts", "-verify", "-data", "about.bin", "-CAfile", "stamps.pem"]
    assert "OK" in openssl(tmp_path, *verify, "-in", "token.der", "-token_in")
    openssl(tmp_path, "ts", "-query", "-data", "about.bin", "-sha512", "-cert", "-out", "question.tsq")
    answer = world.stamps.respond((tmp_path / "question.tsq").read_bytes(), SIGNED_S)
    (tmp_path / "answer.tsr").write_bytes(answer)
    verify = ["ts", "-verify", "-queryfile", "question.tsq", "-CAfile", "stamps.pem"]
    assert "OK" in openssl(tmp_path, *verify, "-in", "answer.tsr")
    assert "critical" in openssl(tmp_path, "x509", "-in", "stamps.pem", "-noout", "-ext", "extendedKeyUsage")


def test_poppler_finds_the_signature_valid(world: World, tmp_path: Path) -> None:
    (tmp_path / "signed.pdf").write_bytes(world.signed.content)
    said = subprocess.run(
        ["pdfsig", "-nocert", "signed.pdf"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "Signature is Valid" in said.stdout
    assert "ETSI.CAdES.detached" in said.stdout


# Attacks on the document ----------------------------------------------------------------------------------------------


def test_byte_changed_after_signing_is_found(world: World) -> None:
    content = world.signed.content.replace(b"Kiosk 7", b"Kiosk 8")
    assert Outcome.PASSED not in {step.outcome for step in verify_pdf(content, world.trust).steps}
    assert failure(verify_pdf(content, world.trust)) == (
        StepName.SIGNATURE,
        Outcome.FAILED,
        "identity.document-altered",
    )


@pytest.mark.parametrize("part", ["page", "text"])
def test_addition_after_signing_that_changes_what_is_shown_is_found(world: World, part: str) -> None:
    writer = IncrementalPdfFileWriter(io.BytesIO(world.signed.content))
    page = writer.root["/Pages"]["/Kids"][0].get_object()
    if part == "page":
        page["/Rotate"] = generic.NumberObject(180)
        writer.update_container(page)
    else:
        added = generic.StreamObject(stream_data=b"BT 100 100 Td (not) Tj ET")
        writer.add_stream_to_page(0, writer.add_object(added))
    out = io.BytesIO()
    writer.write(out)
    assert failure(verify_pdf(out.getvalue(), world.trust)) == (
        StepName.UNALTERED,
        Outcome.FAILED,
        "identity.document-altered",
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_document_with_any_bit_flipped_is_refused_or_does_not_count(world: World, where: float, bit: int) -> None:
    content = bytearray(world.signed.content)
    last = list(re.finditer(rb"/ByteRange \[\s*(\d+) (\d+) (\d+) (\d+)\s*\]", content))[-1]
    place = int(where * int(last[2]))  # beyond is the newest stamp itself, whose padding nothing covers
    content[place] ^= 1 << bit
    try:
        report = verify_pdf(bytes(content), world.trust)
    except InvalidDocument:
        return
    assert not report.is_valid


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_refused_as_no_document(raw: bytes, begins: bool) -> None:
    with pytest.raises(InvalidDocument):
        verify_pdf(b"%PDF-1.7\n" + raw if begins else raw, Trust([], []))


def test_unsigned_too_large_and_encrypted_documents_are_refused(world: World) -> None:
    with pytest.raises(InvalidDocument, match="nobody signed") as refused:
        verify_pdf(world.original, world.trust)
    assert refused.value.code == "identity.document-unsigned"
    with pytest.raises(InvalidDocument, match="at most"):
        verify_pdf(b"%PDF-" + bytes(DOCUMENT_BYTES_MAX), world.trust)
    locked = FPDF()
    locked.add_page()
    locked.set_encryption("owner", "user")
    with pytest.raises(InvalidDocument, match="encrypted"):
        verify_pdf(bytes(locked.output()), world.trust)


async def test_document_that_is_signed_already_is_not_signed_again(world: World) -> None:
    with pytest.raises(InvalidDocument) as refused:
        await sign_pdf(world.signed.content, world.key(), STATEMENT, Evidence(), world.stamps, world.trust)
    assert refused.value.code == "identity.document-signed"


@pytest.mark.parametrize(
    "statement", [Statement("x" * 201), Statement("two\nlines"), Statement(location="y" * 201), Statement(field="a b")]
)
async def test_statement_that_does_not_fit_is_refused_before_the_card_signs(world: World, statement: Statement) -> None:
    with pytest.raises(InvalidDocument):
        await sign_pdf(world.original, world.key(), statement, Evidence(), world.stamps, world.trust)


# Attacks with certificates --------------------------------------------------------------------------------------------


def test_card_of_an_authority_that_is_not_pinned_does_not_count(world: World) -> None:
    foreign = Trust([load_chain(new_authority().chain_pem)], world.trust.time_stamps)
    name, outcome, code = failure(verify_pdf(world.signed.content, foreign))
    assert (name, outcome, code) == (StepName.CERTIFICATE, Outcome.FAILED, "identity.document-certificate")


async def test_authority_that_calls_itself_like_the_pinned_one_does_not_count(world: World) -> None:
    root_signer, issuing_signer, own = new_signer(), new_signer(), new_signer()
    root = make_root(root_signer, "Chancheng District", seconds(NOW_S))
    issuing = make_issuing(root, root_signer, issuing_signer.public_key, seconds(NOW_S), PLACES)
    named_alike = with_subject(issuing, world.keys.issuing.subject, root_signer)
    key = Software(own, CardAuthority(named_alike, issuing_signer, PLACES, allows_emulated=True))
    name, outcome, code = failure(verify_pdf(await unchecked(world, key=key), world.trust))
    assert (name, outcome, code) == (StepName.CERTIFICATE, Outcome.FAILED, "identity.document-certificate")


async def test_key_for_signing_in_signs_no_documents(world: World) -> None:
    key = Software(new_signer(), world.keys.authority, Slot.AUTHENTICATE)
    serial = load_certificate(key.certificate).serial_number
    listed = world.keys.authority.revocation_list(StatusTable(7, SIGNED_S - 60, {serial: None}))
    with pytest.raises(InvalidEvidence, match="certificate") as refused:
        await sign_pdf(world.original, key, STATEMENT, Evidence([listed]), world.stamps, world.trust)
    assert "something else than this slot" in refused.value.reason


async def test_certificate_swapped_for_another_of_the_same_key_is_found(world: World) -> None:
    own = new_signer()

    def with_long_serial() -> Software:
        while True:  # one serial in 128 takes less than 20 bytes, and would not be found as such
            drawn = Software(own, world.keys.authority)
            if load_certificate(drawn.certificate).serial_number.bit_length() > 19 * 8:
                return drawn

    key = other = with_long_serial()
    while other is key or len(other.certificate) != len(key.certificate):
        other = with_long_serial()

    def swap(signed: bytes) -> bytes:
        old, new = (load_certificate(each.certificate).serial_number.to_bytes(20, "big") for each in (key, other))
        ((raw, _),) = parts_of(signed)
        swapped = raw.replace(key.certificate, other.certificate).replace(old, new, 1)  # the second naming is signed
        assert swapped != raw
        at = signed.lower().index(raw.hex().encode())
        return signed[:at] + swapped.hex().encode() + signed[at + 2 * len(raw) :]

    content = await unchecked(world, key=key, between=swap)
    with pytest.raises(InvalidDocument, match="does not match selected signer's certificate"):
        verify_pdf(content, world.trust)


# Revocation -----------------------------------------------------------------------------------------------------------


async def test_card_revoked_before_signing_gets_no_document(world: World) -> None:
    ended = world.listed(SIGNED_S - 60, Ending(Reason.LOST, SIGNED_S - 3_600))
    with pytest.raises(InvalidEvidence, match="revocation"):
        await sign_pdf(world.original, world.key(), STATEMENT, Evidence([ended]), world.stamps, world.trust)


async def test_card_revoked_before_signing_is_found_with_the_authoritys_later_list(world: World) -> None:
    """The list that went into the document was an hour old: the card was reported lost after it."""
    content = (
        await sign_pdf(
            world.original,
            world.key(),
            STATEMENT,
            Evidence([world.listed(SIGNED_S - 3_000)]),
            world.stamps,
            world.trust,
        )
    ).content
    later = Evidence([world.listed(SIGNED_S + 600, Ending(Reason.LOST, SIGNED_S - 600))])
    assert failure(verify_pdf(content, world.trust, later)) == (
        StepName.REVOCATION,
        Outcome.FAILED,
        "identity.document-revoked",
    )


def test_card_revoked_after_signing_leaves_its_stamped_document_valid(world: World) -> None:
    later = Evidence([world.listed(SIGNED_S + 7_200, Ending(Reason.LOST, SIGNED_S + 3_600))])
    report = verify_pdf(world.signed.content, world.trust, later)
    assert report.is_valid
    said = next(step.reason for step in report.steps if step.name is StepName.REVOCATION)
    assert "it ended later" in said


async def test_document_without_revocation_information_is_left_undecided(world: World) -> None:
    content = await unchecked(world, evidence=Evidence([world.listed(SIGNED_S - 90_000)]))
    report = verify_pdf(content, world.trust)
    assert failure(report) == (StepName.REVOCATION, Outcome.UNKNOWN, "identity.document-revocation")
    assert report.outcome is Outcome.UNKNOWN
    assert report.level == ""
    with pytest.raises(InvalidEvidence, match="revocation"):
        await sign_pdf(world.original, world.key(), STATEMENT, Evidence(), world.stamps, world.trust)


async def test_answer_of_the_responder_does_as_well_as_a_list(world: World) -> None:
    certificate = load_certificate(world.made.certificates[Slot.SIGN])
    question = ocsp.OCSPRequestBuilder().add_certificate(certificate, world.keys.issuing, SHA256()).build()
    view = StatusTable(7, SIGNED_S - 60, {world.serial: None})
    answer = world.keys.responder.answer(question.public_bytes(Encoding.DER), view)
    done = await sign_pdf(world.original, world.key(), STATEMENT, Evidence([], [answer]), world.stamps, world.trust)
    assert done.report.level == "B-LTA"
    ended = StatusTable(8, SIGNED_S + 60, {world.serial: Ending(Reason.HOLD, SIGNED_S - 30)})
    later = world.keys.responder.answer(question.public_bytes(Encoding.DER), ended)
    assert not verify_pdf(done.content, world.trust, Evidence([], [later])).is_valid


def test_word_of_another_authority_about_a_certificate_counts_for_nothing(world: World) -> None:
    certificate, moment = load_certificate(world.made.certificates[Slot.SIGN]), seconds(SIGNED_S)
    other = new_authority()
    good = other.authority.revocation_list(StatusTable(7, SIGNED_S - 60, {world.serial: None}))
    question = ocsp.OCSPRequestBuilder().add_certificate(certificate, world.keys.issuing, SHA256()).build()
    forger = other.responder
    forger._issuer = world.keys.responder._issuer
    forged = forger.answer(question.public_bytes(Encoding.DER), StatusTable(7, SIGNED_S - 60, {world.serial: None}))
    for evidence in (Evidence([good]), Evidence([], [forged]), Evidence([b"no list"], [b"no answer"])):
        assert standing_at(evidence, certificate, world.keys.issuing, moment) == Unknown()


def test_evidence_from_long_after_does_not_tell_of_a_suspension_that_ended(world: World) -> None:
    certificate, moment = load_certificate(world.made.certificates[Slot.SIGN]), seconds(SIGNED_S)
    much_later = Evidence([world.listed(SIGNED_S + 90_000)])
    assert standing_at(much_later, certificate, world.keys.issuing, moment) == Unknown()
    soon = Evidence([world.listed(SIGNED_S + 600)])
    assert isinstance(standing_at(soon, certificate, world.keys.issuing, moment), Good)
    held = Evidence([world.listed(SIGNED_S - 60, Ending(Reason.HOLD, SIGNED_S - 120)), world.listed(SIGNED_S + 600)])
    assert standing_at(held, certificate, world.keys.issuing, moment) == Revoked(seconds(SIGNED_S - 120))


# Time stamps ----------------------------------------------------------------------------------------------------------


async def test_time_stamp_of_an_authority_that_is_not_pinned_is_not_believed(world: World) -> None:
    content = await unchecked(world, stamps=stamps_at(SIGNED_S))
    name, outcome, code = failure(verify_pdf(content, world.trust))
    assert (name, outcome, code) == (StepName.TIME, Outcome.FAILED, "identity.document-time-forged")


async def test_time_stamp_forged_under_the_pinned_certificate_is_found(world: World) -> None:
    """The forger shows the real authority's certificate and signs with a key of their own."""
    forger = TimeStampAuthority(world.stamps.certificate, world.stamps._signer, lambda: SIGNED_S - 600)
    forger._signer = new_signer()
    name, outcome, code = failure(verify_pdf(await unchecked(world, stamps=forger), world.trust))
    assert (name, outcome, code) == (StepName.TIME, Outcome.FAILED, "identity.document-time-forged")


async def test_time_stamp_of_another_document_is_found(world: World) -> None:
    class Replaying:
        """Answers each question with what it says about some other bytes."""

        async def answer(self, request: bytes) -> bytes:
            other = signing.Stamper(world.stamps).request_cms(bytes(32), "sha256")[1]
            other["nonce"] = tsp.TimeStampReq.load(request)["nonce"].native
            return await world.stamps.answer(other.dump())

    name, outcome, code = failure(verify_pdf(await unchecked(world, stamps=Replaying()), world.trust))
    assert (name, outcome, code) == (StepName.TIME, Outcome.FAILED, "identity.document-time-forged")


async def test_document_without_a_time_stamp_is_left_undecided_whatever_its_signer_says_of_the_time(
    world: World,
) -> None:
    chain = world.trust.chains[0]
    bare = await signing._signed(world.original, world.key(), STATEMENT, chain, None)  # type: ignore[arg-type]  # none
    report = verify_pdf(bare, world.trust, Evidence([world.listed(SIGNED_S - 60)]))
    assert failure(report) == (StepName.TIME, Outcome.UNKNOWN, "identity.document-time")
    assert report.signed_at is None
    assert [step.outcome for step in report.steps[3:]] == [Outcome.UNKNOWN] * 3


async def test_document_without_a_closing_stamp_counts_as_of_the_lower_level(world: World) -> None:
    bare = await signing._signed(world.original, world.key(), STATEMENT, world.trust.chains[0], Stamper(world.stamps))
    report = verify_pdf(bare, world.trust, Evidence([world.listed(SIGNED_S - 60)]))
    assert (report.is_valid, report.level, report.closed_at) == (True, "B-LT", None)
    assert report.steps[-1].code == "identity.document-open"


async def test_closing_stamp_from_before_the_signature_is_found(world: World) -> None:
    early = TimeStampAuthority(world.stamps.certificate, world.stamps._signer, lambda: SIGNED_S - 600)
    assert failure(verify_pdf(await unchecked(world, closing=early), world.trust))[2] == "identity.document-time-forged"


def test_looking_back_from_before_the_signature_finds_none_and_from_after_the_stamps_key_needs_a_newer(
    world: World,
) -> None:
    before = verify_pdf(world.signed.content, world.trust, at=seconds(SIGNED_S - 1))
    assert failure(before)[0] is StepName.TIME
    assert verify_pdf(world.signed.content, world.trust, at=seconds(SIGNED_S) + timedelta(days=3_000)).is_valid
    after = verify_pdf(world.signed.content, world.trust, at=seconds(SIGNED_S) + timedelta(days=4_000))
    assert failure(after) == (StepName.TIME, Outcome.UNKNOWN, "identity.document-time")


@pytest.mark.parametrize("raw", [b"", b"no request", bytes(600)])
def test_request_that_is_none_is_refused_by_the_authority(world: World, raw: bytes) -> None:
    answer = TimeStampResponse.load(world.stamps.respond(raw, SIGNED_S))
    assert answer["status"]["status"].native == "rejection"
    assert answer["status"]["fail_info"].native == {"bad_data_format"}


async def test_authority_that_answers_nonsense_or_refuses_stops_the_signing(world: World) -> None:
    class Broken:
        def __init__(self, said: bytes) -> None:
            self.said = said

        async def answer(self, request: bytes) -> bytes:
            return self.said

    evidence = Evidence([world.listed(SIGNED_S - 60)])
    with pytest.raises(InvalidTimeStamp):
        await sign_pdf(world.original, world.key(), STATEMENT, evidence, Broken(b"nonsense"), world.trust)
    refusal = world.stamps.respond(b"", SIGNED_S)
    with pytest.raises(ConnectionRefusedError):
        await sign_pdf(world.original, world.key(), STATEMENT, evidence, Broken(refusal), world.trust)


def test_certificate_for_something_else_is_no_authority_of_time_stamps(world: World) -> None:
    with pytest.raises(InvalidTimeStamp):
        load_certificates(world.keys.root.public_bytes(Encoding.PEM))
    with pytest.raises(InvalidTimeStamp):
        load_certificates(b"nothing")
    with pytest.raises(InvalidCardCertificate):
        load_certificates(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
