# SPDX-License-Identifier: Apache-2.0
"""Changes to organisations' keys, by vote, by the organisation itself, or at genesis.

A key belongs to one organisation, once: its record stays when it is revoked. So whoever adds one without a vote shows
that it holds it, by the key's own signature beside; or else it could take a key that others are about to vote in.
"""

from collections.abc import Iterable
from dataclasses import replace

from chain.errors import Refused
from chain.module import Context
from chain.pb import ledger_pb2
from chain.signing import PUBLIC_KEY_BYTES, Scheme, Signer
from membership.parameters import load_parameter
from membership.pb import membership_pb2 as pb
from membership.state import (
    Key,
    load_key,
    load_keyring,
    load_organisation,
    save_key,
    save_keyring,
)

_SCHEMES = {int(scheme): scheme for scheme in Scheme}
_PURPOSES = (pb.PURPOSE_SUBMIT, pb.PURPOSE_GOVERN, pb.PURPOSE_ATTEST)
_COMPRESSED_POINT = (b"\x02", b"\x03")


def read_signer(message: ledger_pb2.Signer) -> Signer:
    """The scheme and public key that an operation names.

    Raises:
        Refused: Unknown scheme, or a key of the wrong form.
    """
    scheme = _SCHEMES.get(message.scheme)
    if scheme is None or len(message.public_key) != PUBLIC_KEY_BYTES[scheme]:
        raise Refused("a key has a known scheme and that scheme's length", "membership.invalid-key")
    if scheme is not Scheme.ED25519 and not message.public_key.startswith(_COMPRESSED_POINT):
        raise Refused("a P-256 key is a compressed point", "membership.invalid-key")
    return Signer(scheme, message.public_key)


def add_key(context: Context, organisation: str, grant: pb.KeyGrant) -> None:
    """Register a key of an organisation that exists.

    Raises:
        Refused: The key was registered before, by whomever; the organisation has too many; or a field is not as it
            must be.
    """
    signer = read_signer(grant.key)
    purposes = tuple(grant.purposes)
    if not purposes or purposes != tuple(p for p in _PURPOSES if p in purposes):
        raise Refused("a key's purposes stand in ascending order, each once, at least one", "membership.invalid-key")
    if grant.valid_to_ms != 0 and grant.valid_to_ms <= max(grant.valid_from_ms, context.block.time_ms):
        raise Refused("the key's validity ends before it begins or now", "membership.invalid-key")
    if load_key(context.read, signer) is not None:
        raise Refused("this key is or was registered already", "membership.key-exists")
    keyring = load_keyring(context.read, organisation)
    keys_max = load_parameter(context.read, pb.PARAMETER_ORGANISATION_KEYS_MAX)
    if len(keyring) >= keys_max:
        raise Refused(f"an organisation has at most {keys_max} keys in use", "membership.too-many-keys")
    save_key(context, signer, Key(organisation, purposes, grant.valid_from_ms, grant.valid_to_ms, revoked_at_ms=0))
    save_keyring(context, organisation, (*keyring, signer))


def add_own_key(context: Context, organisation: str, grant: pb.KeyGrant) -> None:
    """The same without a vote: the new key signs the transaction too.

    Raises:
        Refused: Also if it does not.
    """
    add_key(context, organisation, grant)
    if read_signer(grant.key) not in context.signers:
        raise Refused("a key that is added signs the transaction itself, too", "membership.key-unproven")


def revoke_key(context: Context, organisation: str, message: ledger_pb2.Signer) -> Key:
    """End the use of an organisation's key for good, from this operation on.

    Returns:
        The key as it stood before.

    Raises:
        Refused: It is not one of the organisation's, or is revoked already.
    """
    signer = read_signer(message)
    key = load_key(context.read, signer)
    if key is None or key.organisation != organisation:
        raise Refused("this is not a key of the organisation", "membership.unknown-key")
    if key.revoked_at_ms:
        raise Refused("the key is revoked already", "membership.key-revoked")
    save_key(context, signer, replace(key, revoked_at_ms=context.block.time_ms))
    keyring = load_keyring(context.read, organisation)
    save_keyring(context, organisation, tuple(one for one in keyring if one != signer))
    return key


def revoke_own_key(context: Context, organisation: str, message: ledger_pb2.Signer) -> None:
    """The same without a vote: never the last key with which the organisation can govern for good.

    Raises:
        Refused: Also if it is that key.
    """
    key = revoke_key(context, organisation, message)
    if pb.PURPOSE_GOVERN in key.purposes and key.valid_to_ms == 0 and not has_standing_governor(context, organisation):
        raise Refused(
            "the organisation's last key that governs without end is revoked by vote only", "membership.last-govern-key"
        )


def has_standing_governor(context: Context, organisation: str) -> bool:
    """Whether an organisation has a key that governs now and does not run out."""
    for signer in load_keyring(context.read, organisation):
        key = load_key(context.read, signer)
        if key is not None and key.is_standing(pb.PURPOSE_GOVERN, context.block.time_ms):
            return True
    return False


def check_governable(context: Context, organisations: Iterable[str]) -> None:
    """Check that these organisations, the validators', are active and able to vote for good.

    Raises:
        Refused: One is not: the network could lose the quorum that governs it.
    """
    for organisation in organisations:
        found = load_organisation(context.read, organisation)
        if found is None or not found.is_active:
            raise Refused(
                "an organisation with a validator is suspended; remove its validators in the same proposal",
                "membership.organisation-validates",
            )
        if not has_standing_governor(context, organisation):
            raise Refused(
                "an organisation with a validator has a key that governs and does not run out",
                "membership.last-govern-key",
            )
