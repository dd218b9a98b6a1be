# SPDX-License-Identifier: Apache-2.0
"""What founders hand to one another before there is a network: offers, a draft, and proofs over it.

An offer is an organisation with its keys and, unless it only takes part, its validator. Offers make a draft of the
genesis file; each validator's proof of possession covers the whole draft; draft and proofs make the genesis file. All
of it is public.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import genesis
from chain.checkpoint import Validator, ValidatorSet
from chain.executor import Executor
from chain.genesis import Founder, Genesis
from chain.strict_json import Json
from chain.types import FIRST_EPOCH, BlsKey, Millis, Network
from cli.acting import write_file
from cli.errors import InputError
from cli.home import read_file
from cli.language import t
from node.modules import ledger_modules

OFFER_FORMAT = "zhixin-founder/1"
PROOF_FORMAT = "zhixin-possession/1"
FILE_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """What one organisation brings to a new network.

    Attributes:
        organisation: As `membership.genesis.organisation_section` writes it.
        validator: Without its proof; None if it runs none.
    """

    organisation: "dict[str, Json]"
    validator: Founder | None


def save_offer(path: Path, offer: Offer) -> None:
    """Write an offer for whoever makes the draft."""
    document: dict[str, Json] = {"format": OFFER_FORMAT, "organisation": offer.organisation}
    if offer.validator is not None:
        document["validator"] = {
            "bls_key": offer.validator.bls_key.hex(),
            "tls_certificate": offer.validator.tls_certificate,
            "address": offer.validator.address,
        }
    _save(path, document)


def load_offer(path: Path) -> Offer:
    """Read an offer; whether a network can be made of it shows in `draft_of`.

    Raises:
        InputError: It cannot be read, or is none.
    """
    document = _load(path, OFFER_FORMAT)
    organisation = document.get("organisation")
    validator = document.get("validator")
    if not isinstance(organisation, dict):
        raise InputError("founding.file", t("founding.file", path=path))
    name = _text(path, organisation, "id")
    if validator is None:
        return Offer(organisation, None)
    if not isinstance(validator, dict):
        raise InputError("founding.file", t("founding.file", path=path))
    key = _hex(path, validator, "bls_key")
    certificate, address = (_text(path, validator, name) for name in ("tls_certificate", "address"))
    return Offer(organisation, Founder(name, BlsKey(key), b"", certificate, address))


def draft_of(name: str, time_ms: Millis, offers: Sequence[Offer]) -> bytes:
    """Make a draft of the genesis file, and check that a network could start from it once its keys are proven.

    Raises:
        InvalidGenesis: None could; the reason says where it is wrong.
    """
    founders = [offer.validator for offer in offers if offer.validator is not None]
    organisations: list[Json] = []
    for offer in offers:
        if offer.organisation not in organisations:  # an organisation with two validators makes two offers
            organisations.append(offer.organisation)
    sections: dict[str, dict[str, Json]] = {"membership": {"organisations": organisations, "parameters": {}}}
    draft = genesis.build(name=name, time_ms=time_ms, founders=founders, sections=sections)
    digest = genesis.founding_digest(draft)
    validators = ValidatorSet(FIRST_EPOCH, tuple(Validator(each.bls_key, each.organisation) for each in founders))
    registry, authority = ledger_modules()
    Executor(digest, registry, authority).genesis(Genesis(digest, name, time_ms, validators, tuple(founders), sections))
    return draft


def founders_of(draft: bytes) -> "list[dict[str, str]]":
    """The validators that a draft or genesis file lists, for people to look at and to find one's own.

    Raises:
        InvalidGenesis: It is none.
    """
    genesis.founding_digest(draft)
    names = ("organisation", "address", "bls_key", "tls_certificate")
    return [{name: str(each[name]) for name in names} for each in json.loads(draft)["validators"]]


def save_proof(path: Path, digest: Network, key: bytes, possession: bytes) -> None:
    """Write one validator's proof for whoever puts the genesis file together."""
    _save(
        path,
        {
            "format": PROOF_FORMAT,
            "founding_digest": digest.hex(),
            "bls_key": key.hex(),
            "possession": possession.hex(),
        },
    )


def load_proofs(paths: Sequence[Path], digest: Network) -> dict[BlsKey, bytes]:
    """Read the validators' proofs of this draft, by key.

    Raises:
        InputError: One cannot be read, is none, or is of another draft.
    """
    proofs = {}
    for path in paths:
        document = _load(path, PROOF_FORMAT)
        if _hex(path, document, "founding_digest") != digest:
            raise InputError("founding.other-draft", t("founding.other-draft", path=path))
        proofs[BlsKey(_hex(path, document, "bls_key"))] = _hex(path, document, "possession")
    return proofs


def _save(path: Path, document: Mapping[str, Json]) -> None:
    write_file(path, json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n")
    path.chmod(0o644)  # made to be handed out


def _load(path: Path, form: str) -> "dict[str, Json]":
    try:
        document = json.loads(read_file(path, FILE_BYTES_MAX))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("format") != form:
        raise InputError("founding.file", t("founding.file", path=path))
    return document


def _text(path: Path, fields: "Mapping[str, Json]", name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise InputError("founding.file", t("founding.file", path=path))
    return value


def _hex(path: Path, fields: "Mapping[str, Json]", name: str) -> bytes:
    try:
        return bytes.fromhex(_text(path, fields, name))
    except ValueError:
        raise InputError("founding.file", t("founding.file", path=path)) from None
