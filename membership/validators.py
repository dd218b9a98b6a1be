# SPDX-License-Identifier: Apache-2.0
"""Changes to the validator set and their limits.

State names the set of the next block's epoch. An operation that changes it thereby ends the epoch with its block.

Invariant: after any successful operation the named set differs from the serving one by at most max(1, f of the new)
joins and max(1, f of the old) leaves, and no BLS key serves a second time.  Source: docs/protocol.md, section 5.
"""

from dataclasses import replace

from chain.checkpoint import Validator
from chain.errors import InvalidSignature, Refused
from chain.module import Context
from chain.types import VALIDATORS_MAX, BlsKey, Epoch, faults_max
from membership.names import check_address
from membership.organisations import existing_organisation
from membership.pb import membership_pb2 as pb
from membership.state import Seat, load_seat, load_validators, save_seat, save_validators
from membership.verification import VerifyPossession

CERTIFICATE_BYTES_MAX = 2048
"""A self-signed P-256 certificate has about 400."""


def set_is_changed(context: Context) -> bool:
    """Whether the block has changed the set already."""
    return load_validators(context.read) != context.block.validators.validators


def add_validator(context: Context, message: pb.AddValidator, verify_possession: VerifyPossession) -> None:
    """Let a key serve from the next epoch on.

    Raises:
        Refused: The key served before or is not proven, the organisation does not exist or is suspended, or the
            endpoint is not as it must be.
    """
    if not existing_organisation(context, message.organisation).is_active:
        raise Refused("the organisation is suspended", "membership.organisation-suspended")
    if load_seat(context.read, message.bls_key) is not None:
        raise Refused("a BLS key serves once; make a new one", "membership.bls-key-used")
    try:
        verify_possession(message.bls_key, context.block.network, message.organisation, message.possession)
    except InvalidSignature as error:
        raise Refused(f"the key's possession is not proven: {error.reason}", "membership.no-possession") from None
    check_endpoint(context, message.bls_key, message.endpoint)
    seat_validator(
        context,
        Validator(BlsKey(message.bls_key), message.organisation),
        message.endpoint,
        Epoch(context.block.validators.epoch + 1),
    )


def check_endpoint(context: Context, bls_key: bytes, endpoint: pb.Endpoint) -> None:
    """Check where a validator is to be reached; another validator's certificate would let it pass for that one.

    So a key that replaces another comes with a certificate of its own: both are connected while the epoch changes.
    Only the certificate's outer form is checked: X.509 parsers differ, and replicas must not.

    Raises:
        Refused: Address or certificate malformed, or another validator's.
    """
    check_address(endpoint.address)
    if not _is_der_sequence(endpoint.tls_certificate):
        raise Refused(
            f"a TLS certificate is DER of at most {CERTIFICATE_BYTES_MAX} bytes", "membership.invalid-endpoint"
        )
    named = [validator.bls_key for validator in load_validators(context.read)]
    for other in (*context.block.validators.keys, *named):
        seat = load_seat(context.read, other)
        if other != bls_key and seat is not None and seat.tls_certificate == endpoint.tls_certificate:
            raise Refused("another validator has this TLS certificate", "membership.certificate-used")


def seat_validator(context: Context, validator: Validator, endpoint: pb.Endpoint, since: Epoch) -> None:
    """Put a checked validator at the end of the set."""
    seat = Seat(
        validator.organisation,
        endpoint.address,
        endpoint.tls_certificate,
        pb.VALIDATOR_STATUS_ACTIVE,
        since_epoch=since,
        until_epoch=Epoch(0),
    )
    save_seat(context, validator.bls_key, seat)
    save_validators(context, (*load_validators(context.read), validator))


def serving_seat(context: Context, bls_key: bytes) -> Seat:
    """The record of a validator that the named set holds.

    Raises:
        Refused: It does not hold this key.
    """
    seat = load_seat(context.read, bls_key)
    if seat is None or seat.until_epoch != 0:
        raise Refused("the set has no validator of this key", "membership.unknown-validator")
    return seat


def remove_validator(context: Context, bls_key: bytes) -> Seat:
    """Let a key serve no longer than this epoch; it is retired for good.

    Returns:
        The record as it stood before.

    Raises:
        Refused: The set does not hold this key.
    """
    seat = serving_seat(context, bls_key)
    is_suspended = seat.status == pb.VALIDATOR_STATUS_SUSPENDED
    status = seat.status if is_suspended else pb.VALIDATOR_STATUS_LEAVING
    save_seat(context, bls_key, replace(seat, status=status, until_epoch=context.block.validators.epoch))
    save_validators(context, [v for v in load_validators(context.read) if v.bls_key != bls_key])
    return seat


def replace_validator(context: Context, message: pb.ReplaceValidator, verify_possession: VerifyPossession) -> None:
    """Let a new key of the same organisation serve in the place of an old one.

    Raises:
        Refused: As for a removal and an addition.
    """
    seat = remove_validator(context, message.bls_key)
    add_validator(
        context,
        pb.AddValidator(
            bls_key=message.new_bls_key,
            organisation=seat.organisation,
            possession=message.possession,
            endpoint=message.endpoint,
        ),
        verify_possession,
    )


def set_endpoint(context: Context, organisation: str, message: pb.SetEndpoint) -> None:
    """Say where one's own validator is reached.

    Raises:
        Refused: It is not a serving validator of this organisation, or the endpoint is not as it must be.
    """
    seat = serving_seat(context, message.bls_key)
    if seat.organisation != organisation:
        raise Refused("this validator is another organisation's", "membership.not-own-validator")
    check_endpoint(context, message.bls_key, message.endpoint)
    endpoint = message.endpoint
    save_seat(
        context,
        message.bls_key,
        replace(seat, address=endpoint.address, tls_certificate=endpoint.tls_certificate),
    )


def check_limits(context: Context) -> None:
    """Check the named set as a whole against the one that serves.

    Raises:
        Refused: Too many join or leave at once, or the set is empty or too large.
    """
    old = context.block.validators.keys
    new = tuple(validator.bls_key for validator in load_validators(context.read))
    if not 1 <= len(new) <= VALIDATORS_MAX:
        raise Refused(f"a set has 1 to {VALIDATORS_MAX} validators, not {len(new)}", "membership.set-size")
    joins = sum(key not in old for key in new)
    leaves = sum(key not in new for key in old)
    if joins > max(1, faults_max(len(new))):
        raise Refused(f"{joins} validators join at once a set of {len(new)}", "membership.too-many-joins")
    if leaves > max(1, faults_max(len(old))):
        raise Refused(f"{leaves} validators leave at once a set of {len(old)}", "membership.too-many-leaves")


def _is_der_sequence(data: bytes) -> bool:
    """Whether these bytes are one DER SEQUENCE of a certificate's size."""
    if data[:2] == b"\x30\x81":
        length, start = int.from_bytes(data[2:3]), 3
    elif data[:2] == b"\x30\x82":
        length, start = int.from_bytes(data[2:4]), 4
    else:
        return False
    return len(data) == start + length <= CERTIFICATE_BYTES_MAX
