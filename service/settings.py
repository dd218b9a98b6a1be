# SPDX-License-Identifier: Apache-2.0
"""Settings of a process that runs services: every limit, address and timer with its unit, default and reason.

Read from one TOML file, then overridden by environment variables `ZHIXIN_SERVE_<SECTION>_<SETTING>`. Strict: an
unknown name is refused with the nearest known one. Each service has a place of its own under `[addresses.<service>]`.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from service.document_settings import DocumentSettings
from service.errors import ConfigError, UnreadableSettings
from service.kiosk_settings import KioskSettings
from service.notice_settings import NoticeSettings
from service.registrar_settings import CardSettings, IssuingSettings, UniquenessSettings
from service.settings_values import convert, nearest, section_of
from service.verifier_settings import VerifierSettings

ENVIRONMENT_PREFIX = "ZHIXIN_SERVE_"
SETTINGS_BYTES_MAX = 256 * 1024
"""A settings file is written by hand."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What all services of the process keep to."""

    body_bytes_max: int = field(default=256 * 1024, metadata={"why": "a form with its fields; uploads say their own"})
    body_ms_max: int = field(default=30_000, metadata={"why": "a body that trickles holds its place no longer"})
    requests_max: int = field(default=256, metadata={"why": "at once; bounds memory with body_bytes_max"})
    address_requests_max: int = field(
        default=64, metadata={"why": "of them of one address: a few callers can't take all; an office needs some tens"}
    )
    address_connections_max: int = field(
        default=128, metadata={"why": "held by one address that is no proxy; a browser has six, an office a hundred"}
    )
    stop_ms_max: int = field(default=10_000, metadata={"why": "requests under way end within it, then are cut"})
    drain_ms: int = field(default=0, metadata={"why": "between not ready and closed, for a balancer to look elsewhere"})
    proxies: tuple[str, ...] = field(default=(), metadata={"why": "addresses whose X-Forwarded-For is believed"})
    metrics: tuple[str, ...] = field(
        default=(), metadata={"why": "addresses that may read /metrics, beside this machine"}
    )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Token buckets: so many requests at once, and so many more a second."""

    address_per_second: int = field(default=50, metadata={"why": "an office behind one address still works"})
    address_burst: int = field(default=400, metadata={"why": "several people open a page with its files at once"})
    session_per_second: int = field(default=10, metadata={"why": "faster than anybody clicks"})
    session_burst: int = field(default=100, metadata={"why": "a page with its files, a few times over"})
    callers_max: int = field(default=65_536, metadata={"why": "buckets that are remembered; some 16 MiB"})


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The private store; one process or machine group has one."""

    url: str = field(default="", metadata={"why": "empty: SQLite in the data folder; else postgresql://…"})
    folder: str = field(default="data/service", metadata={"why": "SQLite's file lies here; mode 0700"})
    keys: str = field(
        default="data/service-keys", metadata={"why": "the keys' folder; never in one copy with the data"}
    )
    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; opens the key-encryption key"})
    wrapping_key: str = field(
        default="", metadata={"why": "empty: a file in store.keys; else pkcs11:…, a key in a token"}
    )
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})
    anchor_ms: int = field(
        default=300_000, metadata={"why": "between anchors of the audit chain; how often acts are counted in public"}
    )
    pool_max: int = field(default=8, metadata={"why": "database connections of one process"})
    busy_ms: int = field(default=5_000, metadata={"why": "SQLite's writers have turns; each takes milliseconds"})


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Whom to ask, and what to trust."""

    genesis: str = field(default="", metadata={"why": "the network's genesis file: all trust starts there"})
    nodes: tuple[str, ...] = field(
        default=(),
        metadata={"why": "host:port of nodes' client APIs; host:port=certificate.pem for one outside genesis"},
    )


@dataclass(frozen=True, slots=True)
class SigningSettings:
    """Keys of the organisation that sign beside its officers; files that `zhixin keys new` makes."""

    submit_key: str = field(
        default="", metadata={"why": "key file of the service's own key; purpose submit is enough; empty: none"}
    )
    governing_key: str = field(
        default="",
        metadata={"why": "only for demonstration and development; empty: the governing key is kept offline"},
    )
    sealing_key: str = field(
        default="", metadata={"why": "issuer: seals looks that the law delays; role sealing-authority; empty: none is"}
    )
    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; opens the key files above"})
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})


@dataclass(frozen=True, slots=True)
class StaffSettings:
    """Staff cards, with which officers sign in and sign acts beside passkeys."""

    card_chains: tuple[str, ...] = field(
        default=(), metadata={"why": "chain.pem of each authority whose cards count; empty: passkeys alone"}
    )
    card_agent: str = field(
        default="http://127.0.0.1:8820", metadata={"why": "where `zhixin card agent` answers on each officer's machine"}
    )
    emulated_cards: bool = field(default=False, metadata={"why": "emulated cards count, too: for tests alone"})


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The index of the chain; nothing in it is personal, and it can be rebuilt at any time."""

    url: str = field(
        default="", metadata={"why": "empty: SQLite in index.folder; else postgresql://…, its own database"}
    )
    folder: str = field(default="data/index", metadata={"why": "SQLite's file lies here, one for each network"})
    from_height: int = field(default=0, metadata={"why": "a new index begins above it; 0: with the first block"})


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Food records: their index, whose events are captured here, and whom subscribers may be."""

    index_url: str = field(
        default="", metadata={"why": "empty: SQLite in index.folder; else postgresql://…, a database of its own"}
    )
    trader_keys: str = field(
        default="", metadata={"why": "folder of <GLN>.key files: participants whose captured events are signed here"}
    )
    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; opens the participants' keys"})
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})
    webhooks: tuple[str, ...] = field(
        default=(), metadata={"why": "private networks that webhooks may reach; empty: public addresses alone"}
    )


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long services keep what is personal, where no law says otherwise; days."""

    draft_days: int = field(default=30, metadata={"why": "what was begun and never submitted is erased after it"})
    image_days: int = field(default=365, metadata={"why": "scans and photos, after the case that they were made for"})
    access_days: int = field(default=1_095, metadata={"why": "who looked at whom: three years, then it is deleted"})
    erasure_days: int = field(
        default=14, metadata={"why": "between a request to erase and the erasure: time to object"}
    )
    backup_days: int = field(
        default=35, metadata={"why": "how long backups are kept: what was erased is gone with them"}
    )


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """JSON lines on standard error."""

    level: str = field(default="info", metadata={"why": "debug | info | warning | error"})
    access: bool = field(default=True, metadata={"why": "a line for each request: no address, no query, no path"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where one service is reached.

    Attributes:
        service: Its name, e.g. "explorer".
        listen: host:port to listen on.
        public_origin: What browsers see, e.g. "https://explorer.example.org"; the only one that is believed.
        hosts: Further values of the Host header that reach it, each also an origin under the same scheme.
    """

    service: str
    listen: str
    public_origin: str
    hosts: tuple[str, ...] = ()

    @property
    def is_https(self) -> bool:
        """Whether browsers reach it over TLS, so that cookies are Secure and HSTS is said."""
        return self.public_origin.startswith("https://")

    @property
    def known_hosts(self) -> frozenset[str]:
        """Values of the Host header that are answered; lower case."""
        return frozenset({urlsplit(self.public_origin).netloc, *self.hosts})

    @property
    def known_origins(self) -> frozenset[str]:
        """Values of the Origin header that are this site's own pages."""
        scheme = "https" if self.is_https else "http"
        return frozenset(f"{scheme}://{host}" for host in self.known_hosts)

    def cookie_name(self, name: str) -> str:
        """What a cookie of this service is called: services share a host in the demo, and cookies know no ports."""
        return f"{'__Host-' if self.is_https else ''}{self.service}-{name}"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one process."""

    http: HttpSettings = field(default_factory=HttpSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    signing: SigningSettings = field(default_factory=SigningSettings)
    issuing: IssuingSettings = field(default_factory=IssuingSettings)
    cards: CardSettings = field(default_factory=CardSettings)
    staff: StaffSettings = field(default_factory=StaffSettings)
    uniqueness: UniquenessSettings = field(default_factory=UniquenessSettings)
    verifier: VerifierSettings = field(default_factory=VerifierSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    trace: TraceSettings = field(default_factory=TraceSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    notices: NoticeSettings = field(default_factory=NoticeSettings)
    kiosk: KioskSettings = field(default_factory=KioskSettings)
    documents: DocumentSettings = field(default_factory=DocumentSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    addresses: Mapping[str, Address] = field(default_factory=dict)

    def address(self, service: str, port: int) -> Address:
        """Where a service is reached: as configured, else on this machine alone.

        Args:
            service: Its name.
            port: The one that it listens on where nothing is configured.
        """
        return self.addresses.get(service) or local_address(service, f"127.0.0.1:{port}")


_SECTIONS = {item.name: item for item in fields(Settings) if item.name != "addresses"}
_ADDRESS_FIELDS = ("listen", "public_origin", "hosts")
_NAME = re.compile(r"[a-z]+(-[a-z]+)*")
_HOST = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(:[1-9][0-9]{0,4})?")


def local_address(service: str, listen: str) -> Address:
    """A site for browsers on this machine: passkeys want a name, so its origin is localhost."""
    port = split_address(listen)[1]
    return Address(service, listen, f"http://localhost:{port}", (f"127.0.0.1:{port}", f"[::1]:{port}"))


def load_settings(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a process's settings.

    Args:
        path: The TOML file; None: the defaults hold.
        environment: Overrides; the process's environment if None.

    Raises:
        ConfigError: Unreadable, not TOML, an unknown name, or a value of the wrong kind or out of range.
    """
    text = ""
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableSettings(path, error) from None
        if len(text) > SETTINGS_BYTES_MAX:
            raise ConfigError(f"{path} is longer than {SETTINGS_BYTES_MAX} bytes; it is no settings file")
    return parse_settings(text, os.environ if environment is None else environment, str(path or "settings"))


def parse_settings(text: str, environment: Mapping[str, str], source: str = "service.toml") -> Settings:
    """Settings from TOML text and environment variables.

    Raises:
        ConfigError: See `load_settings`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML: {error}") from None
    addresses = _addresses(document.pop("addresses", {}), source)
    values: dict[str, dict[str, object]] = {name: {} for name in _SECTIONS}
    for name, table in document.items():
        if name not in _SECTIONS:
            raise ConfigError(f"{source}: unknown section [{name}]{nearest(name, [*_SECTIONS, 'addresses'])}")
        if not isinstance(table, dict):
            raise ConfigError(f"{source}: [{name}] must be a table")
        values[name].update(table)
    for variable, given in sorted(environment.items()):
        if variable.startswith(ENVIRONMENT_PREFIX):
            section, _, name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
            if section not in _SECTIONS:
                raise ConfigError(f"{variable} names no section{nearest(section, list(_SECTIONS))}")
            values[section][name] = given
    made = {name: section_of(item.default_factory, values[name], name, source) for name, item in _SECTIONS.items()}  # type: ignore[arg-type]  # each section has a factory
    settings = Settings(addresses=addresses, **made)  # type: ignore[arg-type]  # built per field just above
    _check_ranges(settings, source)
    return settings


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port".

    Raises:
        ConfigError: Not an address.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{address!r} is not an address; write host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _addresses(tables: object, source: str) -> dict[str, Address]:
    """Each `[addresses.<service>]`."""
    if not isinstance(tables, dict):
        raise ConfigError(f"{source}: [addresses] holds one table for each service, such as [addresses.explorer]")
    addresses: dict[str, Address] = {}
    for service, table in tables.items():
        where = f"{source}: addresses.{service}"
        if not _NAME.fullmatch(service) or not isinstance(table, dict):
            raise ConfigError(f"{where} must be a table that is named by a service")
        for name in table:
            if name not in _ADDRESS_FIELDS:
                raise ConfigError(
                    f"{source}: unknown setting addresses.{service}.{name}{nearest(name, _ADDRESS_FIELDS)}"
                )
        listen = convert(table.get("listen", ""), "", f"{where}.listen")
        origin = convert(table.get("public_origin", ""), "", f"{where}.public_origin")
        hosts = convert(table.get("hosts", []), (), f"{where}.hosts")
        assert isinstance(listen, str)
        assert isinstance(origin, str)
        assert isinstance(hosts, tuple)
        addresses[service] = _address(service, listen, origin, hosts, where)
    return addresses


def _address(service: str, listen: str, origin: str, hosts: tuple[str, ...], where: str) -> Address:
    """One service's place, checked."""
    host, port = split_address(listen)
    for name in hosts:
        if not _HOST.fullmatch(name):
            raise ConfigError(f"{where}.hosts: {name!r} is no host; write it as browsers send it, in lower case")
    if not origin:
        if host not in {"127.0.0.1", "::1", "localhost"}:
            raise ConfigError(f"{where}.public_origin is missing: say what browsers see, such as https://example.org")
        local = local_address(service, f"{host}:{port}")
        return Address(service, listen, local.public_origin, (*local.hosts, *hosts))
    scheme, _, authority = origin.partition("://")
    if scheme not in {"http", "https"} or not _HOST.fullmatch(authority):
        raise ConfigError(f"{where}.public_origin must read https://host or https://host:port, in lower case, no path")
    return Address(service, listen, origin, hosts)


def _check_ranges(settings: Settings, source: str) -> None:
    """What a value of the right kind may still get wrong."""
    for section in _SECTIONS:
        for name, value in asdict(getattr(settings, section)).items():
            if isinstance(value, bool) or not isinstance(value, int):
                continue
            low = 0 if name in {"drain_ms", "busy_ms", "from_height"} else 1
            if not low <= value < 2**40:
                raise ConfigError(f"{source}: {section}.{name} must be at least {low}, and below 2^40")
    if settings.logging.level not in {"debug", "info", "warning", "error"}:
        raise ConfigError(f"{source}: logging.level is debug, info, warning or error")
    for address in settings.ledger.nodes:
        split_address(address.partition("=")[0])
    networks = (
        ("http.proxies", settings.http.proxies),
        ("http.metrics", settings.http.metrics),
        ("trace.webhooks", settings.trace.webhooks),
    )
    for name, listed in networks:
        for address in listed:
            try:
                ipaddress.ip_network(address)
            except ValueError:
                raise ConfigError(f"{source}: {name}: {address!r} is no address and no network") from None
    urls = (
        ("store.url", settings.store.url),
        ("index.url", settings.index.url),
        ("trace.index_url", settings.trace.index_url),
    )
    for name, url in urls:
        if url and urlsplit(url).scheme not in {"sqlite", "postgresql"}:
            raise ConfigError(f"{source}: {name} must start with postgresql:// or sqlite:///")
