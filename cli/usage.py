# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a command line, in the language in use: which option or argument, and where to read about it.

The parser knows only English; its errors are told apart by their class's name, because it keeps the classes to itself.
Where it alone knows what is wrong with a value, its own words are kept.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from cli import program
from cli.language import current, t


def explain(error: Exception) -> tuple[str, tuple[str, ...]]:
    """One sentence, and where help is; both empty if help was shown instead."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return "", ()
    message = str(getattr(error, "message", error))
    reason = _reason(error, message)
    if context is None:
        return reason, ()
    rest = str(context.command_path).removeprefix(program.NAME)
    return reason, (t("usage.see", command=f"{program.name()}{rest} --help"),)


def localise_help() -> None:
    """Put the headings of help pages into the language in use; English is the parser's own."""
    if current().language == "en":
        return
    from typer import rich_utils  # noqa: PLC0415 - start-up time

    rich_utils.ARGUMENTS_PANEL_TITLE = t("usage.arguments")
    rich_utils.OPTIONS_PANEL_TITLE = t("usage.options")
    rich_utils.COMMANDS_PANEL_TITLE = t("usage.commands")
    rich_utils.DEFAULT_STRING = t("usage.default")
    rich_utils.REQUIRED_LONG_STRING = t("usage.required")
    rich_utils.ENVVAR_STRING = t("usage.variable")
    _localise_help_option()


@cache
def _localise_help_option() -> None:
    """Let `--help` say in the language in use what it does; the parser makes that option by itself for each command."""
    from typer import core  # noqa: PLC0415 - start-up time

    for kind in (core.TyperCommand, core.TyperGroup):
        made: Callable[..., Any] = kind.get_help_option

        def in_language(command: Any, context: Any, made: Callable[..., Any] = made) -> Any:
            option = made(command, context)
            if option is not None:
                option.help = t("usage.help")
            return option

        kind.get_help_option = in_language  # type: ignore[assignment, method-assign]  # it asks for no other way


def _reason(error: Exception, message: str) -> str:
    name = type(error).__name__
    parameter = getattr(error, "param", None)
    if name == "MissingParameter" and parameter is not None:
        if parameter.param_type_name == "option":
            return t("usage.missing-option", option=_name(parameter))
        return t("usage.missing-argument", argument=_name(parameter))
    if name == "BadParameter" and parameter is not None:
        return t("usage.value", option=_name(parameter), text=_value(message))
    if name == "NoSuchOption":
        near = ", ".join(getattr(error, "possibilities", None) or ())
        option = getattr(error, "option_name", message)
        return t("usage.no-option-near", option=option, near=near) if near else t("usage.no-option", option=option)
    if found := re.match(r"No such command '(.*?)'\.", message):
        return t("usage.no-command", name=found[1])
    if found := re.match(r"Got unexpected extra arguments?\S* \((.*)\)", message):
        return t("usage.extra", text=found[1])
    if found := re.match(r"Option '(.*?)' requires an argument", message):
        return t("usage.without-value", option=found[1])
    return t("usage.missing-command") if message == "Missing command." else message


def _value(message: str) -> str:
    """What is wrong with a value; the commonest faults in the language in use."""
    if found := re.fullmatch(r"Input should be greater than or equal to (\S+?)\.?", message):
        return t("usage.at-least", limit=found[1])
    if found := re.fullmatch(r"Input should be less than or equal to (\S+?)\.?", message):
        return t("usage.at-most", limit=found[1])
    if re.match(r"Input should be a valid (integer|number)", message):
        return t("usage.number")
    if found := re.match(r".*is not one of (.*?)\.?$", message):
        return t("usage.one-of", known=found[1])
    return message


def _name(parameter: object) -> str:
    """How a parameter is written: its long option, or what stands for the argument in the usage line."""
    options = [option for option in getattr(parameter, "opts", ()) if option.startswith("--")]
    if options:
        return str(options[0])
    return str(getattr(parameter, "metavar", None) or getattr(parameter, "name", "?"))
