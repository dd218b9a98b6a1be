# SPDX-License-Identifier: Apache-2.0
"""What credentials say: claims of persons, legal persons, mandates and credit grades, and what may be kept back.

Names follow OpenID Connect where it has them. The 18-digit number of a person is in no credential: who needs it asks
for it. What a verifier need not know in full (`age_over_18` for the birth date, a district for the address) has a
claim of its own, so that a holder shows that alone. `type_metadata` describes each type to wallets and verifiers.

Source: SD-JWT VC draft-24, 2.2.2 (claims) and 4 (type metadata); OpenID Connect Core 1.0, 5.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from chain.strict_json import Json
from identity.disclosures import Path
from identity.jose import JsonObject

NATURAL_PERSON: Final = "urn:imi:cn-gd-fs-chancheng:natural-person:1"
LEGAL_PERSON: Final = "urn:imi:cn-gd-fs-chancheng:legal-person:1"
MANDATE: Final = "urn:imi:cn-gd-fs-chancheng:mandate:1"
CREDIT_GRADE: Final = "urn:imi:cn-gd-fs-chancheng:credit-grade:1"
TYPES: Final = (NATURAL_PERSON, LEGAL_PERSON, MANDATE, CREDIT_GRADE)
OF_ONE_PERSON: Final = (NATURAL_PERSON, CREDIT_GRADE)
"""Types that come alone: each says where its holder's list of accesses begins, and has the seed of their pseudonyms, by
which two of them are seen to be the same person's."""

ADULT_YEARS: Final = 18
DAY_S: Final = 86_400
SHORT_LIVED: Final[Mapping[str, int]] = {CREDIT_GRADE: DAY_S}
"""Types that name no status list, with the longest that such a credential counts, in s: it ends before a revocation
would be heard of everywhere."""
DECOYS: Final = 3
"""Digests of nothing in each credential: whether somebody has a claim that others lack is not told by counting."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What one credential says, but for who issues it, to which key, and its times.

    Attributes:
        vct: Its type.
        claims: What it says of its subject.
        disclosable: Where what the holder may keep back stands.
    """

    vct: str
    claims: JsonObject
    disclosable: tuple[Path, ...]

    def dated(
        self,
        *,
        issuer: str,
        issued_s: int,
        expires_s: int,
        status_uri: str,
        status_index: int,
    ) -> JsonObject:
        """The whole of a token's claims.

        Args:
            issuer: The credential issuer's URL.
            issued_s: Unix time in s; rounded down to the day, so that copies of a batch and its neighbours look alike.
            expires_s: Unix time in s, likewise.
            status_uri: The status list's.
            status_index: This copy's place in it.
        """
        return {
            "vct": self.vct,
            "iss": issuer,
            "iat": issued_s // DAY_S * DAY_S,
            "exp": expires_s // DAY_S * DAY_S,
            "status": {"status_list": {"idx": status_index, "uri": status_uri}},
            **self.claims,
        }

    def to_json(self) -> JsonObject:
        """For a store; `Claims.from_json` reads it."""
        paths: list[Json] = [list(path) for path in self.disclosable]
        return {"vct": self.vct, "claims": self.claims, "disclosable": paths}

    @classmethod
    def from_json(cls, value: JsonObject) -> "Claims":
        """What `to_json` wrote."""
        vct, claims, paths = value["vct"], value["claims"], value["disclosable"]
        assert isinstance(vct, str), "we wrote it"
        assert isinstance(claims, dict), "we wrote it"
        assert isinstance(paths, list), "we wrote it"
        return cls(vct, claims, tuple(_path(path) for path in paths))


@dataclass(frozen=True, slots=True)
class Proofing:
    """How a person's identity was established.

    Attributes:
        method: As the ledger's rules name it, such as "document-chip".
        on: The day.
        office: Where.
        officer_role: Of the officer who enrolled; no name.
    """

    method: str
    on: date
    office: str
    officer_role: str


