# SPDX-License-Identifier: Apache-2.0
"""Makes the homes of a whole test network at once, with its genesis file and its organisations' keys.

A real network's members each make their own home and keys, and put the genesis file together from their public halves;
see docs/operations.md. Here one program holds all of them, which is what makes it a test network.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import bls, genesis
from chain.signing import Scheme, Signer
from chain.types import VALIDATORS_MAX, BlsKey, Millis
from membership.genesis import key_section, membership_section, organisation_section
from node.config import (
    BASE_PORT,
    CLIENT_PORT_OFFSET,
    METRICS_PORT_OFFSET,
    PEER_PORT_OFFSET,
    PORTS_PER_NODE,
    ClientConfig,
    Config,
    Home,
    KeysConfig,
    MetricsConfig,
    PeerConfig,
)
from node.errors import ConfigError
from node.keys import Algorithm, KeyPair, Purpose, generate_key, save_key
from node.setup import make_home

REGISTRAR = "registrar"
REGISTRAR_QUOTA_OPERATIONS_S = 100_000
"""No limit that a load test on one machine could reach."""
HOST = "127.0.0.1"

_BODIES: tuple[tuple[str, str, str], ...] = (
    ("public-security", "公安局", "Public Security Bureau"),
    ("civil-affairs", "民政局", "Civil Affairs Bureau"),
    ("market-regulation", "市场监督管理局", "Market Regulation Administration"),
    ("agriculture", "农业农村局", "Agriculture Bureau"),
    ("health-commission", "卫生健康委员会", "Health Commission"),
    ("people-bank", "人民银行分行", "Central Bank Branch"),
    ("data-bureau", "数据局", "Data Bureau"),
)


@dataclass(frozen=True, slots=True)
class Testnet:
    """What was made.

    Attributes:
        directory: Holds all of it.
        genesis: The genesis file; each home has a copy.
        homes: One per validator, `node0`, `node1`, …
        organisation_keys: Key files of every organisation's key, by its id; the registrar's among them.
    """

    directory: Path
    genesis: Path
    homes: tuple[Home, ...]
    organisation_keys: Mapping[str, Path]


def create_testnet(
    directory: Path,
    validators: int,
    base_port: int = BASE_PORT,
    *,
    name: str = "zhixin-testnet",
    passphrase: bytes | None = None,
    now: dt.datetime | None = None,
) -> Testnet:
    """Make a network of validators on loopback, one organisation each, and a registrar beside them.

    Args:
        directory: Made if it is not there; must hold no network yet.
        validators: How many, 1 to 64.
        base_port: Node i listens from base_port + 10 i on.
        name: Of the network.
        passphrase: Encrypts every key file; without one they are plain, and the nodes' settings allow it.
        now: When the network starts; the present if None.

    Raises:
        ConfigError: The directory holds a network, or the numbers fit no network.
        KeyFileError: A key file can't be written.
        StorageError: Another file can't be written.
    """
    if not 1 <= validators <= VALIDATORS_MAX:
        raise ConfigError(f"a network has 1 to {VALIDATORS_MAX} validators, not {validators}")
    if not 1024 <= base_port <= 65535 - PORTS_PER_NODE * validators:
        raise ConfigError(f"base port {base_port} leaves no room for {validators} nodes; choose 1024 to 64,000")
    genesis_path = directory / "genesis.json"
    if genesis_path.exists():
        raise ConfigError(f"{directory} holds a network already; remove it first, or choose another directory")
    started = dt.datetime.now(dt.UTC) if now is None else now
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    homes = tuple(Home(directory / f"node{index}") for index in range(validators))
    keys = _organisation_keys(directory, validators, passphrase)
    votes: list[KeyPair] = []
    founders: list[genesis.Founder] = []
    for index, (home, organisation) in enumerate(zip(homes, keys, strict=False)):
        config = _settings(base_port + PORTS_PER_NODE * index, allow_plain=passphrase is None)
        hosts = (HOST, "localhost")
        made = make_home(home, config, is_validator=True, hosts=hosts, passphrase=passphrase, now=started)
        save_key(home.organisation_key, keys[organisation], passphrase)
        assert made.validator is not None
        key, certificate = BlsKey(made.validator.public_key), made.certificate.decode()
        founders.append(genesis.Founder(organisation, key, b"", certificate, config.peer.listen))
        votes.append(made.validator)
    raw = _genesis(name, started, founders, votes, keys)
    for path in (genesis_path, *(home.genesis for home in homes)):
        path.write_bytes(raw)
    return Testnet(
        directory,
        genesis_path,
        homes,
        {organisation: directory / "keys" / f"{organisation}.json" for organisation in keys},
    )


def _organisation_keys(directory: Path, validators: int, passphrase: bytes | None) -> dict[str, KeyPair]:
    """One Ed25519 key for each validator's organisation, in the validators' order, then the registrar's."""
    organisations = [body[0] for body in _BODIES[:validators]]
    organisations += [f"member-{index}" for index in range(len(_BODIES), validators)]
    keys = {}
    for organisation in [*organisations, REGISTRAR]:
        keys[organisation] = generate_key(Purpose.ORGANISATION, Algorithm.ED25519)
        save_key(directory / "keys" / f"{organisation}.json", keys[organisation], passphrase)
    return keys


def _settings(first_port: int, *, allow_plain: bool) -> Config:
    """Those of the node whose ports begin here."""
    return Config(
        peer=PeerConfig(listen=f"{HOST}:{first_port + PEER_PORT_OFFSET}"),
        client=ClientConfig(listen=f"{HOST}:{first_port + CLIENT_PORT_OFFSET}"),
        metrics=MetricsConfig(listen=f"{HOST}:{first_port + METRICS_PORT_OFFSET}"),
        keys=KeysConfig(allow_plain=allow_plain),
    )


def _genesis(
    name: str,
    now: dt.datetime,
    founders: Sequence[genesis.Founder],
    votes: Sequence[KeyPair],
    keys: Mapping[str, KeyPair],
) -> bytes:
    """The genesis file, each validator's key proven over it."""
    names = {body[0]: body for body in _BODIES}
    organisations = []
    for organisation, key in keys.items():
        _, name_zh, name_en = names.get(organisation, (organisation, "", organisation.replace("-", " ").title()))
        signer = Signer(Scheme.ED25519, key.public_key)
        is_registrar = organisation == REGISTRAR
        organisations.append(
            organisation_section(
                organisation,
                name_zh="登记机构" if is_registrar else name_zh,
                name_en=name_en,
                roles=("registrar",) if is_registrar else (),
                keys=(key_section(signer, "submit", "govern", "attest"),),
                quota_operations_s=REGISTRAR_QUOTA_OPERATIONS_S if is_registrar else 0,
            )
        )
    draft = genesis.build(
        name=name,
        time_ms=Millis(int(now.timestamp() * 1000)),
        founders=founders,
        sections={"membership": membership_section(tuple(organisations))},
    )
    network = genesis.founding_digest(draft)
    proofs = {
        founder.bls_key: bls.SecretKey(vote.secret).prove_possession(network, founder.organisation)
        for founder, vote in zip(founders, votes, strict=True)
    }
    return genesis.with_possessions(draft, proofs)
