# SPDX-License-Identifier: Apache-2.0
"""From an error to words, a JSON object and an exit code: the one place where that is decided."""

import json
import sys
import traceback
from dataclasses import dataclass

import typer

from chain.errors import InvalidGenesis, LedgerError, Refused
from cli import output, usage
from cli.errors import CommandError
from cli.exits import Exit
from cli.language import Refusal, current, t
from client.errors import TransportError
from node.errors import ConfigError, KeyFileError, StorageError


@dataclass(frozen=True, slots=True)
class Failure:
    """One error, ready to be shown."""

    exit_code: int
    code: str
    reason: str
    words: Refusal | None = None
    details: tuple[str, ...] = ()


_NODE: dict[type[BaseException], tuple[Exit, str]] = {
    ConfigError: (Exit.INPUT, "node.invalid"),
    KeyFileError: (Exit.INPUT, "key.unusable"),
    StorageError: (Exit.WORLD, "storage"),
}
"""What a node's files can be found to be when a command makes or reads them."""


def classify(error: BaseException) -> Failure:
    """Which exit code and which words an error has."""
    match error:
        case LedgerError():
            words = current().refusal(error.code)
            kind = {Refused: Exit.REFUSED, InvalidGenesis: Exit.INPUT}.get(type(error), Exit.UNPROVEN)
            return Failure(kind, error.code, error.reason, words)
        case TransportError():
            notes = tuple(getattr(error, "__notes__", ()))
            return Failure(Exit.WORLD, error.code, error.reason, current().refusal(error.code), notes)
        case CommandError():
            return Failure(error.exit_code, error.code, error.reason, details=error.details)
        case ConfigError() | KeyFileError() | StorageError():
            exit_code, code = _NODE[type(error)]
            return Failure(exit_code, code, str(error))
        case typer.TyperException():
            reason, details = usage.explain(error)
            return Failure(Exit.USAGE, "usage", reason, details=details)
        case KeyboardInterrupt() | typer.Abort():
            return Failure(Exit.INTERRUPTED, "interrupted", t("error.interrupted"))
        case OSError():
            return Failure(Exit.WORLD, "system", str(error))
        case _:
            return Failure(Exit.DEFECT, "defect", t("error.defect", kind=type(error).__name__, text=str(error)))


def report(error: BaseException) -> int:
    """Print an error and return its exit code."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else Exit.DEFECT
    failure = classify(error)
    if failure.exit_code == Exit.DEFECT:
        traceback.print_exception(error, file=sys.stderr)
    if output.is_json():
        reason = failure.reason or t("usage.missing-command")  # help is for people
        fields: dict[str, object] = {"code": failure.code, "reason": reason, "exit_code": failure.exit_code}
        if failure.words is not None:
            fields |= failure.words._asdict()
        if failure.details:
            fields["details"] = failure.details
        print(json.dumps({"error": fields}, ensure_ascii=False))
        return failure.exit_code
    if not failure.reason and failure.exit_code == Exit.USAGE:
        return failure.exit_code  # help was shown instead
    out = output.console(stderr=True)
    if failure.words is not None:
        out.print(t("error.what", what=failure.words.what), style="bold red", markup=False)
        out.print(failure.words.means, markup=False)
        out.print(failure.words.do, markup=False)
        out.print(t("error.technical", code=failure.code, reason=failure.reason), style="dim", markup=False)
    else:
        out.print(t("error.what", what=failure.reason), style="bold red", markup=False)
    for line in failure.details:
        out.print(f"  {line}", markup=False)
    return failure.exit_code
