# SPDX-License-Identifier: Apache-2.0
"""Registering an officer's passkey or card while the governing key stays offline: a request out, an answer back.

A transaction lives for five minutes, which is too short for a walk to a vault. So the request stands for a series of
transactions that differ in expiry and salt alone, one for every two minutes of half a day; the governing key signs all
of them, and the officer later signs the one whose time it is. At most one of them has an effect: a key is
registered once, for good. Whoever signs makes the operation from the request's own fields and never signs bytes that
somebody else made.

Both files are JSON and hold nothing secret or personal.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chain import ed25519, p256, strict_json
from chain.codec import encode, signed_bytes
from chain.errors import InvalidMessage, InvalidSignature
from chain.signing import PUBLIC_KEY_BYTES, Scheme, Signer, TransactionSigner
from chain.transaction import Operation, build
from chain.types import HASH_BYTES, SALT_BYTES, Millis, Network
from membership.pb import membership_pb2 as pb
from membership.state import signer_pb

REQUEST_FORMAT, ANSWER_FORMAT = "zhixin-key-request/1", "zhixin-key-answer/1"
STEP_MS = 120_000
"""Each transaction is used for so long and lives on for as long again, which passkey and network have left."""
STEPS = 360
"""Half a day: asked for in the morning, signed by the evening. Their signatures fit into what is sealed with an act."""
LIFETIME_MS = STEP_MS * STEPS
REQUEST_BYTES_MAX = 4096
"""A request has some 400 bytes."""
ANSWER_BYTES_MAX = 64 * 1024
"""An answer has some 31 KiB."""
ORGANISATION_CHARACTERS_MAX = 64
PURPOSES = (pb.PURPOSE_SUBMIT, pb.PURPOSE_ATTEST)
"""What an officer's key may do for the organisation; governing keys are kept elsewhere."""

_SIGNATURE_BYTES = 64
_DEPTH_MAX = 3
_TIME_MS_MAX = 2**48
_NAMES = {Scheme.WEBAUTHN_ES256: "passkey", Scheme.P256: "card"}
"""What officers sign with, and what a request calls it."""
_KINDS = frozenset(_NAMES.values())
_VERIFY = {Scheme.ED25519: ed25519.verify, Scheme.P256: p256.verify}


def registration(officer: Signer) -> Operation:
    """What goes on the ledger: an officer's key becomes one of the organisation whose governing key signs beside it.

    Args:
        officer: What the officer signs with: a passkey, or a card's slot 9C.
    """
    grant = pb.KeyGrant(key=signer_pb(officer), purposes=PURPOSES)
    return Operation.make("membership.AddKey", encode(pb.AddKey(key=grant)))


@dataclass(frozen=True, slots=True)
class _Unsigned:
    """Stands for a signer while the header is made."""

    signer: Signer

    def sign(self, _message: bytes) -> bytes:
        """No signature, but a byte where one stands."""
        return b"\0"


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What the keeper of a governing key is asked to sign.

    Attributes:
        network: For which network.
        organisation: Whose governing key is asked; the key that signs decides, on the ledger, whose the officer's is.
        officer: The officer's key: a passkey's, or that in a card's slot 9C.
        seed: 16 random bytes, from which the salts follow.
        from_ms: Unix time from which it can be used, for `LIFETIME_MS`.
    """

    network: Network
    organisation: str
    officer: Signer
    seed: bytes
    from_ms: int

    @classmethod
    def make(cls, network: Network, organisation: str, officer: Signer, now_ms: int) -> "KeyRequest":
        """A new one."""
        return cls(network, organisation, officer, secrets.token_bytes(SALT_BYTES), now_ms)

    @property
    def until_ms(self) -> int:
        """From when on it can no longer be used."""
        return self.from_ms + LIFETIME_MS

    @property
    def digest(self) -> bytes:
        """What an answer names; 32 bytes."""
        return hashlib.sha256(b"zhixin/key-request/1|" + self.encode()).digest()

    @property
    def fingerprint(self) -> str:
        """What officer and keeper compare: 64 bits of the digest in hex, in groups of four."""
        digits = self.digest.hex()[:16]
        return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))

    @property
    def file_name(self) -> str:
        """What the file is called."""
        return f"register-{self.digest.hex()[:8]}.request"

    def encode(self) -> bytes:
        """The file's bytes."""
        fields: dict[str, strict_json.Json] = {
            "format": REQUEST_FORMAT,
            "network": self.network.hex(),
            "organisation": self.organisation,
            _NAMES[self.officer.scheme]: self.officer.public_key.hex(),
            "seed": self.seed.hex(),
            "from_ms": self.from_ms,
        }
        return strict_json.canonical(fields)

    @classmethod
    def decode(cls, raw: bytes) -> "KeyRequest":
        """Read a file.

        Raises:
            InvalidMessage: It is no request.
        """
        fields = _fields(raw, REQUEST_BYTES_MAX, REQUEST_FORMAT, {"network", "organisation", "seed", "from_ms"}, _KINDS)
        (name,) = _KINDS & set(fields)
        scheme = next(scheme for scheme, known in _NAMES.items() if known == name)
        organisation, from_ms = fields["organisation"], fields["from_ms"]
        if not isinstance(organisation, str) or not 1 <= len(organisation) <= ORGANISATION_CHARACTERS_MAX:
            raise InvalidMessage("the request names no organisation")
        if not organisation.isascii() or not organisation.isprintable():
            raise InvalidMessage("the request's organisation is no id")
        if not isinstance(from_ms, int) or isinstance(from_ms, bool) or not 0 <= from_ms < _TIME_MS_MAX:
            raise InvalidMessage("the request's time is no time")
        officer = Signer(scheme, _hex(fields[name], PUBLIC_KEY_BYTES[scheme]))
        seed = _hex(fields["seed"], SALT_BYTES)
        return cls(Network(_hex(fields["network"], HASH_BYTES)), organisation, officer, seed, from_ms)

    def step_at(self, now_ms: int) -> int | None:
        """Which of the transactions is used now; None: it is too early or too late for any."""
        step = (now_ms - self.from_ms) // STEP_MS
        return step if 0 <= step < STEPS else None

    def expires_at_ms(self, step: int) -> int:
        """The last block time of one of the transactions."""
        return self.from_ms + (step + 2) * STEP_MS

    def salt(self, step: int) -> bytes:
        """The salt of one of the transactions."""
        return hashlib.sha256(b"zhixin/key-request-salt/1|" + self.seed + step.to_bytes(4, "big")).digest()[:SALT_BYTES]

    def message(self, step: int, governor: Signer) -> bytes:
        """What signs one of the transactions."""
        signers = [_Unsigned(self.officer), _Unsigned(governor)]
        operation = registration(self.officer)
        made = build([operation], signers, Millis(self.expires_at_ms(step)), self.salt(step), self.network)
        return signed_bytes("transaction", self.network, made.header)


