# SPDX-License-Identifier: Apache-2.0
"""`zhixin genesis`: founding a network whose members hold their own keys, each on its own machine."""

from pathlib import Path
from typing import Annotated

import typer

from chain import bls
from chain import genesis as genesis_file
from chain.genesis import Founder
from chain.strict_json import Json
from chain.types import BlsKey
from cli.acting import write_file
from cli.command import command, group
from cli.errors import InputError
from cli.founding import Offer, draft_of, founders_of, load_offer, load_proofs, save_offer, save_proof
from cli.home import HomeOption, keys_home, open_validator_key, public_signer, read_file
from cli.language import t
from cli.output import emit
from client.signing import now_ms
from membership.genesis import key_section, organisation_section
from node.certificates import CERTIFICATE_BYTES_MAX, from_pem, to_pem
from node.config import Home as NodeHome
from node.config import load_config

app = group(t("help.genesis"))

OutOption = Annotated[Path, typer.Option("--out", help=t("genesis.option.out"))]
DraftArgument = Annotated[Path, typer.Argument(metavar="DRAFT.json", help=t("genesis.option.draft"))]


@command(app, "offer", t("genesis.offer.help"))
def offer(
    organisation: Annotated[str, typer.Argument(metavar="ID", help=t("org.option.id"))],
    keys: Annotated[list[str], typer.Option("--key", help=t("org.option.key"))],
    out: OutOption,
    home: HomeOption = None,
    node: Annotated[Path | None, typer.Option("--node-home", help=t("genesis.option.node"))] = None,
    address: Annotated[str | None, typer.Option("--address", help=t("validator.option.address"))] = None,
    name_zh: Annotated[str, typer.Option("--name-zh", help=t("org.option.name-zh"))] = "",
    name_en: Annotated[str, typer.Option("--name-en", help=t("org.option.name-en"))] = "",
    roles: Annotated[list[str] | None, typer.Option("--role", help=t("org.option.role"))] = None,
) -> None:
    """Write what an organisation brings: its public keys, and its validator's if it runs one."""
    place = keys_home(home)
    section = organisation_section(
        organisation,
        name_zh=name_zh,
        name_en=name_en,
        roles=tuple(sorted(set(roles or ()))),
        keys=tuple(key_section(public_signer(place, name), "submit", "govern", "attest") for name in keys),
    )
    founder = None
    if node is not None:
        node_home = NodeHome(node)
        key = open_validator_key(node_home).public_key
        pem = _certificate(node_home)
        reached = address or load_config(node_home).peer.listen
        founder = Founder(organisation, BlsKey(key), b"", pem, reached)
    save_offer(out, Offer(section, founder))
    shown: dict[str, Json] = {"file": str(out), "organisation": section}
    if founder is not None:
        shown |= {"bls_key": founder.bls_key.hex(), "address": founder.address}
    emit(shown, t("genesis.offered", file=out, id=organisation))


@command(app, "draft", t("genesis.draft.help"))
def draft(
    offers: Annotated[list[Path], typer.Argument(metavar="OFFER.json…", help=t("genesis.option.offers"))],
    name: Annotated[str, typer.Option("--name", help=t("testnet.option.name"))],
    out: OutOption,
) -> None:
    """Put the offers together, checked as a network's beginning; one member does this for all."""
    raw = draft_of(name, now_ms(), [load_offer(path) for path in offers])
    write_file(out, raw)
    out.chmod(0o644)
    fields, words = _shown(raw)
    emit({"file": str(out), **fields}, *words, t("genesis.drafted", file=out))


@command(app, "prove", t("genesis.prove.help"))
def prove(
    file: DraftArgument,
    node: Annotated[Path, typer.Option("--node-home", help=t("genesis.option.node"))],
    out: OutOption,
) -> None:
    """Prove the node's key over this very draft; each founder does this on its own machine."""
    raw = read_file(file, genesis_file.GENESIS_BYTES_MAX)
    home = NodeHome(node)
    pair = open_validator_key(home)
    ours = [each for each in founders_of(raw) if each["bls_key"] == pair.public_key.hex()]
    if not ours or from_pem(ours[0]["tls_certificate"].encode()) != from_pem(_certificate(home).encode()):
        raise InputError("founding.not-ours", t("founding.not-ours", path=file, node=node))
    digest = genesis_file.founding_digest(raw)
    organisation = ours[0]["organisation"]
    save_proof(out, digest, pair.public_key, bls.SecretKey(pair.secret).prove_possession(digest, organisation))
    fields, words = _shown(raw)
    emit({"file": str(out), "organisation": organisation, **fields}, *words, t("genesis.proven", file=out))


@command(app, "assemble", t("genesis.assemble.help"))
def assemble(
    file: DraftArgument,
    proofs: Annotated[list[Path], typer.Argument(metavar="PROOF.json…", help=t("genesis.option.proofs"))],
    out: OutOption,
) -> None:
    """Put every validator's proof into the draft; the result is the genesis file, the same whoever does it."""
    raw = read_file(file, genesis_file.GENESIS_BYTES_MAX)
    made = genesis_file.with_possessions(raw, load_proofs(proofs, genesis_file.founding_digest(raw)))
    loaded = genesis_file.load(made)
    write_file(out, made)
    out.chmod(0o644)
    network = loaded.network.hex()
    fields, words = _shown(made)
    emit(
        {"file": str(out), "network": network, **fields},
        *words,
        t("genesis.assembled", file=out),
        t("init.compare", network=network),
    )


def _certificate(home: NodeHome) -> str:
    """The node's certificate in PEM, alone."""
    return to_pem(from_pem(read_file(home.tls_certificate, CERTIFICATE_BYTES_MAX))).decode()


def _shown(raw: bytes) -> tuple[dict[str, Json], list[str]]:
    """What people compare before they prove or rely on it."""
    founders = founders_of(raw)
    digest = genesis_file.founding_digest(raw).hex()
    validators: list[Json] = [
        {name: value for name, value in each.items() if name != "tls_certificate"} for each in founders
    ]
    words = [f"{each['organisation']}  {each['address']}  {each['bls_key'][:16]}" for each in founders]
    return {"founding_digest": digest, "validators": validators}, [*words, t("genesis.digest", digest=digest)]
