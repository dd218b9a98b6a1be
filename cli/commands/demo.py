# SPDX-License-Identifier: Apache-2.0
"""`zhixin demo`: scenes that assert what they show, on a network of their own."""

from pathlib import Path
from typing import Annotated

import typer

from cli.command import command, group
from cli.language import t
from cli.output import emit_table

app = group(t("help.demo"))


@command(app, "list", t("demo.list.help"))
def list_scenes() -> None:
    """All scenes."""
    from cli.scenes.registry import scenes  # noqa: PLC0415 - as below

    known = scenes().values()
    data = {"scenes": [{"name": scene.name, "title": scene.title} for scene in known]}
    rows = [[scene.name, scene.title] for scene in known]
    emit_table(data, [t("column.name"), t("column.title")], rows, empty="-")


@command(app, "run", t("demo.run.help"))
def run(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SCENE]...", help=t("demo.option.scenes"))] = None,
    once: Annotated[bool, typer.Option("--once", help=t("demo.option.once"))] = False,
    home: Annotated[Path | None, typer.Option("--home", help=t("demo.option.home"))] = None,
    base_port: Annotated[int | None, typer.Option("--base-port", help=t("devnet.option.base-port"))] = None,
) -> None:
    """Play scenes; stay up afterwards unless --once."""
    from cli.scenes import playing  # noqa: PLC0415 - scenes import every service; help needs none

    playing.play(names or [], home, base_port, once=once)
