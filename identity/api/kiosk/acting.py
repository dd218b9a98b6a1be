# SPDX-License-Identifier: Apache-2.0
"""Whether a mandate lets its holder sign for a company: what the ledger proves of it right now."""

from collections.abc import Mapping
from typing import Final

from identity.api.kiosk.base import Agency, States
from identity.legal_persons import legal_person_key
from identity.mandates import counts, load_mandate, mandate_key
from identity.pb import identity_pb2 as pb

SCOPES: Final = (pb.SCOPE_GENERAL, pb.SCOPE_BUSINESS_REGISTER)
"""Of what a kiosk does for companies; one of them."""
POWER: Final = pb.POWER_SIGN
SCOPE_WORD: Final = pb.Scope.Name(SCOPES[-1]).removeprefix("SCOPE_").lower()
POWER_WORD: Final = pb.Power.Name(POWER).removeprefix("POWER_").lower()
"""As statements have scope and power; no others are signed for at a kiosk."""


def allows(values: Mapping[bytes, bytes | None], agency: Agency, time_ms: int) -> bool:
    """Whether a mandate counts, is this company's, and allows to sign in its business with the register.

    Args:
        values: What stands under `keys_of`, proven; None: proven absent.
        agency: As the office named it.
        time_ms: The checkpoint's time.
    """
    record = load_mandate(values.get, bytes.fromhex(agency.id))
    return (
        record is not None
        and record.legal_person == agency.uscc.encode()
        and counts(values.get, record, time_ms)
        and POWER in record.powers
        and any(scope in record.scopes for scope in SCOPES)
    )


def keys_of(agency: Agency) -> list[bytes]:
    """State keys of a mandate and its company."""
    return [mandate_key(bytes.fromhex(agency.id)), legal_person_key(agency.uscc)]


async def may_sign(states: States, agency: Agency) -> bool:
    """Whether the ledger proves right now that a mandate allows to sign.

    Args:
        states: Reads the ledger, with proof.
        agency: As the office named it.

    Raises:
        OfficeAway: The ledger does not answer.
    """
    proven = await states.read(keys_of(agency))
    values = {key: one.value for key, one in proven.items()}
    return allows(values, agency, min(one.time_ms for one in proven.values()))
