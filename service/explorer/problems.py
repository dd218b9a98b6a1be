# SPDX-License-Identifier: Apache-2.0
"""What the explorer refuses in its own words."""

from service.problems import ProblemKind

ABSENT = ProblemKind("explorer.absent", 404)
REFERENCE = ProblemKind("explorer.reference", 400)
TOO_LONG = ProblemKind("explorer.too-long", 422)
KINDS = (ABSENT, REFERENCE, TOO_LONG)
