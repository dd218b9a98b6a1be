# SPDX-License-Identifier: Apache-2.0
"""A credential says no more than two officers confirmed on the ledger.

The desk makes offers, and its server may fall into wrong hands. So the issuer reads the records of which a credential
speaks, with proof, at the moment of issuing, and compares: a natural person's data open the commitment that was
confirmed, and the claims follow from them; a company's name and code and a mandate's terms stand on the ledger in the
clear. What is not proven so is named in docs/credentials.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chain.strict_json import Json
from identity.commitments import SALT_BYTES
from identity.credentials import LEGAL_PERSON, MANDATE, NATURAL_PERSON, Claims
from identity.jose import JsonObject
from identity.legal_persons import legal_person_key
from identity.pb import identity_pb2 as pb
from identity.person_data import canonical_data, data_commitment

_PERSON_PREFIX: Final = b"identity/person/"
_MANDATE_PREFIX: Final = b"identity/mandate/"
_KINDS: Final = {
    "company": pb.MANDATE_KIND_LEGAL_PERSON,
    "minor": pb.MANDATE_KIND_MINOR,
    "ward": pb.MANDATE_KIND_WARD,
    "person": pb.MANDATE_KIND_PERSON,
}


class NotConfirmed(Exception):
    """A credential would say what nobody confirmed."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens the commitment of a natural person's registration.

    Attributes:
        data: As it was committed to: `identity.person_data.canonical_data`.
        salt: 32 bytes.
    """

    data: Mapping[str, str]
    salt: bytes

    def to_json(self) -> JsonObject:
        """For the store."""
        return {"data": dict(self.data), "salt": self.salt.hex()}

    @classmethod
    def from_json(cls, value: Json) -> "Opening":
        """What `to_json` wrote."""
        assert isinstance(value, dict), "we wrote it"
        data, salt = value["data"], value["salt"]
        assert isinstance(data, dict), "we wrote it"
        return cls({name: str(each) for name, each in data.items()}, bytes.fromhex(str(salt)))


def check_confirmed(
    claims: Claims, subjects: tuple[bytes, ...], opening: Opening | None, records: Mapping[bytes, bytes | None]
) -> None:
    """Compare what a credential would say with what stands on the ledger.

    Args:
        claims: What it would say.
        subjects: State keys of the records of which it speaks.
        opening: Of a natural person's commitment.
        records: Their values, proven; None: absent.

    Raises:
        NotConfirmed: They differ.
    """
    if not subjects or any(records.get(subject) is None for subject in subjects):
        raise NotConfirmed("a record of which it speaks is not there")
    if claims.vct == NATURAL_PERSON:
        _check_natural_person(claims.claims, subjects, opening, records)
    elif claims.vct == LEGAL_PERSON:
        _check_legal_person(claims.claims, subjects, records)
    elif claims.vct == MANDATE:
        _check_mandate(claims.claims, subjects, records)
    else:
        raise NotConfirmed("no record on the ledger bears such a credential out")


def _check_natural_person(
    claims: JsonObject, subjects: tuple[bytes, ...], opening: Opening | None, records: Mapping[bytes, bytes | None]
) -> None:
    record = pb.PersonRecord.FromString(_only(_PERSON_PREFIX, subjects, records))
    if opening is None or len(opening.salt) != SALT_BYTES:
        raise NotConfirmed("nothing opens the registration's commitment")
    data = opening.data
    if data_commitment(canonical_data(data), opening.salt) != record.commitment:
        raise NotConfirmed("the data are not those that were confirmed")
    family, given, proofing, address = (claims.get(n) for n in ("family_name", "given_name", "proofing", "address"))
    names = {f"{family}{given}", f"{family} {given}", f"{given} {family}"}
    level = pb.AssuranceLevel.Name(record.assurance_level).removeprefix("ASSURANCE_LEVEL_").lower()
    assert isinstance(proofing, dict), "each natural person's credential says how"
    assert isinstance(address, dict), "and where"
    place = f"{address['region']}{address['locality']}"
    agrees = {
        "name": data.get("name") in names,
        "birth date": data.get("born") == claims.get("birthdate"),
        "proofing": data.get("method") == proofing["method"],
        "residence": "".join(data.get("address", "").split()).startswith(place),
        "assurance level": level == claims.get("assurance_level"),
        "life": data.get("deceased_on", "") == "",
    }
    _refuse(agrees)


def _check_legal_person(claims: JsonObject, subjects: tuple[bytes, ...], records: Mapping[bytes, bytes | None]) -> None:
    key = legal_person_key(str(claims["uscc"]))
    record = pb.LegalPersonRecord.FromString(_only(key, subjects, records))
    _refuse({"name": claims["legal_name"] in {record.name_zh, record.name_en}})


def _check_mandate(claims: JsonObject, subjects: tuple[bytes, ...], records: Mapping[bytes, bytes | None]) -> None:
    record = pb.MandateRecord.FromString(_only(_MANDATE_PREFIX, subjects, records))
    scopes, powers, begins_s = claims["scope"], claims["powers"], claims["nbf"]
    assert isinstance(scopes, list), "each mandate's credential says in what"
    assert isinstance(powers, list), "and what may be done"
    assert isinstance(begins_s, int), "and from when"
    _refuse(
        {
            "kind": _KINDS.get(str(claims["kind"])) == record.kind,
            "scopes": {str(one) for one in scopes} == {_word(pb.Scope.Name(one), "SCOPE_") for one in record.scopes},
            "powers": {str(one) for one in powers} == {_word(pb.Power.Name(one), "POWER_") for one in record.powers},
            "amount": claims.get("amount_fen_max", 0) == record.amount_fen_max,
            "delegation": claims["may_delegate"] == record.may_delegate,
            "beginning": begins_s * 1000 >= record.valid_from_ms,
        }
    )


def _only(prefix: bytes, subjects: tuple[bytes, ...], records: Mapping[bytes, bytes | None]) -> bytes:
    """The one record of a kind among the subjects."""
    found = [subject for subject in subjects if subject.startswith(prefix)]
    value = records.get(found[0]) if len(found) == 1 else None
    if value is None:
        raise NotConfirmed("it speaks of no record of its kind, or of several")
    return value


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", "-")


def _refuse(agrees: Mapping[str, bool]) -> None:
    wrong = [name for name, is_same in agrees.items() if not is_same]
    if wrong:
        raise NotConfirmed(f"not as it was confirmed: {', '.join(wrong)}")
