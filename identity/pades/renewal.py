# SPDX-License-Identifier: Apache-2.0
"""A newer time stamp over a signed document, before the key of its last one ends.

A stamp proves something for as long as its authority's certificate holds and its algorithms are believed. A newer one
over the whole file, made in time, carries all of it on: the document then counts for as long as the newest one does.
Nothing that was there is changed, and no card is needed.

Source: ETSI EN 319 142-1, 5.5 (document time stamps); EN 319 102-1, 5.6.2.
"""

import io
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.signers.pdf_signer import PdfTimeStamper
from pyhanko.sign.timestamps.common_utils import TimestampRequestError

from identity.pades.errors import InvalidDocument, InvalidEvidence
from identity.pades.reading import DAMAGED, SIGNATURES_MAX, read_pdf, signatures_of
from identity.pades.time_stamps import Stamper, Stamps
from identity.pades.verifying import Report, Trust, verify_pdf

_FIELD: Final = "TimeStamp"


@dataclass(frozen=True, slots=True)
class Renewed:
    """A document with a newer stamp over it.

    Attributes:
        content: The PDF; it begins with the bytes of the one before.
        report: What its verification says.
    """

    content: bytes
    report: Report


async def renew_pdf(pdf: bytes, stamps: Stamps, trust: Trust, at: datetime) -> Renewed:
    """Put a newer time stamp over a signed document.

    Args:
        pdf: Which counts now: what does not count gains nothing by a stamp.
        stamps: The authority, whose certificate is among the trusted ones.
        trust: Whom one trusts; the older stamps' authorities, too.
        at: Now, aware of its zone; a little ahead of the authority's clock at most.

    Raises:
        InvalidDocument: No PDF, one that can't be read or has as many stamps as are read.
        InvalidEvidence: It does not count now, or what came out does not; the reason names the step that failed.
        InvalidTimeStamp: The authority's answer is none.
        OSError: The authority can't be reached, or refused.
    """
    before = verify_pdf(pdf, trust, at=at)
    if not before.is_valid:
        failed = before.first_failure
        raise InvalidEvidence(f"the document does not count now ({failed.name}), so no stamp helps it: {failed.reason}")
    names = {each.field_name for each in signatures_of(read_pdf(pdf))}
    if len(names) >= SIGNATURES_MAX:
        raise InvalidDocument(f"a document has at most {SIGNATURES_MAX} signatures and time stamps")
    field = next(name for name in (f"{_FIELD}{number}" for number in range(2, SIGNATURES_MAX + 2)) if name not in names)
    try:
        writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
        out = await PdfTimeStamper(Stamper(stamps), field_name=field).async_timestamp_pdf(writer, "sha256")
    except TimestampRequestError as error:
        raise ConnectionRefusedError(f"the time-stamp authority refused: {error}") from None
    except DAMAGED as error:
        raise InvalidDocument(f"this PDF takes no time stamp: {error}") from None
    content = bytes(out.getbuffer())
    report = verify_pdf(content, trust, at=at)
    if not report.is_valid or report.level != "B-LTA" or not content.startswith(pdf):
        reason = "it is not covered whole" if report.is_valid else report.first_failure.reason
        raise InvalidEvidence(f"the document with its newer stamp does not verify: {reason}")
    return Renewed(content, report)
