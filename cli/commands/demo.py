# SPDX-License-Identifier: Apache-2.0
"""`zhixin demo`: scenes that assert what they show, on a network of their own."""

from pathlib import Path
from typing import Annotated

import typer

from cli.command import command, group
from cli.language import t
from cli.output import emit_table

app = group(t("help.demo"))

HomeOption = Annotated[Path | None, typer.Option("--home", envvar="ZHIXIN_HOME", help=t("option.home"))]
"""As `cli.home` has it, which imports a client; help needs none."""


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


@command(app, "desk", t("demo.desk.help"))
def desk(home: HomeOption = None) -> None:
    """Serve desk, uniqueness service, issuer and wallet beside a network that runs."""
    from cli.scenes import offices  # noqa: PLC0415 - as above

    offices.run_offices(home)


@command(app, "credential", t("demo.credential.help"))
def credential(home: HomeOption = None) -> None:
    """Offer a wallet the credential of an invented resident."""
    from cli.scenes import offering  # noqa: PLC0415 - as above

    offering.offer_credential(home)
