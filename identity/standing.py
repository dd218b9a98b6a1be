# SPDX-License-Identifier: Apache-2.0
"""How the records behind credentials stand on the ledger at one finalized height.

Status lists, the certificate revocation list and OCSP answers are all made from one `Standing`, so that no two of them
contradict each other: what one says of a height, all say.

A credential speaks of records by their state keys. A key may be pinned to what the record said when the credential was
made: once two officers change the data, it speaks of something that counts no longer, and is invalid.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from identity.cards.statuses import Ending, Reason, StatusTable
from identity.pb import identity_pb2 as pb
from identity.status_list import Status

AGE_S_MAX: Final = 60
"""How far apart what is published may be, and how old: a suspension by phone counts everywhere within a minute."""

_PERSON, _LEGAL_PERSON, _MANDATE = b"identity/person/", b"identity/legal-person/", b"identity/mandate/"
_PIN = b"#"
_SEVERITY = {Status.VALID: 0, Status.SUSPENDED: 1, Status.INVALID: 2}
_STATUSES: Mapping[int, Status] = {
    pb.PERSON_STATUS_ACTIVE: Status.VALID,
    pb.PERSON_STATUS_SUSPENDED: Status.SUSPENDED,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """State as it was read with proof.

    Attributes:
        height: The finalized height.
        time_ms: That block's time.
        values: By state key; None: proven absent.
    """

    height: int
    time_ms: int
    values: Mapping[bytes, bytes | None]

    def standing(self, keys: Iterable[bytes], *, is_key_ended: bool = False) -> "Standing":
        """How the records under these keys stand."""
        statuses = {key: status_of(key, self.values[record_key(key)], self.time_ms) for key in keys}
        stopped = [key for key, status in statuses.items() if status is not Status.VALID]
        since_ms = {key: since_of(key, self.values[record_key(key)], self.time_ms) for key in stopped}
        return Standing(self.height, self.time_ms, statuses, since_ms, is_key_ended)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger said.

    Attributes:
        height: The finalized height, under one certified checkpoint.
        time_ms: That block's time.
        statuses: By state key of a registration or mandate.
        since_ms: Since when those that do not count don't, by the ledger's time.
        is_key_ended: Whether the issuing key stands on the ledger and counts there no longer.
    """

    height: int
    time_ms: int
    statuses: Mapping[bytes, Status]
    since_ms: Mapping[bytes, int] = field(default_factory=dict)
    is_key_ended: bool = False

    def of(self, subjects: Iterable[bytes]) -> Status:
        """The worst of several records: a credential counts while all that it speaks of do.

        Args:
            subjects: State keys; one that was not asked for counts as valid until the next height.
        """
        return worst(self.statuses.get(subject, Status.VALID) for subject in subjects)


@dataclass(frozen=True, slots=True)
class CardCertificate:
    """A certificate of a card, as revocation lists and OCSP answers need it.

    Attributes:
        subjects: State keys of the registration of which it speaks, and of whatever else must count for it.
        ending: That it ended by itself, as with a lost card; None: it counts while its subjects do.
    """

    subjects: tuple[bytes, ...]
    ending: Ending | None = None


def certificates_at(standing: Standing, certificates: Mapping[int, CardCertificate]) -> StatusTable:
    """What revocation lists and OCSP say: made from the same height as status lists.

    Args:
        standing: How records stand.
        certificates: By serial number; those that have not expired.
    """
    return StatusTable(
        standing.height,
        standing.time_ms // 1000,
        {serial: _ending_at(standing, certificate) for serial, certificate in certificates.items()},
    )


def _ending_at(standing: Standing, certificate: CardCertificate) -> Ending | None:
    """For good before on hold: whatever ended by itself stays ended."""
    own = certificate.ending
    status = standing.of(certificate.subjects)
    if status is Status.VALID or (own is not None and own.reason is not Reason.HOLD):
        return own
    since_ms = [
        standing.since_ms.get(subject, standing.time_ms)
        for subject in certificate.subjects
        if standing.statuses.get(subject, Status.VALID) is status
    ]
    reason = Reason.ENDED if status is Status.INVALID else Reason.HOLD
    return Ending(reason, min(since_ms) // 1000)


def worst(statuses: Iterable[Status]) -> Status:
    """Invalid before suspended before valid; valid of none."""
    return max(statuses, key=_SEVERITY.__getitem__, default=Status.VALID)


def pinned(key: bytes, value: bytes) -> bytes:
    """A state key with what its record says now; a credential with it ends when that changes.

    Args:
        key: Of a natural or legal person's registration.
        value: The record, as it was proven when the credential was made.
    """
    return key + _PIN + _said(key, value)


def record_key(subject: bytes) -> bytes:
    """The state key of a subject, pinned or not."""
    return subject.partition(_PIN)[0]


def _said(key: bytes, value: bytes) -> bytes:
    """What a record says of a person, in short; keys, levels and statuses come and go without it."""
    if key.startswith(_PERSON):
        return pb.PersonRecord.FromString(value).commitment.hex().encode()
    assert key.startswith(_LEGAL_PERSON), "mandates never change"
    record = pb.LegalPersonRecord.FromString(value)
    parts = (record.name_zh.encode(), record.name_en.encode(), record.commitment)
    return hashlib.sha256(b"".join(len(part).to_bytes(4) + part for part in parts)).hexdigest().encode()


def status_of(key: bytes, value: bytes | None, time_ms: int) -> Status:
    """What a state key's value, or its proven absence, says of credentials about it.

    Args:
        key: Of a natural or legal person's registration, pinned or not, or of a mandate.
        value: As it stands at the height; None: it is not there.
        time_ms: That height's time.
    """
    key, is_pinned, said = key.partition(_PIN)
    if value is None or (is_pinned and said != _said(key, value)):
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


def since_of(key: bytes, value: bytes | None, time_ms: int) -> int:
    """Since when a record has its status; Unix time in ms, never after the height's.

    Args:
        key: As for `status_of`.
        value: As it stands at the height.
        time_ms: That height's time.
    """
    if value is None:
        return time_ms
    if key.startswith(_PERSON):
        return min(pb.PersonRecord.FromString(value).since_ms, time_ms)
    if key.startswith(_LEGAL_PERSON):
        return min(pb.LegalPersonRecord.FromString(value).since_ms, time_ms)
    return min(pb.MandateRecord.FromString(value).ended_at_ms or time_ms, time_ms)
