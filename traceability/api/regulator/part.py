# SPDX-License-Identifier: Apache-2.0
"""The regulator's pages as a part of the service of food records: `regulator_part(context)`."""

from service.app import Part
from traceability.api.context import TraceContext
from traceability.api.regulator.problems import KINDS


def regulator_part(context: TraceContext) -> Part:
    """The regulator's pages."""
    del context
    return Part("food-office", problems=KINDS)
