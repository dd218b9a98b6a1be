# SPDX-License-Identifier: Apache-2.0
"""What the explorer refuses in its own words."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

ABSENT = ProblemKind("explorer.absent", 404)
REFERENCE = ProblemKind("explorer.reference", 400)
TOO_LONG = ProblemKind("explorer.too-long", 422)
KINDS = (ABSENT, REFERENCE, TOO_LONG)
