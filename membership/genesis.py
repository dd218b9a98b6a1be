# SPDX-License-Identifier: Apache-2.0
"""The `membership` section of a genesis file: who is there when a network starts.

    "membership": {
      "organisations": [{
        "id": "city-registry", "name_zh": "市登记局", "name_en": "City Registry", "roles": ["registrar"],
        "quota_operations_s": 2000,
        "keys": [{"scheme": "ed25519", "public_key": "<hex>", "purposes": ["submit", "govern"],
                  "valid_from_ms": 0, "valid_to_ms": 0}]
      }],
      "parameters": {"quota-operations-s": 1000}
    }

All but organisations' ids and keys' scheme, bytes and purposes can be left out. The same functions check these records
that check later ones. The validators stand in the file's own list; each one's organisation stands here.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import TypeVar

from chain.checkpoint import Validator
from chain.errors import InvalidGenesis, Refused
from chain.genesis import Genesis
from chain.module import Context
from chain.pb import ledger_pb2
from chain.signing import Scheme, Signer
from chain.strict_json import Json
from chain.types import FIRST_EPOCH
from membership.authority import governing_organisations
from membership.keys import check_governable
from membership.organisations import add_organisation, existing_organisation
from membership.parameters import PARAMETERS, set_parameter
from membership.pb import membership_pb2 as pb
from membership.validators import check_endpoint, seat_validator

T = TypeVar("T")

SCHEME_NAMES = {"ed25519": Scheme.ED25519, "p256": Scheme.P256, "webauthn-es256": Scheme.WEBAUTHN_ES256}
"""Schemes as genesis files and command lines call them."""
PURPOSE_NAMES = {"submit": pb.PURPOSE_SUBMIT, "govern": pb.PURPOSE_GOVERN, "attest": pb.PURPOSE_ATTEST}
"""Purposes as genesis files and command lines call them."""
_WHERE = "sections.membership"
_PEM = re.compile("-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\\s]*)-----END CERTIFICATE-----", re.ASCII)
_PARAMETER_NAMES = {bounds.name: parameter for parameter, bounds in PARAMETERS.items()}


def write_genesis(genesis: Genesis, context: Context) -> None:
    """Write the first organisations, keys, parameters and validators.

    Raises:
        InvalidGenesis: Something is missing, unknown or wrong; the reason says where.
    """
    section = genesis.sections.get("membership")
    if section is None:
        raise InvalidGenesis(f"{_WHERE}: this section is missing; it names the first organisations and their keys")
    _check_fields(_WHERE, section, ("organisations", "parameters"))
    _write_parameters(context, _field(_WHERE, section, "parameters", dict, {}))
    for index, organisation in enumerate(_field(_WHERE, section, "organisations", list)):
        where = f"{_WHERE}.organisations[{index}]"
        message = _read_organisation(where, organisation)
        with _at(where):
            add_organisation(context, message)
    for index, founder in enumerate(genesis.founders):
        endpoint = pb.Endpoint(address=founder.address, tls_certificate=_der(founder.tls_certificate))
        with _at(f"validators[{index}]"):
            existing_organisation(context, founder.organisation)
            check_endpoint(context, founder.bls_key, endpoint)
        seat_validator(context, Validator(founder.bls_key, founder.organisation), endpoint, FIRST_EPOCH)
    with _at(_WHERE):
        check_governable(context, governing_organisations(genesis.validators.validators))


def _write_parameters(context: Context, parameters: Mapping[str, Json]) -> None:
    """Set the parameters that the section names."""
    for name in sorted(parameters):
        where = f"{_WHERE}.parameters"
        if name not in _PARAMETER_NAMES:
            raise InvalidGenesis(f"{where}: there is no {name!r}; there are {', '.join(_PARAMETER_NAMES)}")
        message = pb.SetParameter(parameter=_PARAMETER_NAMES[name], value=_number(where, parameters, name, 63))
        with _at(f"{where}.{name}"):
            set_parameter(context, message)


def _der(pem: str) -> bytes:
    """What a PEM text holds; nothing if it is none."""
    found = _PEM.search(pem)
    try:
        return b"" if found is None else b64decode("".join(found[1].split()), validate=True)
    except ValueError:
        return b""


class _at:  # noqa: N801 - reads as a word of the sentence
    """Turns a refusal into an error of the genesis file that says where."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Say where, keeping the code."""
        if isinstance(error, Refused):
            raise InvalidGenesis(f"{self._where}: {error.reason}", error.code) from None


