# SPDX-License-Identifier: Apache-2.0
"""Makes the fixture of the directory's present format: a small ledger, packed, with the facts that a test compares.

A fixture shows that a later program reads what this one wrote, so it is made once, by the program that writes the
format, before that changes: run `python tests/make_format_fixture.py` at the last commit of a format and commit the
archive that it leaves in `tests/data/formats`. It holds `ledger/`, `genesis.json` and `facts.json`.
"""

import json
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from chain.types import Height  # noqa: E402 - the repository's own packages, from where this file stands
from node.leveldb import LevelDatabase  # noqa: E402
from node.store import LedgerStore  # noqa: E402
from node.store_keys import FORMAT  # noqa: E402
from tests.certified_ledger import CertifiedLedger  # noqa: E402

BLOCKS_BEFORE, BLOCKS_AFTER = 25, 20


def facts_of(store: LedgerStore) -> dict[str, object]:
    """What a ledger must still say of itself after a migration."""
    newest = store.newest()
    assert newest is not None
    return {
        "tip": newest.encode().hex(),
        "log_roots": [store.log_root(size).hex() for size in range(store.log_size + 1)],
        "checkpoints": [store.checkpoint(Height(height)).encode().hex() for height in range(1, store.height + 1)],
        "transactions": [len(store.transactions(Height(height))) for height in range(1, store.height + 1)],
        "entries": [raw.hex() for raw in store.entries(0, store.log_size)],
        "remembered": sorted([id_.hex(), expires] for id_, expires in store.remembered(newest.time_ms)),
        "closings": [closing.certified.checkpoint.hex() for closing in store.proofs.closings(1, 10)],
    }


def main() -> None:
    """Build, look, pack."""
    target = ROOT / "tests" / "data" / "formats" / f"format-{FORMAT}.tar.xz"
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room)
        with LevelDatabase(folder / "ledger") as database:
            made = CertifiedLedger(database)
            made.grow(BLOCKS_BEFORE)
            made.append(*made.replace_validator("roads", 2))
            made.grow(BLOCKS_AFTER, first=BLOCKS_BEFORE)
            facts = facts_of(made.store)
        (folder / "genesis.json").write_bytes(made.genesis_bytes)
        (folder / "facts.json").write_text(json.dumps({"format": FORMAT, **facts}, indent=1) + "\n")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(target, "w:xz") as archive:
            for name in ("facts.json", "genesis.json", "ledger"):
                archive.add(folder / name, arcname=name, filter=_anonymous)
    print(f"{target}: {target.stat().st_size} bytes")


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Nothing of who made it, and no log of the database's."""
    if Path(member.name).name in {"LOG", "LOG.old", "LOCK"}:
        return None
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
