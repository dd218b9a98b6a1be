# SPDX-License-Identifier: Apache-2.0
"""A node's settings: every limit, port and timer with its unit, default and reason.

Read from `config.toml` in the node's home, then overridden by environment variables `ZHIXIN_<SECTION>_<SETTING>`.
Strict: an unknown name is refused with the nearest known one. No setting changes what is valid on the ledger; that
stands in genesis and in `chain.types`.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from node.errors import ConfigError
from node.home import Home

__all__ = [
    "BASE_PORT",
    "BLOCKS_KEPT_MIN",
    "CLIENT_PORT_OFFSET",
    "ENVIRONMENT_PREFIX",
    "METRICS_PORT_OFFSET",
    "PEER_PORT_OFFSET",
    "PORTS_PER_NODE",
    "AdmissionConfig",
    "ClientConfig",
    "ClockConfig",
    "Config",
    "ConsensusConfig",
    "Home",
    "KeysConfig",
    "LoggingConfig",
    "MempoolConfig",
    "MetricsConfig",
    "PeerConfig",
    "StorageConfig",
    "SyncConfig",
    "load_config",
    "parse_config",
    "render_config",
    "split_address",
    "sync_hints",
]

ENVIRONMENT_PREFIX = "ZHIXIN_"

PEER_PORT_OFFSET = 0
CLIENT_PORT_OFFSET = 1
METRICS_PORT_OFFSET = 2
PORTS_PER_NODE = 10
"""Room for what a node may listen on later; node i of a test network starts at base_port + 10 i."""
BASE_PORT = 26600
BLOCKS_KEPT_MIN = 1_000
"""As many past states as stay provable, and what nodes that were down for minutes ask for."""


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """The stream between validators."""

    listen: str = field(default="127.0.0.1:26600", metadata={"why": "loopback until an operator says otherwise"})
    reconnect_ms_min: int = field(default=100, metadata={"why": "a restarted peer is back within a view"})
    reconnect_ms_max: int = field(default=5_000, metadata={"why": "a peer that is down costs a dial every 5 s"})
    renew_ms_min: int = field(
        default=10_000,
        metadata={"why": "a new certificate costs every peer a reconnection, so nobody can force one more often"},
    )
    keepalive_ms: int = field(default=10_000, metadata={"why": "a dead link shows within two of these"})
    queue_bytes_max: int = field(
        default=16 * 1024 * 1024, metadata={"why": "four full blocks; what is dropped is sent or asked for again"}
    )
    frame_bytes_max: int = field(
        default=1024 * 1024, metadata={"why": "votes behind a frame wait at most 10 ms on a 1 Gbit/s link"}
    )
    inbox_messages_max: int = field(
        default=4_096, metadata={"why": "messages of one peer that wait for the core; then its stream waits"}
    )


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """The API for clients."""

    listen: str = field(default="127.0.0.1:26601", metadata={"why": "loopback until an operator says otherwise"})
    streams_max: int = field(
        default=256, metadata={"why": "Submit streams at once, 64 KiB each; a quarter for one address"}
    )
    blocks_max: int = field(
        default=64, metadata={"why": "Blocks streams at once: services and auditors; a quarter for one address"}
    )
    unary_max: int = field(default=256, metadata={"why": "reads at once, of which two run; a quarter for one address"})
    waits_max: int = field(
        default=64, metadata={"why": "Receipts calls that wait; a quarter for one address, streams are for more"}
    )
    pending_bytes_max: int = field(
        default=64 * 1024 * 1024, metadata={"why": "blocks written to callers that have not taken them yet"}
    )
    exempt_loopback: bool = field(
        default=False, metadata={"why": "callers on this machine share one quarter unless a proxy speaks for many"}
    )
    waiters_max: int = field(default=200_000, metadata={"why": "20 s of load at 10,000 transactions a second"})
    stream_waiters_max: int = field(default=50_000, metadata={"why": "one client can't take all waiters"})
    stream_inflight_max: int = field(
        default=8, metadata={"why": "unanswered Submit requests of one stream before it is read no further"}
    )
    slow_consumer_ms: int = field(default=30_000, metadata={"why": "a caller that reads nothing for so long is cut"})
    reflection: bool = field(
        default=False, metadata={"why": "lists the API to tools; its streams have no bound per address"}
    )


@dataclass(frozen=True, slots=True)
class MempoolConfig:
    """Transactions that wait."""

    count_max: int = field(default=100_000, metadata={"why": "five full blocks"})
    bytes_max: int = field(default=128 * 1024 * 1024, metadata={"why": "32 full blocks; bounds the process's memory"})
    organisation_share_percent: int = field(
        default=50, metadata={"why": "one organisation alone never fills the pool for the others"}
    )
    retry_after_ms: int = field(default=1_000, metadata={"why": "a full pool drains within a few blocks"})
    advertise_count_max: int = field(default=256, metadata={"why": "8 KiB a peer, twice a second"})
    advertise_after_ms: int = field(default=2_000, metadata={"why": "what is still pending then may have been lost"})


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """Signature checks on arrival."""

    workers: int = field(
        default=2, metadata={"why": "libsodium releases the interpreter; more than cores gains nothing"}
    )
    batch_max: int = field(default=128, metadata={"why": "signatures; 12 ms of checking, so others need not wait long"})
    queue_count_max: int = field(
        default=20_000, metadata={"why": "signatures; two seconds of checking, a quarter of it for one stream or peer"}
    )
    queue_bytes_max: int = field(default=64 * 1024 * 1024, metadata={"why": "bounds memory under large transactions"})


@dataclass(frozen=True, slots=True)
class ConsensusConfig:
    """What the driver does beside the core; the protocol's own timers stand in `chain.consensus.pace`."""

    pull_retry_ms: int = field(default=250, metadata={"why": "half of the delay bound that views assume"})
    range_bytes_max: int = field(default=4 * 1024 * 1024, metadata={"why": "one full block at least, below a frame"})
    range_blocks_max: int = field(default=256, metadata={"why": "bounds the work of one answer about idle time"})


