# SPDX-License-Identifier: Apache-2.0
"""Cards' certificates, revocation lists and answers about them; OpenSSL is the judge."""

import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from identity.cards import authority as module
from identity.cards.authority import CardAuthority, InvalidCardCertificate, load_certificate
from identity.cards.objects import Slot
from identity.cards.ocsp import Responder
from identity.cards.profile import EMULATED_TEXT, POLICY_CARD, POLICY_EMULATED, Places, make_responder, seconds
from identity.cards.statuses import Ending, Reason, StatusTable
from tests.cards.authority_rig import DAY_S, NOW_S, PLACES, Keys, new_authority, new_signer

GUID = bytes.fromhex("5f0dc9f3a8b24f6d9c1e2a3b4c5d6e7f")
NAME, IMI = "陈小明", "44060419900307663X"


@pytest.fixture(scope="module")
def keys() -> Keys:
    return new_authority()


def a_key() -> bytes:
    return generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def certify(authority: CardAuthority, slot: Slot, *, emulated: bool = True) -> x509.Certificate:
    raw = authority.certify(slot, a_key(), GUID, NOW_S, NOW_S + 1825 * DAY_S, emulated=emulated)
    return x509.load_der_x509_certificate(raw)


def openssl(folder: Path, *arguments: str, check: bool = True) -> str:
    ended = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert not check or ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout + ended.stderr


def write_chain(folder: Path, keys: Keys) -> None:
    (folder / "root.pem").write_bytes(keys.root.public_bytes(Encoding.PEM))
    (folder / "issuing.pem").write_bytes(keys.issuing.public_bytes(Encoding.PEM))


