// SPDX-License-Identifier: Apache-2.0
/**
 * The one script that verifies a journey: as a worker it answers the page; in a browser that refuses workers the page
 * loads it and calls `zhixinTrace` itself.
 */

import "../verify/src/old_browsers.js";
import { type Bytes, equal, fromHex, sha256, toHex, utf8 } from "../verify/src/bytes.js";
import { LedgerError } from "../verify/src/errors.js";
import { genesisSteps } from "../verify/src/genesis.js";
import { TrustAnchor } from "../verify/src/light_client.js";
import { binaryReceiptSteps } from "../verify/src/receipt.js";
import { run, runInSlices, type Step, type Work } from "../verify/src/steps.js";
import {
  type Bundle,
  checkLinks,
  checkWhole,
  eventsOf,
  Fault,
  goodsOf,
  openedOf,
  provenOf,
  recallsOf,
  statesOf,
} from "./journey.js";
import { AnchorRecord, decode } from "./records.js";
import { blankless, expected, recallWords } from "./telling.js";
import { type Catalogue, Wording } from "./words.js";

/** A bundle of 120 events has some 400 KB. */
const BUNDLE_CHARACTERS_MAX = 8 * 1024 * 1024;

export type StepName = "network" | "signatures" | "events" | "whole" | "shown" | "recall";

export interface Question {
  readonly network: string;
  /** As kept by an earlier visit. */
  readonly anchor: string | null;
  readonly genesis: Bytes;
  /** The text of the bundle. */
  readonly bundle: string;
  /** This device kept it at an earlier visit: then it may be of an epoch that is over since. */
  readonly isKept: boolean;
  /** The item that was scanned, from the page's own address. */
  readonly item: string;
  readonly language: string;
  readonly words: Catalogue;
  readonly districts: Readonly<Record<string, string>>;
  /** What the page says, by the name of the part. */
  readonly shown: Readonly<Record<string, string>>;
  /** The page's files with their content, if they are to be compared with what organisations anchored. */
  readonly files: readonly (readonly [string, Bytes])[];
}

/** A step that ended, or how far it is. */
export interface Told {
  readonly step: StepName;
  readonly outcome?: "proved" | "failed" | "unchecked";
  readonly figure?: string;
  /** Key of the words that say why. */
  readonly reason?: string;
  readonly detail?: string;
}

export interface Outcome {
  /** To keep; null where the receipt did not verify. */
  readonly anchor: string | null;
  /** When what was proven was so; 0: nothing was. */
  readonly timeMs: number;
  readonly height: number;
  /** Organisations that have anchored exactly this page's files, and those that anchored others. */
  readonly sameCode: readonly string[];
  readonly otherCode: readonly string[];
}

export type Reply = { readonly ready: true } | { readonly told: Told } | { readonly outcome: Outcome };

const STEP_OF: Readonly<Record<Step["check"], StepName>> = {
  genesis: "network",
  possession: "network",
  network: "network",
  decode: "signatures",
  sequence: "signatures",
  epoch: "signatures",
  quorum: "signatures",
  signature: "signatures",
  history: "signatures",
  "next-validators": "signatures",
  age: "signatures",
  operation: "events",
  entry: "events",
  result: "events",
  presence: "events",
  absence: "events",
  content: "events",
};
const REASON_OF: Readonly<Record<string, string>> = {
  network: "script.trace.refused-network",
  signatures: "script.trace.refused-signatures",
  events: "script.trace.refused-event",
};
const NOTHING: Outcome = { anchor: null, timeMs: 0, height: 0, sameCode: [], otherCode: [] };

/** Checks one journey; tells of each step as it ends. */
function* check(question: Question, tell: (told: Told) => void): Work<Outcome> {
  let at: StepName = "network";
  const refuse = (step: StepName, reason: string, detail: string, isOpen = false): Outcome => {
    tell({ step, outcome: isOpen ? "unchecked" : "failed", reason, detail });
    return NOTHING;
  };
  let verified;
  let bundle: Bundle;
  try {
    const { network, anchor, genesis } = question;
    const trusted = yield* startOf(network, anchor, genesis);
    at = "signatures";
    bundle = read(question.bundle);
    const work = binaryReceiptSteps(fromBase64(bundle.receipt), trusted, question.isKept);
    verified = yield* ticking(work, tell, (step) => (at = step));
  } catch (error) {
    if (error instanceof LedgerError) {
      const isOlder = error.code === "receipt.older-epoch";
      const reason = isOlder ? "script.trace.open-older" : (REASON_OF[at] ?? "");
      return refuse(at, reason, `${error.code}: ${error.reason}`, isOlder);
    }
    if (error instanceof SyntaxError || error instanceof TypeError) return refuse(at, "script.trace.refused-bundle", error.message);
    throw error;
  }
  const known = { ...NOTHING, anchor: String(verified.anchor), timeMs: verified.timeMs, height: verified.height };
  const states = statesOf(verified.states);
  const words = new Wording(question.language, question.words, question.districts, states, verified.timeMs);
  const step = { at: "events" as StepName };
  try {
    if (verified.failures.length > 0 || bundle.item !== question.item) throw new Fault("events", "script.trace.refused-event");
    const events = eventsOf(verified.inclusions, states);
    tell({ step: "events", outcome: "proved", figure: `${events.length}/${events.length}` });
    const goods = goodsOf(question.item, events);
    const recalls = recallsOf(bundle, goods, states);
    step.at = "whole";
    let hidden = 0;
    const items = provenOf(bundle, goods, events, [], recalls, 0).items;
    try {
      hidden = checkWhole(bundle, goods, events, states);
      checkLinks(items, events);
      tell({ step: "whole", outcome: "proved" });
    } catch (error) {
      if (!(error instanceof Fault) || !error.isOpen) throw error;
      hidden = (bundle.ids[question.item] ?? []).filter((id) => !events.some((event) => event.id === id)).length;
      tell({ step: "whole", outcome: "unchecked", reason: error.key });
    }
    const said = recallWords(words, provenOf(bundle, goods, events, [], recalls, hidden));
    if (said.length > 0) tell({ step: "recall", outcome: "failed", reason: "script.trace.recalled", detail: said.join(" / ") });
    else tell({ step: "recall", outcome: "proved" });
    step.at = "shown";
    const proven = provenOf(bundle, goods, events, openedOf(bundle, events), recalls, hidden);
    const wrong = difference(expected(words, proven), question.shown);
    if (wrong !== null) throw Object.assign(new Fault("shown", "script.trace.refused-shown"), { detail: wrong });
    tell({ step: "shown", outcome: "proved" });
    return { ...known, ...codeOf(question.files, states) };
  } catch (error) {
    if (error instanceof Fault) {
      const { detail = "" } = error as { detail?: string };
      tell({ step: error.part, outcome: error.isOpen ? "unchecked" : "failed", reason: error.key, detail });
      return { ...known, anchor: null };
    }
    if (error instanceof LedgerError || error instanceof SyntaxError || error instanceof TypeError) {
      tell({ step: step.at, outcome: "failed", reason: "script.trace.refused-bundle", detail: error.message });
      return { ...known, anchor: null };
    }
    throw error;
  }
}

