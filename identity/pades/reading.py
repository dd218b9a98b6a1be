# SPDX-License-Identifier: Apache-2.0
"""A PDF from somebody, read with bounds; and the signatures in it."""

import io
from typing import Final

from pyhanko.pdf_utils.decode_limits import DecodeLimits, StreamDecodeLimits
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.general import CMSExtractionError, CMSStructuralError
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature, collect_embedded_signatures

from identity.pades.errors import InvalidDocument

DOCUMENT_BYTES_MAX: Final = 32 * 2**20
"""A signed form or contract has 100 KB, one with scanned pages some MB."""
SIGNATURES_MAX: Final = 32
"""A signature, its closing stamp, and a new one each few years."""
STREAM_BYTES_MAX: Final = 32 * 2**20
"""Of one stream, unpacked."""

DAMAGED: Final = (
    PdfError,
    CMSExtractionError,
    CMSStructuralError,
    SignatureValidationError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    AssertionError,
    RecursionError,
)
"""What the libraries raise for a file that is damaged or made to trouble them; each means that nobody can read it."""


def read_pdf(pdf: bytes) -> PdfFileReader:
    """Open a document.

    Raises:
        InvalidDocument: No PDF, one that is too large, or encrypted.
    """
    if len(pdf) > DOCUMENT_BYTES_MAX:
        raise InvalidDocument(f"a document has at most {DOCUMENT_BYTES_MAX >> 20} MiB")
    if not pdf.startswith(b"%PDF-"):
        raise InvalidDocument("this is no PDF: it does not begin with %PDF-")
    try:
        reader = PdfFileReader(io.BytesIO(pdf), decode_limits=_LIMITS)
        _ = reader.root
    except DAMAGED as error:
        raise InvalidDocument(f"this PDF can't be read: {error}") from None
    if reader.encrypted:
        raise InvalidDocument("this PDF is encrypted; nobody could check later what was signed")
    return reader


_LIMITS: Final = DecodeLimits(per_stream=StreamDecodeLimits(max_output_size=STREAM_BYTES_MAX))


def signatures_of(reader: PdfFileReader) -> list[EmbeddedPdfSignature]:
    """All signatures and closing stamps, the oldest first.

    Raises:
        InvalidDocument: One can't be read, or there are too many.
    """
    try:
        found = list(collect_embedded_signatures(reader))
    except DAMAGED as error:
        raise InvalidDocument(f"a signature in this PDF can't be read: {error}") from None
    if len(found) > SIGNATURES_MAX:
        raise InvalidDocument(f"more than {SIGNATURES_MAX} signatures and time stamps in one document")
    return found
