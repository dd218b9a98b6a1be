# SPDX-License-Identifier: Apache-2.0
"""Independent programs judge our emulated card through a real pcscd: yubico-piv-tool, OpenSC's tools, OpenSSL.

They know nothing of us. What they accept here is the protocol; that a real card does the same is its maker's affair.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDH, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from identity.cards import pcsc
from identity.cards.emulator import EMULATED_ATR, EmulatedCard
from identity.cards.making import PersonalisedCard, Work
from identity.cards.objects import Slot
from identity.cards.personalise import personalise, void
from identity.cards.profile import point
from tests.cards.authority_rig import NOW_S, Keys, new_authority
from tests.cards.making_rig import EXPIRES, Notes, make, master
from tests.cards.reader_rig import Reader, missing, shared_reader

NEEDED = {
    "/usr/bin/yubico-piv-tool": "yubico-piv-tool",
    "/usr/bin/pkcs15-tool": "opensc",
    "/usr/bin/pkcs11-tool": "opensc",
    "/usr/bin/openssl": "openssl",
}
SECONDS_MAX = 20
"""Of one program; each takes some hundredths of a second."""
IDENTIFIERS = {Slot.AUTHENTICATE: "01", Slot.SIGN: "02", Slot.KEY_MANAGEMENT: "03", Slot.CARD: "04"}
"""OpenSC's names of the slots."""
MESSAGE = "我确认收到本卡。\n".encode()


@pytest.fixture(scope="module")
def keys() -> Keys:
    return new_authority()


@pytest.fixture(scope="module")
def reader() -> Reader:
    absent = missing(NEEDED)
    assert not absent, f"these tests need Debian's {', '.join(absent)}: run make setup-debian"
    return shared_reader()


@pytest.fixture(scope="module")
def module() -> str:
    found = next(Path("/usr/lib").glob("*/opensc-pkcs11.so"), None)
    assert found is not None, "these tests need Debian's opensc-pkcs11: run make setup-debian"
    return str(found)


class Judge:
    """A personalised card in the reader, and programs that look at it."""

    def __init__(self, made: PersonalisedCard, environment: dict[str, str], folder: Path) -> None:
        self.made = made
        self.folder = folder
        atr = ":".join(f"{byte:02X}" for byte in EMULATED_ATR)
        settings = f'app default {{ card_atr {atr} {{ driver = "PIV-II"; type = 14002; }} }}'
        (folder / "opensc.conf").write_text(settings)
        self.environment = os.environ | environment | {"OPENSC_CONF": str(folder / "opensc.conf"), "LC_ALL": "C"}

    def ask(self, *command: str, given: bytes = b"", code: int = 0) -> str:
        ended = subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            input=given,
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        said = (ended.stdout + ended.stderr).decode()
        assert ended.returncode == code, said
        return said

    def yubico(self, *arguments: str, given: bytes = b"", code: int = 0) -> str:
        return self.ask("yubico-piv-tool", "-r", "Virtual PCD", *arguments, given=given, code=code)

    def pem(self, slot: Slot) -> bytes:
        return x509.load_der_x509_certificate(self.made.certificates[slot]).public_bytes(Encoding.PEM)


@pytest.fixture
def card() -> EmulatedCard:
    return EmulatedCard()


@pytest.fixture
def judge(card: EmulatedCard, keys: Keys, reader: Reader, tmp_path: Path) -> Iterator[Judge]:
    made = make(card, keys)
    with reader.inserted(card):
        yield Judge(made, reader.environment, tmp_path)


def test_yubico_piv_tool_reads_status_identifier_and_all_certificates(judge: Judge) -> None:
    said = judge.yubico("-a", "status")
    assert judge.made.guid.hex() in said
    assert "PIN tries left:\t3" in said
    assert said.count("Algorithm:\tECCP256") == 4
    assert said.count("OU=Emulated card, for tests only") == 4


def test_yubico_piv_tool_verifies_and_changes_the_pin(judge: Judge) -> None:
    assert "2 tries left" in judge.yubico("-a", "verify-pin", "-P", "000000", code=1)
    assert "Successfully verified PIN" in judge.yubico("-a", "verify-pin", "-P", judge.made.pin)
    judge.yubico("-a", "change-pin", "-P", judge.made.pin, "-N", "246813")
    assert "Successfully verified PIN" in judge.yubico("-a", "verify-pin", "-P", "246813")
    for _ in range(3):
        judge.yubico("-a", "verify-pin", "-P", "000000", code=1)
    assert "blocked" in judge.yubico("-a", "verify-pin", "-P", "246813", code=1)
    judge.yubico("-a", "unblock-pin", "-P", judge.made.puk, "-N", "975310")
    assert "Successfully verified PIN" in judge.yubico("-a", "verify-pin", "-P", "975310")


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATE, Slot.SIGN, Slot.CARD])
def test_yubico_piv_tool_has_a_signature_made_and_verifies_it(judge: Judge, slot: Slot) -> None:
    pin = ("-a", "verify-pin", "-P", judge.made.pin)
    said = judge.yubico(*pin, "-a", "test-signature", "-s", f"{slot:02x}", given=judge.pem(slot))
    assert "Successful ECDSA verification" in said


