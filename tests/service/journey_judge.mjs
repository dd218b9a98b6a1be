// SPDX-License-Identifier: Apache-2.0
// The journey page's own worker, run outside of a browser: one JSON line of what it tells for each case on its input.
import { readFileSync } from "node:fs";
import { runInThisContext } from "node:vm";

const [, , script] = process.argv;
runInThisContext(readFileSync(script, "utf8"));
const { genesis, cases } = JSON.parse(readFileSync(0, "utf8"));
const file = new Uint8Array(Buffer.from(genesis, "base64"));
let anchor = null;
for (const one of cases) {
  const told = [];
  const outcome = await globalThis.zhixinTrace.check({ isKept: false, ...one, anchor, genesis: file, files: [] }, (step) => told.push(step));
  anchor = outcome.anchor ?? anchor;
  const steps = Object.fromEntries(told.filter((step) => "outcome" in step).map((step) => [step.step, step]));
  console.log(JSON.stringify(steps));
}
