# SPDX-License-Identifier: Apache-2.0
"""Certificates and receipts on paper, judged by poppler and a reader of QR codes: what a phone reads is the proof."""

import subprocess

import pytest
import zxingcpp
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image
from test_receipt_text import receipt_of_a_large_log

from chain import receipt, receipt_text
from chain.p256 import P256Signer
from identity.api.documents.attestation_pdf import AttestationCertificate, attestation_pdf
from identity.api.documents.receipt_pdf import SignedReceipt, receipt_pdf

CHECK = "https://ledger.example/check"
NOON_MS = 1_795_000_000_000


@pytest.fixture(scope="module")
def proof():
    return receipt_of_a_large_log([P256Signer(ec.derive_private_key(99, ec.SECP256R1()))])


def certificate(raw: bytes) -> AttestationCertificate:
    return AttestationCertificate(
        "欧阳明月", "9f" * 16, "禅城区户政中心", "high", "document-inspected", raw, NOON_MS, "", "city", CHECK
    )


def done(raw: bytes) -> SignedReceipt:
    return SignedReceipt(
        "地址变更", ["新地址：人民路 12 号"], "ab" * 32, "412/3", raw, NOON_MS, "Kiosk 7", "city", CHECK
    )


def text_of(content: bytes) -> str:
    ran = subprocess.run(["pdftotext", "-layout", "-", "-"], input=content, stdout=subprocess.PIPE, check=True)
    return "".join(ran.stdout.decode().split())


def codes_of(content: bytes, folder) -> set[str]:
    (folder / "paper.pdf").write_bytes(content)
    subprocess.run(["pdftoppm", "-png", "-r", "150", "-gray", folder / "paper.pdf", folder / "page"], check=True)
    found: set[str] = set()
    for page in sorted(folder.glob("page-*.png")):
        with Image.open(page) as picture:
            found |= {each.text for each in zxingcpp.read_barcodes(picture)}
    return found


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_certificate_of_attestation_carries_a_proof_that_its_reader_checks_alone(proof, language, tmp_path):
    ledger, raw = proof
    made = attestation_pdf(certificate(raw), language)
    codes = codes_of(made, tmp_path)
    assert CHECK in codes
    (found,) = codes - {CHECK}
    assert receipt.verify(receipt_text.from_compact(found), ledger.genesis).inclusions
    said = text_of(made)
    for word in ("欧阳明月", "9f" * 16, "禅城区户政中心", "城" if language == "zh-CN" else "AssuranceLevel".lower()):
        assert word.lower() in said.lower()
    assert ("电子签名法" if language == "zh-CN" else "ElectronicSignatureLaw") in said, "what it is not stands on it"


def test_receipt_of_a_record_carries_its_proof_and_what_was_signed(proof, tmp_path):
    ledger, raw = proof
    made = receipt_pdf(done(raw), "zh-CN")
    (found,) = codes_of(made, tmp_path) - {CHECK}
    assert receipt.verify(receipt_text.from_compact(found), ledger.genesis).inclusions
    said = text_of(made)
    assert "新地址" in said
    assert "ab" * 32 in said.replace("\n", "")
    assert "尚未记入" not in said


@pytest.mark.parametrize(("language", "words"), [("zh-CN", "尚未记入账本"), ("en", "notrecordedyet")])
def test_receipt_that_waits_for_the_ledger_says_so_and_holds_no_proof(language, words, tmp_path):
    made = receipt_pdf(done(b""), language)
    assert words in text_of(made)
    assert codes_of(made, tmp_path) == set()


def test_certificate_with_a_level_that_there_is_not_is_not_printed(proof):
    with pytest.raises(KeyError):
        attestation_pdf(
            AttestationCertificate("某", "9f", "某", "extreme", "document-chip", proof[1], NOON_MS, "", "c", CHECK),
            "en",
        )
