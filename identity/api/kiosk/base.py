# SPDX-License-Identifier: Apache-2.0
"""What a kiosk's parts know of each other: the holder before it, the office behind it, the ledger, and what is printed.

A kiosk has no right of its own. Its device key says which machine speaks; the holder's card says what the holder wants;
the registrar's office, which knows both, does it. Nothing here is kept once the card is out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from identity.api.kiosk.boxes import Signed
from service.language import Language

OPENING_PREFIX: Final = b"zhixin/kiosk/opening/2\x00"
"""What slot 9A signs begins with this, so that it opens a visit at a kiosk and nothing else."""
PHONE_PREFIX: Final = b"zhixin/kiosk/phone-opening/2\x00"
"""The same for what a phone answers."""
NONCE_BYTES: Final = 40
"""Of an office's nonce: see `challenges`."""
SCAN_S_MAX: Final = 170
"""How long a phone may take to answer: less than the kiosk waits (`session.WAIT_MS_MAX`)."""
BILLS_MAX: Final = 8
WAYS_MAX: Final = 16
"""As many control keys as a registration has on the ledger."""
MANDATES_MAX: Final = 16
"""More companies than one person acts for at a kiosk; the others are the hall's affair."""


class Way(StrEnum):
    """With what somebody signs in."""

    CARD = "card"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class SignIn:
    """One way of signing in that can be stopped.

    Attributes:
        id: For the office; means nothing elsewhere.
        way: Card or phone.
        reference: What the office calls it, such as "K-12AB34CD".
        is_stopped: Whether it is suspended already.
        is_here: Whether it is the card in the reader.
    """

    id: str
    way: Way
    reference: str
    is_stopped: bool
    is_here: bool


@dataclass(frozen=True, slots=True)
class Agency:
    """A company's mandate for the holder, as the office knows it; the ledger has the last word.

    Attributes:
        id: Of the mandate's record on the ledger, hex.
        uscc: The company's code.
        company: Its name.
    """

    id: str
    uscc: str
    company: str


@dataclass(frozen=True, slots=True)
class Bill:
    """Something to be confirmed and paid.

    Attributes:
        reference: The payee's number for it.
        payee: Who gets it.
        purpose: What for.
        amount_fen: In fen.
    """

    reference: str
    payee: str
    purpose: str
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Holder:
    """What the office tells a registered kiosk of whoever has shown their card and its PIN.

    Attributes:
        registration: Id of the record on the ledger, hex.
        registrar: The office's organisation.
        level: Assurance level: low, substantial, high.
        proofed: How the person became known, such as "document-inspected".
        address: As registered; may be empty.
        visit: The office's word that this holder stands at this kiosk, for `Office.paper`; means nothing elsewhere.
        presence: Assurance level of what is done in this visit; see `identity.liveness.presence_level`.
        method: Which method found a living person at the kiosk; "": none did.
        card_fen: What was confirmed with the card alone within a day: it counts towards what the phone confirms.
    """

    name: str
    registration: str
    registrar: str
    level: str
    proofed: str
    address: str
    ways: Sequence[SignIn] = ()
    agencies: Sequence[Agency] = ()
    bills: Sequence[Bill] = ()
    visit: str = ""
    presence: str = ""
    method: str = ""
    card_fen: int = 0


@dataclass(frozen=True, slots=True)
class CardProof:
    """That a card was at this kiosk just now, with its PIN.

    Attributes:
        guid: The card's, 16 bytes.
        time_ms: Unix time in ms.
        nonce: The office's, for this opening alone.
        signature: By slot 9A over `opening_message`; 64 bytes.
        evidence: `liveness.Evidence` for that message, encoded; empty: nobody looked.
    """

    guid: bytes
    time_ms: int
    nonce: bytes
    signature: bytes
    evidence: bytes = b""


@dataclass(frozen=True, slots=True)
class PhoneProof:
    """That somebody answered this kiosk's code with their wallet just now.

    Attributes:
        time_ms: When the kiosk asked, Unix time in ms.
        nonce: The office's, for this opening alone.
        answer: The verifier's signed answer, whose nonce is the digest of `phone_message`.
        evidence: As for a card.
    """

    time_ms: int
    nonce: bytes
    answer: str
    evidence: bytes = b""


def opening_message(device: bytes, time_ms: int, nonce: bytes) -> bytes:
    """What slot 9A signs for a kiosk.

    Args:
        device: The kiosk's public key, 33 bytes.
        time_ms: Unix time in ms.
        nonce: The office's; NONCE_BYTES.
    """
    return OPENING_PREFIX + device + nonce + b"%d" % time_ms


def phone_message(device: bytes, time_ms: int, nonce: bytes) -> bytes:
    """What a phone answers to open a visit, by its digest.

    Args:
        device: The kiosk's public key, 33 bytes.
        time_ms: Unix time in ms.
        nonce: The office's; NONCE_BYTES.
    """
    return PHONE_PREFIX + device + nonce + b"%d" % time_ms


