# SPDX-License-Identifier: Apache-2.0
"""`zhixin state`: one key of the ledger's state, its value or its absence, with proof."""

from typing import Annotated

import typer

from cli import acting, output
from cli.command import command, group
from cli.exits import Exit
from cli.home import HomeOption, OutOption, find_home
from cli.language import t
from cli.output import emit
from cli.records import lines, show_state
from cli.run import run_async
from client.answers import ProvenState

app = group(t("help.state"))


@command(app, "get", t("state.get.help"))
def get(
    key: Annotated[str, typer.Argument(metavar="KEY", help=t("state.option.key"))],
    home: HomeOption = None,
    height: Annotated[int, typer.Option("--height", min=0, help=t("state.option.height"))] = 0,
    out: OutOption = None,
) -> None:
    """Read a key; absence is proven too, and ends with its own exit code."""
    place = find_home(home)
    raw_key = bytes.fromhex(key[2:]) if key.startswith("0x") else key.encode()

    async def ask() -> ProvenState:
        async with place.session() as session:
            (state,) = await session.read_many([raw_key], height=height)
            return state

    state = run_async(ask())
    if out is not None:
        acting.write_file(out, state.receipt())
    checkpoint = state.checkpoint
    moment = acting.show_time(checkpoint.time_ms)
    value = None if state.value is None else show_state(raw_key, state.value)
    fields: dict[str, output.Json] = {
        "key": key,
        "present": value is not None,
        "value": value,
        "height": checkpoint.height,
        "time_ms": checkpoint.time_ms,
        "epoch": checkpoint.epoch,
        **({} if out is None else {"receipt": str(out)}),
    }
    written = [] if out is None else [t("receipt.written", path=out)]
    if value is None:
        emit(fields, t("state.absent", key=key, height=checkpoint.height, time=moment), *written)
        raise typer.Exit(Exit.MISSING)
    emit(fields, t("state.present", key=key, height=checkpoint.height, time=moment), *lines(value), *written)
