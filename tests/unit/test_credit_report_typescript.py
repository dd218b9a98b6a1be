# SPDX-License-Identifier: Apache-2.0
"""The browser takes the reports that Python takes and refuses those that Python refuses: left out, added or altered."""

import json
import subprocess
from dataclasses import astuple
from pathlib import Path

import pytest

from chain import receipt
from credit import report
from credit.pb import credit_pb2 as pb
from credit.report import make
from sim.instant_ledger import InstantLedger
from tests.credit_rig import opening
from tests.unit.test_credit_report import CONTENTS, COUNT, code_of, event, keys_of, opened, state, whole

ROOT = Path(__file__).resolve().parents[2]
RUNNER = """
import { readFileSync } from "node:fs";
import { decodeReport, openReport, ReportRefused } from "./report.ts";
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
const out = [];
for (const { raw, timeMs, states } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const proven = { timeMs, epoch: 1, height: 1, logSize: 0, inclusions: [], failures: [],
    states: states.map(([key, value]) => ({ key: bytes(key), value: value === null ? null : bytes(value) })) };
  try {
    const { events, asOf, scorecard } = openReport(decodeReport(bytes(raw)), proven);
    out.push({ events: events.map(({ slot, event }) => [slot, ...Object.values(event)]), asOf,
      scorecard: Buffer.from(scorecard).toString("hex") });
  } catch (error) {
    if (!(error instanceof ReportRefused)) throw error;
    out.push(error.step);
  }
}
process.stdout.write(JSON.stringify(out));
"""


@pytest.fixture(scope="module")
def ledger() -> InstantLedger:
    made = InstantLedger(("a", "b", "c", "d"))
    made.append([], {**state(), **state(name="other")})
    return made


def run(folder: Path, reports: list[bytes], ledger: InstantLedger) -> list[object]:
    """What the browser says of reports whose receipts the verifier has accepted."""
    bundle, inputs = folder / "report.mjs", folder / "reports.json"
    esbuild = [ROOT / "web/node_modules/.bin/esbuild", "--bundle", "--platform=node", "--format=esm", "--loader=ts"]
    subprocess.run(
        [*esbuild, f"--outfile={bundle}", "--log-level=error"],
        input=RUNNER.encode(), check=True, cwd=ROOT / "web/score", timeout=60,
    )  # fmt: skip
    cases = []
    for raw in reports:
        proven = receipt.verify(pb.Report.FromString(raw).receipt, ledger.genesis)
        states = [[one.key.hex(), None if one.value is None else one.value.hex()] for one in proven.states]
        cases.append({"raw": raw.hex(), "timeMs": proven.checkpoint.time_ms, "states": states})
    inputs.write_text(json.dumps(cases))
    ran = subprocess.run(["node", bundle, inputs], check=True, capture_output=True, text=True, timeout=60)
    found: list[object] = json.loads(ran.stdout)
    return found


def changed(raw: bytes, **fields: object) -> bytes:
    """A report with other fields; `openings` replaces all of them."""
    message = pb.Report.FromString(raw)
    for name, value in fields.items():
        message.ClearField(name)  # type: ignore[arg-type]  # a field's name
        if name == "openings":
            message.openings.extend(value)  # type: ignore[arg-type]  # openings
        else:
            setattr(message, name, value)
    return message.SerializeToString(deterministic=True)


def altered(one: pb.Opening, name: str) -> pb.Opening:
    """An opening with one bit of a field changed."""
    other = pb.Opening.FromString(one.SerializeToString())
    raw = bytearray(getattr(other, name))
    raw[-1] ^= 1
    setattr(other, name, bytes(raw))
    return other


def test_browser_refuses_each_report_that_python_refuses_and_reads_the_whole_one_alike(
    tmp_path: Path, ledger: InstantLedger
) -> None:
    raw = whole(ledger)
    openings = list(pb.Report.FromString(raw).openings)
    short = keys_of(opened(3), [event(i) for i in range(3)], (1, 1))
    wrong = [
        changed(raw, openings=openings[:-1]),
        changed(raw, openings=openings[1:]),
        changed(raw, openings=[*openings, openings[-1]]),
        changed(raw, openings=[openings[1], openings[0], *openings[2:]]),
        changed(raw, openings=[*openings, opening(COUNT, CONTENTS[0])]),
        make(opened(3), ledger.receipt([], list(short)), (1, 1)),
        changed(raw, openings=[pb.Opening(next_slot=one.next_slot, next_salt=one.next_salt) for one in openings]),
        changed(raw, log_salt=bytes(32)),
        changed(raw, first_slot=openings[0].next_slot),
        changed(raw, scorecard_version=2),
        *(
            changed(raw, openings=[altered(openings[0], name), *openings[1:]])
            for name in ("content", "content_salt", "next_slot", "next_salt")
        ),
    ]
    assert all(code_of(one, ledger) for one in wrong), "Python refuses each"
    first, *others = run(tmp_path, [raw, *wrong], ledger)
    assert all(isinstance(one, str) for one in others), others
    found = report.verify(raw, ledger.genesis)
    assert found.scorecard is not None
    assert first == {
        "events": [[one.slot.hex(), *astuple(one.event)] for one in found.entries],
        "asOf": found.as_of,
        "scorecard": found.scorecard.hex(),
    }
