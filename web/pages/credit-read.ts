// SPDX-License-Identifier: Apache-2.0
// The reader's page: verifies a report that its holder gave as a file or a link, on this device, against the network's
// genesis file alone, and says whose it is, for whom, what for, of when, and what the score is. Once the page is loaded
// it needs no connection; a service worker keeps it for later visits. Nothing of a report is sent anywhere.

import { decodeReport, openReport, ReportRefused, type ProvenReport } from "../score/report.js";
import { score } from "../score/score.js";
import { checkWhose, FILE_BYTES_MAX, readFile, type ShownFile, type Whose } from "../score/shown.js";
import { fromHex, type Bytes } from "../verify/src/bytes.js";
import { LedgerError, type PageVerifier } from "../verify/src/client.js";
import { openVerifierOf, rememberNetwork } from "../wallet/device.js";
import { all, element } from "./elements.js";
import { number, text } from "./messages.js";
import { ProofStrip } from "./proof-strip.js";

const SKEW_MS = 5 * 60_000; // between two devices' clocks
const KEY_BYTES = 32;
const IV_BYTES = 12;

interface Found {
  readonly file: ShownFile;
  readonly whose: Whose;
  readonly proven: ProvenReport;
}

const place = document.querySelector<HTMLElement>("[data-read]") as HTMLElement;
const isChinese = document.documentElement.lang === "zh-CN";
const network = fromHex(place.dataset["network"] ?? "") ?? new Uint8Array(0);
const ages = JSON.parse(place.dataset["ages"] ?? "{}") as Readonly<Record<string, number>>;

function say(key: string): void {
  for (const one of all<HTMLElement>("[data-standing]", place)) one.textContent = key === "" ? "" : text(key);
}

const moment = (ms: number): string => new Date(ms).toLocaleString("sv-SE"); // year first, as other pages have it

async function verify(verifier: PageVerifier, raw: Bytes): Promise<Found | null> {
  const strip = ProofStrip.byId("proof");
  strip.start();
  let step = "holder";
  strip.begin(step);
  const pass = (next: string, figure = ""): void => {
    strip.end(step, "proved", figure);
    step = next;
    strip.begin(next);
  };
  try {
    const file = readFile(raw, network);
    pass("network");
    const report = decodeReport(file.report);
    const receipt = await verifier.verifyReceipt(report.receipt);
    pass("events");
    const proven = openReport(report, receipt, true);
    pass("complete", number(proven.events.length));
    pass("registrar");
    const whose = checkWhose(file, proven, await verifier.verifyReceipt(file.standing), network);
    strip.end("registrar", "proved");
    rememberNetwork(place.dataset, verifier);
    strip.finish();
    return { file, whose, proven };
  } catch (error) {
    const isRefused = error instanceof ReportRefused || error instanceof LedgerError;
    const at = error instanceof ReportRefused && error.step !== "report" ? error.step : step;
    if (at === "complete" && step === "events") strip.end("events", "proved");
    strip.end(at, isRefused ? "failed" : "unchecked", "", text(isRefused ? "script.read.refused" : "script.read.broken"));
    strip.finish();
    return null;
  }
}

/** One line of the facts; the words are the page's, the values the report's. */
function fact(name: string, value: string): void {
  for (const one of all<HTMLElement>(`[data-fact="${name}"]`, place)) one.textContent = value;
}

/** What the page calls a purpose, a status or a severity; one that it does not know stands as it is. */
function known(kind: string, id: string): string {
  return place.querySelector(`[data-words] [data-${kind}="${CSS.escape(id)}"]`)?.textContent ?? id;
}

