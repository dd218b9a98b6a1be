# SPDX-License-Identifier: Apache-2.0
"""The ways in which lists of accesses refuse a writer, beside those of every service."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

NOT_WRITER = ProblemKind("accesses.not-writer", 401)

KINDS: tuple[ProblemKind, ...] = (NOT_WRITER,)
