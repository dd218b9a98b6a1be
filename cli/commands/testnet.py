# SPDX-License-Identifier: Apache-2.0
"""`zhixin testnet`: genesis, keys and settings of a whole test network at once."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.command import command, group
from cli.home import load_genesis
from cli.language import t
from cli.output import emit
from node.config import BASE_PORT
from node.keys import load_passphrase
from node.testnet import create_testnet

app = group(t("help.testnet"))


@command(app, "create", t("testnet.create.help"))
def create(
    directory: Annotated[Path, typer.Argument(help=t("testnet.option.directory"))],
    validators: Annotated[int, typer.Option("--validators", min=1, help=t("devnet.option.validators"))] = 4,
    base_port: Annotated[int, typer.Option("--base-port", help=t("devnet.option.base-port"))] = BASE_PORT,
    name: Annotated[str, typer.Option("--name", help=t("testnet.option.name"))] = "zhixin-testnet",
) -> None:
    """Make one; key files are encrypted if ZHIXIN_PASSPHRASE is set."""
    passphrase = load_passphrase("", os.environ)
    made = create_testnet(directory, validators, base_port, name=name, passphrase=passphrase)
    network = load_genesis(made.genesis).network.hex()
    emit(
        {
            "directory": str(made.directory),
            "genesis": str(made.genesis),
            "network": network,
            "homes": [str(home.root) for home in made.homes],
            "keys": {organisation: str(path) for organisation, path in made.organisation_keys.items()},
            "encrypted": passphrase is not None,
        },
        t("testnet.created", directory=made.directory, network=network, count=len(made.homes)),
        t("testnet.encrypted") if passphrase is not None else t("testnet.plain"),
        t("testnet.next", home=made.homes[0].root),
    )