@dataclass(frozen=True, slots=True)
class ClockConfig:
    """How far the local clock may be off."""

    tip_ahead_ms_max: int = field(
        default=60_000, metadata={"why": "a tip in the future means a clock behind; the vote would be refused anyway"}
    )
    peers_off_ms_max: int = field(default=60_000, metadata={"why": "warns when most peers' votes imply another time"})


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """The local databases."""

    archive: bool = field(default=False, metadata={"why": "an archive keeps every version of the state tree"})
    blocks_kept: int = field(
        default=0, metadata={"why": "0 keeps all; else older blocks and entries are deleted, some members keep all"}
    )


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """Joining by a snapshot of the state, and giving snapshots to others."""

    enabled: bool = field(
        default=True, metadata={"why": "who is far behind takes the state from peers instead of executing all blocks"}
    )
    peers: str = field(
        default="", metadata={"why": "HOST:PORT=CERTIFICATE.pem, …; for a network whose founders have all left"}
    )
    behind_blocks: int = field(default=1_000, metadata={"why": "fewer missing blocks are executed within a minute"})
    behind_entries: int = field(default=50_000, metadata={"why": "as many are executed within a minute, in few blocks"})
    snapshot_every_blocks: int = field(
        default=1_000, metadata={"why": "as many versions of the state stay anyway; a newcomer then follows so many"}
    )
    snapshot_kept_seconds: int = field(
        default=600, metadata={"why": "ten times what a million keys take; a pinned state keeps old versions on disk"}
    )


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """Prometheus."""

    listen: str = field(default="", metadata={"why": "empty: off; loopback only, since it says how busy the node is"})


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """JSON lines on standard error."""

    level: str = field(default="info", metadata={"why": "debug | info | warning | error"})
    reject_interval_ms: int = field(default=1_000, metadata={"why": "one line a second about what peers send wrongly"})


@dataclass(frozen=True, slots=True)
class KeysConfig:
    """How key files open."""

    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; empty when both are unset"})
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one node."""

    peer: PeerConfig = field(default_factory=PeerConfig)
    client: ClientConfig = field(default_factory=ClientConfig)
    mempool: MempoolConfig = field(default_factory=MempoolConfig)
    admission: AdmissionConfig = field(default_factory=AdmissionConfig)
    consensus: ConsensusConfig = field(default_factory=ConsensusConfig)
    clock: ClockConfig = field(default_factory=ClockConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    keys: KeysConfig = field(default_factory=KeysConfig)


def load_config(home: Home, environment: Mapping[str, str] | None = None) -> Config:
    """Read a node's settings.

    Args:
        home: The node's home; without a `config.toml` the defaults hold.
        environment: Overrides; the process's environment if None.

    Raises:
        ConfigError: Not TOML, an unknown name, or a value of the wrong kind or out of range.
    """
    try:
        text = home.config.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{home.config} cannot be read: {error}") from None
    return parse_config(text, os.environ if environment is None else environment, str(home.config))


def parse_config(text: str, environment: Mapping[str, str], source: str = "config.toml") -> Config:
    """Settings from TOML text and environment variables.

    Raises:
        ConfigError: See `load_config`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML: {error}") from None
    sections = {item.name: item for item in fields(Config)}
    values: dict[str, dict[str, object]] = {name: {} for name in sections}
    for name, table in document.items():
        if name not in sections:
            raise ConfigError(f"{source}: unknown section [{name}]{_nearest(name, sections)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{source}: [{name}] must be a table")
        values[name].update(table)
    for variable, text_value in sorted(environment.items()):
        place = _place(variable, sections)
        if place is not None:
            values[place[0]][place[1]] = text_value
    made = {name: _section(item.default_factory, values[name], name, source) for name, item in sections.items()}  # type: ignore[arg-type]  # each section has a factory
    config = Config(**made)  # type: ignore[arg-type]  # built per field just above
    _check_ranges(config, source)
    return config