@dataclass(frozen=True, slots=True)
class Filed:
    """That the office has taken a statement and put its digest on the ledger.

    Attributes:
        organisation: Whose anchor it is.
        reference: What the office calls it.
    """

    organisation: str
    reference: str


class OfficeAway(Exception):
    """The office or the ledger does not answer; nothing is known of what was asked. Trying again is safe."""


class OfficeRefused(Exception):
    """The office says no, and would again.

    Attributes:
        code: Stable, such as "kiosk.card-unknown".
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Office(Protocol):
    """The registrar's office, as a kiosk asks it."""

    async def box_key(self) -> bytes:
        """The key to which statements are sealed for the office; 33 bytes.

        Raises:
            OfficeAway: It does not answer.
            OfficeRefused: It does not deal with this kiosk.
        """

    async def challenge(self) -> bytes:
        """A nonce for one opening, which is to be answered at once; NONCE_BYTES.

        Raises:
            OfficeAway: It does not answer.
            OfficeRefused: It does not deal with this kiosk.
        """

    async def open(self, proof: CardProof | PhoneProof) -> Holder:
        """Whose card or phone this is.

        Raises:
            OfficeAway: It does not answer.
            OfficeRefused: The card or the person is not known, or does not count.
        """

    async def file(self, stream: bytes, sealed: str) -> Filed:
        """File a statement; the same once more changes nothing.

        Args:
            stream: The statement's, 16 bytes.
            sealed: `boxes.seal` of the signed statement.

        Raises:
            OfficeAway: It does not answer, or the ledger does not.
            OfficeRefused: The statement is none, or its signer's card does not count.
        """

    async def paper(self, visit: str, stream: bytes, language: Language) -> bytes:
        """A paper with the registrar's seal, as PDF; empty: this office has no seal.

        Args:
            visit: Of the holder who is there.
            stream: Of their statement that was filed, 16 bytes; empty: a certificate of their registration.
            language: Of a certificate; a receipt is in its statement's.

        Raises:
            OfficeAway: It does not answer, or the ledger does not.
            OfficeRefused: The visit is over, or there is nothing of theirs to print.
        """

    async def stop_lost(self, number: str, phone: str) -> int:
        """Stop the cards of whoever has this document number and this telephone number.

        Returns:
            How many cards were stopped.

        Raises:
            OfficeAway: It does not answer.
            OfficeRefused: They fit nobody, or there were too many tries.
        """


@dataclass(frozen=True, slots=True)
class ProvenValue:
    """A state key's value with its proof.

    Attributes:
        value: None: proven absent.
        time_ms: The checkpoint's time.
        height: The checkpoint's.
        receipt: State receipt, which anybody verifies with genesis alone.
    """

    value: bytes | None
    time_ms: int
    height: int
    receipt: bytes


class States(Protocol):
    """Proven reading of the ledger."""

    async def read(self, keys: Sequence[bytes]) -> Mapping[bytes, ProvenValue]:
        """State keys under one checkpoint.

        Raises:
            OfficeAway: No node gives an answer that verifies and is fresh.
        """


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is printed at the end.

    Attributes:
        signed: The statement, and who signed it.
        filed: None: it waits to be sent.
        proof: State receipt of the anchor; empty while it waits.
        time_ms: When it was recorded, by the ledger's time; when it was signed, while it waits.
        place: Where the kiosk stands.
    """

    signed: Signed
    filed: Filed | None
    proof: bytes
    time_ms: int
    place: str


@dataclass(frozen=True, slots=True)
class Attested:
    """What a certificate of attestation says.

    Attributes:
        proof: State receipt of the registration.
        time_ms: As of when, by the ledger's time.
    """

    holder: Holder
    proof: bytes
    time_ms: int
    place: str


class Printer(Protocol):
    """Makes what a holder takes away, as PDF; calls block."""

    def receipt(self, receipt: Receipt) -> bytes:
        """The receipt of a statement."""

    def certificate(self, attested: Attested, language: Language) -> bytes:
        """A certificate of attestation."""


class PhoneState(StrEnum):
    """What became of a question to the holder's phone."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class PhoneQuestion:
    """A confirmation that the holder is asked for on their own phone.

    Attributes:
        id: For `Phones.outcome`.
        link: What the wallet opens; shown as a QR code.
    """

    id: str
    link: str


class Phones(Protocol):
    """Answers of the holder's phone, by way of a verifier. It shows payments and acts by itself, not by the screen."""

    async def ask(self, message: bytes, confirmed: Mapping[str, str] | None) -> PhoneQuestion:
        """Ask for an answer to exactly this.

        Args:
            message: Its digest is the question's nonce.
            confirmed: What the wallet shows and its key signs: a payment, or an act; None: neither.

        Raises:
            OfficeAway: The verifier does not answer.
        """

    async def outcome(self, question_id: str) -> tuple[PhoneState, str]:
        """What became of it; once confirmed, with the verifier's signed answer.

        Raises:
            OfficeAway: The verifier does not answer.
        """


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell the holder: a key of the catalogues, and what fills its places."""

    key: str
    parameters: Mapping[str, object] = field(default_factory=dict)
