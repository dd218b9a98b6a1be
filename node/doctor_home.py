# SPDX-License-Identifier: Apache-2.0
"""Examines a node's home: settings, genesis, keys, certificate, dumps, and what the ledger says of this node."""

import datetime as dt
import ipaddress
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from cryptography import x509

from chain import genesis as genesis_file
from chain.certificate import decode_bitmap
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ValidatorSet
from chain.codec import decode
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.pb import ledger_pb2
from chain.storage import Reader
from chain.tree import StateTree
from chain.types import BlsKey, Epoch
from membership.pb import membership_pb2
from membership.state import Seat, load_seat, load_validators
from node.certificates import certificate_key, from_pem
from node.config import ENVIRONMENT_PREFIX, Config, Home, load_config, split_address
from node.doctor_findings import Finding, error, ok, unknown, warning
from node.errors import ConfigError, KeyFileError, StorageError
from node.keys import load_public_key
from node.local import open_reader
from node.store_keys import FORMAT, STATE_PREFIX, numbered
from node.store_reader import Records

CERTIFICATE_WARNING_DAYS = 30
TIP_BEHIND_WARNING_MS = 60_000
CERTIFICATES_SEEN = 100
"""A validator that takes part stands in some of so many, though a certificate needs but a quorum of them."""
GROWTH_SPAN_MS_MIN = 3_600_000
"""A shorter history says nothing of a day."""
DAY_MS = 86_400_000
DAYS_LEFT_ERROR, DAYS_LEFT_WARNING = 7, 30
DUMPS_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read, for whoever looks further; None where it could not be.

    Attributes:
        validators: Of the newest state.
        seats: Of each of them, by key.
        own: This node's own seat.
    """

    config: Config | None = None
    genesis: Genesis | None = None
    bls_key: bytes | None = None
    certificate: bytes | None = None
    tip: Checkpoint | None = None
    validators: tuple[BlsKey, ...] = ()
    seats: Mapping[BlsKey, Seat] = field(default_factory=dict)
    own: Seat | None = None


class HomeExamination:
    """One look at a home; `facts` holds what was read on the way."""

    def __init__(self, home: Home, environment: Mapping[str, str], now_ms: int) -> None:
        self._home = home
        self._environment = environment
        self._now_ms = now_ms
        self.facts = Facts()

    def run(self) -> Iterator[Finding]:
        """Look at everything."""
        config = genesis = bls_key = certificate = None
        try:
            config = load_config(self._home, self._environment)
            yield from self._settings(config)
        except ConfigError as reason:
            yield error("settings.wrong", reason=str(reason))
        try:
            genesis = genesis_file.load(self._home.genesis.read_bytes())
            yield ok("genesis.ok", network=genesis.network.hex(), name=genesis.name)
        except (OSError, LedgerError) as reason:
            yield error("genesis.wrong", reason=reason.reason if isinstance(reason, LedgerError) else str(reason))
        for path in (self._home.keys, self._home.tls_key.parent):
            yield self._private(path)
        try:
            if self._home.validator_key.exists():
                bls_key = load_public_key(self._home.validator_key)[2]
            certificate = from_pem(self._home.tls_certificate.read_bytes())
            yield self._certificate(certificate)
        except (OSError, ConfigError, KeyFileError) as reason:
            yield error("keys.wrong", reason=str(reason))
        yield self._dumps()
        self.facts = Facts(config, genesis, bls_key, certificate)
        if genesis is None:
            yield unknown("ledger.not-read", reason="-")
            return
        try:
            with open_reader(self._home) as reader:
                yield from self._ledger(reader, genesis)
        except StorageError as reason:
            yield unknown("ledger.not-read", reason=str(reason))

    # ---------------------------------------------------------------- files

    def _settings(self, config: Config) -> Iterator[Finding]:
        sections = tuple(f"{ENVIRONMENT_PREFIX}{item.name.upper()}_" for item in fields(Config))
        changed = sum(1 for name in self._environment if name.startswith(sections))
        yield ok("settings.ok", overrides=changed)
        host = split_address(config.peer.listen)[0]
        if _is_loopback(host):
            yield warning("settings.loopback", address=config.peer.listen)
        if config.keys.allow_plain:
            yield warning("settings.plain-keys")

    def _private(self, folder: Path) -> Finding:
        """Whether only the owner can enter a folder of keys and read its secrets."""
        try:
            if folder.stat().st_uid != os.geteuid():
                return warning("keys.other-owner", path=str(folder))
            if stat.S_IMODE(folder.stat().st_mode) & 0o077:
                return error("keys.folder-open", path=str(folder))
            for path in sorted(folder.glob("*.json")):
                if stat.S_IMODE(path.stat().st_mode) & 0o077:
                    return error("keys.file-open", path=str(path))
        except OSError as reason:
            return error("keys.wrong", reason=str(reason))
        return ok("keys.ok", path=str(folder))

    def _certificate(self, certificate: bytes) -> Finding:
        if certificate_key(certificate) != load_public_key(self._home.tls_key)[2]:
            return error("certificate.other-key")
        return certificate_validity(certificate, self._now_ms, "certificate")

    def _dumps(self) -> Finding:
        halts = sorted(path.name for path in self._home.dumps.glob("halt-*.json"))
        if halts:
            return warning("dumps.found", count=len(halts), names=", ".join(halts[-DUMPS_SHOWN_MAX:]))
        return ok("dumps.none")

    # ---------------------------------------------------------------- the ledger

    def _ledger(self, reader: Reader, genesis: Genesis) -> Iterator[Finding]:
        records = Records(reader)
        number = records.format()
        if number is None or number > FORMAT:
            yield error("format.unknown", format=number or 0, known=FORMAT)
            return
        yield ok("format.ok", format=number, known=FORMAT)
        if records.network() != genesis.network:
            yield error("ledger.other-network", path=str(self._home.ledger))
            return
        tip = records.tip()
        state = StateTree(reader, STATE_PREFIX)
        validators = tuple(validator.bls_key for validator in load_validators(state.get))
        seats = {key: seat for key in validators if (seat := load_seat(state.get, key)) is not None}
        facts = self.facts
        own = None if facts.bls_key is None else load_seat(state.get, facts.bls_key)
        self.facts = Facts(
            facts.config, facts.genesis, facts.bls_key, facts.certificate, tip, tuple(validators), seats, own
        )
        yield self._seat(own)
        if tip is None:
            yield ok("ledger.empty")
            return
        yield self._tip(tip)
        if own is not None and facts.bls_key in validators:
            epoch = Epoch(tip.epoch + tip.closes_epoch)
            yield _signing(reader, facts.bls_key, ValidatorSet(epoch, load_validators(state.get)))
        yield self._growth(records, reader, tip)

    def _seat(self, own: Seat | None) -> Finding:
        """What the ledger says of this node's key and certificate."""
        if self.facts.bls_key is None:
            return ok("seat.follower")
        if own is None:
            return warning("seat.none", key=self.facts.bls_key.hex()[:16])
        if own.status == membership_pb2.VALIDATOR_STATUS_SUSPENDED:
            return error("seat.suspended", organisation=own.organisation)
        if own.until_epoch:
            return warning("seat.left", epoch=own.until_epoch)
        if own.tls_certificate != self.facts.certificate:
            return error("seat.other-certificate", organisation=own.organisation)
        return ok("seat.ok", organisation=own.organisation, address=own.address)

    def _tip(self, tip: Checkpoint) -> Finding:
        """The newest block's time against this machine's clock."""
        ahead_ms = tip.time_ms - self._now_ms
        limit = 60_000 if self.facts.config is None else self.facts.config.clock.tip_ahead_ms_max
        if ahead_ms > limit:
            return error("tip.ahead", height=tip.height, seconds=ahead_ms // 1000)
        if -ahead_ms > TIP_BEHIND_WARNING_MS:
            return warning("tip.old", height=tip.height, seconds=-ahead_ms // 1000)
        return ok("tip.ok", height=tip.height, seconds=max(0, -ahead_ms // 1000))

    def _growth(self, records: Records, reader: Reader, tip: Checkpoint) -> Finding:
        """Bytes a day, by the blocks of the last day, and how long the disk lasts."""
        config = self.facts.config
        if config is not None and config.storage.blocks_kept:
            return ok("growth.pruned", blocks=config.storage.blocks_kept)
        held = [Checkpoint.decode(raw) for raw in (reader.get(numbered(b"C", h)) for h in _sample(records, tip)) if raw]
        recent = [checkpoint for checkpoint in held if checkpoint.time_ms >= tip.time_ms - DAY_MS]
        span_ms = tip.time_ms - recent[0].time_ms if recent else 0
        if span_ms < GROWTH_SPAN_MS_MIN:
            return unknown("growth.short", minutes=span_ms // 60_000)
        size = sum(path.stat().st_size for path in self._home.ledger.iterdir() if path.is_file())
        blocks_day = (tip.height - recent[0].height) * DAY_MS // span_ms
        bytes_day = size * blocks_day // max(1, tip.height - records.horizon().oldest_block + 1)
        found = os.statvfs(self._home.ledger)
        days = found.f_bavail * found.f_frsize // max(1, bytes_day)
        values = {"size_mib": size >> 20, "mib_day": bytes_day >> 20, "days": days}
        if days < DAYS_LEFT_ERROR:
            return error("growth.soon-full", **values)
        return warning("growth.fast", **values) if days < DAYS_LEFT_WARNING else ok("growth.ok", **values)


def certificate_validity(certificate: bytes, now_ms: int, subject: str, **values: str) -> Finding:
    """Whether a certificate is valid now and for some time.

    Args:
        certificate: DER.
        now_ms: By this machine's clock.
        subject: First part of the finding's code: whose it is.
        values: To fill the words.
    """
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    found = x509.load_der_x509_certificate(certificate)
    if now < found.not_valid_before_utc:
        return error(f"{subject}.not-yet", day=found.not_valid_before_utc.date().isoformat(), **values)
    days = (found.not_valid_after_utc - now).days
    if days < 0:
        return error(f"{subject}.expired", day=found.not_valid_after_utc.date().isoformat(), **values)
    if days < CERTIFICATE_WARNING_DAYS:
        return warning(f"{subject}.expires", days=days, **values)
    return ok(f"{subject}.ok", days=days, **values)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sample(records: Records, tip: Checkpoint) -> list[int]:
    """Some heights from the oldest held to the newest, evenly spread: enough to find where the last day began."""
    oldest, count = records.horizon().oldest_block, 1_000
    return sorted({oldest + (tip.height - oldest) * at // count for at in range(count + 1)})


def _signing(reader: Reader, key: bytes | None, validators: ValidatorSet) -> Finding:
    """In how many of the newest certificates of this epoch the own key signed."""
    own = next((place for place, member in enumerate(validators.keys) if member == key), -1)
    seen = signed = 0
    for _, raw in reader.range(b"Q", b"R", reverse=True):
        try:
            certified = CertifiedCheckpoint.from_pb(decode(ledger_pb2.CertifiedCheckpoint, raw, 64 * 1024))
            if Checkpoint.decode(certified.checkpoint).epoch != validators.epoch or seen == CERTIFICATES_SEEN:
                break
            signed += own in decode_bitmap(certified.bitmap, len(validators.keys))
            seen += 1
        except LedgerError:
            break
    if not seen:
        return unknown("signing.unknown")
    return ok("signing.ok", signed=signed, seen=seen) if signed else warning("signing.none", seen=seen)
