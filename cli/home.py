# SPDX-License-Identifier: Apache-2.0
"""Where a command finds its network: genesis, the nodes to ask, keys to sign with, and the newest checkpoint kept.

A home is a folder with `genesis.json`; `keys/` and `zhixin.toml` may stand beside it. The homes of development
networks and of the demo are such folders, so every command works on them without further settings.

    key = "registrar"                  # signs unless --key says otherwise
    [[nodes]]                          # instead of the founding validators at their own addresses
    address = "10.0.0.5:26601"
    organisation = "public-security"   # its certificate stands in genesis; or: certificate = "node.pem"
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from chain import genesis as genesis_file
from chain.ed25519 import Ed25519Signer
from chain.genesis import Genesis
from chain.signing import Scheme, Signer, TransactionSigner
from cli.devnet import process
from cli.errors import InputError, MissingError, UsageError
from cli.language import t
from cli.output import note
from client.connection import Endpoint
from client.session import Session
from node.config import Home as NodeHome
from node.config import load_config
from node.errors import KeyFileError
from node.keys import Algorithm, KeyPair, Purpose, load_key, load_passphrase, load_public_key

HOME_VARIABLE = "ZHIXIN_HOME"
DEVNET_HOME = Path(".devnet")
DEMO_HOME = Path(".demo")
DEMO_HOMES = (DEMO_HOME, *(Path(f"{DEMO_HOME}-{number}") for number in range(2, 9)))
"""Demonstrations beside one another each take the first that is free."""
USER_HOME = Path.home() / ".zhixin"
SETTINGS_BYTES_MAX = 64 * 1024

HomeOption = Annotated[Path | None, typer.Option("--home", envvar=HOME_VARIABLE, help=t("option.home"))]
KeyOption = Annotated[str | None, typer.Option("--key", help=t("option.key"))]
OutOption = Annotated[Path | None, typer.Option("--out", help=t("option.out"))]


@dataclass(frozen=True, slots=True)
class Home:
    """A folder that says which network is meant."""

    root: Path

    @property
    def genesis_path(self) -> Path:
        """The network's genesis file."""
        return self.root / "genesis.json"

    @property
    def keys(self) -> Path:
        """Key files, one per name."""
        return self.root / "keys"

    @property
    def settings_path(self) -> Path:
        """Which nodes and which key; may be absent."""
        return self.root / "zhixin.toml"

    @property
    def trust_file(self) -> Path:
        """The newest checkpoint seen, and who lied."""
        return self.root / "trust.json"

    def is_running(self) -> bool:
        """Whether a node of a network that was made in this folder runs, by its pid files."""
        return any(process.find(pid_file) is not None for pid_file in sorted((self.root / "run").glob("*.pid")))

    def genesis(self) -> Genesis:
        """The network.

        Raises:
            InputError: There is no genesis file.
            InvalidGenesis: It is none.
        """
        return load_genesis(self.genesis_path)

    def session(self) -> Session:
        """A client of the network; to be used as an async context manager, inside a running loop."""
        genesis = self.genesis()
        return Session(genesis, endpoints=self.endpoints(genesis), trust_file=self.trust_file)

    def signer(self, name: str | None) -> TransactionSigner:
        """The key of that name, or the one that the settings name.

        Raises:
            UsageError: No name is known.
            InputError: There is no such key, or it does not open.
        """
        name = name if name is not None else _text(self._settings(), "key", self.settings_path)
        if name is None:
            raise UsageError("usage.key", t("usage.key", known=", ".join(self.key_names()) or "-"))
        if name not in self.key_names():
            known = ", ".join(self.key_names()) or "-"
            raise InputError("key.missing", t("key.missing", name=name, home=self.root, known=known))
        pair = open_key(self.keys / f"{name}.json")
        if pair.algorithm is Algorithm.ED25519:
            return Ed25519Signer(pair.secret)
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - rarely needed

        from chain.p256 import P256Signer  # noqa: PLC0415 - likewise

        return P256Signer(ec.derive_private_key(int.from_bytes(pair.secret, "big"), ec.SECP256R1()))

    def key_names(self) -> list[str]:
        """Names of the keys in this home."""
        return sorted(path.stem for path in self.keys.glob("*.json"))

    def _settings(self) -> Mapping[str, object]:
        path = self.settings_path
        try:
            raw = path.read_bytes()
            if len(raw) > SETTINGS_BYTES_MAX:
                raise InputError("settings.invalid", t("settings.invalid", path=path, text="-"))
            return tomllib.loads(raw.decode())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InputError("settings.invalid", t("settings.invalid", path=path, text=error)) from None

    def endpoints(self, genesis: Genesis) -> list[Endpoint] | None:
        """The nodes that the settings name; None: they name none, so the founding validators are meant.

        Raises:
            InputError: A node has no address or no certificate.
        """
        nodes = self._settings().get("nodes")
        if not isinstance(nodes, list):
            return None
        founders = {founder.organisation: founder.tls_certificate for founder in genesis.founders}
        endpoints = []
        for item in nodes:
            node = item if isinstance(item, dict) else {}
            address = _text(node, "address", self.settings_path)
            file = _text(node, "certificate", self.settings_path)
            organisation = _text(node, "organisation", self.settings_path)
            if file is not None:
                certificate = (self.root / file).read_bytes()
            else:
                certificate = founders.get(organisation or "", "").encode()
            if address is None or not certificate:
                text = t("settings.node", address=address or "-")
                raise InputError("settings.invalid", t("settings.invalid", path=self.settings_path, text=text))
            endpoints.append(Endpoint(address, certificate))
        return endpoints


