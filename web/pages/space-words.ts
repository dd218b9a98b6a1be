// SPDX-License-Identifier: Apache-2.0
// What the data space's page says of a person, their ways of signing in, consents and requests, in the reader's words.

import type { Asking, Consent, Space, Step, Way } from "../wallet/space.js";
import { DAY_MS } from "../wallet/consents.js";
import { element } from "./elements.js";
import { text } from "./messages.js";
import { attributeName, day, isChinese, moment, pair } from "./wallet-words.js";

type Words = () => string;
const said = (words: readonly Words[], code: number): string => (words[code] ?? ((): string => String(code)))();
const named = (names: { readonly zh: string; readonly en: string }): string => (isChinese ? names.zh : names.en);

const STATUSES: readonly Words[] = [
  () => "",
  () => text("script.space.status-proposed"),
  () => text("script.space.status-active"),
  () => text("script.space.status-suspended"),
  () => text("script.space.status-revoked"),
  () => text("script.space.status-withdrawn"),
];
const LEVELS: readonly Words[] = [
  () => "",
  () => text("script.wallet.level-low"),
  () => text("script.wallet.level-substantial"),
  () => text("script.wallet.level-high"),
];
const METHODS: readonly Words[] = [
  () => "",
  () => text("script.wallet.method-chip"),
  () => text("script.wallet.method-inspected"),
  () => text("script.wallet.method-vouched"),
  () => text("script.space.method-video"),
  () => text("script.space.method-register"),
];
const WAYS: readonly Words[] = [
  () => "",
  () => text("script.space.way-authenticate"),
  () => text("script.space.way-sign"),
  () => text("script.space.way-wallet"),
];
/** Fields of a registration, in the order in which they are read; one that is empty is left out. */
const FIELDS: readonly (readonly [string, Words])[] = [
  ["name", () => text("script.space.field-name")],
  ["latin_name", () => text("script.space.field-latin")],
  ["born", () => text("script.space.field-born")],
  ["number", () => text("script.space.field-number")],
  ["address", () => text("script.space.field-address")],
  ["phone", () => text("script.space.field-phone")],
  ["mail", () => text("script.space.field-mail")],
  ["document_until", () => text("script.space.field-until")],
];
const STANDINGS: Readonly<Record<Consent["standing"], readonly [string, Words]>> = {
  counts: ["good", () => text("script.space.consent-counts")],
  ended: ["plain", () => text("script.space.consent-ended")],
  over: ["plain", () => text("script.space.consent-over")],
  unknown: ["warn", () => text("script.space.consent-unknown")],
};
const STATES: Readonly<Record<string, readonly [string, Words]>> = {
  open: ["info", () => text("script.space.request-open")],
  taken: ["info", () => text("script.space.request-taken")],
  done: ["good", () => text("script.space.request-done")],
  declined: ["warn", () => text("script.space.request-declined")],
  withdrawn: ["plain", () => text("script.space.request-withdrawn")],
};
const KINDS: Readonly<Record<string, Words>> = {
  correct: () => text("script.space.request-correct"),
  erase: () => text("script.space.request-erase"),
  address: () => text("script.space.request-address"),
};
/** What is taken back here; a declaration was signed and filed. */
const WITHDRAWN = { correct: true, erase: true };
const CASES: Readonly<Record<string, Words>> = {
  enrol: () => text("script.space.case-enrol"),
  change: () => text("script.space.case-change"),
  suspend: () => text("script.space.case-suspend"),
  reinstate: () => text("script.space.case-reinstate"),
  revoke: () => text("script.space.case-revoke"),
  recover: () => text("script.space.case-recover"),
};

function badge([kind, words]: readonly [string, Words]): HTMLElement {
  return element("span", { class: `badge ${kind}` }, words());
}

const small = (words: string): HTMLElement => element("span", { class: "small muted" }, words);