def render_config(config: Config) -> str:
    """TOML text that `parse_config` reads back as the same settings; only what differs from the defaults."""
    lines = ["# Settings that differ from the defaults; docs/operations.md lists them all."]
    defaults = asdict(Config())
    for section, values in asdict(config).items():
        changed = {name: value for name, value in values.items() if value != defaults[section][name]}
        if changed:
            lines += ["", f"[{section}]"]
            lines += [f"{name} = {_toml(value)}" for name, value in changed.items()]
    return "\n".join(lines) + "\n"


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port".

    Raises:
        ConfigError: Not an address.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{address!r} is not an address; write host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _place(variable: str, sections: Mapping[str, object]) -> tuple[str, str] | None:
    """Section and setting that an environment variable names; None for variables with another purpose."""
    if not variable.startswith(ENVIRONMENT_PREFIX):
        return None
    section, underscore, name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
    if section not in sections or not underscore:
        return None
    return section, name


def _section(factory: type, values: Mapping[str, object], section: str, source: str) -> object:
    """One section's dataclass from raw values."""
    known = {item.name: item for item in fields(factory)}
    converted: dict[str, object] = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{source}: unknown setting {section}.{name}{_nearest(name, known)}")
        converted[name] = _convert(value, known[name].default, f"{source}: {section}.{name}")
    return factory(**converted)


def _convert(value: object, default: object, where: str) -> object:
    """A value of the default's kind; text from the environment is read as that kind."""
    if isinstance(default, bool):
        words = {"true": True, "false": False, "1": True, "0": False}
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        if not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false")
        return value
    if isinstance(default, int):
        if isinstance(value, str) and value.isdecimal() and len(value) <= 18:
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{where} must be a whole number")
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be text")
    return value


def _check_ranges(config: Config, source: str) -> None:
    """What a value of the right kind may still get wrong."""
    for section, values in asdict(config).items():
        for name, value in values.items():
            if isinstance(value, int) and not isinstance(value, bool) and not 0 <= value < 2**40:
                raise ConfigError(f"{source}: {section}.{name} is out of range")
            if name.endswith("_max") and isinstance(value, int) and value < 1:
                raise ConfigError(f"{source}: {section}.{name} must be at least 1")
    for address in (config.peer.listen, config.client.listen):
        split_address(address)
    if config.metrics.listen and split_address(config.metrics.listen)[0] not in {"127.0.0.1", "::1", "localhost"}:
        raise ConfigError(f"{source}: metrics.listen must be a loopback address")
    if config.logging.level not in {"debug", "info", "warning", "error"}:
        raise ConfigError(f"{source}: logging.level is debug, info, warning or error")
    if config.admission.workers < 1 or not 1 <= config.mempool.organisation_share_percent <= 100:
        raise ConfigError(f"{source}: admission.workers is at least 1, organisation_share_percent 1 to 100")
    _check_storage(config, source)
    if config.peer.reconnect_ms_min < 1 or config.peer.reconnect_ms_min > config.peer.reconnect_ms_max:
        raise ConfigError(f"{source}: peer.reconnect_ms_min is at least 1 and at most reconnect_ms_max")


def _check_storage(config: Config, source: str) -> None:
    """What pruning and joining by a snapshot may be set to."""
    kept, archive = config.storage.blocks_kept, config.storage.archive
    if kept and archive:
        raise ConfigError(f"{source}: storage.archive keeps all, storage.blocks_kept deletes; set one of them")
    if 0 < kept < BLOCKS_KEPT_MIN:
        raise ConfigError(f"{source}: storage.blocks_kept is 0, which keeps all blocks, or at least {BLOCKS_KEPT_MIN}")
    for name in ("behind_blocks", "behind_entries", "snapshot_every_blocks", "snapshot_kept_seconds"):
        if getattr(config.sync, name) < 1:
            raise ConfigError(f"{source}: sync.{name} must be at least 1")
    sync_hints(config.sync)


def sync_hints(config: SyncConfig) -> tuple[tuple[str, Path], ...]:
    """Addresses and certificate files of the peers that `sync.peers` names.

    Raises:
        ConfigError: Not HOST:PORT=CERTIFICATE.pem, separated by commas.
    """
    hints = []
    for hint in filter(None, (part.strip() for part in config.peers.split(","))):
        address, equals, certificate = hint.partition("=")
        if not equals or not certificate.strip():
            raise ConfigError(f"sync.peers: {hint!r} is no peer; write HOST:PORT=CERTIFICATE.pem, separated by commas")
        split_address(address.strip())
        hints.append((address.strip(), Path(certificate.strip())))
    return tuple(hints)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    """A hint at what was meant."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


def _toml(value: object) -> str:
    """A bool, int or text as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or c in '"\\' or ord(c) == 127 else c for c in text)
    return f'"{escaped}"'
