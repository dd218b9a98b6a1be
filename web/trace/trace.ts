// SPDX-License-Identifier: Apache-2.0
// The journey page: fetches the proof, has it checked in a worker on this device, ticks the strip event by event, and
// keeps page and proof for when there is no connection. What was scanned is read from the page's own address.

import { all, element } from "../pages/elements.js";
import { text } from "../pages/messages.js";
import { ProofStrip } from "../pages/proof-strip.js";
import type { Outcome, Question, Reply, Told, TraceApi } from "./worker.js";

const PIN = "zhixin-network";
const ANCHOR = "zhixin-anchor-";
const KEPT_PREFIX = "zhixin-food-";
const KEPT_HEADER = "zhixin-kept";
const KEPT_MAX = 40; // pages and proofs together: the last twenty items that somebody looked at
const RECENT_MS = 15 * 60_000; // older, and a recall since would be news
const CLOCK_AHEAD_MS_MAX = 60_000;
const READY_MS_MAX = 8_000;
const PAIR_TRIES_MAX = 3;
const BODY_BYTES_MAX = 8 * 1024 * 1024;

const place = document.querySelector<HTMLElement>("[data-trace]");
const data = place?.dataset ?? {};
const strip = ProofStrip.byId("verdict");

/** A private window may refuse storage; then nothing is remembered, and nothing else changes. */
function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // As above.
  }
}

async function got(address: string, cache: RequestCache = "default"): Promise<Response> {
  const answer = await fetch(address, { credentials: "omit", cache });
  if (!answer.ok || Number(answer.headers.get("content-length") ?? 0) > BODY_BYTES_MAX) throw new Error(address);
  return answer;
}

const json = (id: string): unknown => JSON.parse(document.getElementById(id)?.textContent ?? "{}");

/** What the page says, part by part. */
function shownOnPage(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const part of all<HTMLElement>("[data-proven]")) {
    const name = part.dataset["proven"] ?? "";
    found[name] = (found[name] ?? "") + (part.textContent ?? "");
  }
  return found;
}

/** Run the check in a worker; on this thread where workers are refused. */
async function judge(question: Question, tell: (told: Told) => void): Promise<Outcome> {
  const script = data["worker"] ?? "";
  let worker: Worker;
  try {
    worker = await started(script);
  } catch {
    return (await loaded(script)).check(question, tell);
  }
  return new Promise((resolve, reject) => {
    worker.onerror = () => (worker.terminate(), reject(new Error("the worker failed")));
    worker.onmessage = ({ data: reply }: MessageEvent<Reply>) => {
      if ("told" in reply) tell(reply.told);
      if ("outcome" in reply) {
        worker.terminate();
        resolve(reply.outcome);
      }
    };
    worker.postMessage(question);
  });
}

function started(script: string): Promise<Worker> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(script);
    const giveUp = (): void => (worker.terminate(), reject(new Error("no worker")));
    const timer = setTimeout(giveUp, READY_MS_MAX);
    worker.onerror = (event) => (event.preventDefault(), clearTimeout(timer), giveUp());
    worker.onmessage = () => (clearTimeout(timer), resolve(worker));
  });
}

function loaded(script: string): Promise<TraceApi> {
  return new Promise((resolve, reject) => {
    const added = element("script", { src: script });
    added.onload = () => resolve((globalThis as unknown as { zhixinTrace: TraceApi }).zhixinTrace);
    added.onerror = () => reject(new Error("the verifier does not load"));
    document.head.append(added);
  });
}

/** The proof as the server has it now: one that a cache holds may be older than the page. */
const proof = (): Promise<Response> => got(data["bundle"] ?? "", "no-cache");

/** The page's own files, to be compared with what organisations anchored; none where one does not load. */
async function files(): Promise<Question["files"]> {
  try {
    const paths = (data["code"] ?? "").split(" ").filter((path) => path !== "");
    return await Promise.all(paths.map(async (path) => [path, new Uint8Array(await (await got(path)).arrayBuffer())] as const));
  } catch {
    return [];
  }
}

function show({ step, outcome, figure, reason, detail = "" }: Told): void {
  const at = document.querySelector(`#verdict [data-step="${step}"] [data-figure]`);
  const before = at?.textContent ?? "";
  if (outcome === undefined) {
    strip.begin(step);
    if (at !== null) at.textContent = figure ?? "";
    return;
  }
  const words = reason === undefined ? "" : text(reason, step === "recall" ? { what: detail } : {});
  strip.end(step, outcome, figure ?? before, words);
  if (detail !== "") note(detail);
}

function note(words: string): void {
  document.querySelector("[data-log]")?.append(element("li", { class: "mono" }, words.slice(0, 400)));
}

/** Whether what was proven is of now, by this device's clock. */
function judgeAge({ timeMs }: Outcome, isKept: boolean): void {
  const ageMs = Date.now() - timeMs;
  const form = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  const moment = form.format(timeMs);
  for (const at of all<HTMLElement>("[data-as-of]")) at.textContent = text("script.trace.as-of", { moment });
  const failed = document.querySelector('#verdict [data-step="recall"]')?.getAttribute("data-state") === "failed";
  if (failed) return;
  const time = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "short" }).format(timeMs);
  if (ageMs < -CLOCK_AHEAD_MS_MAX) strip.end("recall", "unchecked", time, text("script.trace.clock"));
  else if (ageMs > RECENT_MS) {
    strip.end("recall", "unchecked", time, text(isKept ? "script.trace.stale-kept" : "script.trace.stale", { moment }));
  } else {
    strip.end("recall", "proved", time);
    for (const at of all<HTMLElement>("[data-claimed]")) at.hidden = true;
    for (const at of all<HTMLElement>("[data-checked]")) at.hidden = false;
  }
}

