# SPDX-License-Identifier: Apache-2.0
"""The tree of commands. A noun's module is imported when that noun is used, so that `zhixin --help` answers at once."""

import importlib
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from cli import output
from cli.command import JsonOption, LanguageOption
from cli.exits import table
from cli.language import t

if TYPE_CHECKING:
    from typer.core import TyperCommand

NOUNS = (
    "init",
    "keys",
    "genesis",
    "testnet",
    "node",
    "audit",
    "backup",
    "fsck",
    "diff",
    "doctor",
    "devnet",
    "tx",
    "state",
    "attest",
    "receipt",
    "credential",
    "org",
    "office",
    "registrar",
    "validator",
    "proposal",
    "serve",
    "card",
    "document",
    "store",
    "person",
    "uniqueness",
    "verifier",
    "trace",
    "demo",
    "bench",
)


class _Noun(TyperGroup):
    """Stands for a noun's commands until they are used."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        assert self.name is not None
        module = importlib.import_module(f"cli.commands.{self.name}")
        real = cast("TyperCommand", typer.main.get_command(module.app))
        return real.make_context(info_name, args, parent=parent, **extra)


class _Nouns(TyperGroup):
    """The root's commands, in the order in which a newcomer needs them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the framework's signature
        return list(NOUNS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the framework's signature
        return _Noun(name=cmd_name, help=_helps()[cmd_name]) if cmd_name in NOUNS else None


def _helps() -> dict[str, str]:
    return {
        "init": t("help.init"),
        "keys": t("help.keys"),
        "genesis": t("help.genesis"),
        "testnet": t("help.testnet"),
        "node": t("help.node"),
        "audit": t("help.audit"),
        "backup": t("help.backup"),
        "fsck": t("help.fsck"),
        "diff": t("help.diff"),
        "doctor": t("help.doctor"),
        "devnet": t("help.devnet"),
        "tx": t("help.tx"),
        "state": t("help.state"),
        "attest": t("help.attest"),
        "receipt": t("help.receipt"),
        "credential": t("help.credential"),
        "org": t("help.org"),
        "office": t("help.office"),
        "registrar": t("help.registrar"),
        "validator": t("help.validator"),
        "proposal": t("help.proposal"),
        "serve": t("help.serve"),
        "card": t("help.card"),
        "document": t("help.document"),
        "store": t("help.store"),
        "person": t("help.person"),
        "uniqueness": t("help.uniqueness"),
        "verifier": t("help.verifier"),
        "trace": t("help.trace"),
        "demo": t("help.demo"),
        "bench": t("help.bench"),
    }


def _version(*, value: bool) -> None:
    if value:
        from importlib.metadata import version  # noqa: PLC0415 - start-up time

        output.emit({"version": version("zhixin")}, f"zhixin {version('zhixin')}")
        raise typer.Exit


def build() -> TyperGroup:
    """The root command in the language in use."""
    epilog = t("help.exits") + "\n\n" + "\n\n".join(f"{code}  {meaning}" for code, meaning in table())
    app = typer.Typer(
        cls=_Nouns, name="zhixin", help=t("help.root"), epilog=epilog, no_args_is_help=True, add_completion=False
    )

    @app.callback()
    def _root(
        version: Annotated[
            bool, typer.Option("--version", help=t("option.version"), callback=_version, is_eager=True)
        ] = False,
        json: JsonOption = False,
        lang: LanguageOption = None,
    ) -> None:
        pass

    return cast("TyperGroup", typer.main.get_command(app))
