// SPDX-License-Identifier: Apache-2.0
// Checks a receipt with the verifier and shows it on the proof strip: each step is ticked when its checks have really
// passed here. What this device knows of the network (its newest anchor, a pinned fingerprint) is kept in its storage.

import { LedgerError, type Kept, openVerifier, type PageVerifier, type Step, type Verified } from "../verify/src/client.js";
import { fromHex, toHex } from "../verify/src/bytes.js";
import { all, element } from "./elements.js";
import { number, text } from "./messages.js";
import { ProofStrip } from "./proof-strip.js";

const PIN = "zhixin-network";
const ANCHOR = "zhixin-anchor-";
const SHOWN_CHARACTERS_MAX = 400;
const LOG_LINES_MAX = 200;

type StripStep = "form" | "network" | "validators" | "signatures" | "history" | "record" | "content";

/** Which step of the strip each check of the verifier belongs to. */
const STEP_OF: Readonly<Record<Step["check"], StripStep>> = {
  genesis: "network",
  possession: "network",
  decode: "form",
  sequence: "validators",
  network: "network",
  epoch: "validators",
  quorum: "signatures",
  signature: "signatures",
  history: "history",
  "next-validators": "validators",
  age: "content",
  operation: "record",
  entry: "record",
  result: "content",
  presence: "record",
  absence: "record",
  content: "content",
};

const REASONS: Readonly<Record<string, string>> = {
  decode: "script.check.refused-decode",
  quorum: "script.check.refused-quorum",
  signature: "script.check.refused-signatures",
  history: "script.check.refused-history",
  network: "script.check.refused-network",
  genesis: "script.check.refused-network",
  operation: "script.check.refused-record",
  entry: "script.check.refused-record",
  presence: "script.check.refused-record",
  absence: "script.check.refused-record",
};
const REASON_OF_STEP: Readonly<Record<StripStep, string>> = {
  form: "script.check.refused-decode",
  network: "script.check.refused-network",
  validators: "script.check.refused-validators",
  signatures: "script.check.refused-signatures",
  history: "script.check.refused-history",
  record: "script.check.refused-record",
  content: "script.check.refused-content",
};

/** A private window may refuse storage; then nothing is remembered, and nothing else changes. */
function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // As above.
  }
}

/** The network that this device's owner has compared, in hex. */
export const pinned = (): string | null => stored(PIN);

export class Checker {
  readonly #place: HTMLElement;
  readonly #strip = ProofStrip.byId("verdict");
  #verifier: Promise<PageVerifier> | undefined;

  /** @param place What the macro `verdict` wrote. */
  constructor(place: HTMLElement) {
    this.#place = place;
  }

  static onPage(): Checker {
    const place = document.querySelector<HTMLElement>("[data-check]");
    if (place === null) throw new Error("the page has no place for a verdict");
    return new Checker(place);
  }

