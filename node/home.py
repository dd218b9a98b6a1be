# SPDX-License-Identifier: Apache-2.0
"""The layout of a node's home: which file lies where, and what it is for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """Where a node keeps its files.

    Attributes:
        root: The node's home; each path below lies in it.
    """

    root: Path

    @property
    def config(self) -> Path:
        """Settings, TOML; may be absent."""
        return self.root / "config.toml"

    @property
    def genesis(self) -> Path:
        """The network's genesis file; its SHA-256 names the network."""
        return self.root / "genesis.json"

    @property
    def keys(self) -> Path:
        """Key files, mode 0700."""
        return self.root / "keys"

    @property
    def validator_key(self) -> Path:
        """The BLS key that votes; absent on a follower."""
        return self.keys / "validator.json"

    @property
    def organisation_key(self) -> Path:
        """The organisation's key that reports evidence; optional."""
        return self.keys / "organisation.json"

    @property
    def tls_key(self) -> Path:
        """The P-256 key of the TLS certificate."""
        return self.root / "tls" / "key.json"

    @property
    def tls_certificate(self) -> Path:
        """The self-signed certificate that peers pin and clients see."""
        return self.root / "tls" / "certificate.pem"

    @property
    def trusted(self) -> Path:
        """Certificates (PEM) of followers that may pull from this node though no validator's; optional folder."""
        return self.root / "tls" / "trusted"

    @property
    def ledger(self) -> Path:
        """Blocks, log, state tree."""
        return self.root / "data" / "ledger"

    @property
    def journal(self) -> Path:
        """Own votes, certificates, notarized blocks with bodies."""
        return self.root / "data" / "journal"

    @property
    def lock(self) -> Path:
        """Held by the running process: two of them must never vote with one key."""
        return self.root / "data" / "lock"

    @property
    def socket(self) -> Path:
        """Where a running node lets its owner's other processes read its ledger; its folder has mode 0700."""
        return self.root / "data" / "local" / "read.sock"

    @property
    def mark(self) -> Path:
        """Equal to the mark in the journal, so that a journal that was lost, exchanged or set back is noticed."""
        return self.root / "data" / "journal.mark"

    @property
    def dumps(self) -> Path:
        """What a node that halted found."""
        return self.root / "data" / "dumps"
