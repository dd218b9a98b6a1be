# SPDX-License-Identifier: Apache-2.0
"""The genesis file: what a network is made of, and the one thing that a client must be given by hand.

The file is JSON for people to read and compare; `network` is SHA-256 of its bytes as they stand. `sections` hold the
first state of each module, which checks its own.

The founding validators' possession proofs stand in the file, so they cannot cover `network`. They cover the *founding
digest* in its place: SHA-256 of the document's canonical JSON with each proof emptied. So a proof is an organisation's
word on exactly this network (its name, start, rules and fellow validators) and is worth nothing for another one.
Making a file is therefore a matter of two rounds: `build` a draft without proofs, let each organisation prove its key
over `founding_digest(draft)`, and put the proofs in with `with_possessions`.

Source: docs/protocol.md, sections 1 and 5.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.x509 import load_pem_x509_certificates

from chain import bls, strict_json
from chain.checkpoint import ORGANISATION_BYTES_MAX, Validator, ValidatorSet
from chain.errors import InvalidGenesis, InvalidMessage, InvalidSignature
from chain.strict_json import Json
from chain.types import FIRST_EPOCH, VALIDATORS_MAX, BlsKey, Millis, Network, sha256

FORMAT = "zhixin-genesis/1"
GENESIS_BYTES_MAX = 4 * 1024 * 1024
"""64 validators with certificates take 200 KB; the rest is for first organisations and keys."""
DEPTH_MAX = 16
NAME_BYTES_MAX = 128
ADDRESS_BYTES_MAX = 255
CERTIFICATE_BYTES_MAX = 8192
TIME_MS_MAX = (1 << 53) - 1
"""What every JSON reader holds exactly."""

_FIELDS = ("format", "name", "time_ms", "validators", "sections")
_VALIDATOR_FIELDS = ("organisation", "bls_key", "possession", "tls_certificate", "address")
_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
_CONTROLS = re.compile("[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Named one by one: what `str.isprintable` says changes with an interpreter's edition of Unicode."""
_ADDRESS = re.compile(r"\S+:([1-9][0-9]{0,4})", re.ASCII)
_PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Founder:
    """A validator of the first epoch.

    Attributes:
        possession: Proof over the founding digest; empty in a draft.
        tls_certificate: PEM, one certificate; peers pin it.
        address: Where peers reach it, `host:port`.
    """

    organisation: str
    bls_key: BlsKey
    possession: bytes
    tls_certificate: str
    address: str


@dataclass(frozen=True, slots=True)
class Genesis:
    """A genesis file, read and checked; each module checks its own section.

    Attributes:
        network: SHA-256 of the file's bytes.
        time_ms: When the network starts; its first block's time is later.
        validators: The set of the first epoch.
        founders: The same validators in the same order, with what peers need.
        sections: By module name.
    """

    network: Network
    name: str
    time_ms: Millis
    validators: ValidatorSet
    founders: tuple[Founder, ...]
    sections: Mapping[str, Mapping[str, Json]]


def load(raw: bytes) -> Genesis:
    """Read a genesis file and verify its possession proofs (3 ms for each validator).

    Args:
        raw: The file's bytes, as they stand.

    Raises:
        InvalidGenesis: No network can start from it; the reason says what is wrong, where, and what to do.
    """
    document = _parse(raw)
    founders = _founders(document)
    digest = _founding_digest(document)
    for i, founder in enumerate(founders):
        try:
            bls.verify_possession(founder.bls_key, digest, founder.organisation, founder.possession)
        except InvalidSignature as error:
            raise InvalidGenesis(
                f"validators[{i}].possession: {error.reason}; {founder.organisation} must prove its key again, over "
                f"this very content (founding digest {digest.hex()})"
            ) from None
    return Genesis(
        network=Network(sha256(raw)),
        name=_name(document),
        time_ms=_time(document),
        validators=ValidatorSet(FIRST_EPOCH, tuple(Validator(f.bls_key, f.organisation) for f in founders)),
        founders=founders,
        sections=_sections(document),
    )