def find_home(named: Path | None, *, running_first: bool = True) -> Home:
    """The home that is meant: the one named, else of .devnet, .demo, .demo-2 … and ~/.zhixin the first that runs.

    Where none runs on this machine, the first that exists is meant. Where another could be meant as well, it is said.

    Args:
        named: What the caller said; None: nothing.
        running_first: Whether a network that runs goes before one that is stopped; no for what starts or ends nodes.

    Raises:
        MissingError: There is none.
    """
    candidates = [named] if named is not None else [DEVNET_HOME, *DEMO_HOMES, USER_HOME]
    homes = [home for root in candidates if (home := Home(root)).genesis_path.is_file()]
    if not homes:
        looked = [root for root in candidates if root not in DEMO_HOMES[1:]]
        raise MissingError("home.missing", t("home.missing", places=", ".join(str(root) for root in looked)))
    running = [home for home in homes if home.is_running()] if len(homes) > 1 else []
    meant = (running if running_first else []) or homes
    if len(meant) > 1:
        found = [
            t("home.runs", home=home.root) if home in running else t("home.stopped", home=home.root) for home in homes
        ]
        note(t("home.several", found=", ".join(found), home=meant[0].root))
    return meant[0]


def keys_home(named: Path | None) -> Home:
    """The home whose keys are meant: one that is named needs no network yet, for keys come before it.

    Raises:
        MissingError: None is named, and none is found.
    """
    return Home(named) if named is not None else find_home(None)


def public_signer(home: Home, name: str) -> Signer:
    """The public half of an organisation's key file, which is not opened.

    Raises:
        InputError: There is no such file, or it is another kind of key.
    """
    path = home.keys / f"{name}.json"
    purpose, algorithm, public_key = load_public_key(path)
    if purpose is not Purpose.ORGANISATION:
        raise InputError("key.unusable", t("key.not-organisation", path=path))
    return Signer(Scheme.ED25519 if algorithm is Algorithm.ED25519 else Scheme.P256, public_key)


def load_genesis(path: Path) -> Genesis:
    """Read a genesis file.

    Raises:
        InputError: It cannot be read.
        InvalidGenesis: It is none.
    """
    return genesis_file.load(read_file(path, genesis_file.GENESIS_BYTES_MAX))


def read_file(path: Path, bytes_max: int) -> bytes:
    """A file's bytes.

    Raises:
        InputError: It cannot be read or is too large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise InputError("file.unreadable", t("file.unreadable", path=path, text=error.strerror)) from None
    if len(raw) > bytes_max:
        raise InputError("file.too-large", t("file.too-large", path=path, limit=bytes_max))
    return raw


def open_key(path: Path) -> KeyPair:
    """Open an organisation's key file; the passphrase is ZHIXIN_PASSPHRASE.

    Raises:
        InputError: There is no such key, or it does not open.
    """
    try:
        return load_key(path, Purpose.ORGANISATION, load_passphrase("", os.environ), allow_plain=True)
    except KeyFileError as error:
        raise InputError("key.unusable", str(error)) from None


def open_validator_key(home: NodeHome) -> KeyPair:
    """Open the key that a node votes with, as the node itself would: it proves possession and goes nowhere.

    Raises:
        ConfigError: The node's settings are wrong.
        KeyFileError: There is no such key, or it does not open.
    """
    keys = load_config(home).keys
    passphrase = load_passphrase(keys.passphrase_file, os.environ)
    return load_key(home.validator_key, Purpose.VALIDATOR, passphrase, allow_plain=keys.allow_plain)


def _text(fields: Mapping[str, object], name: str, path: Path) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError("settings.invalid", t("settings.invalid", path=path, text=name))
    return value
