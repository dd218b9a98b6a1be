# SPDX-License-Identifier: Apache-2.0
"""What the explorer refuses in its own words."""

from service.problems import ProblemKind

ABSENT = ProblemKind("explorer.absent", 404)
REFERENCE = ProblemKind("explorer.reference", 400)
QR = ProblemKind("explorer.qr", 422)
KINDS = (ABSENT, REFERENCE, QR)
