# SPDX-License-Identifier: Apache-2.0
"""How commands are declared: each takes `--json` and `--lang` besides its own options.

Both are read from the command line before it is parsed (help texts depend on the language), so that here they are
only declared, for the parser and the help page.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

import typer

from cli.language import LANGUAGES, parse_language, t

P = ParamSpec("P")
R = TypeVar("R")


def _known_language(name: str | None) -> str | None:
    if name is not None and parse_language(name) is None:
        raise typer.BadParameter(t("usage.language", name=name, known=", ".join(LANGUAGES)))
    return name


JsonOption = Annotated[bool, typer.Option("--json", help=t("option.json"))]
LanguageOption = Annotated[
    str | None, typer.Option("--lang", metavar="en|zh", help=t("option.lang"), callback=_known_language)
]


def group(help_text: str) -> typer.Typer:
    """A group of commands about one noun."""
    app = typer.Typer(help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode="rich")

    @app.callback()
    def _group(json: JsonOption = False, lang: LanguageOption = None) -> None:
        pass

    return app


def command(app: typer.Typer, name: str, help_text: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare a function as the command `name`, with the options that every command has."""

    def declare(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            kwargs.pop("json_option_", None)
            kwargs.pop("lang_option_", None)
            return function(*args, **kwargs)

        signature = inspect.signature(function)
        extra = [
            inspect.Parameter("json_option_", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption),
            inspect.Parameter("lang_option_", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=LanguageOption),
        ]
        declared = signature.replace(parameters=[*signature.parameters.values(), *extra])
        run.__dict__["__signature__"] = declared
        run.__annotations__ = {p.name: p.annotation for p in declared.parameters.values()}
        app.command(name, help=help_text)(run)
        return function

    return declare
