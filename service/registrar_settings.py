# SPDX-License-Identifier: Apache-2.0
"""Settings of a registrar: issuing keys, cards and uniqueness; see `service.settings` for how they are read."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class IssuingSettings:
    """Keys by which a registrar issues credentials; `zhixin credential new-key` makes them."""

    folder: str = field(
        default="", metadata={"why": "issuing keys with their certificates; mode 0700; empty: nothing is issued"}
    )
    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; opens the folder's keys"})
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})
    origin: str = field(
        default="", metadata={"why": "where wallets reach the issuer, https://…; empty: the desk offers no credentials"}
    )


@dataclass(frozen=True, slots=True)
class CardSettings:
    """The desk's authority of smart cards; `zhixin card authority` makes it."""

    folder: str = field(
        default="", metadata={"why": "the authority's folder, mode 0700; empty: the desk makes no cards"}
    )
    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; opens the folder's keys"})
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})
    emulated: str = field(
        default="", metadata={"why": "folder of emulated cards beside the readers, for tests alone; empty: none"}
    )


@dataclass(frozen=True, slots=True)
class UniquenessSettings:
    """The uniqueness service, and how a registrar's desk asks it."""

    keys: str = field(default="data/tag-keys", metadata={"why": "the tags' keys; mode 0700, apart from the store"})
    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; opens the tags' keys"})
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})
    token: str = field(default="", metadata={"why": "empty: keys in uniqueness.keys; else pkcs11:…, keys in a token"})
    signing_key: str = field(
        default="", metadata={"why": "key file of the uniqueness organisation; purpose attest; signs tags"}
    )
    per_minute_max: int = field(default=60, metadata={"why": "questions of one registrar: a large desk's peak"})
    per_day_max: int = field(
        default=5_000, metadata={"why": "questions of one registrar: guessing a city's numbers takes years"}
    )
    retags_per_day_max: int = field(
        default=100_000, metadata={"why": "tags of one registrar that move to a new key; a city's in some days"}
    )
    url: str = field(default="", metadata={"why": "where a desk finds the service; empty: nobody can be enrolled"})
    bearer_file: str = field(default="", metadata={"why": "holds the desk's key to the service; mode 0600"})
    ca_file: str = field(
        default="", metadata={"why": "certificates that the service's is signed by; empty: the system's"}
    )
