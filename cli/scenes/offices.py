# SPDX-License-Identifier: Apache-2.0
"""Offices beside a network of ours that runs: desk, uniqueness service, issuer and wallet in one process.

Whoever tries them out is the staff: nobody is invited and nobody is appointed here. Keys, store and settings lie in a
folder of the network's home; they are made once, unencrypted, as the network's own keys are.

Invariant: only a network that is marked as a demonstration's or a development's is touched.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.devnet.network import Devnet, locked
from cli.devnet.ports import choose_base, is_free
from cli.errors import InputError, MissingError
from cli.home import find_home
from cli.language import t
from cli.output import emit
from cli.scenes.admitting import code_of
from cli.scenes.identity_desk import TAG_KEYS, UNIQUENESS_OFFICE, admit_uniqueness, uniqueness_seed
from cli.service_list import LISTED
from cli.serving import first_link, serve
from identity.api.issuer import key_files
from identity.api.tagging import registrars
from membership.pb import membership_pb2
from membership.state import load_key, signer_key, signer_pb
from node.keys import Algorithm, Purpose, generate_key, save_key
from node.testnet import REGISTRAR
from service.settings import Address, load_settings
from service.store import open_store
from service.store.files import replace_private
from service.store.replays import unix_ms

NAMES = ("desk", "issuer", "uniqueness", "citizen")
FOLDER = "offices"
DESK_KEY = "desk"
UNIQUENESS_KEY = UNIQUENESS_OFFICE
BEARER = "uniqueness-bearer"
ADMINISTRATOR = "Li Wei 李伟"


@dataclass(frozen=True, slots=True)
class Offices:
    """Where they keep what they keep.

    Attributes:
        network: The one before which they stand.
    """

    network: Devnet

    @property
    def folder(self) -> Path:
        """All that is theirs alone."""
        return self.network.root.resolve() / FOLDER

    @property
    def settings(self) -> Path:
        """Written anew whenever they start, for ports may have changed."""
        return self.folder / "service.toml"

    def key_file(self, name: str) -> Path:
        """A key of the network's home."""
        return self.network.home.keys.resolve() / f"{name}.json"


def find_offices(named: Path | None) -> Offices:
    """Those beside the network that is meant; it runs.

    Raises:
        MissingError: There is no such network, or it is stopped.
    """
    network = Devnet(find_home(named).root)
    if not network.home.is_running():
        raise MissingError("demo.stopped", t("demo.stopped", root=network.root))
    return Offices(network)


def run_offices(named: Path | None) -> None:
    """Make what is not there yet, say where to look, and serve until interrupted.

    Raises:
        MissingError: As `find_offices`.
        InputError: A key or setting in the folder is unusable, or the pages are not built.
        WorldError: Others run there already, or a port or the database can't be had.
    """
    offices = find_offices(named)
    with locked(offices.folder):
        asyncio.run(_prepare(offices))
        link = _first_link(offices)
        serve(NAMES, offices.settings, ready=lambda addresses: _say(offices, addresses, link))


async def _prepare(offices: Offices) -> None:
    """Keys, organisations and settings; each step may have been done by an earlier run, or by a scene."""
    home = offices.network.home
    async with home.session() as session:
        await admit_uniqueness(offices.network, session)
        _keep(offices.key_file(UNIQUENESS_KEY), uniqueness_seed(session.network))
        _keep(offices.key_file(DESK_KEY), None)
        own = home.signer(DESK_KEY)
        place = signer_key(own.signer)
        if load_key({place: (await session.read(place)).value}.get, own.signer) is None:
            grant = membership_pb2.KeyGrant(key=signer_pb(own.signer), purposes=[membership_pb2.PURPOSE_SUBMIT])
            assert await code_of(session, [home.signer(REGISTRAR), own], membership_pb2.AddKey(key=grant)) == ""
    issuing, now_s = offices.folder / "issuing", int(time.time())
    if not list(issuing.glob("*.json")):
        key_files.make_registrar(issuing, "Zhixin demo registrar", None, allow_plain=True, now_s=now_s)
        key_files.make_issuing_key(issuing, None, allow_plain=True, now_s=now_s, environment={})
    offices.settings.write_text(_settings(offices), encoding="utf-8")
    bearer = offices.folder / BEARER
    if not bearer.exists():
        store = open_store(load_settings(offices.settings).store, {})
        try:
            _, key = registrars.add(store, REGISTRAR, unix_ms())
        finally:
            store.close()
        replace_private(bearer, key.encode())


def _keep(path: Path, entropy: bytes | None) -> None:
    """Have a key in a file of the network's home."""
    if not path.exists():
        save_key(path, generate_key(Purpose.ORGANISATION, Algorithm.ED25519, entropy), None)


def _settings(offices: Offices) -> str:
    """Ports are the services' own if they are free, else any others."""
    folder, places = offices.folder, {}
    for one in LISTED:
        if one.name in NAMES:
            places[one.name] = one.port if is_free(one.port) else choose_base(1, None)
    sections: dict[str, dict[str, str | bool]] = {
        "ledger": {"genesis": str(offices.network.home.genesis_path.resolve())},
        "store": {"folder": str(folder / "data"), "keys": str(folder / "keys"), "allow_plain": True},
        "signing": {
            "submit_key": str(offices.key_file(DESK_KEY)),
            "governing_key": str(offices.key_file(REGISTRAR)),
            "allow_plain": True,
        },
        "uniqueness": {
            "signing_key": str(offices.key_file(UNIQUENESS_KEY)),
            "keys": str(offices.network.root.resolve() / TAG_KEYS),
            "url": f"http://127.0.0.1:{places['uniqueness']}",
            "bearer_file": str(folder / BEARER),
            "allow_plain": True,
        },
        "issuing": {
            "folder": str(folder / "issuing"),
            "origin": f"http://localhost:{places['issuer']}",
            "allow_plain": True,
        },
        "logging": {"level": "warning"},
        **{f"addresses.{name}": {"listen": f"127.0.0.1:{port}"} for name, port in places.items()},
    }
    tables = (
        [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
        for name, values in sections.items()
    )
    return "\n".join(line for table in tables for line in table)


def _first_link(offices: Offices) -> str:
    """The first administrator's link to the desk; "" once there is one."""
    try:
        return first_link("desk", ADMINISTRATOR, REGISTRAR, offices.settings, another=False).link
    except InputError as error:
        if error.code != "service.administrator-there":
            raise
        return ""


def _say(offices: Offices, addresses: Sequence[Address], link: str) -> None:
    """Where to look, and what to do there, step by step."""
    root, settings = offices.network.root, offices.settings
    at = {one.service: one.public_origin for one in addresses}
    first = t("demo.desk.first", name=ADMINISTRATOR, link=link) if link else t("demo.desk.there", desk=at["desk"])
    emit(
        {"services": at, "link": link, "settings": str(settings), "home": str(root)},
        t("demo.desk.at", desk=at["desk"], wallet=at["citizen"]),
        "",
        first,
        t("demo.desk.invite"),
        t("demo.desk.appoint", root=root, settings=settings),
        t("demo.desk.work"),
        "",
        t("demo.desk.credential", wallet=at["citizen"], root=root),
        t("demo.desk.stays"),
    )
