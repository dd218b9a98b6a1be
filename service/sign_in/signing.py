# SPDX-License-Identifier: Apache-2.0
"""How one officer signs a transaction's header, with a passkey or with a staff card's slot 9C.

For both the challenge is SHA-256 of what the ledger has signed (`chain.codec.signed_bytes`). A passkey gets just that;
the card's agent gets header and operations whole, checks that they belong together, and makes the digest itself.
"""

from typing import Any, Final

from cryptography.exceptions import InvalidSignature as BadSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.codec import encode, signed_bytes
from chain.errors import LedgerError
from chain.p256 import SIGNATURE_BYTES, raw_signature
from chain.pb import ledger_pb2 as pb
from chain.transaction import SignedTransaction
from chain.types import HASH_BYTES, Network, sha256
from service.problems import Problem
from service.sign_in import ceremony, kinds
from service.sign_in.ceremony import CeremonyFailed
from service.sign_in.office import Office
from service.sign_in.passkeys import Answer, verify
from service.sign_in.tables import ACTIVE, CARD, Passkey, StaffMember

_CARD: Final = "card"
"""Of an answer that comes from a card's agent."""


def challenge_of(made: SignedTransaction, network: Network) -> bytes:
    """What is signed of a transaction's header; 32 bytes."""
    return sha256(signed_bytes("transaction", network, made.header))


def options_for(
    office: Office, session: Session, credential: Passkey, made: SignedTransaction, network: Network
) -> dict[str, Any]:
    """What the page's script hands to the passkey's device or to the card's agent.

    Args:
        office: Which service.
        session: A transaction of the store.
        credential: What is to sign.
        made: The transaction, with anything in the place of signatures.
        network: For which network.

    Raises:
        Problem: It is a card, and no staff cards are used here any more.
    """
    if credential.kind == CARD:
        if office.cards is None:
            raise Problem(kinds.CARDS_OFF)
        operations = [operation.raw.hex() for operation in made.operations]
        fields = {"network": network.hex(), "header": made.header.hex(), "operations": operations}
        return {_CARD: {**fields, "key": credential.signer.public_key.hex()}}
    known = bytes.fromhex(office.store.people.open(session, credential, Passkey.credential) or "")
    return ceremony.assertion_options(office.party, challenge_of(made, network), [known])


def challenge_answered(answer: Answer) -> bytes:
    """The challenge that an answer says it answers.

    Raises:
        Problem: It does not say.
    """
    if _CARD in answer:
        return _field(answer, "challenge", HASH_BYTES)
    try:
        return ceremony.challenge_in(answer, "webauthn.get")
    except CeremonyFailed:
        raise Problem(kinds.REFUSED) from None


def verify_answer(office: Office, challenge: bytes, answer: Answer, staff_id: str) -> str:
    """Check somebody's signature of a challenge, which was used up before.

    Returns:
        Id of the passkey or card that signed.

    Raises:
        Problem: It does not hold, or is not theirs.
    """
    if _CARD not in answer:
        return verify(office, challenge, answer, staff_id=staff_id)
    key = _field(answer, "key", 33)
    signature = _field(answer, "signature", SIGNATURE_BYTES)
    with office.store.write() as session:
        query = select(Passkey).join(StaffMember, StaffMember.id == Passkey.staff_id)
        query = query.where(Passkey.sign_key == key, Passkey.kind == CARD, Passkey.state == ACTIVE)
        query = query.where(StaffMember.id == staff_id, StaffMember.state == ACTIVE, Passkey.expires_ms > office.now())
        card = session.scalar(query)
        if office.cards is None or card is None or not _is_signed(key, challenge, signature):
            raise Problem(kinds.REFUSED)
        card.used_ms = office.now()
        return card.id


def signature_in(answer: Answer) -> bytes:
    """An answer's signature as the ledger writes it.

    Raises:
        Problem: It has none of the right form.
    """
    if _CARD in answer:
        return _field(answer, "signature", SIGNATURE_BYTES)
    try:
        return encode(
            pb.WebAuthnAssertion(
                authenticator_data=ceremony.authenticator_data_of(answer),
                client_data_json=ceremony.client_data_of(answer),
                signature=raw_signature(ceremony.signature_of(answer)),
            )
        )
    except (CeremonyFailed, LedgerError):
        raise Problem(kinds.ACT_SIGNATURE) from None


def _field(answer: Answer, name: str, length: int) -> bytes:
    """A field of a card's answer, which is in hex."""
    fields = answer[_CARD]
    text = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(text, str) or len(text) != 2 * length:
        raise Problem(kinds.REFUSED)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Problem(kinds.REFUSED) from None


def _is_signed(key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether a key signed a SHA-256 digest; the key is one that was enrolled."""
    half = SIGNATURE_BYTES // 2
    der = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    try:
        point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key)
        point.verify(der, digest, ECDSA(Prehashed(SHA256())))
    except BadSignature:
        return False
    return True
