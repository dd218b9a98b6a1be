# SPDX-License-Identifier: Apache-2.0
"""The ways in which the shopper's pages refuse, beside those of the service of food records."""

from service.problems import ProblemKind

TOO_MANY_COMPLAINTS = ProblemKind("food.complaints", 429)

KINDS: tuple[ProblemKind, ...] = (TOO_MANY_COMPLAINTS,)
