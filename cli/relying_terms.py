# SPDX-License-Identifier: Apache-2.0
"""What a relying party is registered for, as a registrar writes it down: a TOML file, read into the ledger's terms.

valid_from = 2027-01-01T00:00:00+08:00
valid_to = 2028-01-01T00:00:00+08:00
keys = ["02…"]                       # P-256 keys that sign its requests, 66 hexadecimal digits; may be left out
[[purposes]]
number = 1                           # keeps its meaning for good
name_zh = "开立账户"
name_en = "Opening an account"
legal_basis = "反洗钱法第二十九条"
attributes = ["natural-person/birthdate", "natural-person/family_name"]
status_age_s_max = 3600              # how old a status list may be; left out: any, and the answer says its age
per_second_max = 10                  # requests a second
needs_consent = false
emergency = false
"""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cli.errors import InputError
from cli.home import read_file
from cli.language import t
from cli.records import message_of
from identity.pb import identity_pb2 as pb
from identity.relying_rules import check_terms

TERMS_BYTES_MAX: Final = 256 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENTS: Final = {"valid_from": "valid_from_ms", "valid_to": "valid_to_ms"}


def load_terms(path: Path) -> pb.RelyingTerms:
    """Read terms; lists that the ledger wants in order are put in order.

    Raises:
        InputError: The file cannot be read, is no TOML, or a field is unknown, missing or of another kind.
        Refused: A term is out of the bounds that the rules set.
    """
    try:
        written: dict[str, object] = tomllib.loads(read_file(path, TERMS_BYTES_MAX).decode())
    except ValueError as error:
        raise InputError("party.terms", t("party.terms", path=path, text=error)) from None
    fields: dict[str, object] = {}
    for name, value in written.items():
        if name in _MOMENTS:
            fields[_MOMENTS[name]] = _moment_ms(path, name, value)
        elif name in {"keys", "purposes"}:
            fields[name] = value
        else:
            known = ", ".join([*_MOMENTS, "keys", "purposes"])
            raise InputError("party.terms", t("party.terms", path=path, text=f"{name!r}; {known}"))
    terms = message_of(pb.RelyingTerms, fields, str(path))
    assert isinstance(terms, pb.RelyingTerms), "it was made of this class"
    made = pb.RelyingTerms(keys=sorted(terms.keys), valid_from_ms=terms.valid_from_ms, valid_to_ms=terms.valid_to_ms)
    for purpose in sorted(terms.purposes, key=_number_of):
        ordered = made.purposes.add()
        ordered.CopyFrom(purpose)
        del ordered.attributes[:]
        ordered.attributes.extend(sorted(purpose.attributes))
    check_terms(made)
    return made


def _moment_ms(path: Path, name: str, value: object) -> int:
    """A moment with its zone, in Unix milliseconds.

    Raises:
        InputError: It is none, or before 1970.
    """
    if not isinstance(value, datetime) or value.tzinfo is None or value < _EPOCH:
        raise InputError("party.moment", t("party.moment", path=path, name=name))
    return (value - _EPOCH) // timedelta(milliseconds=1)


def _number_of(purpose: pb.RelyingPurpose) -> int:
    """The order of purposes."""
    return purpose.number