/** Whether the ledger went on between page and proof, so that they differ for no worse reason: then the page is asked for anew, once. */
function isOutrun({ height }: Outcome): boolean {
  const differs = document.querySelector('#verdict [data-step="shown"]')?.getAttribute("data-state") === "failed";
  if (!differs || height <= Number(data["height"])) return false;
  try {
    if (sessionStorage.getItem(location.pathname) !== null) return false;
    sessionStorage.setItem(location.pathname, "asked anew");
    return true;
  } catch {
    return false; // without storage nobody would know that it was asked for before
  }
}

/** What the page claims of recalls does not stand beside a check that failed; and a proven recall is no failed check. */
function showFailure(): void {
  for (const at of all<HTMLElement>("[data-claims]")) at.hidden = true;
  const failed = all<HTMLElement>('#verdict [data-step][data-state="failed"]').map((at) => at.dataset["step"]);
  if (failed.length !== 1 || failed[0] !== "recall") return;
  const head = document.querySelector('#verdict .proof-head[data-when="failed"]');
  const [title, about] = [head?.querySelector("b"), head?.querySelector("span")];
  if (title) title.textContent = text("script.trace.head-recalled");
  if (about) about.textContent = text("script.trace.head-recalled-about");
}

function showCode({ sameCode, otherCode }: Outcome): void {
  const at = document.querySelector("[data-code-words]");
  if (at === null) return;
  const names = (list: readonly string[]): string => list.join(document.documentElement.lang === "en" ? ", " : "、");
  at.textContent =
    sameCode.length > 0
      ? text("script.trace.code-same", { names: names(sameCode) })
      : text(otherCode.length > 0 ? "script.trace.code-other" : "script.trace.code-none", { names: names(otherCode) });
}

async function check(): Promise<void> {
  strip.start();
  document.querySelector("[data-log]")?.replaceChildren();
  const network = data["network"] ?? "";
  const pinned = stored(PIN);
  if (pinned !== null && pinned !== network) {
    strip.end("network", "failed", "", text("script.trace.refused-pinned"));
    strip.finish();
    return;
  }
  let bundle: string;
  let isKept = false;
  let genesis: Uint8Array;
  let own: Question["files"];
  try {
    const [answer, founding, code] = await Promise.all([proof(), got(data["genesis"] ?? ""), files()]);
    isKept = answer.headers.has(KEPT_HEADER);
    bundle = await answer.text();
    genesis = new Uint8Array(await founding.arrayBuffer());
    own = code;
  } catch {
    strip.end("network", "unchecked", "", text("script.trace.no-proof"));
    strip.finish();
    return;
  }
  const question: Question = {
    network,
    anchor: stored(ANCHOR + network),
    genesis,
    bundle,
    isKept,
    item: location.pathname.replace(/^\/food\//, ""),
    language: document.documentElement.lang,
    words: json("messages") as Question["words"],
    districts: json("districts") as Question["districts"],
    shown: shownOnPage(),
    files: own,
  };
  let outcome: Outcome;
  try {
    outcome = await judge(question, show);
  } catch {
    strip.end("network", "unchecked", "", text("script.trace.unexpected"));
    strip.finish();
    return;
  }
  if (isOutrun(outcome)) {
    location.reload();
    return;
  }
  if (outcome.timeMs > 0) judgeAge(outcome, isKept);
  showCode(outcome);
  const state = strip.finish();
  if (state === "failed") showFailure();
  if (outcome.anchor === null) return;
  store(ANCHOR + network, outcome.anchor);
  store(PIN, network);
  if (!isKept) await keep();
}

/** A page and its proof, both of one moment. */
async function pair(): Promise<[Response, string]> {
  for (let tries = 0; tries < PAIR_TRIES_MAX; tries++) {
    const page = await fetch(location.pathname, { credentials: "same-origin" });
    const bundle = await (await proof()).text();
    const height = /data-height="(\d+)"/.exec(await page.clone().text())?.[1];
    if (page.ok && height !== undefined && bundle.includes(`"height":${height},`)) return [page, bundle];
  }
  throw new Error("page and proof are of different moments");
}

/** Keep this page, its files and its proof on the device, where its browser allows. */
async function keep(): Promise<void> {
  try {
    await navigator.serviceWorker.register(data["offline"] ?? "", { scope: "/food/", updateViaCache: "none" });
    await navigator.serviceWorker.ready;
    const cache = await caches.open(KEPT_PREFIX + (data["version"] ?? ""));
    const [page, bundle] = await pair();
    const type = { "content-type": "application/json", [KEPT_HEADER]: "1" };
    await cache.put(data["bundle"] ?? "", new Response(bundle, { headers: type }));
    await cache.put(location.pathname, page);
    const own = (await cache.keys()).filter(({ url }) => !url.includes("/static/") && !url.includes("genesis"));
    for (const old of own.slice(0, -KEPT_MAX)) await cache.delete(old);
    document.documentElement.dataset["kept"] = "yes";
    for (const at of all<HTMLElement>("[data-kept-words]")) at.hidden = false;
  } catch {
    // A private window, an in-app browser, or no secure connection: the page works all the same.
  }
}

let running = check();
window.addEventListener("online", () => (running = running.then(check)));