@dataclass(frozen=True, slots=True)
class KeyAnswer:
    """A governing key's signatures of all transactions that a request stands for.

    Attributes:
        request: Digest of the request, 32 bytes.
        governor: Which key signed.
        signatures: One for each step, 64 bytes each.
    """

    request: bytes
    governor: Signer
    signatures: Sequence[bytes]

    def encode(self) -> bytes:
        """The file's bytes."""
        fields: dict[str, strict_json.Json] = {
            "format": ANSWER_FORMAT,
            "request": self.request.hex(),
            "scheme": int(self.governor.scheme),
            "key": self.governor.public_key.hex(),
            "signatures": base64.b64encode(b"".join(self.signatures)).decode(),
        }
        return strict_json.canonical(fields)

    @classmethod
    def decode(cls, raw: bytes) -> "KeyAnswer":
        """Read a file; `verify_answer` says whether it holds.

        Raises:
            InvalidMessage: It is no answer.
        """
        fields = _fields(raw, ANSWER_BYTES_MAX, ANSWER_FORMAT, {"request", "scheme", "key", "signatures"})
        scheme = next((one for one in _VERIFY if one == fields["scheme"]), None)
        if scheme is None or isinstance(fields["scheme"], bool):
            raise InvalidMessage("the answer's key is of a kind that does not sign here")
        text = fields["signatures"]
        try:
            joined = base64.b64decode(text if isinstance(text, str) else "", validate=True)
        except ValueError:
            joined = b""
        if len(joined) != STEPS * _SIGNATURE_BYTES:
            raise InvalidMessage(f"the answer does not hold {STEPS} signatures")
        signatures = [joined[at : at + _SIGNATURE_BYTES] for at in range(0, len(joined), _SIGNATURE_BYTES)]
        governor = Signer(scheme, _hex(fields["key"], PUBLIC_KEY_BYTES[scheme]))
        return cls(_hex(fields["request"], HASH_BYTES), governor, signatures)


def answer_request(request: KeyRequest, governor: TransactionSigner) -> KeyAnswer:
    """Sign all that a request stands for."""
    signatures = [governor.sign(request.message(step, governor.signer)) for step in range(STEPS)]
    return KeyAnswer(request.digest, governor.signer, signatures)


def verify_answer(request: KeyRequest, answer: KeyAnswer) -> None:
    """Check that an answer's key signed each transaction of a request.

    Whether that key governs the organisation, only the ledger says.

    Raises:
        InvalidSignature: It did not.
    """
    if answer.request != request.digest:
        raise InvalidSignature("the answer is to another request")
    verify = _VERIFY[answer.governor.scheme]
    for step, signature in enumerate(answer.signatures):
        verify(answer.governor.public_key, request.message(step, answer.governor), signature)


def _fields(
    raw: bytes, bytes_max: int, form: str, names: set[str], one_of: frozenset[str] = frozenset()
) -> Mapping[str, strict_json.Json]:
    """A file's fields: exactly these and one of some others, of this format."""
    fields = strict_json.parse(raw, size_max=bytes_max, depth_max=_DEPTH_MAX)
    if not isinstance(fields, dict) or fields.get("format") != form:
        raise InvalidMessage(f"this is no file of the format {form}")
    chosen = one_of & set(fields)
    if set(fields) - chosen != {"format", *names} or len(chosen) != min(len(one_of), 1):
        raise InvalidMessage(f"this is no file of the format {form}")
    return fields


def _hex(value: strict_json.Json, length: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * length:
        raise InvalidMessage(f"a field has not {length} bytes in hex")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise InvalidMessage("a field is not in hex") from None
