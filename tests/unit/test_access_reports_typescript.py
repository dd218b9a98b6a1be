# SPDX-License-Identifier: Apache-2.0
"""A wallet on a phone reads a report of accesses as the ledger's library does, and refuses what that refuses."""

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

from chain.codec import encode
from chain.errors import LedgerError
from identity.access import AccessList, claim_of_slot, slot_of_claim, verify
from identity.access_rules import CITY_COUNT_KEY
from identity.pb import access_pb2, identity_pb2
from sim.instant_ledger import InstantLedger
from tests.access_rig import AccessRig, Draws, answer, grown, look_up, write
from tests.identity_rig import hidden

ROOT = Path(__file__).resolve().parents[2]
ALTERED = 150
CONTENTS = [look_up(0), answer(1), b"\xff no content", look_up(2), answer(3)]
RUNNER = """
import { readFileSync } from "node:fs";
import { fromHex } from "../verify/src/bytes.ts";
import { loadGenesis, verifyReceipt } from "../verify/src/index.ts";
import { verifyReport } from "./accesses.ts";
import { Failed } from "./web.ts";
const { genesis, cases } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { anchor } = loadGenesis(fromHex(genesis));
const verifier = { verifyReceipt: async (raw, options) => verifyReceipt(raw, anchor, options) };
for (const { report, slot, nowMs } of cases) {
  let said;
  try {
    const found = await verifyReport(fromHex(report), slot, verifier, nowMs);
    said = {
      sealed: found.sealed, at: found.atMs,
      accesses: found.accesses.map(({ recordedMs, told }) => [
        recordedMs,
        told === undefined ? null : [told.kind, told.organisation, told.atMs, told.reason, told.purpose,
          told.attributes, told.thirdParty],
      ]),
    };
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    said = null;
  }
  console.log(JSON.stringify(said));
}
"""
AGE_MS_MAX = 10 * 60_000
"""How old a proof the wallet takes."""
Case = dict[str, object]


def say_in_browser(folder: Path, genesis: bytes, cases: list[Case]) -> list[object]:
    """What the wallet's function says of each case."""
    bundle, inputs = folder / "accesses.mjs", folder / "cases.json"
    esbuild = [ROOT / "web/node_modules/.bin/esbuild", "--bundle", "--platform=node", "--format=esm", "--loader=ts"]
    subprocess.run(
        [*esbuild, f"--outfile={bundle}", "--log-level=error"],
        input=RUNNER.encode(), check=True, cwd=ROOT / "web/wallet", timeout=60,
    )  # fmt: skip
    inputs.write_text(json.dumps({"genesis": genesis.hex(), "cases": cases}))
    ran = subprocess.run(["node", bundle, inputs], check=True, capture_output=True, text=True, timeout=120)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def say_here(ledger: InstantLedger, case: Case) -> object:
    """What `identity.access` says of a case; None: it refuses it."""
    report, now_ms = bytes.fromhex(str(case["report"])), int(str(case["nowMs"]))
    slot = slot_of_claim(str(case["slot"]))
    try:
        found = verify(report, slot, ledger.genesis, age_ms_max=AGE_MS_MAX, now_ms=now_ms)
    except LedgerError:
        return None
    return {
        "sealed": found.sealed,
        "at": found.checkpoint.time_ms,
        "accesses": [[one.recorded_ms, one.content and _told(one.content)] for one in found.accesses],
    }


def _told(content: access_pb2.AccessContent) -> list[object]:
    return [
        content.kind,
        content.organisation,
        content.at_ms,
        content.reason,
        content.purpose,
        list(content.attributes),
        content.third_party,
    ]


def made() -> tuple[InstantLedger, AccessList]:
    """A ledger with a list of five entries, one of them unreadable, and three sealed entries in the city."""
    rig, draw = AccessRig(), Draws(1)
    one, entries = grown(AccessList(hidden("first slot")), CONTENTS, draw)
    write(rig, entries, draw)
    ledger = InstantLedger(("a", "b", "c", "d"))
    ledger.append([], {**rig.state, CITY_COUNT_KEY: encode(identity_pb2.SealCounts(sealed=3))})
    return ledger, one


def test_wallet_and_library_say_the_same_of_each_report(tmp_path: Path) -> None:
    ledger, one = made()
    now_ms = ledger.checkpoint.time_ms + 1_000

    def shown(openings: Callable[[], list[access_pb2.AccessOpening]], first: bytes = one.first_slot) -> bytes:
        some = AccessList(first, tuple(openings()))
        return some.report(ledger.receipt([], list(some.state_keys())))

    def openings() -> list[access_pb2.AccessOpening]:
        return [access_pb2.AccessOpening.FromString(encode(opening)) for opening in one.openings]

    def erased() -> list[access_pb2.AccessOpening]:
        some = openings()
        some[0].content, some[0].content_salt = b"", b""
        return some

    def other() -> list[access_pb2.AccessOpening]:
        some = openings()
        some[1].content = answer(9)
        return some

    whole = shown(openings)
    reports = [whole, shown(erased), shown(other), shown(lambda: openings()[:3]), shown(lambda: openings()[1:])]
    reports.append(shown(list))
    first = claim_of_slot(one.first_slot)
    cases: list[Case] = [{"report": raw.hex(), "slot": first, "nowMs": now_ms} for raw in reports]
    cases.append({**cases[0], "slot": claim_of_slot(hidden("another list"))})
    cases.append({**cases[0], "nowMs": ledger.checkpoint.time_ms + AGE_MS_MAX + 1})
    cases.append(
        {**cases[0], "slot": claim_of_slot(one.slots[2]), "report": shown(lambda: openings()[2:], one.slots[2]).hex()}
    )
    draw = random.Random(5)
    for _ in range(ALTERED):
        changed = bytearray(whole)
        changed[draw.randrange(len(changed))] ^= draw.randint(1, 255)
        cases.append({**cases[0], "report": changed.hex()})
    expected = [say_here(ledger, case) for case in cases]
    assert [said is not None for said in expected[:9]] == [True, True, *[False] * 6, True]
    assert not any(expected[9:])
    assert say_in_browser(tmp_path, ledger.genesis_bytes, cases) == expected
