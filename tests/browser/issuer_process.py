# SPDX-License-Identifier: Apache-2.0
"""`zhixin serve issuer` as a process of its own, on a desk's store and a real network; a wallet that is not ours."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from desk_network import REGISTRAR, Network, ServedDesk, in_thread
from visiting import ROOT, WAIT_MS_MAX

from identity import sd_jwt, status_list
from identity.api.issuer import key_files
from identity.issuer_keys import Trust
from identity.sd_jwt import StatusReference, Verified
from identity.status_list import StatusToken
from membership.pb import membership_pb2
from service.anchors import Anchored, read_anchor

JUDGE = ROOT / "tests" / "service" / "wallet_judge.mjs"
MODULES = ROOT / "web" / "node_modules"
START_S_MAX = 90.0
"""A process that is not ready by then never will be."""
WALLET_S_MAX = 180


@dataclass(frozen=True)
class ServedIssuer:
    """The issuer as wallets and verifiers find it."""

    origin: str
    trust: Trust
    network: Network

    def fetch(self, uri: str, tx_code: str, count: int) -> list[Verified]:
        """What npm's wallet gets for an offer; each credential verified."""
        asked = {"offer": uri, "tx_code": tx_code, "count": count, "now": int(time.time())}
        done = subprocess.run(
            ["node", str(JUDGE), str(MODULES)],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=WALLET_S_MAX,
            check=True,
        )
        answer = json.loads(done.stdout)
        assert "error" not in answer, answer
        now_s = int(time.time())
        key_of = lambda header: self.trust.key_of(header, now_s)  # noqa: E731 - as verifiers write it
        return [sd_jwt.verify(one["credential"], key_of, now_s) for one in answer["credentials"]]

    def listed(self, reference: StatusReference) -> tuple[str, StatusToken]:
        """The status list that a credential names, as it is served now; verified."""
        text = httpx.get(reference.uri, timeout=WAIT_MS_MAX / 1000).raise_for_status().text
        now_s = int(time.time())
        return text, status_list.verify(text, lambda header: self.trust.key_of(header, now_s), now_s, reference.uri)

    def anchored(self, reference: StatusReference) -> Anchored | None:
        """What the ledger says of the list, proven."""

        async def read() -> Anchored | None:
            kind, stream = membership_pb2.ANCHOR_KIND_STATUS_LIST, status_list.anchor_stream(reference.uri)
            async with self.network.session() as session:
                return await read_anchor(session, REGISTRAR, kind, stream)

        return in_thread(read)


@contextmanager
def served_issuer(desk: ServedDesk, folder: Path, port: int) -> Iterator[ServedIssuer]:
    """Run the issuer of a desk's registrar; stopped with SIGTERM, as an operator stops it."""
    keys, now_s, origin = folder / "issuing", int(time.time()), f"http://localhost:{port}"
    certificate = key_files.make_registrar(keys, "Chancheng civil affairs", None, allow_plain=True, now_s=now_s)
    key_files.make_issuing_key(keys, None, allow_plain=True, now_s=now_s, environment={})
    home = desk.network.devnet.home
    sections: dict[str, dict[str, str | bool]] = {
        "store": {"folder": desk.settings.folder, "keys": desk.settings.keys, "allow_plain": True},
        "ledger": {"genesis": str(home.genesis_path)},
        "signing": {"submit_key": str(home.keys / f"{REGISTRAR}.json"), "allow_plain": True},
        "issuing": {"folder": str(keys), "allow_plain": True},
        "addresses.issuer": {"listen": f"127.0.0.1:{port}", "public_origin": origin},
    }
    settings = folder / "issuer.toml"
    settings.write_text("\n".join(_section(name, values) for name, values in sections.items()), encoding="utf-8")
    with (folder / "issuer.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *_program(), "serve", "issuer", "--settings", str(settings)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        try:
            _until_ready(origin, process, folder / "issuer.log")
            yield ServedIssuer(origin, Trust([certificate]), desk.network)
        finally:
            process.terminate()
            assert process.wait(START_S_MAX) == 0, (folder / "issuer.log").read_text(encoding="utf-8")


def _program() -> list[str]:
    """The command; with the tables of tests where this process has them, since both open one store."""
    if "store_rig" not in sys.modules:
        return ["-m", "cli"]
    folder = str(ROOT / "tests" / "service")
    return ["-c", f"import sys; sys.path.insert(0, {folder!r}); import store_rig; from cli.main import main; main()"]


def _until_ready(origin: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{origin}/ready").status_code == 200:
                return
        except httpx.TransportError:  # it does not listen yet
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))


def _section(name: str, values: dict[str, str | bool]) -> str:
    lines: Sequence[str] = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])
