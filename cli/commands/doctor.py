# SPDX-License-Identifier: Apache-2.0
"""`zhixin doctor`: what is well with a node, what is not, and what to do."""

import os
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from cli.command import command
from cli.errors import InputError
from cli.exits import Exit
from cli.home import HOME_VARIABLE
from cli.language import current, t
from cli.output import Json, emit
from node.config import Home as NodeHome
from node.doctor import Finding, Level, examine

app = typer.Typer(add_completion=False)


@command(app, "doctor", t("doctor.help"))
def run(
    home: Annotated[Path, typer.Option("--home", envvar=HOME_VARIABLE, help=t("node.option.home"))],
    strict: Annotated[bool, typer.Option("--strict", help=t("doctor.option.strict"))] = False,
) -> None:
    """Examine a node, whether it runs or not."""
    findings = list(examine(NodeHome(home), os.environ, time.time_ns() // 1_000_000))
    if [finding.code for finding in findings] == ["home.none"]:
        raise InputError("home.none", _words(findings[0])[0])
    counts = Counter(finding.level for finding in findings)
    summed = {level.value: counts[level] for level in Level}
    fields: dict[str, Json] = {"findings": [_fields(finding) for finding in findings], "counts": summed}
    emit(fields, *(line for finding in findings for line in _lines(finding)), t("doctor.sum", **summed))
    if counts[Level.ERROR] or (strict and counts[Level.WARNING]):
        raise typer.Exit(Exit.NOT_HELD)


def _words(finding: Finding) -> tuple[str, str]:
    """What was found and what to do, in the language in use."""
    words = current().findings[finding.code]
    return words.found.format(**finding.values), words.do


def _fields(finding: Finding) -> dict[str, Json]:
    found, do = _words(finding)
    return {
        "check": finding.code.partition(".")[0],
        "code": finding.code,
        "level": finding.level.value,
        "values": dict(finding.values),
        "found": found,
        "do": do,
    }


def _lines(finding: Finding) -> list[str]:
    levels = {
        Level.OK: t("doctor.ok"),
        Level.WARNING: t("doctor.warning"),
        Level.ERROR: t("doctor.error"),
        Level.UNKNOWN: t("doctor.unknown"),
    }
    found, do = _words(finding)
    line = t("doctor.line", level=levels[finding.level], found=found)
    return [line, t("doctor.do", do=do)] if do else [line]