def build(
    *, name: str, time_ms: Millis, founders: Sequence[Founder], sections: Mapping[str, Mapping[str, Json]]
) -> bytes:
    """Write a genesis file, or a draft of one where proofs are still empty.

    Raises:
        InvalidGenesis: It could not be read back.
    """
    document: dict[str, Json] = {
        "format": FORMAT,
        "name": name,
        "time_ms": time_ms,
        "validators": [
            {
                "organisation": founder.organisation,
                "bls_key": founder.bls_key.hex(),
                "possession": founder.possession.hex(),
                "tls_certificate": founder.tls_certificate,
                "address": founder.address,
            }
            for founder in founders
        ],
        "sections": {module: dict(section) for module, section in sections.items()},
    }
    return _write(document)


def founding_digest(draft: bytes) -> Network:
    """What the possession proofs of a genesis file cover in the place of `network`; the same with and without proofs.

    Raises:
        InvalidGenesis: The draft breaks a rule other than that of its proofs.
    """
    return _founding_digest(_parse(draft))


def with_possessions(draft: bytes, proofs: Mapping[BlsKey, bytes]) -> bytes:
    """Put proofs into a draft; the result is the genesis file once every validator's is there.

    Args:
        draft: As `build` or this function wrote it.
        proofs: By key, each over `founding_digest(draft)`.

    Raises:
        InvalidGenesis: The draft breaks a rule, or a proof is of a key that it does not list.
    """
    document = _parse(draft)
    founders = _founders(document)
    unknown = sorted(set(proofs) - {founder.bls_key for founder in founders})
    if unknown:
        raise InvalidGenesis(f"no validator of the draft has the key {unknown[0].hex()}; prove the key that it lists")
    completed = [
        Founder(f.organisation, f.bls_key, proofs.get(f.bls_key, f.possession), f.tls_certificate, f.address)
        for f in founders
    ]
    return build(name=_name(document), time_ms=_time(document), founders=completed, sections=_sections(document))


def _write(document: Mapping[str, Json]) -> bytes:
    """For people to read; checked to be readable for us."""
    raw = json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
    _founders(_parse(raw))
    return raw


def _parse(raw: bytes) -> "dict[str, Json]":
    """The document, with the fields that it must have and no others, each of its right kind."""
    try:
        document = strict_json.parse(raw, size_max=GENESIS_BYTES_MAX, depth_max=DEPTH_MAX)
    except InvalidMessage as error:
        raise InvalidGenesis(f"the genesis file is {error.reason}; get it anew from the network's operators") from None
    if not isinstance(document, dict):
        raise InvalidGenesis("the genesis file is not a JSON object; get it anew from the network's operators")
    if document.get("format") != FORMAT:
        raise InvalidGenesis(f'format: expected "{FORMAT}"; this program reads no other, another version may')
    _check_fields(document, _FIELDS, "the genesis file")
    _name(document)
    _time(document)
    _sections(document)
    return document


def _founding_digest(document: Mapping[str, Json]) -> Network:
    """SHA-256 of the canonical document with each proof emptied."""
    validators: list[Json] = [
        {**_object(validator, "validators"), "possession": ""} for validator in _validators(document)
    ]
    return Network(sha256(strict_json.canonical({**document, "validators": validators})))


def _name(document: Mapping[str, Json]) -> str:
    name = _text(document["name"], "name")
    if not 0 < len(name.encode()) <= NAME_BYTES_MAX or _CONTROLS.search(name):
        raise InvalidGenesis(f"name: write 1 to {NAME_BYTES_MAX} bytes of printable text")
    return name


def _time(document: Mapping[str, Json]) -> Millis:
    time_ms = _number(document["time_ms"], "time_ms")
    if not 0 < time_ms <= TIME_MS_MAX:
        raise InvalidGenesis("time_ms: write the start of the network in milliseconds since 1970, UTC")
    return Millis(time_ms)


def _sections(document: Mapping[str, Json]) -> "dict[str, dict[str, Json]]":
    sections = _object(document["sections"], "sections")
    return {module: _object(section, f"sections.{module}") for module, section in sections.items()}


def _validators(document: Mapping[str, Json]) -> "list[Json]":
    validators = _list(document["validators"], "validators")
    if not 1 <= len(validators) <= VALIDATORS_MAX:
        raise InvalidGenesis(f"validators: list 1 to {VALIDATORS_MAX}, not {len(validators)}")
    return validators