function show({ file, whose, proven }: Found): void {
  const organisation = isChinese ? whose.registrarZh || whose.registrarEn : whose.registrarEn || whose.registrarZh;
  fact("name", whose.name);
  fact("registrar", `${organisation} (${whose.registrar})`);
  fact("audience", file.audience);
  fact("purpose", known("purpose", file.purpose));
  fact("signed", moment(file.atMs));
  fact("state", moment(proven.timeMs));
  const most = ages[file.purpose];
  const age = Date.now() - proven.timeMs;
  const isAhead = file.atMs > Date.now() + SKEW_MS || age < -SKEW_MS;
  const freshness = isAhead ? "ahead" : most === undefined ? "unknown" : age > most ? "old" : "fresh";
  for (const one of all<HTMLElement>("[data-age]", place)) one.hidden = one.dataset["age"] !== freshness;
  const kept = proven.events.filter(({ event }) => event === null).length;
  const events = proven.events.flatMap(({ event }) => event ?? []);
  for (const one of all<HTMLElement>("[data-whole]", place)) one.hidden = (one.dataset["whole"] === "yes") === kept > 0;
  if (kept === 0) {
    const found = JSON.parse(score(events, proven.scorecard, proven.asOf)) as { points: number; grade: string };
    fact("points", number(found.points));
    fact("grade", found.grade);
    for (const one of all<HTMLElement>("[data-grade]", place)) one.dataset["grade"] = found.grade;
  }
  const list = place.querySelector<HTMLElement>("[data-events]");
  list?.replaceChildren(
    ...proven.events.map((one) => {
      const day = one.event === null ? "" : new Date(one.event.documentDay * 86_400_000).toISOString().slice(0, 10);
      const severity = one.severity === null || one.severity === "none" ? "" : known("severity", one.severity);
      const more = one.event === null ? [text("script.read.withheld")] : [day, severity];
      return element(
        "li",
        { class: "credit-request" },
        element("b", {}, isChinese ? one.nameZh : one.nameEn),
        element("p", { class: "muted small" }, [one.source, known("status", one.status), ...more].filter(Boolean).join(" · ")),
      );
    }),
  );
  const none = place.querySelector<HTMLElement>("[data-none]");
  if (none !== null) none.hidden = proven.events.length > 0;
}

/** A verdict never stands beside a report that it is not about. */
function forget(): void {
  for (const one of all<HTMLElement>("[data-facts]", place)) one.hidden = true;
  ProofStrip.byId("proof").reset();
}

let reading: Promise<void> = Promise.resolve();

/** One report after another: what is said of one that takes long never stands beside one that was given after it. */
function read(given: Bytes | Promise<ArrayBuffer>): Promise<void> {
  const turn = reading.then(async () => readOne(new Uint8Array(await given)));
  reading = turn.catch(() => undefined);
  return turn;
}

async function readOne(raw: Bytes): Promise<void> {
  forget();
  say("script.read.checking");
  const verifier = await opened;
  if (verifier === null) return;
  const found = await verify(verifier, raw);
  say("");
  if (found === null) return;
  show(found);
  for (const one of all<HTMLElement>("[data-facts]", place)) one.hidden = false;
}

/** What a link opens: fetched sealed, opened with the key in the link's last part, which goes nowhere. */
async function follow(part: string): Promise<void> {
  const [, id = "", words = ""] = /^([0-9a-f]{32})\.([A-Za-z0-9_-]{43})$/.exec(part) ?? [];
  say("script.read.fetching");
  try {
    const raw = Uint8Array.from(atob(words.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
    if (raw.length !== KEY_BYTES) throw new Error("no key");
    const answer = await fetch(`/read/${id}/sealed`);
    if (answer.status === 404) return say("script.read.gone");
    if (!answer.ok) throw new Error("not now");
    const sealed = await answer.arrayBuffer();
    const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["decrypt"]);
    const iv = new Uint8Array(sealed, 0, IV_BYTES);
    const file = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, new Uint8Array(sealed, IV_BYTES));
    return read(new Uint8Array(file));
  } catch {
    say("script.read.link");
  }
}

/** Keep the page on this device; whether it is kept, as far as this browser says. */
async function keep(address: string): Promise<void> {
  try {
    await navigator.serviceWorker.register(address, { scope: location.pathname, updateViaCache: "none" });
    if ((await navigator.serviceWorker.ready).active !== null) document.documentElement.dataset["kept"] = "yes";
  } catch {
    // No workers here: the page works while it stays open.
  }
}

const opened: Promise<PageVerifier | null> = openVerifierOf(place.dataset).catch(() => {
  say("script.read.genesis");
  return null;
});
const input = place.querySelector<HTMLInputElement>("#report-file");
input?.addEventListener("change", () => {
  const chosen = input.files?.[0];
  if (chosen !== undefined) void read(chosen.slice(0, FILE_BYTES_MAX + 1).arrayBuffer());
});
for (const form of all<HTMLFormElement>("form[hidden]", place)) form.hidden = false;
const arrive = (): void => {
  if (location.hash.length > 1) void follow(location.hash.slice(1));
};
window.addEventListener("hashchange", arrive);
arrive();
void opened.then((verifier) => (verifier === null ? undefined : keep(place.dataset["offline"] ?? "")));