def _read_organisation(where: str, value: Json) -> pb.AddOrganisation:
    """One organisation as the operation that would add it."""
    fields = _mapping(where, value, ("id", "name_zh", "name_en", "roles", "quota_operations_s", "keys"))
    roles = _field(where, fields, "roles", list, [])
    names = [role for role in roles if isinstance(role, str)]
    if len(names) != len(roles):
        raise InvalidGenesis(f"{where}.roles: a role is a string")
    keys = _field(where, fields, "keys", list, [])
    return pb.AddOrganisation(
        id=_field(where, fields, "id", str),
        name_zh=_field(where, fields, "name_zh", str, ""),
        name_en=_field(where, fields, "name_en", str, ""),
        roles=sorted(names),
        quota_operations_s=_number(where, fields, "quota_operations_s", 32),
        keys=[_read_key(f"{where}.keys[{index}]", key) for index, key in enumerate(keys)],
    )


def _read_key(where: str, value: Json) -> pb.KeyGrant:
    """One key of an organisation."""
    fields = _mapping(where, value, ("scheme", "public_key", "purposes", "valid_from_ms", "valid_to_ms"))
    scheme = SCHEME_NAMES.get(_field(where, fields, "scheme", str))
    if scheme is None:
        raise InvalidGenesis(f"{where}.scheme: one of {', '.join(SCHEME_NAMES)}")
    purposes = _field(where, fields, "purposes", list)
    known = [PURPOSE_NAMES[purpose] for purpose in purposes if isinstance(purpose, str) and purpose in PURPOSE_NAMES]
    if len(known) != len(purposes):
        raise InvalidGenesis(f"{where}.purposes: of {', '.join(PURPOSE_NAMES)}")
    return pb.KeyGrant(
        key=ledger_pb2.Signer(scheme=ledger_pb2.Scheme.ValueType(scheme), public_key=_hex(where, fields, "public_key")),
        purposes=sorted(known),
        valid_from_ms=_number(where, fields, "valid_from_ms", 63),
        valid_to_ms=_number(where, fields, "valid_to_ms", 63),
    )


def _mapping(where: str, value: Json, allowed: tuple[str, ...]) -> dict[str, Json]:
    """A JSON object with these fields at most."""
    if not isinstance(value, dict):
        raise InvalidGenesis(f"{where}: an object is needed here")
    _check_fields(where, value, allowed)
    return value


def _check_fields(where: str, fields: Mapping[str, Json], allowed: tuple[str, ...]) -> None:
    """Refuse fields that mean nothing: a typing error must not pass silently."""
    for name in fields:
        if name not in allowed:
            raise InvalidGenesis(f"{where}: unknown field {name!r}; there are {', '.join(allowed)}")


def _field(where: str, fields: Mapping[str, Json], name: str, kind: type[T], default: T | None = None) -> T:
    """A field of this type; without a default it must be there."""
    value = fields.get(name, default)
    if not isinstance(value, kind):
        raise InvalidGenesis(f"{where}.{name}: a {kind.__name__} is needed here")
    return value


def _number(where: str, fields: Mapping[str, Json], name: str, bits: int) -> int:
    """A whole number of so many bits; 0 if it is left out."""
    value = fields.get(name, 0)
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise InvalidGenesis(f"{where}.{name}: a whole number from 0 on is needed here")
    return value


def _hex(where: str, fields: Mapping[str, Json], name: str) -> bytes:
    """Bytes written in lower-case hex."""
    text = _field(where, fields, name, str)
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if not value or value.hex() != text:
        raise InvalidGenesis(f"{where}.{name}: bytes in lower-case hex are needed here")
    return value


# ---------------------------------------------------------------- making a section


def key_section(signer: Signer, *purposes: str, valid_from_ms: int = 0, valid_to_ms: int = 0) -> dict[str, Json]:
    """A key as the section writes it.

    Args:
        signer: Scheme and public key.
        purposes: Names out of `PURPOSE_NAMES`.
        valid_from_ms: First time at which it counts.
        valid_to_ms: First time at which it no longer does; 0: no end.
    """
    scheme = next(name for name, known in SCHEME_NAMES.items() if known is signer.scheme)
    return {
        "scheme": scheme,
        "public_key": signer.public_key.hex(),
        "purposes": [name for name in PURPOSE_NAMES if name in purposes],
        "valid_from_ms": valid_from_ms,
        "valid_to_ms": valid_to_ms,
    }


def organisation_section(
    organisation: str,
    *,
    name_zh: str = "",
    name_en: str = "",
    roles: tuple[str, ...] = (),
    keys: tuple[dict[str, Json], ...] = (),
    quota_operations_s: int = 0,
) -> dict[str, Json]:
    """An organisation as the section writes it; `keys` as `key_section` gives them."""
    return {
        "id": organisation,
        "name_zh": name_zh,
        "name_en": name_en,
        "roles": list(roles),
        "quota_operations_s": quota_operations_s,
        "keys": list(keys),
    }


def membership_section(
    organisations: tuple[dict[str, Json], ...], parameters: Mapping[str, int] | None = None
) -> dict[str, Json]:
    """The whole section, from its parts."""
    return {
        "organisations": list(organisations),
        "parameters": dict(parameters or {}),
    }
