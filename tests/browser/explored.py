# SPDX-License-Identifier: Apache-2.0
"""A real network of four validators with some records, and the explorer in front of it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from visiting import ROOT, serve

from cli.explorer.build import explorer_parts
from cli.scenes.residents import residents, write_table
from service.settings import IndexSettings, LedgerSettings, Settings

RESIDENTS = 30
COMMAND_S_MAX = 180
"""Of one command beside the network: some seconds on an idle machine."""


@dataclass(frozen=True)
class Shown:
    """An explorer of a network with some records.

    Attributes:
        done: Id of a transaction that took effect.
        refused: Id of one that did not.
    """

    origin: str
    home: Path
    done: str
    refused: str

    def receipt(self, identifier: str, form: str = "binary") -> bytes:
        """The receipt of a transaction's first operation."""
        answer = httpx.get(f"{self.origin}/v1/transactions/{identifier}/operations/0/receipt?form={form}", timeout=20)
        assert answer.status_code == 200
        return answer.content


def settings(home: Path, index: str = "index") -> Settings:
    """An explorer's settings; another one beside it has another index."""
    ledger = LedgerSettings(genesis=str(home / "genesis.json"))
    return Settings(ledger=ledger, index=IndexSettings(folder=str(home / index)))


def zhixin(home: Path, *words: str, codes: tuple[int, ...] = (0,)) -> None:
    """Run a command of ours beside the network."""
    argv = [sys.executable, "-m", "cli", *words]
    environment = {**os.environ, "ZHIXIN_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, cwd=home, env=environment, capture_output=True, timeout=COMMAND_S_MAX, check=False, text=True
    )
    assert done.returncode in codes, done.stdout + done.stderr


@contextmanager
def explored(home: Path) -> Iterator[Shown]:
    """Four validators as processes, thirty attestations, one revoked, and one revocation refused."""
    zhixin(home, "devnet", "up", "--home", str(home), "--detach")
    try:
        table = home / "residents.csv"
        write_table(table, list(residents(RESIDENTS, seed=7)))
        zhixin(home, "attest", "import", str(table))
        receipt = str(min(home.glob("residents.receipts/*.receipt")))
        zhixin(home, "attest", "revoke", receipt, "--reason", "holder-request")
        zhixin(home, "attest", "revoke", receipt, "--reason", "holder-request", codes=(1, 2, 3, 4, 5, 6))
        with serve(explorer_parts(settings(home))) as origin:
            yield Shown(origin, home, *wait_for_records(origin))
    finally:
        zhixin(home, "devnet", "down", "--home", str(home))


def wait_for_records(origin: str) -> tuple[str, str]:
    """Until the index holds everything and knows who signed; ids of one that took effect, and of the refused one."""
    deadline = time.monotonic() + COMMAND_S_MAX
    while time.monotonic() < deadline:
        rows = httpx.get(f"{origin}/v1/transactions?size=100", timeout=20).json()
        if len(rows) == RESIDENTS + 2 and all(row["organisations"] == ["registrar"] for row in rows):
            return rows[-1]["id"], next(row["id"] for row in rows if row["failure"])
        time.sleep(0.2)
    raise AssertionError("the index did not follow")
