# SPDX-License-Identifier: Apache-2.0
"""What was checked, step by step, and what follows from it: the content of an answer before it is signed."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from chain.strict_json import Json
from identity.credential_check import Outcome
from identity.jose import InvalidToken, JsonObject, decode_base64url, encode_base64url

SEED_BYTES: Final = 32

_PAIRWISE = b"zhixin/pairwise/1\x00"


class Step(StrEnum):
    """What is checked; each credential has the first four."""

    ISSUED = "issued"
    """The issuer's signature, form, disclosures, times."""
    ISSUER_KEY = "issuer-key"
    """How the issuer's key stands on the ledger."""
    BOUND = "bound"
    """That the holder's key answered this very request."""
    STATUS = "status"
    """What the status list says, and how old it is."""
    ASKED = "asked"
    """That what was presented is what was asked for."""
    SAME_HOLDER = "same-holder"
    """Whether several credentials are bound to one key."""
    WALLET = "wallet"
    """That the holder's wallet answered, rather than declined."""
    REGISTRATION = "registration"
    """That the relying party's registration still counts."""
    CONSENT = "consent"
    """That the citizen's consent, where the purpose needs one, stands on the ledger now."""
    TRANSACTION = "transaction"
    """That the holder's key confirmed the very transaction that was asked for."""
    CERTIFICATE = "certificate"
    """A card's certificate: path, times, purpose."""
    CERTIFICATE_STATUS = "certificate-status"
    """That nobody suspended or revoked it."""
    CARD_KEY = "card-key"
    """That the key in it made the signature, over this challenge or document."""
    LEDGER_KEY = "ledger-key"
    """How the card's key stands in its holder's record on the ledger."""
    CODE = "code"
    """An offline code: both signatures, times, shown once."""
    RECORD = "record"
    """What a record on the ledger says."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How one step ended.

    Attributes:
        step: Which.
        outcome: How.
        subject: Which credential, document or signature; "" where there is one only.
        code: Why it failed or is unknown; "" otherwise.
        reason: The same for people, in English.
        claims: Which claims that were asked for it is about; no values.
    """

    step: Step
    outcome: Outcome
    subject: str = ""
    code: str = ""
    reason: str = ""
    claims: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """As it stands in an answer."""
        made: JsonObject = {"step": self.step.value, "outcome": self.outcome.value}
        for name in ("subject", "code", "reason"):
            if value := getattr(self, name):
                made[name] = value
        return made | {"claims": list(self.claims)} if self.claims else made


@dataclass(frozen=True, slots=True)
class StatusShown:
    """What a status list said; neither its address nor the place in it, by which answers could be joined.

    Attributes:
        subject: Of which credential.
        value: What stood there.
        issued_s: As of when, Unix time in s.
        age_s: How old that was when it was looked at.
    """

    subject: str
    value: int
    issued_s: int
    age_s: int

    def to_json(self) -> JsonObject:
        """As it stands in an answer."""
        return {"subject": self.subject, "value": self.value, "issued_s": self.issued_s, "age_s": self.age_s}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was checked, and what may be told.

    Attributes:
        findings: Each step in its order.
        claims: By credential, what was asked for and disclosed.
        assurance_level: As the ledger's rules name it; "" if no credential says.
        pseudonym: Of the person at this relying party; "" if none can be made.
        statuses: What status lists said.
        receipts: Each of what, and its bytes.
        facts: What a direct check found, such as a signature's time.
        slot: Where the person's list of accesses begins, "" if it tells of companies alone; not part of the answer.
    """

    findings: tuple[Finding, ...]
    claims: Mapping[str, JsonObject] = field(default_factory=dict)
    assurance_level: str = ""
    pseudonym: str = ""
    statuses: tuple[StatusShown, ...] = ()
    receipts: tuple[tuple[str, bytes], ...] = ()
    facts: JsonObject = field(default_factory=dict)
    slot: str = ""

    @property
    def holds(self) -> bool:
        """Whether it may be relied on: something was checked, and nothing failed."""
        return bool(self.findings) and all(finding.outcome is not Outcome.FAILED for finding in self.findings)

    @property
    def outcome(self) -> str:
        """In one word: refused, held, or undecided where a record does not say."""
        if not self.holds:
            return "refused"
        unknown = any(one.step is Step.RECORD and one.outcome is Outcome.UNKNOWN for one in self.findings)
        return "undecided" if unknown else "held"

    @property
    def discloses(self) -> bool:
        """Whether it tells something about a person, so that an access entry is due; a company has no list."""
        return self.holds and bool(self.slot)

    def to_json(self) -> JsonObject:
        """As it stands in an answer; one that did not hold tells no claim and no pseudonym."""
        steps: list[Json] = [finding.to_json() for finding in self.findings]
        statuses: list[Json] = [status.to_json() for status in self.statuses]
        receipts: list[Json] = [{"of": of, "receipt": encode_base64url(raw)} for of, raw in self.receipts]
        return {
            "outcome": self.outcome,
            "steps": steps,
            "claims": {name: dict(claims) for name, claims in self.claims.items()} if self.holds else {},
            "assurance_level": self.assurance_level if self.holds else "",
            "pseudonym": self.pseudonym if self.holds else "",
            "statuses": statuses,
            "receipts": receipts,
            "facts": self.facts,
        }


def failed(step: Step, error: InvalidToken, subject: str = "") -> Finding:
    """A step that a token failed."""
    return Finding(step, Outcome.FAILED, subject, error.code, error.reason)


def pairwise(seed: str, relying_party: str) -> str:
    """A person's pseudonym at one relying party; 43 characters.

    HMAC-SHA-256 under the person's seed, which stands in their credential and is the same in each new one: so it
    survives new phones and cards, and no two relying parties can compare theirs.

    Args:
        seed: The claim `pairwise_seed`: base64url of 32 bytes.
        relying_party: Its organisation's id on the ledger.

    Raises:
        InvalidToken: The seed is none.
    """
    key = decode_base64url(seed, "pairwise_seed")
    if len(key) != SEED_BYTES:
        raise InvalidToken(f"pairwise_seed is not {SEED_BYTES} bytes")
    return encode_base64url(hmac.digest(key, _PAIRWISE + relying_party.encode(), "sha256"))