def test_yubico_piv_tool_agrees_on_a_secret_with_the_card(judge: Judge) -> None:
    pin = ("-a", "verify-pin", "-P", judge.made.pin)
    said = judge.yubico(*pin, "-a", "test-decipher", "-s", "9d", given=judge.pem(Slot.KEY_MANAGEMENT))
    assert "Successfully performed ECDH exchange" in said


@pytest.mark.parametrize("slot", Slot)
def test_pkcs15_tool_reads_each_certificate_byte_for_byte(judge: Judge, slot: Slot) -> None:
    judge.ask("pkcs15-tool", "--read-certificate", IDENTIFIERS[slot], "-o", "read.pem")
    assert (
        x509.load_pem_x509_certificate((judge.folder / "read.pem").read_bytes()).public_bytes(Encoding.DER)
        == judge.made.certificates[slot]
    )


def test_pkcs15_tool_lists_the_keys_with_what_each_is_for(judge: Judge) -> None:
    said = judge.ask("pkcs15-tool", "--list-keys", "--list-pins")
    for line in ("[0x04], sign", "[0x204], sign, nonRepudiation", "[0x100], derive", "PIN [PIN]"):
        assert line in said


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATE, Slot.SIGN])
def test_pkcs11_tool_signs_and_openssl_verifies(judge: Judge, module: str, slot: Slot) -> None:
    (judge.folder / "message").write_bytes(MESSAGE)
    judge.ask(
        *("pkcs11-tool", "--module", module, "--login", "--pin", judge.made.pin, "--sign", "--id", IDENTIFIERS[slot]),
        *("-m", "ECDSA-SHA256", "--signature-format", "openssl", "-i", "message", "-o", "signature"),
    )
    (judge.folder / "card.pem").write_bytes(judge.pem(slot))
    judge.ask("openssl", "x509", "-in", "card.pem", "-pubkey", "-noout", "-out", "key.pem")
    verify = ("openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "message")
    assert "Verified OK" in judge.ask(*verify)
    (judge.folder / "message").write_bytes(MESSAGE + b"!")
    assert "Verification failure" in judge.ask(*verify, code=1)


def test_pkcs11_tool_signs_nothing_with_a_wrong_pin(judge: Judge, module: str, card: EmulatedCard) -> None:
    (judge.folder / "message").write_bytes(MESSAGE)
    said = judge.ask(
        *("pkcs11-tool", "--module", module, "--login", "--pin", "000000", "--sign", "--id", "02"),
        *("-m", "ECDSA-SHA256", "-i", "message", "-o", "signature"),
        code=1,
    )
    assert "CKR_PIN_INCORRECT" in said
    assert card.state.pin_tries == 2


def test_pkcs11_tool_derives_the_secret_that_the_other_side_has(judge: Judge, module: str) -> None:
    other = generate_private_key(SECP256R1())
    public = other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    (judge.folder / "other.der").write_bytes(public)
    judge.ask(
        *("pkcs11-tool", "--module", module, "--login", "--pin", judge.made.pin, "--derive", "--id", "03"),
        *("-m", "ECDH1-COFACTOR-DERIVE", "-i", "other.der", "-o", "secret"),
    )
    expected = other.exchange(ECDH(), point(judge.made.public_keys[Slot.KEY_MANAGEMENT]))
    assert (judge.folder / "secret").read_bytes() == expected


def test_card_is_personalised_and_voided_through_the_reader(keys: Keys, reader: Reader) -> None:
    card, journal = EmulatedCard(), Notes()
    with reader.inserted(card):
        held = pcsc.open_card()
        made = personalise(held, keys.authority, master(), journal, now_s=NOW_S, expires=EXPIRES)
        held.close()
        assert made.emulated
        assert card.state.keys.keys() == set(Slot)
        held = pcsc.open_card()
        assert void(held, master(), journal).reusable
        held.close()
    assert card.state.objects == {}
    assert Work.decode(journal.text, master()).card.guid == made.guid
