# SPDX-License-Identifier: Apache-2.0
"""The sandbox for integrators: made-up people whose wallet answers at once, by the same checks as real ones.

Its registrar, its status list and its people exist in this process alone, and nothing of it touches the ledger. Answers
have a type of their own, which no program that checks real answers takes; keys of real programs can't reach it.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from chain import p256
from chain.types import sha256
from identity import issuer_keys, sd_jwt, status_list
from identity.api.verifier.asking import OWN_CLAIMS
from identity.api.verifier.checking import Judge
from identity.api.verifier.dcql import Query
from identity.api.verifier.ledger import Issuers, Proven
from identity.api.verifier.outbound import NotReached
from identity.api.verifier.registered import VERIFIER_CLAIMS, NotRegistered, Purpose
from identity.api.verifier.status_lists import StatusLists
from identity.api.verifier.transaction_data import confirmation
from identity.api.verifier.verifier import Realm
from identity.credentials import NATURAL_PERSON, Proofing, natural_person
from identity.disclosures import unpack
from identity.issuer_keys import DAY_S, IssuingKey, Trust
from identity.jose import MemorySigner, decode_jws, encode_base64url, load_object
from identity.sd_jwt import Binding

STATUS_URI: Final = "https://sandbox.invalid/status"
DAYS: Final = 365
"""A process that runs longer than its sandbox's certificates makes new ones at its next start."""
PER_SECOND_MAX: Final = 10

_ADULT, _MINOR, _REVOKED = "adult", "minor", "revoked"
PEOPLE: Final = (_ADULT, _MINOR, _REVOKED)
"""Whom a program can have answer: one of age, one who is not, one whose credential was revoked."""
_BIRTHS: Final = {_ADULT: date(1990, 5, 17), _MINOR: date(2015, 3, 1), _REVOKED: date(1985, 1, 9)}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Made-up people, and what believes them.

    Attributes:
        realm: For `Verifier.sandbox`.
        key: Its registrar's issuing key.
        now_s: Unix time in s.
    """

    realm: Realm
    key: IssuingKey
    now_s: Callable[[], int]

    def presented(self, person: str, query: Query, binding: Binding, transaction: str = "") -> dict[str, str]:
        """What a made-up person's wallet answers.

        Args:
            person: One of `PEOPLE`.
            query: What was asked.
            binding: Of the request.
            transaction: What the person confirms, as `transaction_data` encodes it; "": nothing.
        """
        extra = confirmation(transaction) if transaction else None
        holder = MemorySigner(generate_private_key(SECP256R1()))
        credential = self._credential(person, holder)
        issued, *texts = credential.split("~")
        places = unpack(load_object(decode_jws(issued, None, "ours").payload, "ours"), texts[:-1]).places
        found: dict[str, str] = {}
        for one in query.credentials:
            if NATURAL_PERSON in one.types:
                wanted = [claim.path for claim in one.claims] + [(name,) for name in OWN_CLAIMS[NATURAL_PERSON]]
                shown = [path for path in places if any(path[: len(way)] == way[: len(path)] for way in wanted)]
                found[one.id] = sd_jwt.present(
                    credential, shown, key=holder, binding=binding, now_s=self.now_s(), extra=extra
                )
        return found

    def _credential(self, person: str, holder: MemorySigner) -> str:
        claims = natural_person(
            family_name="样",
            given_name="例",
            birthdate=_BIRTHS[person],
            region="广东省",
            locality="佛山市禅城区",
            assurance_level="high",
            proofing=Proofing("document-chip", date(2026, 1, 5), "sandbox", "clerk"),
            as_of=datetime.fromtimestamp(self.now_s(), UTC).date(),
            access_slot=encode_base64url(sha256(f"sandbox slot {person}".encode())),
            pairwise_seed=encode_base64url(sha256(f"sandbox seed {person}".encode())),
        )
        whole = claims.dated(
            issuer="https://sandbox.invalid",
            issued_s=self.now_s(),
            expires_s=self.now_s() + 30 * DAY_S,
            status_uri=STATUS_URI,
            status_index=PEOPLE.index(person),
        )
        assert self.key.signer is not None, "it was made here"
        return sd_jwt.issue(
            whole, claims.disclosable, self.key.signer, holder_key=holder.public_key, header=self.key.header
        )


class _Directory:
    """Any purpose of any program, for all that a credential says."""

    async def purpose(self, relying_party: str, purpose: int) -> Purpose:
        """See `registered.Directory.purpose`."""
        if purpose < 1:
            raise NotRegistered("purposes begin with 1")
        names = ("family_name", "given_name", "birthdate", "age_over_18", "address", "assurance_level", "proofing")
        allowed = {NATURAL_PERSON: frozenset(names) - VERIFIER_CLAIMS}
        return Purpose(
            relying_party,
            purpose,
            "沙箱",
            "Sandbox",
            "none: made-up people",
            allowed,
            is_emergency=False,
            status_age_s_max=None,
            per_second_max=PER_SECOND_MAX,
            valid_to_ms=2**42,
            about_zh="试用",
            about_en="Trying it out",
        )


class _NoLedger:
    """The ledger has nothing of a sandbox, and is not asked."""

    async def read(self, keys: Sequence[bytes], *, height: int = 0) -> Proven:
        """See `ledger.States.read`."""
        return Proven(height, 0, dict.fromkeys(keys), dict.fromkeys(keys, b""))


def make_sandbox(now_s: Callable[[], int]) -> Sandbox:
    """A sandbox with keys of its own.

    Args:
        now_s: Unix time in s.
    """
    registrar, issuing = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    begins_s = now_s() // DAY_S * DAY_S
    ends_s = begins_s + DAYS * DAY_S
    anchor = issuer_keys.make_registrar(
        "Sandbox", registrar, serial=secrets.randbits(158), begins_s=begins_s, ends_s=ends_s
    )
    public_key = p256.compress(issuing.public_key())
    leaf = issuer_keys.certify(
        anchor, registrar, public_key, serial=secrets.randbits(158), begins_s=begins_s, ends_s=ends_s
    )
    key = issuer_keys.issuing_key(leaf, MemorySigner(issuing), signs_from_s=begins_s, signs_until_s=ends_s)

    async def fetch(uri: str) -> str:
        if uri != STATUS_URI:
            raise NotReached("it is no list of the sandbox")
        statuses = status_list.StatusList(8)
        statuses.set(PEOPLE.index(_REVOKED), status_list.Status.INVALID)
        assert key.signer is not None, "it was made here"
        return status_list.sign(
            statuses, uri, key.signer, issued_s=now_s(), expires_s=now_s() + DAY_S, ttl_s=30, header=key.header
        )

    judge = Judge(Trust([anchor]), Issuers(_NoLedger()), StatusLists(fetch, now_s))
    return Sandbox(Realm(_Directory(), None, judge, needs_entries=False), key, now_s)