def write_card(folder: Path, certificate: x509.Certificate) -> None:
    (folder / "card.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


@pytest.mark.parametrize("slot", Slot)
def test_certificate_of_each_slot_verifies_up_to_the_root_with_openssl(keys: Keys, slot: Slot, tmp_path: Path) -> None:
    write_chain(tmp_path, keys)
    write_card(tmp_path, certify(keys.authority, slot))
    said = openssl(tmp_path, "verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "card.pem")
    assert said.strip() == "card.pem: OK"


@pytest.mark.parametrize(
    ("slot", "usage", "extended"),
    [
        (Slot.AUTHENTICATE, {"digital_signature"}, "1.3.6.1.5.5.7.3.2"),
        (Slot.SIGN, {"digital_signature", "content_commitment"}, "1.3.6.1.5.5.7.3.36"),
        (Slot.KEY_MANAGEMENT, {"key_agreement"}, "2.25.282134728244531192273119901731145967026.3"),
        (Slot.CARD, {"digital_signature"}, "2.16.840.1.101.3.6.8"),
    ],
)
def test_certificate_allows_what_its_slot_is_for_and_nothing_else(
    keys: Keys, slot: Slot, usage: set[str], extended: str
) -> None:
    certificate = certify(keys.authority, slot)
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    assert found.critical
    assert {name for name in names if getattr(found.value, name)} == usage
    assert not found.value.key_cert_sign
    assert not found.value.crl_sign
    others = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each.dotted_string for each in others] == [extended]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_certificates_of_one_card_share_no_name_and_name_nobody(keys: Keys) -> None:
    found = [certify(keys.authority, slot, emulated=False) for slot in Slot]
    subjects = {certificate.subject.rfc4514_string() for certificate in found}
    assert len(subjects) == 4
    for certificate in found:
        assert [each.oid.dotted_string for each in certificate.subject] == ["2.5.4.3"]
        assert len(str(next(iter(certificate.subject)).value)) == 32
        text = certificate.public_bytes(Encoding.DER)
        assert NAME.encode() not in text
        assert IMI.encode() not in text


def test_guid_stands_in_the_cards_own_certificate_alone(keys: Keys) -> None:
    bearing = [slot for slot in Slot if b"5f0dc9f3-a8b2-" in certify(keys.authority, slot).public_bytes(Encoding.DER)]
    assert bearing == [Slot.CARD]


def test_certificate_of_an_emulated_card_says_so_in_policy_text_and_name(keys: Keys, tmp_path: Path) -> None:
    certificate = certify(keys.authority, Slot.SIGN)
    policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert [each.policy_identifier for each in policies] == [POLICY_EMULATED]
    assert EMULATED_TEXT in certificate.subject.rfc4514_string().replace("\\", "")
    write_card(tmp_path, certificate)
    assert f"Explicit Text: {EMULATED_TEXT}" in openssl(tmp_path, "x509", "-in", "card.pem", "-noout", "-text")


def test_certificate_of_a_real_card_carries_no_such_mark(keys: Keys) -> None:
    certificate = certify(keys.authority, Slot.SIGN, emulated=False)
    policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert [each.policy_identifier for each in policies] == [POLICY_CARD]
    assert EMULATED_TEXT.encode() not in certificate.public_bytes(Encoding.DER)


def test_authority_in_production_certifies_no_emulated_card() -> None:
    production = new_authority(allows_emulated=False).authority
    certify(production, Slot.SIGN, emulated=False)
    with pytest.raises(InvalidCardCertificate, match="no emulated cards"):
        certify(production, Slot.SIGN)


def test_certificate_fits_a_container(keys: Keys) -> None:
    assert max(len(certify(keys.authority, slot).public_bytes(Encoding.DER)) for slot in Slot) < 1000


@pytest.mark.parametrize(
    ("begin", "end"),
    [(NOW_S - DAY_S, NOW_S), (NOW_S, NOW_S), (NOW_S + DAY_S, NOW_S), (NOW_S, NOW_S + 4000 * DAY_S)],
)
def test_certificate_outside_the_issuing_ones_time_is_refused(keys: Keys, begin: int, end: int) -> None:
    with pytest.raises(InvalidCardCertificate, match="issuing certificate holds from"):
        keys.authority.certify(Slot.SIGN, a_key(), GUID, begin, end, emulated=True)


@pytest.mark.parametrize("key", [b"", bytes(65), b"\x04" + b"\x01" * 64])
def test_certificate_for_something_that_is_no_key_is_refused(keys: Keys, key: bytes) -> None:
    with pytest.raises(InvalidCardCertificate, match="no point"):
        keys.authority.certify(Slot.SIGN, key, GUID, NOW_S, NOW_S + DAY_S, emulated=True)


def test_authority_with_a_key_or_certificate_that_is_not_its_own_is_refused(keys: Keys) -> None:
    with pytest.raises(InvalidCardCertificate, match="not that of the issuing"):
        CardAuthority(keys.issuing, new_signer(), PLACES)
    with pytest.raises(InvalidCardCertificate, match="may not issue"):
        CardAuthority(certify(keys.authority, Slot.SIGN), new_signer(), PLACES)


def test_list_and_places_left_empty_stand_in_no_certificate(keys: Keys) -> None:
    bare = certify(CardAuthority(keys.issuing, keys.issuing_signer, Places(), allows_emulated=True), Slot.SIGN)
    with pytest.raises(x509.ExtensionNotFound):
        bare.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    with pytest.raises(x509.ExtensionNotFound):
        bare.extensions.get_extension_for_class(x509.CRLDistributionPoints)


# Revocation lists -----------------------------------------------------------------------------------------------------


def test_list_revokes_with_openssl_and_its_number_is_the_height(keys: Keys, tmp_path: Path) -> None:
    good, lost, held = (certify(keys.authority, Slot.SIGN) for _ in range(3))
    view = StatusTable(
        77,
        int(time.time()),
        {
            good.serial_number: None,
            lost.serial_number: Ending(Reason.LOST, NOW_S - 5),
            held.serial_number: Ending(Reason.HOLD, NOW_S - 3),
        },
    )
    raw = keys.authority.revocation_list(view)
    write_chain(tmp_path, keys)
    (tmp_path / "cards.crl").write_bytes(x509.load_der_x509_crl(raw).public_bytes(Encoding.PEM))
    arguments = ("verify", "-crl_check", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "-CRLfile", "cards.crl")
    for certificate, said in ((good, "card.pem: OK"), (lost, "certificate revoked"), (held, "certificate revoked")):
        write_card(tmp_path, certificate)
        assert said in openssl(tmp_path, *arguments, "card.pem", check=False)
    text = openssl(tmp_path, "crl", "-in", "cards.crl", "-noout", "-text")
    assert "X509v3 CRL Number: \n                77" in text
    assert "Certificate Hold" in text
    assert "Key Compromise" in text


def test_list_takes_its_times_from_the_view(keys: Keys) -> None:
    view = StatusTable(9, NOW_S - 100 * DAY_S, {5: Ending(Reason.ENDED, NOW_S)})
    found = x509.load_der_x509_crl(keys.authority.revocation_list(view))
    assert found.last_update_utc == seconds(view.time_s)
    assert [entry.revocation_date_utc for entry in found] == [seconds(view.time_s)], "nothing ends after the list"


def test_list_with_too_many_entries_is_refused(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REVOCATION_LIST_ENTRIES_MAX", 2)
    view = StatusTable(9, NOW_S, dict.fromkeys((5, 6, 7), Ending(Reason.LOST, NOW_S)))
    with pytest.raises(InvalidCardCertificate, match="at most 2 entries"):
        keys.authority.revocation_list(view)


# Answers --------------------------------------------------------------------------------------------------------------


def ask(folder: Path, *options: str) -> bytes:
    openssl(folder, "ocsp", "-issuer", "issuing.pem", "-cert", "card.pem", "-reqout", "question.der", *options)
    return (folder / "question.der").read_bytes()


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (None, "card.pem: good"),
        (Ending(Reason.LOST, NOW_S - 9), "Reason: keyCompromise"),
        (Ending(Reason.HOLD, NOW_S - 9), "Reason: certificateHold"),
        (Ending(Reason.REPLACED, NOW_S - 9), "Reason: superseded"),
        (Ending(Reason.ENDED, NOW_S - 9), "Reason: cessationOfOperation"),
    ],
)
def test_answer_is_believed_by_openssl(keys: Keys, ending: Ending | None, said: str, tmp_path: Path) -> None:
    certificate = certify(keys.authority, Slot.SIGN)
    write_chain(tmp_path, keys)
    write_card(tmp_path, certificate)
    view = StatusTable(3, int(time.time()), {certificate.serial_number: ending})
    (tmp_path / "answer.der").write_bytes(keys.responder.answer(ask(tmp_path), view))
    heard = openssl(
        tmp_path,
        *("ocsp", "-issuer", "issuing.pem", "-cert", "card.pem", "-reqin", "question.der", "-respin", "answer.der"),
        *("-CAfile", "root.pem", "-verify_other", "issuing.pem", "-no_nonce"),
    )
    assert "Response verify OK" in heard
    assert "WARNING" not in heard, "the nonce comes back"
    assert said in heard


