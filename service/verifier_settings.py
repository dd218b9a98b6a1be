# SPDX-License-Identifier: Apache-2.0
"""Settings of a verifier: its keys, whom it believes, what it reaches; see `service.settings` for how they are read."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class VerifierSettings:
    """The verifier: its keys, whom it believes, and what it reaches."""

    keys: str = field(
        default="", metadata={"why": "signing keys that `zhixin credential new-key` makes; empty: nothing is verified"}
    )
    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; opens verifier.keys"})
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})
    registrars: tuple[str, ...] = field(
        default=(), metadata={"why": "certificates (DER) of registrars whose credentials count"}
    )
    issuing: tuple[str, ...] = field(
        default=(), metadata={"why": "certificates (DER) of their issuing keys: offline codes have no room for them"}
    )
    card_chains: tuple[str, ...] = field(
        default=(), metadata={"why": "chain.pem of card authorities whose cards count; empty: no cards"}
    )
    inside: tuple[str, ...] = field(
        default=(), metadata={"why": "origins in private networks that may be asked for lists and sent notices"}
    )
    list_keeper: str = field(
        default="", metadata={"why": "who keeps people's lists of accesses, its issuer's origin; empty: no answers"}
    )
    client_certificates: bool = field(
        default=False, metadata={"why": "the proxy sets Client-Cert (RFC 9440) and removes it from what callers send"}
    )
    keep_days: int = field(
        default=90, metadata={"why": "answers and what was presented; then only receivers have them"}
    )
    sandbox: bool = field(default=False, metadata={"why": "also serves integrators, with made-up people alone"})
