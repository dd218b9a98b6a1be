# SPDX-License-Identifier: Apache-2.0
"""A report that its holder hands to a reader as one file, which says by itself whose it is, for whom and what for.

It holds the report as the holder's key signed it (`report.show`), the registrar's word for whose log and key that is,
and a receipt that the registrar's key counted. A reader verifies it offline with genesis alone: inclusion and
completeness of the log, the holder's signature over audience, purpose and time, the registrar's over name, log and key.
Nobody is asked for a nonce: whoever has the file can show it on, and it says to whom it was given.

Pure functions of bytes; the browser reads the same (`web/score/shown.ts`).

Source: docs/credit.md, "Shown to a reader".
"""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from chain import p256, receipt
from chain.codec import decode
from chain.ed25519 import verify as verify_ed25519
from chain.errors import InvalidMessage, InvalidReceipt
from chain.genesis import Genesis
from chain.pb import ledger_pb2
from chain.signing import Scheme, Signer, TransactionSigner
from chain.strict_json import Json, canonical, parse
from chain.types import HASH_BYTES, Network
from credit.pb import credit_pb2 as pb
from credit.report import REPORT_BYTES_MAX, VerifiedReport, check_signature, verify
from identity.slots import ShownStates
from membership.state import load_key, load_organisation, organisation_key, signer_key

FORMAT: Final = "zhixin-credit-report/1"
FILE_BYTES_MAX: Final = 2 * REPORT_BYTES_MAX
"""A report in base64, and a few kilobytes."""
STATEMENT_BYTES_MAX: Final = 1_024
NAME_CHARACTERS_MAX: Final = 120
KINDS: Final = ("company", "person")
_STATEMENT: Final = b"zhixin/1/credit-holder\x00"
_FILE_FIELDS: Final = frozenset({"format", "shown", "statement", "signer", "signature", "standing"})
_STATEMENT_FIELDS: Final = frozenset({"log", "holder", "name", "kind"})


@dataclass(frozen=True, slots=True)
class Statement:
    """A registrar's word for whose log it is.

    Attributes:
        log: The log's commitment on the chain.
        holder: The P-256 key that the log is bound to; 33 bytes.
        name: What its holder is called.
        kind: "person" or "company".
    """

    log: bytes
    holder: bytes
    name: str
    kind: str

    def encode(self) -> bytes:
        """As it is signed."""
        return canonical({"log": self.log.hex(), "holder": self.holder.hex(), "name": self.name, "kind": self.kind})

    @classmethod
    def decode(cls, raw: bytes) -> "Statement":
        """Read one.

        Raises:
            InvalidMessage: It is none, or not as `encode` writes it.
        """
        value = parse(raw, size_max=STATEMENT_BYTES_MAX, depth_max=1)
        if not isinstance(value, dict) or value.keys() != _STATEMENT_FIELDS:
            raise InvalidMessage(f"a holder's statement has {', '.join(sorted(_STATEMENT_FIELDS))}")
        log, holder = _hex(value["log"], HASH_BYTES), _hex(value["holder"], p256.PUBLIC_KEY_BYTES)
        name, kind = value["name"], value["kind"]
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX or kind not in KINDS:
            raise InvalidMessage("a holder's statement names a person or a company")
        made = cls(log, holder, name, str(kind))
        if made.encode() != raw:
            raise InvalidMessage("a holder's statement has one encoding")
        return made


@dataclass(frozen=True, slots=True)
class Shown:
    """What a file proves.

    Attributes:
        statement: Whose report it is, by the word of the registrar that keeps the log.
        registrar: The organisation whose word that is.
        audience: To whom its holder gave it.
        purpose: What for.
        at_ms: When its holder signed, by their own clock.
        report: What it says.
    """

    statement: Statement
    registrar: str
    audience: str
    purpose: str
    at_ms: int
    report: VerifiedReport


def signed_statement(statement: Statement, network: Network, signer: TransactionSigner) -> dict[str, Json]:
    """What goes into a file of the registrar's word, signed with a key of its own.

    Args:
        statement: Whose log it is.
        network: Of the ledger.
        signer: The registrar's own key, Ed25519 or P-256.
    """
    raw = statement.encode()
    key = signer.signer
    return {
        "statement": b64encode(raw).decode(),
        "signer": f"{int(key.scheme)}/{key.public_key.hex()}",
        "signature": signer.sign(_STATEMENT + network + raw).hex(),
    }


