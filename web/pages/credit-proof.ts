// SPDX-License-Identifier: Apache-2.0
// The proof strip of credit's pages: fetches the reader's own report and verifies on this device that the network
// certified it, that each event is what the ledger holds, that none is left out, and that the score, or the event shown,
// is the one on the page.

import { decodeReport, openReport, ReportRefused, type ProvenReport } from "../score/report.js";
import { score } from "../score/score.js";
import { LedgerError } from "../verify/src/client.js";
import { openVerifierOf, rememberNetwork } from "../wallet/device.js";
import { number, text } from "./messages.js";
import { ProofStrip } from "./proof-strip.js";

const AGE_MS_MAX = 10 * 60_000; // what is shown as today's may be that old

class Unreachable extends Error {}

async function fetched(address: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const answer = await fetch(address);
    if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
  } catch {
    // As below.
  }
  throw new Unreachable();
}

/** What the page says must be what was proven: its score, or its event's status. */
function isAsShown(place: HTMLElement, proven: ProvenReport): boolean {
  const { slot, status, severity } = place.dataset;
  if (slot !== undefined) {
    const found = proven.events.find((one) => one.slot === slot);
    return found !== undefined && found.status === status && found.severity === severity;
  }
  const data = JSON.parse(document.getElementById("credit-data")?.textContent ?? "null") as { as_of: number; raw: string };
  const events = proven.events.flatMap(({ event }) => event ?? []); // none of one's own is withheld
  return score(events, proven.scorecard, data.as_of) === data.raw;
}

async function check(place: HTMLElement): Promise<void> {
  const strip = ProofStrip.byId("proof");
  strip.start();
  let step = "report";
  const pass = (next: string, figure = ""): void => {
    strip.end(step, "proved", figure);
    step = next;
    strip.begin(next);
  };
  try {
    const report = decodeReport(await fetched(place.dataset["report"] ?? ""));
    pass("network");
    const verifier = await openVerifierOf(place.dataset);
    const proven = await verifier.verifyReceipt(report.receipt, { stateAgeMsMax: AGE_MS_MAX, nowMs: Date.now() });
    rememberNetwork(place.dataset, verifier);
    verifier.close();
    pass("events");
    const opened = openReport(report, proven);
    pass("complete", number(opened.events.length));
    pass("shown");
    const isSame = isAsShown(place, opened);
    strip.end("shown", isSame ? "proved" : "failed", "", isSame ? "" : text("script.credit.proof-differs"));
  } catch (error) {
    const at = error instanceof ReportRefused ? error.step : step;
    if (at === "complete" && step === "events") strip.end("events", "proved");
    const isRefused = error instanceof ReportRefused || error instanceof LedgerError;
    const reason = isRefused ? "script.credit.proof-refused" : "script.credit.proof-unreachable";
    strip.end(at, isRefused ? "failed" : "unchecked", "", text(reason));
  }
  strip.finish();
}

const place = document.querySelector<HTMLElement>("[data-report]");
if (place !== null) void check(place);
