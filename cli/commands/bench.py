# SPDX-License-Identifier: Apache-2.0
"""`zhixin bench`: what a network of real processes on this machine carries."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.command import command, group
from cli.devnet.network import Devnet, bring_up, clean, locked, remove
from cli.exits import Exit
from cli.language import t
from cli.load.run import LoadRun, Plan, bench_home, idle
from cli.output import Json, emit, note, progress
from cli.run import run_async

app = group(t("help.bench"))

SECONDS_MAX = 3600


@command(app, "load", t("bench.load.help"))
def load(
    validators: Annotated[int, typer.Option("--validators", min=1, help=t("devnet.option.validators"))] = 4,
    seconds: Annotated[float, typer.Option("--seconds", min=1, max=SECONDS_MAX, help=t("bench.option.seconds"))] = 60,
    operations_per_transaction: Annotated[
        int, typer.Option("--operations-per-transaction", min=1, max=1000, help=t("attest.option.group"))
    ] = 1,
    rate: Annotated[float | None, typer.Option("--rate", min=0.1, help=t("bench.option.rate"))] = None,
    is_idle: Annotated[bool, typer.Option("--idle", help=t("bench.option.idle"))] = False,
    home: Annotated[Path | None, typer.Option("--home", help=t("bench.option.home"))] = None,
) -> None:
    """Start a network, load it, measure, and take it down."""
    root = bench_home(home)
    with locked(root):
        clean(root)
        note(t("demo.starting", count=validators, root=root))
        network = run_async(bring_up(root, validators=validators, base_port=None))
        try:
            if is_idle:
                with progress(t("bench.idle"), int(seconds)) as advance:
                    measured = run_async(idle(network, seconds, advance))
            else:
                measured = _loaded(network, Plan(seconds, operations_per_transaction, rate))
        finally:
            network.stop(network.names)
        remove(root)
    result = {**measured, "cores": os.cpu_count()}
    emit(result, *(f"{name}: {value}" for name, value in result.items()))
    if result.get("failed"):
        note(t("bench.failed", failed=result["failed"]))
        raise typer.Exit(Exit.NOT_HELD)


def _loaded(network: Devnet, plan: Plan) -> dict[str, Json]:
    run = LoadRun(network, plan)
    with progress(t("bench.signing"), int(plan.seconds)) as advance:
        run.prepare(advance)
    with progress(t("bench.loading"), int(plan.seconds)) as advance:
        return run_async(run.run(advance))
