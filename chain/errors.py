# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with something that a client or a peer sent.

Every error carries a stable `code` for programs and a reason for people. An error of the world (disk, network) is
raised outside `chain`; an error of ours is an `assert`.
"""


class LedgerError(Exception):
    """Somebody sent something that the rules refuse.

    Attributes:
        code: Stable, kebab-case, e.g. "transaction.expired"; programs and message catalogues key on it.
        reason: One English sentence saying what is wrong and where.
    """

    default_code = "ledger.refused"

    def __init__(self, reason: str, code: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code if code is not None else self.default_code


class InvalidMessage(LedgerError):
    """Bytes that do not decode, are not canonical, or break a bound."""

    default_code = "message.invalid"


class InvalidProof(LedgerError):
    """A Merkle proof that does not prove what it claims."""

    default_code = "proof.invalid"


class InvalidSignature(LedgerError):
    """A signature, key or aggregate that does not verify."""

    default_code = "signature.invalid"


class InvalidCertificate(LedgerError):
    """A certificate without a quorum of the right validators over the right bytes."""

    default_code = "certificate.invalid"


class InvalidReceipt(LedgerError):
    """A receipt that does not verify against the trust anchor given."""

    default_code = "receipt.invalid"


class InvalidGenesis(LedgerError):
    """A genesis file that no network can start from."""

    default_code = "genesis.invalid"


class Refused(LedgerError):
    """A rule of a module, or admission, refuses a transaction; the code says which rule."""

    default_code = "transaction.refused"