def natural_person(
    *,
    family_name: str,
    given_name: str,
    birthdate: date,
    region: str,
    locality: str,
    assurance_level: str,
    proofing: Proofing,
    as_of: date,
    access_slot: str | None = None,
    pairwise_seed: str | None = None,
) -> Claims:
    """Claims of a natural person.

    Args:
        family_name: As in the document.
        given_name: As in the document.
        birthdate: The day.
        region: Of residence: the province.
        locality: Of residence: city and district; no street.
        assurance_level: "low", "substantial" or "high", as on the ledger.
        proofing: How the identity was established.
        as_of: The day on which `age_over_18` holds.
        access_slot: Where the person's own list of accesses begins; None if there is none.
        pairwise_seed: Of which a verifier makes the person's pseudonym at each relying party: base64url of 32 bytes,
            the same in each credential of the person; None if there is none.
    """
    claims: JsonObject = {
        "family_name": family_name,
        "given_name": given_name,
        "birthdate": birthdate.isoformat(),
        "age_over_18": years_between(birthdate, as_of) >= ADULT_YEARS,
        "address": {"region": region, "locality": locality},
        "assurance_level": assurance_level,
        "proofing": {
            "method": proofing.method,
            "at": proofing.on.isoformat(),
            "office": proofing.office,
            "officer_role": proofing.officer_role,
        },
    }
    disclosable: list[Path] = [(name,) for name in claims if name != "assurance_level"]
    disclosable += [("address", "region"), ("address", "locality")]
    for name, value in (("access_slot", access_slot), ("pairwise_seed", pairwise_seed)):
        if value is not None:
            claims[name] = value
            disclosable.append((name,))
    return Claims(NATURAL_PERSON, claims, tuple(disclosable))


def legal_person(*, legal_name: str, uscc: str, legal_representative: str, assurance_level: str) -> Claims:
    """Claims of a company or public body.

    Args:
        legal_name: As registered.
        uscc: Its unified social credit code.
        legal_representative: That person's name, which may be kept back; the rest is public.
        assurance_level: As on the ledger.
    """
    claims: JsonObject = {
        "legal_name": legal_name,
        "uscc": uscc,
        "legal_representative": legal_representative,
        "assurance_level": assurance_level,
    }
    return Claims(LEGAL_PERSON, claims, (("legal_representative",),))


def mandate(
    *,
    kind: str,
    principal: str,
    agent: str,
    scopes: Sequence[str],
    powers: Sequence[str],
    may_delegate: bool,
    not_before_s: int,
    amount_fen_max: int | None = None,
) -> Claims:
    """Claims of a mandate, which lets an agent act for a principal.

    Args:
        kind: As on the ledger: "company", "minor", "ward" or "person".
        principal: Who is acted for: a company's code, or a person's name.
        agent: Who acts: a person's name.
        scopes: In which matters.
        powers: To do what; each may be shown without the others.
        may_delegate: Whether the agent may let others act.
        not_before_s: Unix time in s from which it holds.
        amount_fen_max: The largest amount of one act in fen; None: without limit.
    """
    claims: JsonObject = {
        "kind": kind,
        "principal": principal,
        "agent": agent,
        "scope": list(scopes),
        "powers": list(powers),
        "may_delegate": may_delegate,
        "nbf": not_before_s,
    }
    if amount_fen_max is not None:
        claims["amount_fen_max"] = amount_fen_max
    disclosable: tuple[Path, ...] = (("principal",), ("agent",), *(("powers", i) for i in range(len(powers))))
    return Claims(MANDATE, claims, disclosable)


def credit_grade(
    *, grade_at_least: str, as_of: date, access_slot: str | None = None, pairwise_seed: str | None = None
) -> Claims:
    """Claims of a credit grade: that it is so good or better on a day, and neither points nor events.

    Args:
        grade_at_least: "A" to "C".
        as_of: The day of the report behind it.
        access_slot: As in the person's own credential; None: it can't be shown through a verifier.
        pairwise_seed: Likewise.
    """
    claims: JsonObject = {"grade_at_least": grade_at_least, "as_of": as_of.isoformat()}
    own = {"access_slot": access_slot, "pairwise_seed": pairwise_seed}
    kept_back = {name: value for name, value in own.items() if value is not None}
    return Claims(CREDIT_GRADE, {**claims, **kept_back}, tuple((name,) for name in kept_back))


def is_short_lived(claims: JsonObject) -> bool:
    """Whether a verified credential needs no status list: its type has none, and it counts no longer than that allows.

    Args:
        claims: All of the credential's.
    """
    vct, begins_s, ends_s = claims.get("vct"), claims.get("iat"), claims.get("exp")
    longest_s = SHORT_LIVED.get(vct) if isinstance(vct, str) else None
    if longest_s is None or not isinstance(begins_s, int) or not isinstance(ends_s, int):
        return False
    return ends_s - begins_s <= longest_s


def refreshed(claims: Claims, as_of: date) -> Claims:
    """The same claims on another day: `age_over_18` holds for that day."""
    birthdate = claims.claims.get("birthdate")
    if not isinstance(birthdate, str):
        return claims
    is_adult = years_between(date.fromisoformat(birthdate), as_of) >= ADULT_YEARS
    return replace(claims, claims={**claims.claims, "age_over_18": is_adult})


def years_between(birthdate: date, as_of: date) -> int:
    """Full years of age; who was born on 29 February grows older on 1 March where there is none."""
    return as_of.year - birthdate.year - ((as_of.month, as_of.day) < (birthdate.month, birthdate.day))


