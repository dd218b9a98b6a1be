# SPDX-License-Identifier: Apache-2.0
"""Scorecards on the chain: published, signed by the authority, versioned; none is ever changed.

Under `credit/scorecard/<number>` and `credit/scorecard/<number>/<version>`.
"""

from typing import Final

from chain.codec import encode
from chain.errors import InvalidMessage, Refused
from chain.module import Context
from chain.overlay import ReadState
from credit.catalogue import VERSION_MAX, check_authority
from credit.pb import credit_pb2 as pb
from credit.scorecard import parse

SCORECARDS_MAX: Final = 255


def scorecard_head_key(number: int) -> bytes:
    """State key of a scorecard's present version."""
    return b"credit/scorecard/%d" % number


def scorecard_key(number: int, version: int) -> bytes:
    """State key of one version: its value is the document."""
    return b"credit/scorecard/%d/%d" % (number, version)


def present_scorecard(read: ReadState, number: int) -> int:
    """The present version of a scorecard; 0: there is none."""
    return pb.ScorecardHead.FromString(read(scorecard_head_key(number)) or b"").version


def put_scorecard(context: Context, message: pb.PutScorecard) -> None:
    """Publish a scorecard's next version. Two writes.

    Raises:
        Refused: The authority did not sign, it is not the next version, or the document is no scorecard.
    """
    check_authority(context)
    if not 1 <= message.scorecard <= SCORECARDS_MAX:
        raise Refused(f"a scorecard is numbered 1 to {SCORECARDS_MAX}", "credit.invalid-scorecard")
    present = present_scorecard(context.read, message.scorecard)
    if message.version != present + 1 or message.version > VERSION_MAX:
        raise Refused(f"the next version of this scorecard is {present + 1}", "credit.wrong-version")
    try:
        parse(message.document)
    except InvalidMessage as error:
        raise Refused(str(error), "credit.invalid-scorecard") from None
    context.write(scorecard_head_key(message.scorecard), encode(pb.ScorecardHead(version=message.version)))
    context.write(scorecard_key(message.scorecard, message.version), message.document)
