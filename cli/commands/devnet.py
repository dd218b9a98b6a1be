# SPDX-License-Identifier: Apache-2.0
"""`zhixin devnet`: a whole network as real processes on loopback, under one folder."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.command import command, group
from cli.devnet.network import Devnet, bring_up, locked, remove
from cli.errors import MissingError
from cli.exits import Exit
from cli.home import DEVNET_HOME, HomeOption, find_home
from cli.language import t
from cli.output import emit, emit_table, note
from cli.run import run_async, until_interrupted

app = group(t("help.devnet"))

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help=t("devnet.option.node"))]


@command(app, "up", t("devnet.up.help"))
def up(
    home: HomeOption = None,
    validators: Annotated[int | None, typer.Option("--validators", min=1, help=t("devnet.option.validators"))] = None,
    base_port: Annotated[int | None, typer.Option("--base-port", help=t("devnet.option.base-port"))] = None,
    detach: Annotated[bool, typer.Option("--detach", help=t("devnet.option.detach"))] = False,
) -> None:
    """Start, and stay until Ctrl-C unless detached."""
    root = home or DEVNET_HOME
    with locked(root):
        ran_before = _runs(root)
        network = run_async(bring_up(root, validators=validators, base_port=base_port))
    _show(network)
    if ran_before:
        note(t("devnet.runs", root=root))
        return
    if detach:
        return
    note(t("devnet.stays"))
    run_async(until_interrupted())
    with locked(root):
        network.stop(network.names)
    note(t("devnet.stopped"))


@command(app, "down", t("devnet.down.help"))
def down(
    home: HomeOption = None,
    delete: Annotated[bool, typer.Option("--delete", help=t("devnet.option.delete"))] = False,
) -> None:
    """Stop all nodes."""
    # Never the next best home: what is not named must not be stopped or deleted by the way.
    network = Devnet(home or DEVNET_HOME)
    root = network.root
    with locked(root):
        forced = network.stop(network.names)
        if delete:
            remove(root)
    words = [t("devnet.stopped-at", root=root)]
    words += [t("devnet.forced", names=", ".join(forced))] if forced else []
    words += [t("devnet.deleted", root=root)] if delete else []
    emit({"home": str(root), "stopped": network.names, "forced": forced, "deleted": delete}, *words)


@command(app, "status", t("devnet.status.help"))
def status(home: HomeOption = None) -> None:
    """Which nodes run, and what they say of themselves; fails unless all run."""
    network = Devnet(find_home(home).root)
    note(t("devnet.home", root=network.root))
    if not _show(network):
        note(t("devnet.incomplete"))
        raise typer.Exit(Exit.NOT_HELD)


@command(app, "kill", t("devnet.kill.help"))
def kill(node: NodeArgument, home: HomeOption = None) -> None:
    """SIGKILL one node."""
    network = Devnet(_root(home))
    name = network.name_of(node)
    pid = network.kill(name)
    emit({"node": name, "pid": pid}, t("devnet.killed", name=name, pid=pid))


@command(app, "restart", t("devnet.restart.help"))
def restart(node: NodeArgument, home: HomeOption = None) -> None:
    """Start one node, after stopping it if it runs, and wait until it has caught up."""
    network = Devnet(_root(home))
    name = network.name_of(node)
    network.stop([name])
    height = run_async(_restarted(network, name))
    words = (
        t("devnet.restarted-alone", name=name) if height is None else t("devnet.restarted", name=name, height=height)
    )
    emit({"node": name, "height": height}, words)


async def _restarted(network: Devnet, name: str) -> int | None:
    """Start a node; the height that it has caught up with, None if no other node says one."""
    async with network.home.session() as session:
        reports = await session.statuses()
        heights = [report.status.certified_height for report in reports if report.status is not None]
        network.start([name])
        await network.wait_ready(session, [name], height=max(heights, default=0))
        return max(heights, default=None)


def _runs(root: Path) -> bool:
    """Whether some of a network's nodes run."""
    try:
        return any(state.pid is not None for state in Devnet(root).state())
    except MissingError:
        return False


def _root(home: Path | None) -> Path:
    """Whose node is killed or restarted: never another home's because that one runs."""
    return find_home(home, running_first=False).root


def _show(network: Devnet) -> bool:
    """Print the network's state; says whether every node runs and answers."""

    async def ask() -> dict[str, tuple[int, int, int]]:
        async with network.home.session() as session:
            return {
                report.address: (report.status.epoch, report.status.certified_height, report.status.pending)
                for report in await session.statuses()
                if report.status is not None
            }

    answers = run_async(ask())
    nodes: list[dict[str, output.Json]] = []
    rows = []
    for state in network.state():
        answer = answers.get(state.address)
        node: dict[str, output.Json] = {
            "node": state.name,
            "pid": state.pid,
            "address": state.address,
            "answers": answer is not None,
            "epoch": None if answer is None else answer[0],
            "certified_height": None if answer is None else answer[1],
            "pending": None if answer is None else answer[2],
        }
        nodes.append(node)
        rows.append([state.name, state.address, *("-" if node[k] is None else str(node[k]) for k in _NUMBERS)])
    complete = all(node["answers"] and node["pid"] is not None for node in nodes)
    columns = [t("column.node"), t("column.address"), "pid", t("column.epoch"), t("column.height"), t("column.pending")]
    data: dict[str, output.Json] = {
        "home": str(network.root),
        "network": network.home.genesis().network.hex(),
        "nodes": nodes,
        "complete": complete,
    }
    emit_table(data, columns, rows, empty="-")
    return complete


_NUMBERS = ("pid", "epoch", "certified_height", "pending")
