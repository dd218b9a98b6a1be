# SPDX-License-Identifier: Apache-2.0
"""Who issues, and the form of an attestation.

The issuer is the one active organisation with the role `registrar` whose key of purpose `attest` signs.
"""

from typing import Final

from chain.errors import Refused
from chain.module import Context
from identity.pb import identity_pb2 as pb
from membership.authority import signing_organisations
from membership.parameters import load_parameter
from membership.pb import membership_pb2

REGISTRAR_ROLE: Final = "registrar"
ID_BYTES: Final = (16, 32)
"""An attestation's id is random and for this record alone."""
COMMITMENT_BYTES: Final = 32
SCHEMA_VERSION_MAX: Final = 65_535

_SCHEMAS = frozenset(pb.Schema.values()) - {pb.SCHEMA_UNSPECIFIED}
_LEVELS = frozenset(pb.AssuranceLevel.values()) - {pb.ASSURANCE_LEVEL_UNSPECIFIED}


def issuer_of(context: Context) -> str:
    """The id of the organisation that issues or sets a status in this transaction.

    Raises:
        Refused: No key of purpose `attest` signs, keys of several organisations do, or the organisation is suspended
            or no registrar.
    """
    organisations = signing_organisations(context, membership_pb2.PURPOSE_ATTEST)
    if not organisations:
        raise Refused("no signer has a key that attests and is valid now", "identity.no-attest-key")
    if len(organisations) > 1:
        raise Refused("keys of several organisations attest; one issues at a time", "identity.ambiguous-issuer")
    issuer = organisations[0]
    if not issuer.is_active:
        raise Refused("the issuing organisation is suspended", "identity.issuer-suspended")
    if REGISTRAR_ROLE not in issuer.roles:
        raise Refused("the issuing organisation does not have the role registrar", "identity.not-registrar")
    return issuer.id


def check_id(attestation_id: bytes) -> None:
    """Check an attestation's id.

    Raises:
        Refused: It does not have 16 or 32 bytes.
    """
    if len(attestation_id) not in ID_BYTES:
        raise Refused(f"an attestation's id has 16 or 32 bytes, not {len(attestation_id)}", "identity.invalid-id")


def check_attestation(context: Context, message: pb.Attest) -> None:
    """Check an attestation's fields. Whether its id was used before is not known: issuing leaves no state.

    Raises:
        Refused: A field is out of its bounds.
    """
    check_id(message.id)
    if message.schema not in _SCHEMAS or not 1 <= message.schema_version <= SCHEMA_VERSION_MAX:
        raise Refused("the schema is not known, or has no such version", "identity.unknown-schema")
    if len(message.commitment) != COMMITMENT_BYTES:
        raise Refused(f"a commitment has {COMMITMENT_BYTES} bytes", "identity.invalid-commitment")
    if message.assurance_level not in _LEVELS:
        raise Refused("the assurance level is not known", "identity.unknown-assurance-level")
    if not message.valid_from_ms < message.valid_to_ms or message.valid_to_ms <= context.block.time_ms:
        raise Refused("the validity ends before it begins, or is over", "identity.invalid-validity")
    lifetime_ms_max = load_parameter(context.read, membership_pb2.PARAMETER_ATTESTATION_LIFETIME_MS_MAX)
    if message.valid_to_ms - message.valid_from_ms > lifetime_ms_max:
        raise Refused(f"an attestation is valid for at most {lifetime_ms_max} ms", "identity.validity-too-long")
