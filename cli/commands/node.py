# SPDX-License-Identifier: Apache-2.0
"""`zhixin node`: run one, and ask nodes about themselves."""

import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from chain import genesis as genesis_file
from cli import output
from cli.command import command, group
from cli.errors import InputError, UsageError
from cli.exits import Exit
from cli.home import HOME_VARIABLE, HomeOption, find_home, read_file
from cli.language import t
from cli.output import emit, emit_table, note
from cli.run import run_async
from client.answers import SelfReport
from client.pb import node_service_pb2
from node.config import ClientConfig, Config, KeysConfig, PeerConfig, split_address
from node.config import Home as NodeHome
from node.keys import load_passphrase
from node.setup import make_home

app = group(t("help.node"))


@command(app, "init", t("node.init.help"))
def init(
    home: Annotated[Path, typer.Option("--home", help=t("node.option.new-home"))],
    genesis: Annotated[Path | None, typer.Option("--genesis", help=t("option.genesis"))] = None,
    follower: Annotated[bool, typer.Option("--follower", help=t("node.option.follower"))] = False,
    peer: Annotated[str, typer.Option("--peer", help=t("node.option.peer"))] = PeerConfig().listen,
    client: Annotated[str, typer.Option("--client", help=t("node.option.client"))] = ClientConfig().listen,
    host: Annotated[list[str] | None, typer.Option("--host", help=t("node.option.host"))] = None,
    plain: Annotated[bool, typer.Option("--plain", help=t("keys.option.plain"))] = False,
) -> None:
    """Make a node's keys, certificate and settings on its own machine; they stay there."""
    raw = None if genesis is None else read_file(genesis, genesis_file.GENESIS_BYTES_MAX)
    network = None if raw is None else genesis_file.load(raw).network.hex()
    passphrase = load_passphrase("", os.environ)
    if passphrase is None and not plain:
        raise UsageError("usage.passphrase", t("usage.passphrase"))
    place = NodeHome(home)
    if raw is not None and place.genesis.exists() and place.genesis.read_bytes() != raw:
        raise InputError("home.other", t("home.other", home=home))
    config = Config(
        peer=PeerConfig(listen=peer), client=ClientConfig(listen=client), keys=KeysConfig(allow_plain=plain)
    )
    hosts = list(dict.fromkeys([*(split_address(address)[0] for address in (peer, client)), *(host or ())]))
    made = make_home(
        place,
        config,
        is_validator=not follower,
        hosts=hosts,
        passphrase=None if plain else passphrase,
        now=dt.datetime.now(dt.UTC),
    )
    if raw is not None:
        place.genesis.write_bytes(raw)
    key = None if made.validator is None else made.validator.public_key.hex()
    fields: dict[str, output.Json] = {
        "home": str(home),
        "network": network,
        "bls_key": key,
        "certificate": str(place.tls_certificate),
        "encrypted": not plain,
    }
    words = [t("node.made-follower", home=home) if key is None else t("node.made-validator", home=home, key=key)]
    words.append(t("node.made-certificate", path=place.tls_certificate))
    if raw is None:
        words.append(t("node.no-genesis", path=place.genesis))
    emit(fields, *words)


@command(app, "run", t("node.run.help"))
def run(home: Annotated[Path, typer.Option("--home", envvar=HOME_VARIABLE, help=t("node.option.home"))]) -> None:
    """Run a node until SIGTERM or SIGINT; its exit code is the node's."""
    from node.process import run as run_node  # noqa: PLC0415 - a client's commands need none of a node

    raise typer.Exit(run_node(home))


@command(app, "status", t("node.status.help"))
def status(home: HomeOption = None) -> None:
    """What each node says of itself; fails if none answers."""
    place = find_home(home)

    async def ask() -> list[SelfReport]:
        async with place.session() as session:
            return await session.statuses()

    reports = run_async(ask())
    nodes = [_fields(report) for report in reports]
    headings = [
        t("column.address"),
        t("column.organisation"),
        t("column.role"),
        t("column.epoch"),
        t("column.view"),
        t("column.executed"),
        t("column.height"),
        t("column.entries"),
        t("column.pending"),
        t("column.peers"),
        t("column.version"),
    ]
    shown = _SHOWN if output.console().width >= WIDE_COLUMNS else _SHOWN_NARROW
    columns = [heading for heading, name in zip(headings, _SHOWN, strict=True) if name in shown]
    rows = [[_cell(fields, name) for name in shown] for fields in nodes]
    emit_table({"nodes": nodes, "verified": False}, columns, rows, empty="-")
    for fields in nodes:
        if not fields["answers"]:
            reason = str(fields["error"]).removeprefix(f"{fields['address']}: ")
            note(t("node.down-because", address=fields["address"], reason=reason))
    for report in reports:
        if report.status is not None and report.status.HasField("joining"):
            joining = report.status.joining
            note(
                t(
                    "node.joining",
                    address=report.address,
                    height=joining.height,
                    percent=f"{joining.state_permille / 10:.1f}",
                    peers=joining.peers,
                )
            )
    if not any(fields["answers"] for fields in nodes):
        note(t("node.silent"))
        raise typer.Exit(Exit.NOT_HELD)


_SHOWN = (
    "address",
    "organisation",
    "role",
    "epoch",
    "view",
    "executed_height",
    "certified_height",
    "log_size",
    "pending",
    "peers_connected",
    "version",
)
_SHOWN_NARROW = ("address", "role", "epoch", "executed_height", "certified_height", "pending", "peers_connected")
WIDE_COLUMNS = 120
"""A terminal narrower than this gets fewer columns instead of broken ones; --json has them all."""


def _cell(fields: Mapping[str, output.Json], name: str) -> str:
    """One cell; a node that does not answer is down, and the rest of its row is empty."""
    if not fields["answers"]:
        return {"address": str(fields["address"]), "role": t("node.down")}.get(name, "")
    return str(fields[name])


def _fields(report: SelfReport) -> dict[str, output.Json]:
    status = report.status
    if status is None:
        return {"address": report.address, "answers": False, "error": report.error, "lie": report.lie}
    connected = sum(peer.connected for peer in status.peers)
    return {
        "address": report.address,
        "answers": True,
        "lie": report.lie,
        "network": status.network.hex(),
        "network_name": status.network_name,
        "version": status.version,
        "organisation": status.organisation,
        "bls_key": status.bls_key.hex(),
        "role": _role(status.role),
        "epoch": status.epoch,
        "view": status.view,
        "executed_height": status.executed_height,
        "certified_height": status.certified_height,
        "time_ms": status.time_ms,
        "log_size": status.log_size,
        "oldest_block": status.oldest_block,
        "first_entry": status.first_leaf,
        "joining": _joining(status.joining) if status.HasField("joining") else None,
        "pending": status.pending,
        "uptime_ms": status.uptime_ms,
        "peers_connected": f"{connected}/{len(status.peers)}",
    }


def _joining(joining: node_service_pb2.Joining) -> dict[str, output.Json]:
    """How far a node is with the snapshot that it takes."""
    return {
        "height": joining.height,
        "state_percent": joining.state_permille / 10,
        "entries": joining.entries,
        "entries_wanted": joining.entries_wanted,
        "peers": joining.peers,
    }


def _role(role: node_service_pb2.Role.ValueType) -> str:
    """What a node calls itself; a newer version may know more."""
    known = node_service_pb2.Role.values()
    name = node_service_pb2.Role.Name(role) if role in known else str(role)
    return name.removeprefix("ROLE_").lower()