  /** Load the founding document and start the verifier; later calls wait for the same. */
  open(): Promise<PageVerifier> {
    this.#verifier ??= this.#open().catch((error: unknown) => {
      this.#verifier = undefined;
      throw error;
    });
    return this.#verifier;
  }

  /** Check a receipt and show each step. Returns what it proves, or undefined. */
  async check(receipt: Uint8Array<ArrayBuffer> | string): Promise<Kept<Verified> | undefined> {
    const strip = this.#strip;
    strip.start();
    this.#clear();
    if (pinned() !== null && pinned() !== this.#network) {
      strip.end("network", "failed", "", text("script.check.network-differs"));
      strip.finish();
      return undefined;
    }
    let verifier: PageVerifier;
    try {
      verifier = await this.open();
    } catch (error) {
      const outcome = error instanceof LedgerError ? "failed" : "unchecked";
      strip.end("network", outcome, "", text(outcome === "failed" ? "script.check.refused-network" : "script.check.genesis"));
      strip.finish();
      return undefined;
    }
    return this.#run(verifier, receipt);
  }

  /** Something else will be checked: the verdict on what came before is taken back. */
  forget(): void {
    this.#strip.reset();
    this.#clear();
  }

  /** The receipt could not even be had. */
  missing(): void {
    this.#strip.start();
    this.#strip.end("form", "unchecked", "", text("script.check.receipt-missing"));
    this.#strip.finish();
  }

  async #run(verifier: PageVerifier, receipt: Uint8Array<ArrayBuffer> | string): Promise<Kept<Verified> | undefined> {
    const strip = this.#strip;
    const passed = new Set<StripStep>();
    let refused: Step | undefined;
    const onStep = (step: Step): void => {
      this.#log(step);
      const at = STEP_OF[step.check];
      if (step.outcome === "refused") refused = step;
      else passed.add(at);
    };
    let proven: Kept<Verified> | undefined;
    try {
      proven = await verifier.verifyReceipt(receipt, { onStep });
      store(ANCHOR + this.#network, verifier.anchor);
    } catch (error) {
      if (!(error instanceof LedgerError)) passed.clear();
    }
    // A step is ticked only after everything that belongs to it was checked: a later check may refuse what an earlier
    // one of the same step let pass.
    for (const step of passed) if (refused === undefined || STEP_OF[refused.check] !== step) strip.end(step, "proved");
    if (refused !== undefined) {
      const step = STEP_OF[refused.check];
      const older = refused.code === "receipt.older-epoch";
      const reason = older ? "script.check.older" : (REASONS[refused.check] ?? REASON_OF_STEP[step]);
      strip.end(step, older ? "unchecked" : "failed", "", text(reason));
    } else if (proven === undefined) strip.end("form", "unchecked", "", text("script.check.unexpected"));
    strip.finish();
    if (proven !== undefined) this.#detail(proven);
    return proven;
  }

  get #network(): string {
    return this.#place.dataset["network"] ?? "";
  }

  async #open(): Promise<PageVerifier> {
    const scriptUrl = new URL(this.#place.dataset["verifier"] ?? "", location.href).href;
    const network = fromHex(this.#network);
    if (network === null) throw new Error("the page names no network");
    const kept = stored(ANCHOR + this.#network);
    if (kept !== null) {
      try {
        return await openVerifier({ scriptUrl, network, anchor: kept });
      } catch {
        store(ANCHOR + this.#network, null); // damaged: begin anew
      }
    }
    const answer = await fetch(this.#place.dataset["genesis"] ?? "");
    if (!answer.ok) throw new Error("no genesis file");
    return openVerifier({ scriptUrl, network, genesis: new Uint8Array(await answer.arrayBuffer()) });
  }

  #clear(): void {
    for (const place of all<HTMLElement>("[data-details], [data-log]", this.#place)) place.replaceChildren();
  }

  /** One line of the details: what was compared. */
  #log(step: Step): void {
    const list = this.#place.querySelector("[data-log]");
    if (list === null || list.childElementCount >= LOG_LINES_MAX) return;
    const inputs = Object.entries(step.inputs).map(([name, value]) => `${name} ${value}`);
    const words = [step.part, step.check, step.outcome, ...inputs, ...(step.code === undefined ? [] : [step.code, step.reason ?? ""])];
    list.append(element("li", { class: "mono" }, words.join(" · ").slice(0, SHOWN_CHARACTERS_MAX)));
  }

  #detail(proven: Kept<Verified>): void {
    const place = this.#place.querySelector<HTMLElement>("[data-details]");
    if (place !== null) showFacts(place, [[text("script.check.as-of"), when(proven.timeMs)]]);
  }
}

/** Rows of names and values into a list of facts. */
export function showFacts(place: HTMLElement, rows: readonly (readonly [string, string])[]): void {
  for (const [name, value] of rows) {
    place.append(element("div", {}, element("dt", {}, name), element("dd", {}, element("span", { class: "mono" }, value.slice(0, SHOWN_CHARACTERS_MAX)))));
  }
}

export const when = (timeMs: number): string =>
  new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeStyle: "medium" }).format(timeMs);

/** What a receipt says, for who brought it. */
export function contentOf(proven: Kept<Verified>): (readonly [string, string])[] {
  const rows: (readonly [string, string])[] = [[text("script.check.as-of"), when(proven.timeMs)]];
  for (const [list, name] of [
    [proven.inclusions, "script.check.operation"],
    [proven.failures, "script.check.failure"],
  ] as const) {
    for (const one of list) {
      rows.push([text(name), "code" in one ? `${one.type} (${String(one.code)})` : one.type]);
      rows.push([text("script.check.height"), number(one.height)]);
      rows.push([text("script.check.leaf"), number(one.leafIndex)]);
      rows.push([text("script.check.signers"), one.signers.map((signer) => toHex(signer.publicKey)).join(" ")]);
    }
  }
  for (const { key, value } of proven.states) {
    const shown = value === null ? text("script.check.absent") : toHex(value);
    rows.push([text("script.check.state"), `${new TextDecoder().decode(key)}: ${shown}`]);
  }
  return rows;
}

/** The button that remembers a network's fingerprint on this device. */
export function offerPin(): void {
  for (const place of all<HTMLElement>("[data-pin]")) {
    const network = place.dataset["network"] ?? "";
    const set = place.querySelector<HTMLElement>("[data-pin-set]");
    const clear = place.querySelector<HTMLElement>("[data-pin-clear]");
    const words = place.querySelector<HTMLElement>("[data-pin-words]");
    if (set === null || clear === null || words === null) continue;
    const show = (): void => {
      const now = pinned();
      set.hidden = now !== null;
      clear.hidden = now === null;
      const key = now === null ? "script.check.unpinned" : now === network ? "script.check.pinned" : "script.check.pinned-other";
      words.textContent = text(key);
    };
    set.addEventListener("click", () => (store(PIN, network), show()));
    clear.addEventListener("click", () => (store(PIN, null), show()));
    place.hidden = false;
    show();
  }
}
