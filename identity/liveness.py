# SPDX-License-Identifier: Apache-2.0
"""Whether a living person stood before a camera: who may say so, how it is written down, and what follows from it.

No method is built in. An operator plugs in a provider whose method has a name and an evaluation; its word is kept as
evidence of that method, bound to the very act. Without such a word nothing is assumed: the assurance level is the lower
one. In-person proofing needs none, for an officer sees the person.

Nothing of the picture stands here; a provider keeps or destroys it under its own rules.

Source: ISO/IEC 30107-3 (testing of presentation attack detection); ETSI TS 119 461, 8.3 (remote proofing).
"""

import json
import re
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from chain.errors import InvalidMessage, LedgerError
from chain.strict_json import parse
from chain.types import sha256
from identity.pb import identity_pb2 as pb
from identity.registrations import IN_PERSON, LEVEL_MAX

VALID_MS: Final = 10 * 60_000
"""How long after a check an act may rest on it: somebody looks into a camera, then signs."""
CHALLENGE_BYTES: Final = 32
EVIDENCE_BYTES_MAX: Final = 2_048
METHOD: Final = re.compile(r"[a-z0-9][a-z0-9._/-]{2,63}", re.ASCII)
"""A method's name with its version, such as "example-vendor/active-3.2"."""

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WITHOUT: Final = {
    pb.PROOFING_METHOD_REMOTE_VIDEO: pb.ASSURANCE_LEVEL_LOW,
    pb.PROOFING_METHOD_REMOTE_DATA: pb.ASSURANCE_LEVEL_LOW,
}
"""What remote proofing gives where nobody shows that the person was there."""
_RANKS: Final = {"low": 1, "substantial": 2, "high": 3}


class InvalidLiveness(LedgerError):
    """A liveness result that must not be relied on: of another act, too old, failed, or of an unknown method."""

    default_code = "identity.liveness"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a method said, as it is kept with the act that rests on it.

    Attributes:
        method: Its name with the version.
        challenge: SHA-256 of the act that it was asked for, hex.
        is_live: What it found.
        checked_ms: When, Unix time in ms.
        record: SHA-256 of what the provider keeps, hex, to ask it by.
    """

    method: str
    challenge: str
    is_live: bool
    checked_ms: int
    record: str

    def encode(self) -> bytes:
        """The one encoding: JSON in UTF-8, keys in order."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> bytes:
        """What a record of the act names; 32 bytes."""
        return sha256(b"zhixin/liveness/1\x00" + self.encode())

    @classmethod
    def decode(cls, raw: bytes) -> "Evidence":
        """Read evidence.

        Raises:
            InvalidMessage: It is none, or not in its one encoding.
        """
        members = parse(raw, size_max=EVIDENCE_BYTES_MAX, depth_max=1)
        match members:
            case {
                "method": str(method),
                "challenge": str(challenge),
                "is_live": bool(is_live),
                "checked_ms": int(checked_ms),
                "record": str(record),
            } if METHOD.fullmatch(method) and _HEX.fullmatch(challenge) and _HEX.fullmatch(record):
                made = cls(method, challenge, is_live, checked_ms, record)
                if checked_ms >= 0 and not isinstance(checked_ms, bool) and made.encode() == raw:
                    return made
        raise InvalidMessage("this is no evidence of liveness, or not in its one encoding")


class Provider(Protocol):
    """A method of an operator's choice; it stands beside the camera and blocks while the person looks into it."""

    @property
    def method(self) -> str:
        """Its name with the version; see `METHOD`."""
        ...

    def check(self, challenge: bytes) -> Evidence:
        """Look whether somebody living is there.

        Args:
            challenge: SHA-256 of the act, which the evidence names; 32 bytes.

        Raises:
            OSError: Camera or provider can't be reached; nothing is known then.
        """
        ...


def verify(evidence: Evidence, challenge: bytes, methods: frozenset[str], now_ms: int) -> None:
    """See that evidence counts for an act.

    Args:
        evidence: What is shown.
        challenge: SHA-256 of the act; 32 bytes.
        methods: Names of methods that the operator takes.
        now_ms: Unix time in ms.

    Raises:
        InvalidLiveness: It does not; the reason says why.
    """
    if evidence.method not in methods:
        raise InvalidLiveness(f"the method {evidence.method!r} is none that counts here", "identity.liveness-method")
    if evidence.challenge != challenge.hex():
        raise InvalidLiveness("the liveness check was made for something else")
    if not 0 <= now_ms - evidence.checked_ms <= VALID_MS:
        raise InvalidLiveness("the liveness check is too old, or from a time to come; make it anew")
    if not evidence.is_live:
        raise InvalidLiveness("the method did not find a living person", "identity.liveness-failed")


def proofing_level(method: pb.ProofingMethod.ValueType, evidence: Evidence | None) -> pb.AssuranceLevel.ValueType:
    """The highest assurance level that a proofing gives.

    Args:
        method: How the person became known.
        evidence: `verify`-ed; None: there is none.
    """
    if method in IN_PERSON or evidence is not None:
        return LEVEL_MAX[method]
    return _WITHOUT[method]


def presence_level(registered: str, evidence: Evidence | None) -> str:
    """What an act with card and PIN at a machine that nobody attends may claim.

    Card and PIN show that somebody has both; that it is their holder, nobody saw. So without evidence the level is at
    most substantial, whatever the registration has.

    Args:
        registered: Level of the registration: low, substantial, high.
        evidence: `verify`-ed; None: there is none.
    """
    limit = "high" if evidence is not None else "substantial"
    return min(registered, limit, key=_RANKS.__getitem__)