def test_answer_about_a_certificate_never_issued_is_unknown(keys: Keys, tmp_path: Path) -> None:
    write_chain(tmp_path, keys)
    write_card(tmp_path, certify(keys.authority, Slot.SIGN))
    answer = ocsp.load_der_ocsp_response(keys.responder.answer(ask(tmp_path), StatusTable(3, NOW_S, {})))
    assert answer.certificate_status is ocsp.OCSPCertStatus.UNKNOWN


def test_answer_about_another_issuer_is_refused(keys: Keys, tmp_path: Path) -> None:
    other = new_authority()
    write_chain(tmp_path, other)
    write_card(tmp_path, certify(other.authority, Slot.SIGN))
    answer = ocsp.load_der_ocsp_response(keys.responder.answer(ask(tmp_path), StatusTable(3, NOW_S, {})))
    assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


def test_answer_has_no_time_but_the_views(keys: Keys, tmp_path: Path) -> None:
    certificate = certify(keys.authority, Slot.SIGN)
    write_chain(tmp_path, keys)
    write_card(tmp_path, certificate)
    view = StatusTable(3, NOW_S - DAY_S, {certificate.serial_number: Ending(Reason.LOST, NOW_S)})
    answer = ocsp.load_der_ocsp_response(keys.responder.answer(ask(tmp_path), view))
    assert answer.this_update_utc == seconds(view.time_s) == answer.revocation_time_utc


