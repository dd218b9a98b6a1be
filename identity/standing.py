# SPDX-License-Identifier: Apache-2.0
"""How the records behind credentials stand on the ledger at one finalized height.

Status lists, the certificate revocation list and OCSP answers are all made from one `Standing`, so that no two of them
contradict each other: what one says of a height, all say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from identity.pb import identity_pb2 as pb
from identity.status_list import Status

AGE_S_MAX: Final = 60
"""How far apart what is published may be, and how old: a suspension by phone counts everywhere within a minute."""

_PERSON, _LEGAL_PERSON, _MANDATE = b"identity/person/", b"identity/legal-person/", b"identity/mandate/"
_SEVERITY = {Status.VALID: 0, Status.SUSPENDED: 1, Status.INVALID: 2}
_STATUSES: Mapping[int, Status] = {
    pb.PERSON_STATUS_ACTIVE: Status.VALID,
    pb.PERSON_STATUS_SUSPENDED: Status.SUSPENDED,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger said.

    Attributes:
        height: The finalized height, under one certified checkpoint.
        time_ms: That block's time.
        statuses: By state key of a registration or mandate.
        is_key_ended: Whether the issuing key stands on the ledger and counts there no longer.
    """

    height: int
    time_ms: int
    statuses: Mapping[bytes, Status]
    is_key_ended: bool = False

    def of(self, subjects: Iterable[bytes]) -> Status:
        """The worst of several records: a credential counts while all that it speaks of do.

        Args:
            subjects: State keys; one that was not asked for counts as valid until the next height.
        """
        return worst(self.statuses.get(subject, Status.VALID) for subject in subjects)


def worst(statuses: Iterable[Status]) -> Status:
    """Invalid before suspended before valid; valid of none."""
    return max(statuses, key=_SEVERITY.__getitem__, default=Status.VALID)


def status_of(key: bytes, value: bytes | None, time_ms: int) -> Status:
    """What a state key's value, or its proven absence, says of credentials about it.

    Args:
        key: Of a natural or legal person's registration, or of a mandate.
        value: As it stands at the height; None: it is not there.
        time_ms: That height's time.
    """
    if value is None:
        return Status.INVALID
    if key.startswith(_PERSON):
        return _STATUSES.get(pb.PersonRecord.FromString(value).status, Status.INVALID)
    if key.startswith(_LEGAL_PERSON):
        return _STATUSES.get(pb.LegalPersonRecord.FromString(value).status, Status.INVALID)
    assert key.startswith(_MANDATE), "credentials speak of persons and mandates"
    mandate = pb.MandateRecord.FromString(value)
    is_accepted = mandate.principal_accepted and mandate.agent_accepted
    ends_ms = mandate.valid_to_ms or time_ms + 1
    return Status.VALID if is_accepted and not mandate.ended_at_ms and time_ms < ends_ms else Status.INVALID
