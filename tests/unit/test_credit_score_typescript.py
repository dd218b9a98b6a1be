# SPDX-License-Identifier: Apache-2.0
"""The browser's score is the ledger's: the same bytes on 10,000 random histories, and the same refusals."""

import json
import random
import subprocess
from dataclasses import astuple
from pathlib import Path

from credit.score import score
from credit.scorecard import parse
from tests.credit_histories import DAY, history, scorecard_document

ROOT = Path(__file__).resolve().parents[2]
HISTORIES = 10_000
RUNNER = """
import { readFileSync } from "node:fs";
import { score } from "./score.ts";
const out = [];
for (const line of readFileSync(process.argv[2], "utf8").split("\\n")) {
  if (line === "") continue;
  const { document, day, events } = JSON.parse(line);
  try {
    out.push(score(
      events.map(([number, found, status, documentDay, publishedDaysMax]) =>
        ({ number, found, status, documentDay, publishedDaysMax })),
      new TextEncoder().encode(document), day));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    out.push("refused");
  }
}
process.stdout.write(out.join("\\n"));
"""


def run(folder: Path, cases: list[dict[str, object]]) -> list[str]:
    """What the browser's function says of each case."""
    bundle, inputs = folder / "score.mjs", folder / "cases.jsonl"
    esbuild = [ROOT / "web/node_modules/.bin/esbuild", "--bundle", "--platform=node", "--format=esm", "--loader=ts"]
    source = RUNNER.encode()
    subprocess.run(
        [*esbuild, f"--outfile={bundle}", "--log-level=error"],
        input=source, check=True, cwd=ROOT / "web/score", timeout=60,
    )  # fmt: skip
    inputs.write_text("\n".join(map(json.dumps, cases)))
    ran = subprocess.run(["node", bundle, inputs], check=True, capture_output=True, text=True, timeout=120)
    return ran.stdout.split("\n")


def test_browser_gives_the_same_bytes_on_ten_thousand_histories(tmp_path: Path) -> None:
    cases: list[dict[str, object]] = []
    expected: list[str] = []
    for seed in range(HISTORIES):
        draw = random.Random(seed)
        document = scorecard_document(draw)
        events = history(draw, draw.choice((0, 1, 3, 10, 30)))
        day = DAY + draw.randint(-50, 50)
        cases.append({"document": document.decode(), "day": day, "events": [astuple(one) for one in events]})
        expected.append(score(events, parse(document), day).raw.decode())
    assert run(tmp_path, cases) == expected


def test_browser_refuses_what_python_refuses(tmp_path: Path) -> None:
    document = scorecard_document(random.Random(1)).decode()
    wrong = [
        [0, "none", "active", DAY, 0],
        [65_536, "none", "active", DAY, 0],
        [1, "bad", "active", DAY, 0],
        [1, "none", "gone", DAY, 0],
        [1, "none", "active", -1, 0],
        [1, "none", "active", 1.5, 0],
        [1, "none", "active", 2**31, 0],
        [1, "none", "active", DAY, 36_526],
    ]
    cases: list[dict[str, object]] = [{"document": document, "day": DAY, "events": [one]} for one in wrong]
    cases.append({"document": document, "day": -1, "events": []})
    assert run(tmp_path, cases) == ["refused"] * len(cases)