def type_metadata(vct: str) -> JsonObject:
    """The JSON document that describes a type, in both languages.

    Args:
        vct: One of `TYPES`.
    """
    name, description, claims = _METADATA[vct]
    return {
        "vct": vct,
        "name": name["en"],
        "description": description["en"],
        "display": [
            {"locale": locale, "name": name[locale], "description": description[locale]} for locale in ("zh-CN", "en")
        ],
        "claims": [
            {
                "path": list(path),
                "sd": sd,
                "display": [{"locale": "zh-CN", "label": chinese}, {"locale": "en", "label": english}],
            }
            for path, sd, chinese, english in claims
        ],
    }


def label(vct: str, name: str, locale: str) -> str:
    """What a claim is called; its own name if the type does not describe it.

    Args:
        vct: The credential's type.
        name: The claim's, at the top.
        locale: "zh-CN" or "en".
    """
    for path, _sd, chinese, english in _METADATA[vct][2] if vct in _METADATA else ():
        if path == (name,):
            return chinese if locale == "zh-CN" else english
    return name


def _path(value: Json) -> Path:
    assert isinstance(value, list), "we wrote it"
    steps = tuple(step for step in value if isinstance(step, str | int))
    assert len(steps) == len(value), "we wrote it"
    return steps


_Described = tuple[tuple[str | None, ...], str, str, str]

_NATURAL_PERSON: tuple[_Described, ...] = (
    (("family_name",), "always", "姓", "Family name"),
    (("given_name",), "always", "名", "Given name"),
    (("birthdate",), "always", "出生日期", "Date of birth"),
    (("age_over_18",), "always", "已满十八周岁", "18 or older"),
    (("address",), "always", "居住地", "Residence"),
    (("address", "region"), "always", "省", "Province"),
    (("address", "locality"), "always", "市、区", "City and district"),
    (("assurance_level",), "never", "认证等级", "Assurance level"),
    (("proofing",), "always", "身份核验", "Proof of identity"),
    (("access_slot",), "always", "查询记录起点", "Start of the access record"),
    (("pairwise_seed",), "always", "化名种子", "Seed of pseudonyms"),
)
_LEGAL_PERSON: tuple[_Described, ...] = (
    (("legal_name",), "never", "名称", "Name"),
    (("uscc",), "never", "统一社会信用代码", "Unified social credit code"),
    (("legal_representative",), "always", "法定代表人", "Legal representative"),
    (("assurance_level",), "never", "认证等级", "Assurance level"),
)
_MANDATE: tuple[_Described, ...] = (
    (("kind",), "never", "委托类型", "Kind of mandate"),
    (("principal",), "always", "委托人", "Principal"),
    (("agent",), "always", "受托人", "Agent"),
    (("scope",), "never", "事项", "Matters"),
    (("powers",), "never", "权限", "Powers"),
    (("powers", None), "always", "权限之一", "One power"),
    (("may_delegate",), "never", "可否转委托", "May delegate"),
    (("amount_fen_max",), "never", "单笔限额（分）", "Largest amount (fen)"),
)
_CREDIT_GRADE: tuple[_Described, ...] = (
    (("grade_at_least",), "never", "信用等级不低于", "Credit grade at least"),
    (("as_of",), "never", "截至日期", "On the day"),
    (("access_slot",), "always", "查询记录起点", "Start of the access record"),
    (("pairwise_seed",), "always", "化名种子", "Seed of pseudonyms"),
)
_METADATA: Mapping[str, tuple[Mapping[str, str], Mapping[str, str], tuple[_Described, ...]]] = {
    NATURAL_PERSON: (
        {"zh-CN": "自然人身份", "en": "Natural person"},
        {"zh-CN": "由登记机构当面核验的自然人身份。", "en": "A natural person, seen and registered by an office."},
        _NATURAL_PERSON,
    ),
    LEGAL_PERSON: (
        {"zh-CN": "法人身份", "en": "Legal person"},
        {"zh-CN": "由登记机构登记的法人或其他组织。", "en": "A company or public body that an office registered."},
        _LEGAL_PERSON,
    ),
    MANDATE: (
        {"zh-CN": "委托授权", "en": "Mandate"},
        {"zh-CN": "受托人可以代委托人办理的事项。", "en": "In what an agent may act for a principal."},
        _MANDATE,
    ),
    CREDIT_GRADE: (
        {"zh-CN": "信用等级", "en": "Credit grade"},
        {
            "zh-CN": "所示日期的信用等级不低于所示等级；不含分数和记录。",
            "en": "That the credit grade was so good or better on that day; neither points nor records.",
        },
        _CREDIT_GRADE,
    ),
}
