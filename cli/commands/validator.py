# SPDX-License-Identifier: Apache-2.0
"""`zhixin validator`: who votes, and proposals to join or leave."""

import os
from pathlib import Path
from typing import Annotated

import typer

from chain import bls
from chain.types import BlsKey
from cli import acting
from cli.command import command, group
from cli.errors import InputError
from cli.governing import propose
from cli.home import HomeOption, KeyOption, find_home
from cli.language import t
from cli.output import Json, emit_table
from cli.records import show
from cli.run import run_async
from client.answers import ProvenState
from membership.pb import membership_pb2
from membership.state import VALIDATORS_KEY, seat_key
from node.certificates import from_pem
from node.config import Home as NodeHome
from node.config import load_config
from node.errors import ConfigError, KeyFileError
from node.keys import Purpose, load_key, load_passphrase

app = group(t("help.validator"))

LifetimeOption = Annotated[int, typer.Option("--lifetime", min=60, help=t("proposal.option.lifetime"))]


@command(app, "list", t("validator.list.help"))
def list_validators(home: HomeOption = None) -> None:
    """The set that serves the next block's epoch, in bitmap order."""
    place = find_home(home)

    async def ask() -> tuple[list[membership_pb2.ValidatorRecord], list[bytes], ProvenState]:
        async with place.session() as session:
            state = await session.read(VALIDATORS_KEY)
            listed = membership_pb2.ValidatorsRecord.FromString(state.value or b"").validators
            keys = [validator.bls_key for validator in listed]
            seats = await session.read_many([seat_key(key) for key in keys])
            return [membership_pb2.ValidatorRecord.FromString(seat.value or b"") for seat in seats], keys, state

    seats, keys, state = run_async(ask())
    validators = [{"bls_key": key.hex(), **show(seat)} for seat, key in zip(seats, keys, strict=True)]
    rows = [
        [seat.organisation, seat.endpoint.address, key.hex()[:16], str(seat.since_epoch)]
        for seat, key in zip(seats, keys, strict=True)
    ]
    columns = [t("column.organisation"), t("column.address"), t("column.bls-key"), t("column.since")]
    data: dict[str, Json] = {
        "epoch": state.checkpoint.epoch,
        "height": state.checkpoint.height,
        "validators": validators,
    }
    emit_table(data, columns, rows, empty="-")


@command(app, "propose-join", t("validator.join.help"))
def propose_join(
    node: Annotated[Path, typer.Option("--node-home", help=t("validator.option.node"))],
    organisation: Annotated[str, typer.Option("--organisation", help=t("validator.option.organisation"))],
    home: HomeOption = None,
    key: KeyOption = None,
    address: Annotated[str | None, typer.Option("--address", help=t("validator.option.address"))] = None,
    lifetime: LifetimeOption = 86_400,
) -> None:
    """Propose the validator whose node's home is given; its key proves possession here and stays there."""
    place = find_home(home)
    node_home = NodeHome(node)
    try:
        config = load_config(node_home)
        passphrase = load_passphrase(config.keys.passphrase_file, os.environ)
        allow_plain = config.keys.allow_plain
        pair = load_key(node_home.validator_key, Purpose.VALIDATOR, passphrase, allow_plain=allow_plain)
        certificate = from_pem(node_home.tls_certificate.read_bytes())
    except (ConfigError, KeyFileError, OSError) as error:
        raise InputError("key.unusable", str(error)) from None
    secret = bls.SecretKey(pair.secret)
    endpoint = membership_pb2.Endpoint(address=address or config.peer.listen, tls_certificate=certificate)
    join = membership_pb2.AddValidator(
        bls_key=pair.public_key,
        organisation=organisation,
        possession=secret.prove_possession(place.genesis().network, organisation),
        endpoint=endpoint,
    )
    propose(place, [membership_pb2.Act(add_validator=join)], key, lifetime_s=lifetime)


@command(app, "propose-leave", t("validator.leave.help"))
def propose_leave(
    bls_key: Annotated[str, typer.Argument(metavar="BLS_KEY", help=t("validator.option.bls-key"))],
    home: HomeOption = None,
    key: KeyOption = None,
    lifetime: LifetimeOption = 86_400,
) -> None:
    """Propose that a validator leaves; its key never serves again."""
    raw = BlsKey(acting.parse_hex(bls_key, (48,)))
    leave = membership_pb2.RemoveValidator(bls_key=raw)
    propose(find_home(home), [membership_pb2.Act(remove_validator=leave)], key, lifetime_s=lifetime)