def request_with(*extensions: x509.ExtensionType, critical: bool = False) -> bytes:
    keys = new_authority()
    builder = ocsp.OCSPRequestBuilder().add_certificate(keys.issuing, keys.root, SHA256())
    for extension in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.build().public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\x30\x00",
        bytes(2000),
        request_with(x509.OCSPNonce(bytes(129))),
        request_with(x509.OCSPNonce(b"")),
        request_with(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), critical=True),
    ],
    ids=["empty", "a bare sequence", "too long", "a long nonce", "an empty nonce", "an unknown critical extension"],
)
def test_question_that_is_none_gets_a_refusal(keys: Keys, request_: bytes) -> None:
    answer = ocsp.load_der_ocsp_response(keys.responder.answer(request_, StatusTable(3, NOW_S, {})))
    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(raw: bytes) -> None:
    answer = RESPONDER.answer(raw, StatusTable(3, NOW_S, {}))
    assert ocsp.load_der_ocsp_response(answer).response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL


@given(st.integers(0, 200), st.integers(0, 255))
def test_question_with_a_byte_changed_gets_an_answer(place: int, value: int) -> None:
    raw = bytearray(QUESTION)
    raw[place % len(raw)] = value
    ocsp.load_der_ocsp_response(RESPONDER.answer(bytes(raw), StatusTable(3, NOW_S, {})))


RESPONDER = new_authority().responder
QUESTION = request_with(x509.OCSPNonce(bytes(16)))


def test_responder_with_a_certificate_that_is_not_for_it_is_refused(keys: Keys) -> None:
    signer = new_signer()
    foreign = new_authority()
    theirs = make_responder(foreign.issuing, foreign.issuing_signer, signer.public_key, seconds(NOW_S))
    with pytest.raises(InvalidCardCertificate, match="not from the issuing key"):
        Responder(keys.issuing, theirs, signer)
    with pytest.raises(InvalidCardCertificate, match="not for answering"):
        Responder(keys.issuing, certify(keys.authority, Slot.SIGN), signer)
    with pytest.raises(InvalidCardCertificate, match="not that of its certificate"):
        Responder(keys.issuing, keys.responder_certificate, signer)


# Files ----------------------------------------------------------------------------------------------------------------


def test_certificate_is_loaded_from_either_form(keys: Keys) -> None:
    for encoding in (Encoding.PEM, Encoding.DER):
        assert load_certificate(keys.root.public_bytes(encoding)) == keys.root


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_are_no_certificate(raw: bytes, as_pem: bool) -> None:
    with pytest.raises(InvalidCardCertificate, match="no certificate"):
        load_certificate(b"-----BEGIN CERTIFICATE-----\n" * as_pem + raw)


def test_certificate_with_a_key_of_another_curve_is_no_cards(keys: Keys) -> None:
    other = generate_private_key(SECP384R1())
    builder = x509.CertificateBuilder().subject_name(keys.root.subject).issuer_name(keys.root.subject)
    builder = builder.public_key(other.public_key()).serial_number(1)
    certificate = builder.not_valid_before(seconds(NOW_S)).not_valid_after(seconds(NOW_S + DAY_S)).sign(other, SHA256())
    with pytest.raises(InvalidCardCertificate, match="none of P-256"):
        module.compressed_key(certificate)
