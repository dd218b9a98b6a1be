# SPDX-License-Identifier: Apache-2.0
"""The ways in which the desk refuses work on batches."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages" / "batch")

FILE = ProblemKind("batch.file", 422)
UNKNOWN = ProblemKind("batch.unknown", 404)
NOTHING = ProblemKind("batch.nothing-waits", 409)

BATCH_KINDS: tuple[ProblemKind, ...] = (FILE, UNKNOWN, NOTHING)