def _founders(document: Mapping[str, Json]) -> tuple[Founder, ...]:
    """The validators, each well-formed and none like another."""
    founders = tuple(
        _founder(_object(validator, f"validators[{i}]"), f"validators[{i}]")
        for i, validator in enumerate(_validators(document))
    )
    _check_distinct("bls_key", [founder.bls_key.hex() for founder in founders])
    _check_distinct("tls_certificate", [founder.tls_certificate for founder in founders])
    _check_distinct("address", [founder.address for founder in founders])
    return founders


def _founder(validator: "dict[str, Json]", where: str) -> Founder:
    """One validator; its proof may still be empty."""
    _check_fields(validator, _VALIDATOR_FIELDS, where)
    organisation = _text(validator["organisation"], f"{where}.organisation")
    if not 0 < len(organisation.encode()) <= ORGANISATION_BYTES_MAX or _CONTROLS.search(organisation):
        raise InvalidGenesis(f"{where}.organisation: write an id of 1 to {ORGANISATION_BYTES_MAX} bytes")
    bls_key = _hex(validator["bls_key"], f"{where}.bls_key", (bls.PUBLIC_KEY_BYTES,))
    try:
        bls.validate_key(bls_key)
    except InvalidSignature as error:
        raise InvalidGenesis(f"{where}.bls_key: {error.reason}; take it from the validator's own key file") from None
    possession = _hex(validator["possession"], f"{where}.possession", (0, bls.SIGNATURE_BYTES))
    address = _text(validator["address"], f"{where}.address")
    match = _ADDRESS.fullmatch(address)
    if match is None or len(address) > ADDRESS_BYTES_MAX or int(match[1]) > _PORT_MAX:
        raise InvalidGenesis(f"{where}.address: write host:port")
    return Founder(
        organisation, BlsKey(bls_key), possession, _certificate(validator["tls_certificate"], where), address
    )


def _certificate(value: Json, where: str) -> str:
    """One PEM certificate; whether it fits its use shows when peers connect."""
    text = _text(value, f"{where}.tls_certificate")
    try:
        count = len(load_pem_x509_certificates(text.encode())) if len(text) <= CERTIFICATE_BYTES_MAX else 0
    except ValueError:
        count = 0
    if count != 1:
        raise InvalidGenesis(
            f"{where}.tls_certificate: paste one certificate in PEM, as the validator's setup wrote it"
        )
    return text


def _check_fields(value: Mapping[str, Json], fields: Sequence[str], where: str) -> None:
    """Check that these fields stand there and no others."""
    missing = [field for field in fields if field not in value]
    unknown = sorted(field for field in value if field not in fields)
    if missing:
        raise InvalidGenesis(f"{where} lacks {', '.join(missing)}; add what is missing")
    if unknown:
        raise InvalidGenesis(f"{where} has the unknown field {unknown[0]!r}; it must have {', '.join(fields)} alone")


def _check_distinct(field: str, values: Sequence[str]) -> None:
    """Check that no two validators have the same value."""
    for i, value in enumerate(values):
        first = values.index(value)
        if first != i:
            raise InvalidGenesis(f"validators[{i}].{field} is that of validators[{first}]; each has its own")


def _text(value: Json, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidGenesis(f"{where}: write a text")
    return value


def _number(value: Json, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidGenesis(f"{where}: write a whole number")
    return value


def _object(value: Json, where: str) -> "dict[str, Json]":
    if not isinstance(value, dict):
        raise InvalidGenesis(f"{where}: write an object, in braces")
    return value


def _list(value: Json, where: str) -> "list[Json]":
    if not isinstance(value, list):
        raise InvalidGenesis(f"{where}: write a list, in square brackets")
    return value


def _hex(value: Json, where: str, lengths: Sequence[int]) -> bytes:
    """Bytes in lower-case hexadecimal digits, of one of these lengths."""
    text = _text(value, where)
    if _HEX.fullmatch(text) is None or len(text) // 2 not in lengths:
        raise InvalidGenesis(f"{where}: write {' or '.join(str(2 * n) for n in lengths)} lower-case hexadecimal digits")
    return bytes.fromhex(text)
