# SPDX-License-Identifier: Apache-2.0
"""Salted commitments and anchors: what stands on the chain in a person's place.

Each has a domain of its own in front, so that nothing that was made for one purpose opens another. Salts are 32 random
bytes, one for each commitment, and stay with the issuing service and the holder; destroying them is erasure.
"""

from typing import Final

from chain.errors import Refused
from chain.signing import Signer
from chain.types import sha256
from identity.issuing import COMMITMENT_BYTES, ID_BYTES
from identity.pb import identity_pb2 as pb

SALT_BYTES: Final = 32

_CONTROL = b"zhixin/identity/control-key\x00"
_HOLDER = b"zhixin/identity/tag-holder\x00"
_ANCHOR = b"zhixin/identity/anchor\x00"


def salted(domain: bytes, salt: bytes, value: bytes) -> bytes:
    """A salted commitment; 32 bytes.

    Args:
        domain: What it is for; ends with a zero byte, so that no domain begins another.
        salt: 32 random bytes, for this commitment alone.
        value: What is committed to.
    """
    assert len(salt) == SALT_BYTES, "a salt has 32 bytes"
    return sha256(domain + salt + value)


def control_commitment(purpose: pb.ControlPurpose.ValueType, signer: Signer, salt: bytes) -> bytes:
    """Commitment to a control key for one purpose; 32 bytes.

    Args:
        purpose: What the key is bound for.
        signer: Scheme and public key.
        salt: 32 random bytes, for this commitment alone.
    """
    return salted(_CONTROL + bytes([purpose, signer.scheme]), salt, signer.public_key)


def holder_commitment(registration_id: bytes, salt: bytes) -> bytes:
    """Commitment of a uniqueness tag to the registration that it stands for; 32 bytes."""
    return salted(_HOLDER, salt, registration_id)


def anchor_of(proof: bytes) -> bytes:
    """What a side of a mandate reveals `proof` for; 32 bytes.

    A side keeps a secret of 32 random bytes, and its anchor is `anchor_of(anchor_of(secret))`: it accepts by revealing
    `anchor_of(secret)` and ends, at any time, by revealing the secret.
    """
    return sha256(_ANCHOR + proof)


def check_commitment(commitment: bytes) -> None:
    """Check a commitment's form.

    Raises:
        Refused: It does not have 32 bytes.
    """
    if len(commitment) != COMMITMENT_BYTES:
        raise Refused(f"a commitment has {COMMITMENT_BYTES} bytes", "identity.invalid-commitment")


def check_record_id(record_id: bytes) -> None:
    """Check the form of a registration's or a mandate's id.

    Raises:
        Refused: It does not have 16 or 32 bytes.
    """
    if len(record_id) not in ID_BYTES:
        raise Refused(f"a record's id has 16 or 32 bytes, not {len(record_id)}", "identity.invalid-id")