def standing_keys(signer: Signer, registrar: str) -> list[bytes]:
    """State keys that a file's second receipt proves: the registrar's key, and the registrar."""
    return sorted([signer_key(signer), organisation_key(registrar)])


def make_file(shown: bytes, statement: dict[str, Json], standing: bytes) -> bytes:
    """Put a file together; the holder's browser does the same.

    Args:
        shown: Bytes of `ShownReport`.
        statement: As `signed_statement` made it.
        standing: A receipt of `standing_keys`.
    """
    parts = {"format": FORMAT, "shown": b64encode(shown).decode(), "standing": b64encode(standing).decode()}
    return canonical({**parts, **statement})


def verify_file(raw: bytes, genesis: Genesis, *, age_ms_max: int | None = None, now_ms: int | None = None) -> Shown:
    """Verify a file, all of it.

    Args:
        raw: As its holder gave it.
        genesis: Of the network.
        age_ms_max: The oldest checkpoint that the purpose allows; needs `now_ms`.
        now_ms: The reader's clock.

    Raises:
        LedgerError: It does not prove what it claims, or it is too old.
    """
    fields = _fields(raw)
    message = decode(pb.ShownReport, _base64(fields["shown"]), REPORT_BYTES_MAX + 1_024)
    check_signature(message, genesis.network)
    found = verify(message.report, genesis, age_ms_max=age_ms_max, now_ms=now_ms, allow_withheld=True)
    raw_statement = _base64(fields["statement"])
    statement = Statement.decode(raw_statement)
    if statement.log != found.log or statement.holder != message.holder.public_key:
        raise InvalidReceipt("the registrar's word is for another log or another key", "receipt.holder")
    signer = _signer(fields["signer"])
    signature = _hex(fields["signature"], p256.SIGNATURE_BYTES)
    verify_one = verify_ed25519 if signer.scheme is Scheme.ED25519 else p256.verify
    verify_one(signer.public_key, _STATEMENT + genesis.network + raw_statement, signature)
    registrar = found.record.registrar
    proven = receipt.verify(_base64(fields["standing"]), genesis)
    states = ShownStates(proven)
    key = load_key(states.value, signer)
    organisation = load_organisation(states.value, registrar)
    states.check_all_used()
    if key is None or key.organisation != registrar or not key.is_usable(proven.checkpoint.time_ms):
        raise InvalidReceipt("whoever says whose log it is does not keep it", "receipt.registrar")
    if organisation is None or not organisation.is_active:
        raise InvalidReceipt("the registrar of the log was suspended", "receipt.registrar")
    return Shown(statement, registrar, message.audience, message.purpose, message.at_ms, found)


def _fields(raw: bytes) -> dict[str, str]:
    """The parts of a file.

    Raises:
        InvalidMessage: It is none.
    """
    value = parse(raw, size_max=FILE_BYTES_MAX, depth_max=1)
    if not isinstance(value, dict) or value.keys() != _FILE_FIELDS or value["format"] != FORMAT:
        raise InvalidMessage(f"a shown report is a JSON object of {', '.join(sorted(_FILE_FIELDS))}")
    texts = {name: text for name, text in value.items() if isinstance(text, str)}
    if texts.keys() != _FILE_FIELDS:
        raise InvalidMessage("each part of a shown report is text")
    return texts


def _signer(text: str) -> Signer:
    number, _, digits = text.partition("/")
    sizes = {"1": HASH_BYTES, "2": p256.PUBLIC_KEY_BYTES}
    if number not in sizes:
        raise InvalidMessage("a registrar signs with an Ed25519 or a P-256 key")
    return Signer(Scheme(int(number)), _hex(digits, sizes[number]))


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise InvalidMessage("a part of a shown report is not base64") from None


def _hex(value: Json, size: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * size or value != value.lower():
        raise InvalidMessage(f"a field of a shown report is not {size} bytes in hex")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise InvalidMessage("a field of a shown report is not hex") from None


assert (int(Scheme.ED25519), int(Scheme.P256)) == (ledger_pb2.SCHEME_ED25519, ledger_pb2.SCHEME_P256)
