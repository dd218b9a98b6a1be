# SPDX-License-Identifier: Apache-2.0
"""`zhixin node`: run one, and ask nodes about themselves."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.command import command, group
from cli.exits import Exit
from cli.home import HOME_VARIABLE, HomeOption, find_home
from cli.language import t
from cli.output import emit_table, note
from cli.run import run_async
from client.answers import SelfReport

app = group(t("help.node"))


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
    columns = [
        t("column.address"),
        t("column.organisation"),
        t("column.epoch"),
        t("column.view"),
        t("column.executed"),
        t("column.height"),
        t("column.entries"),
        t("column.pending"),
        t("column.peers"),
        t("column.version"),
    ]
    rows = [
        [str(fields[name]) for name in _SHOWN] if fields["answers"] else [str(fields["address"]), str(fields["error"])]
        for fields in nodes
    ]
    emit_table({"nodes": nodes, "verified": False}, columns, rows, empty="-")
    if not any(fields["answers"] for fields in nodes):
        note(t("node.silent"))
        raise typer.Exit(Exit.NOT_HELD)


_SHOWN = (
    "address",
    "organisation",
    "epoch",
    "view",
    "executed_height",
    "certified_height",
    "log_size",
    "pending",
    "peers_connected",
    "version",
)


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
        "epoch": status.epoch,
        "view": status.view,
        "executed_height": status.executed_height,
        "certified_height": status.certified_height,
        "time_ms": status.time_ms,
        "log_size": status.log_size,
        "pending": status.pending,
        "uptime_ms": status.uptime_ms,
        "peers_connected": f"{connected}/{len(status.peers)}",
    }