function* startOf(network: string, kept: string | null, genesis: Bytes): Work<TrustAnchor> {
  const id = fromHex(network);
  if (id === null) throw new TypeError("the page names no network");
  try {
    const anchor = TrustAnchor.parse(kept ?? "");
    if (equal(anchor.network, id)) return anchor;
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error; // none is kept, or a damaged one: begin anew
  }
  return (yield* genesisSteps(genesis, id)).anchor;
}

/** Runs a receipt's checks; each event that is found in the log counts one on, and a step that is through is ticked. */
function* ticking<T>(work: Work<T>, tell: (told: Told) => void, at: (step: StepName) => void): Work<T> {
  let count = 0;
  let isSigned = false;
  for (;;) {
    const next = work.next();
    if (next.done === true) return next.value;
    const made = next.value;
    if (made !== undefined) {
      const step = STEP_OF[made.check];
      at(made.part === "inclusion" || made.part === "state" ? "events" : step);
      if ((made.part === "inclusion" || made.part === "state") && !isSigned) {
        isSigned = true;
        tell({ step: "network", outcome: "proved" });
        tell({ step: "signatures", outcome: "proved" });
      }
      if (made.check === "quorum" && made.part === "checkpoint") {
        tell({ step: "signatures", figure: `${made.inputs["signers"]}/${made.inputs["validators"]}` });
      }
      if (made.check === "result" && made.outcome === "passed") tell({ step: "events", figure: String((count += 1)) });
    }
    yield made;
  }
}

function read(text: string): Bundle {
  if (text.length > BUNDLE_CHARACTERS_MAX) throw new TypeError("the proof is too long");
  const bundle = JSON.parse(text) as Bundle;
  if (bundle.format !== "zhixin-journey/1") throw new TypeError("the proof is of a form that this page does not know");
  return bundle;
}

function fromBase64(text: string): Bytes {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** The first part in which a page says something else; null: there is none. */
function difference(wanted: ReadonlyMap<string, string>, shown: Readonly<Record<string, string>>): string | null {
  for (const [name, words] of wanted) {
    const said = blankless(shown[name] ?? "");
    if (said !== words) return `${name}: "${said.slice(0, 120)}" / "${words.slice(0, 120)}"`;
  }
  const extra = Object.keys(shown).find((name) => !wanted.has(name));
  return extra === undefined ? null : `${extra}: not recorded`;
}

/** Whose anchored digest is that of these files. */
function codeOf(files: Question["files"], states: ReadonlyMap<string, Bytes | null>): Pick<Outcome, "sameCode" | "otherCode"> {
  const lines = files.map(([path, content]) => `${path} ${toHex(sha256(content))}\n`);
  const digest = sha256(utf8(lines.sort().join("")));
  const found: { sameCode: string[]; otherCode: string[] } = { sameCode: [], otherCode: [] };
  if (files.length === 0) return found;
  for (const [key, raw] of states) {
    if (!key.startsWith("membership/anchor/") || raw === null) continue;
    const organisation = key.split("/")[2] ?? "";
    (equal(decode(AnchorRecord, raw).digest, digest) ? found.sameCode : found.otherCode).push(organisation);
  }
  return found;
}

export interface TraceApi {
  /** Check on the page's own thread, in slices. */
  check(question: Question, tell: (told: Told) => void): Promise<Outcome>;
}

const api: TraceApi = { check: (question, tell) => runInSlices(check(question, tell)) };
Object.assign(globalThis, { zhixinTrace: api });

interface WorkerScope {
  onmessage: ((event: MessageEvent<Question>) => void) | null;
  postMessage(reply: Reply): void;
}

if (typeof document === "undefined" && "importScripts" in globalThis) {
  const scope = globalThis as unknown as WorkerScope;
  scope.onmessage = ({ data }) => {
    const outcome = run(check(data, (told) => scope.postMessage({ told })));
    scope.postMessage({ outcome });
  };
  scope.postMessage({ ready: true });
}