/** The registration, as it was compared with the ledger. */
export function personFacts(told: Space): HTMLElement[] {
  const person = told.person;
  if (person === undefined) return [pair(text("script.space.registration"), text("script.space.elsewhere"))];
  const rows = [
    pair(text("script.space.registrar"), named(person.registrar)),
    pair(text("script.space.status"), said(STATUSES, person.status)),
    pair(text("script.space.level"), `${said(LEVELS, person.level)} · ${said(METHODS, person.method)}`),
    pair(text("script.space.since"), moment(person.sinceMs)),
  ];
  for (const [name, words] of FIELDS) {
    const value = person.data?.[name] ?? "";
    if (value !== "") rows.push(pair(words(), value));
  }
  if (person.hasProposal) rows.push(pair(text("script.space.proposal"), text("script.space.proposal-about")));
  rows.push(
    pair(text("script.space.credentials"), text("script.space.credentials-count", { count: told.copies })),
    pair(
      text("script.space.beside"),
      text("script.space.beside-about", { pictures: told.pictures.length, notices: told.notices, compartment: told.hasCompartment ? 1 : 0 }),
    ),
  );
  return rows;
}

export function stepRow(step: Step): HTMLElement {
  const proven =
    step.provenMs === undefined ? text("script.space.step-unproven") : text("script.space.step-proven", { moment: moment(step.provenMs) });
  return element("li", {}, element("b", {}, (CASES[step.kind] ?? ((): string => step.kind))()), small(moment(step.atMs)), small(proven));
}

export function wayRow(way: Way, lock: () => void): HTMLElement {
  const name = said(WAYS, way.purpose);
  const row = element("li", {}, element("b", {}, name), element("span", { class: "small muted mono" }, way.key.slice(0, 16)));
  if (way.isLocked) row.append(badge(["warn", () => text("script.space.locked")]), small(text("script.space.unlock-about")));
  else row.append(button(text("script.space.lock"), lock, `${text("script.space.lock")}: ${name} ${way.key.slice(0, 4)}`));
  return row;
}

export function consentRow(one: Consent, withdraw: () => void, narrow: () => void): HTMLElement {
  const { content, standing, endedMs } = one;
  const until =
    standing === "counts"
      ? text("script.space.consent-until", { day: day(content.validToDay * DAY_MS - 1) })
      : endedMs > 0
        ? text("script.space.consent-since", { moment: moment(endedMs) })
        : "";
  const row = element(
    "li",
    {},
    element("span", { class: "row" }, element("b", {}, named(one.party)), badge(STANDINGS[standing])),
    element("span", {}, named(one.purpose)),
    element("span", {}, content.attributes.map(attributeName).join(isChinese ? "、" : ", ")),
    small([text("script.space.consent-given", { moment: moment(Number(content.givenAtMs)) }), until].filter((part) => part !== "").join(" · ")),
  );
  if (standing === "counts") {
    const names = `${named(one.party)}, ${named(one.purpose)}`;
    row.append(
      element(
        "span",
        { class: "buttons" },
        button(text("script.space.withdraw"), withdraw, `${text("script.space.withdraw")}: ${names}`),
        button(text("script.space.narrow"), narrow, `${text("script.space.narrow")}: ${names}`),
      ),
    );
  }
  return row;
}

export function requestRow(one: Asking, withdraw: () => void): HTMLElement {
  const kind = (KINDS[one.kind] ?? ((): string => one.kind))();
  const row = element(
    "li",
    {},
    element("span", { class: "row" }, element("b", {}, kind), badge(STATES[one.state] ?? ["plain", () => one.state])),
    element("span", {}, one.text),
    small(`${one.reference} · ${moment(one.madeMs)}`),
  );
  if (one.answer !== "") row.append(element("span", {}, text("script.space.answer", { answer: one.answer })));
  if (one.kind in WITHDRAWN && (one.state === "open" || one.state === "taken")) {
    row.append(button(text("script.space.request-withdraw"), withdraw, `${text("script.space.request-withdraw")}: ${one.reference}`));
  }
  return row;
}

function button(words: string, act: () => void, label: string): HTMLButtonElement {
  const made = element("button", { type: "button", class: "btn quiet", "aria-label": label }, words);
  made.addEventListener("click", act);
  return made;
}
