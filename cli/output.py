# SPDX-License-Identifier: Apache-2.0
"""What a command prints: one JSON object, or words for people; progress goes to stderr and is silent with --json.

Nothing here decides anything; commands hand over a result as data together with how a person should read it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

PIPE_COLUMNS = 240
"""Into a file or pipe no row is broken: ids stay whole for whoever copies or greps them."""

_json = [False]


def use_json(*, on: bool) -> None:
    """Print JSON from here on, or words."""
    _json[0] = on


def is_json() -> bool:
    """Whether results are printed as JSON."""
    return _json[0]


def console(*, stderr: bool = False) -> "Console":
    """Where words for people go. Rich is imported when first needed: start-up stays quick."""
    from rich.console import Console  # noqa: PLC0415 - start-up time

    width = None if (sys.stderr if stderr else sys.stdout).isatty() else PIPE_COLUMNS
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=width)


def emit(data: Mapping[str, Json], *words: str) -> None:
    """Print a result: the data as one JSON object, or the words, one line each."""
    if is_json():
        print(json.dumps(data, ensure_ascii=False))
        return
    out = console()
    for line in words:
        out.print(line, markup=False)


def emit_table(data: Mapping[str, Json], columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print a result as JSON or as a table; `empty` is said instead of a table without rows."""
    if is_json() or not rows:
        emit(data, empty)
        return
    from rich.table import Table  # noqa: PLC0415 - start-up time

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    console().print(table)


def note(text: str) -> None:
    """Say something on the way, on stderr; silent with --json."""
    if not is_json():
        console(stderr=True).print(text, markup=False)


def _plain(cell: str) -> str:
    """A cell that Rich must not read as markup."""
    return cell.replace("[", r"\[")


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; yields the function that moves it to a position."""
    if is_json() or total <= 0:
        yield lambda _position: None
        return
    from rich.progress import (  # noqa: PLC0415 - start-up time
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=not sys.stderr.isatty()) as bar:
        task = bar.add_task(description, total=total)
        yield lambda position: bar.update(task, completed=position)


@contextmanager
def rate_progress(description: str) -> Iterator[Callable[[int, int, int], None]]:
    """A progress bar on stderr with a rate and the time left.

    Yields:
        What moves it: how much is done, of how much, and how many things were done by the way, whose rate is shown.
    """
    if is_json():
        yield lambda _done, _total, _things: None
        return
    from rich.progress import (  # noqa: PLC0415 - start-up time
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    rate = TextColumn("{task.fields[rate]}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate)
    times = (TimeElapsedColumn(), TextColumn("-"), TimeRemainingColumn())
    began = time.monotonic()
    with Progress(*columns, *times, console=console(stderr=True), transient=not sys.stderr.isatty()) as bar:
        task = bar.add_task(description, total=None, rate=0)

        def move(done: int, total: int, things: int) -> None:
            seconds = max(time.monotonic() - began, 0.001)
            bar.update(task, completed=done, total=total, rate=round(things / seconds))

        yield move
