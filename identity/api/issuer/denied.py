# SPDX-License-Identifier: Apache-2.0
"""What a wallet is told when something is refused: the error codes that its protocol names, which are no problem kinds.

Source: RFC 6749, 5.2; RFC 6750, 3.1; OpenID4VCI 1.0, 6.3 (token), 8.3.1 (credential).
"""

from enum import StrEnum
from typing import Final


class Error(StrEnum):
    """The protocol's codes, as far as this issuer uses them."""

    INVALID_REQUEST = "invalid_request"
    INVALID_GRANT = "invalid_grant"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - the name of an error
    INVALID_CREDENTIAL_REQUEST = "invalid_credential_request"
    UNKNOWN_CREDENTIAL_CONFIGURATION = "unknown_credential_configuration"
    INVALID_PROOF = "invalid_proof"
    INVALID_NONCE = "invalid_nonce"
    CREDENTIAL_REQUEST_DENIED = "credential_request_denied"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"


_STATUSES: Final = {Error.INVALID_TOKEN: 401, Error.TEMPORARILY_UNAVAILABLE: 503}


class Denied(Exception):
    """A wallet's request is refused.

    Attributes:
        error: The protocol's code.
        description: For whoever builds wallets; English, ASCII, without anything that was sent.
    """

    def __init__(self, error: Error, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description

    @property
    def status(self) -> int:
        """The HTTP status that goes with it."""
        return _STATUSES.get(self.error, 400)
