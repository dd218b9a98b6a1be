# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a document that is to be signed, or with what it is signed with."""

from chain.errors import LedgerError


class InvalidDocument(LedgerError):
    """A file that can't be signed, or that nobody can read as a PDF."""

    default_code = "identity.document"


class InvalidTimeStamp(LedgerError):
    """A time stamp, a request for one, or the certificate of an authority of them, that must not be believed."""

    default_code = "identity.time-stamp"


class InvalidEvidence(LedgerError):
    """What an authority says of certificates (a list, an answer), and it is not what it should be."""

    default_code = "identity.document-evidence"
