# SPDX-License-Identifier: Apache-2.0
"""Ask citizens' wallets and cards through a Zhixin verifier, and check its signed answers."""

from zhixin_rp.answers import Act, Answer, Forged, Notice, Payment, Root
from zhixin_rp.verifier import CardChallenge, NotAnswered, Question, Refused, Unreachable, Verifier, person

__all__ = [
    "Act",
    "Answer",
    "CardChallenge",
    "Forged",
    "NotAnswered",
    "Notice",
    "Payment",
    "Question",
    "Refused",
    "Root",
    "Unreachable",
    "Verifier",
    "person",
]
