// SPDX-License-Identifier: Apache-2.0
// "My data": what a registrar keeps of whoever holds this wallet, each part compared on this device with what the ledger
// proves; and what the holder does about it. The service that served this page is asked nothing.

import type { PageVerifier } from "../verify/src/client.js";
import { verifyReport, type Accesses } from "../wallet/accesses.js";
import { byCard, byWallet, type Actor } from "../wallet/actor.js";
import { DAY_MS, draft, giving } from "../wallet/consents.js";
import { openVerifierOf, rememberNetwork } from "../wallet/device.js";
import { read, type Held } from "../wallet/sd-jwt.js";
import { placesOf, verifyOverview, type Consent, type Space } from "../wallet/space.js";
import { WalletStore } from "../wallet/store.js";
import { Failed, address, type Fault, type Fields } from "../wallet/web.js";
import { all, element } from "./elements.js";
import { text } from "./messages.js";
import { tellProgram, wearTheme } from "./program-words.js";
import { consentRow, personFacts, requestRow, stepRow, wayRow } from "./space-words.js";
import { FAULTS, accessRow, attributeName, moment } from "./wallet-words.js";

const root = found("#space");

function found(selector: string, within: ParentNode = document): HTMLElement {
  const one = within.querySelector<HTMLElement>(selector);
  if (one === null) throw new Error(`the page has no ${selector}`);
  return one;
}

const field = (selector: string): HTMLInputElement => found(selector) as HTMLInputElement;

/** Where this page keeps the code that the card's program showed; worthless once that ends. And whom it asked last. */
const [CODE, ISSUER] = ["card-agent-code", "zhixin-space-issuer"];

class DataSpace {
  readonly #store: WalletStore;
  #verifier: PageVerifier | undefined;
  #acting: Actor | undefined;
  #narrowing: Consent | undefined;
  #confirmed: (() => Promise<unknown>) | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(store: WalletStore) {
    this.#store = store;
  }

  async start(): Promise<void> {
    found("[data-lock-all]").addEventListener("click", () => this.#ask("script.space.lock-all-sure", () => this.#lockAll()));
    found("[data-end-devices]").addEventListener("click", () => this.#ask("script.space.devices-sure", () => this.#endDevices()));
    found("[data-export]").addEventListener("click", () => void this.#guard(() => this.#export()));
    found("[data-again]").addEventListener("click", () => void this.#guard(() => this.#refresh()));
    found("#request-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#guard(() => this.#request());
    });
    field("#card-issuer").value = localStorage.getItem(ISSUER) ?? "";
    field("#card-code").value = localStorage.getItem(CODE) ?? "";
    found("#card-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#guard(() => this.#byCard());
    });
    const sure = found("#sure-dialog") as HTMLDialogElement;
    sure.addEventListener("close", () => {
      const confirmed = this.#confirmed;
      this.#confirmed = undefined;
      if (sure.returnValue === "yes" && confirmed !== undefined) void this.#guard(confirmed);
      sure.returnValue = "";
    });
    const narrow = found("#narrow-dialog") as HTMLDialogElement;
    narrow.addEventListener("close", () => {
      if (narrow.returnValue === "yes") void this.#guard(() => this.#narrow());
      narrow.returnValue = "";
    });
    await this.#guard(() => this.#refresh());
  }

  #say(words: string): void {
    found("[data-standing]").textContent = words;
  }

  /** Do something, and say what went wrong where it does not work; one thing after the other, and none is dropped. */
  #guard(what: () => Promise<unknown>): Promise<void> {
    this.#last = this.#last.then(() => this.#guarded(what));
    return this.#last;
  }

  async #guarded(what: () => Promise<unknown>): Promise<void> {
    root.setAttribute("aria-busy", "true");
    found("[data-failed]").hidden = true;
    this.#say(text("script.wallet.asking"));
    try {
      await what();
      this.#say("");
    } catch (error) {
      this.#fail(error instanceof Failed ? error.fault : "malformed");
      if (!(error instanceof Failed)) console.warn("space: unexpected", (error as Error).name);
    } finally {
      root.removeAttribute("aria-busy");
    }
  }

  #fail(fault: Fault): void {
    const [title, about] = fault === "refused" ? ["script.space.refused", "script.space.refused-about"] : FAULTS[fault];
    found("[data-failed-title]").textContent = text(title ?? "");
    found("[data-failed-about]").textContent = text(about ?? "");
    found("[data-failed]").hidden = false;
    this.#say("");
    found("[data-failed-title]").focus();
  }

  #ask(words: string, then: () => Promise<unknown>): void {
    this.#confirmed = then;
    found("#sure-text").textContent = text(words);
    (found("#sure-dialog") as HTMLDialogElement).showModal();
  }

  async #act(what: Readonly<Record<string, unknown>>): Promise<Fields> {
    if (this.#acting === undefined) throw new Failed("used");
    return this.#acting.act(what);
  }

  /** Do something that changes what is shown; where each look takes a PIN, the holder asks for it. */
  async #do(what: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#act(what);
    if (this.#acting?.asksEachTime) found("[data-done]").hidden = false;
    else await this.#refresh();
  }

  /** By the card in the reader, from here on. */
  async #byCard(): Promise<void> {
    const issuer = address(field("#card-issuer").value.trim()).origin;
    const code = field("#card-code").value.trim().toUpperCase();
    localStorage.setItem(CODE, code);
    localStorage.setItem(ISSUER, issuer);
    const waiting = found("[data-card-waiting]");
    this.#acting = byCard({ origin: root.dataset["cardAgent"] ?? "", code }, issuer, (place) => {
      waiting.hidden = place === undefined;
      found("a", waiting).setAttribute("href", place ?? "#");
    });
    await this.#refresh();
  }

  /** Ask anew and show it once all of it holds; what was shown before goes where it no longer does. */
  async #refresh(): Promise<void> {
    if (!this.#acting?.asksEachTime) this.#acting = await byWallet(this.#store);
    const acting = this.#acting;
    found("[data-none]").hidden = acting !== undefined && !acting.asksEachTime;
    if (acting === undefined) return;
    found("[data-issuer]").textContent = new URL(acting.issuer).host;
    const verifier = (this.#verifier ??= await openVerifierOf(root.dataset));
    try {
      const { told, report, slot } = await acting.look();
      const [space, accesses] = [
        await verifyOverview(told, verifier, Date.now()),
        await verifyReport(report, slot, verifier, Date.now()),
      ];
      this.#show(space);
      this.#showAccesses(accesses);
      found("[data-none]").hidden = true;
      found("[data-done]").hidden = true;
      found("[data-by-card]").hidden = !acting.asksEachTime;
    } catch (error) {
      if (!(error instanceof Failed) || error.fault !== "offline") found("[data-whole]").hidden = true;
      throw error;
    }
    found("[data-whole]").hidden = false;
    rememberNetwork(root.dataset, verifier);
    root.dataset["shown"] = String(Date.now());
  }

  #showAccesses({ accesses, atMs, sealed }: Accesses): void {
    found("[data-complete]").textContent = text("script.wallet.complete", { moment: moment(atMs) });
    found("[data-sealed]").textContent = text("script.wallet.sealed", { count: sealed });
    found("[data-accesses-none]").hidden = accesses.length > 0;
    found("[data-accesses]").replaceChildren(...[...accesses].reverse().map(accessRow));
  }

  #show(told: Space): void {
    found("[data-proven]").textContent = text("script.space.proven", { moment: moment(told.atMs) });
    found("[data-person]").replaceChildren(...personFacts(told));
    found("[data-steps]").replaceChildren(...told.steps.map(stepRow));
    found("[data-steps-none]").hidden = told.steps.length > 0;
    const ways = told.person?.ways ?? [];
    found("[data-ways-none]").hidden = ways.length > 0;
    const lock = (key: string) => (): void => this.#ask("script.space.lock-sure", () => this.#do({ do: "lock", what: "key", key }));
    found("[data-ways]").replaceChildren(...ways.map((way) => wayRow(way, lock(way.key))));
    found("[data-lock-all]").hidden = told.person === undefined;
    found("[data-consents-none]").hidden = told.consents.length > 0;
    const rows = told.consents.map((one) =>
      consentRow(
        one,
        () => this.#ask("script.space.withdraw-sure", () => this.#do({ do: "consent.end", id: one.id })),
        () => this.#openNarrow(one),
      ),
    );
    found("[data-consents]").replaceChildren(...rows);
    found("[data-requests-none]").hidden = told.requests.length > 0;
    const withdraw = (id: string) => (): void => void this.#guard(() => this.#do({ do: "request.withdraw", id }));
    found("[data-requests]").replaceChildren(...told.requests.map((one) => requestRow(one, withdraw(one.id))));
  }

  #openNarrow(one: Consent): void {
    this.#narrowing = one;
    const boxes = one.content.attributes.map((name) =>
      element(
        "label",
        { class: "check" },
        element("input", { type: "checkbox", name: "keep", value: name, checked: "" }),
        element("span", {}, attributeName(name)),
      ),
    );
    found("#narrow-list").replaceChildren(...boxes);
    (found("#narrow-dialog") as HTMLDialogElement).showModal();
  }

  /** End a consent and give a smaller one, in one transaction: to fewer claims, until the same day at most. */
  async #narrow(): Promise<void> {
    const one = this.#narrowing;
    const kept = all<HTMLInputElement>("#narrow-list input").filter(({ checked }) => checked).map(({ value }) => value);
    if (one === undefined) return;
    if (kept.length === 0) return this.#do({ do: "consent.end", id: one.id });
    const days = Number(field("#narrow-days").value);
    const last = days === 0 ? one.content.validToDay : Math.min(one.content.validToDay, Math.floor(Date.now() / DAY_MS) + days);
    const content = { ...one.content, attributes: kept.sort(), givenAtMs: BigInt(Date.now()), validToDay: last };
    await this.#do(giving(draft(content), [one.id]));
  }

  /** Afterwards this device's credential does not count either: nothing is left to show. */
  async #lockAll(): Promise<void> {
    await this.#act({ do: "lock", what: "registration" });
    found("[data-whole]").hidden = true;
    found("[data-locked]").hidden = false;
    found("[data-locked] h2").focus();
  }

  async #endDevices(): Promise<void> {
    const held: Held[] = [];
    for (const card of await this.#store.cards()) {
      for (const copy of await this.#store.copies(card.id)) held.push(await read(copy.token));
    }
    const { ended } = await this.#act({ do: "lock", what: "devices", keep: placesOf(held) });
    if (!this.#acting?.asksEachTime) await this.#refresh();
    found("[data-ended]").textContent = text("script.space.devices-ended", { count: Number(ended) });
  }

  async #request(): Promise<void> {
    const words = (found("#request-text") as HTMLTextAreaElement).value.trim();
    if (words === "") return;
    await this.#do({ do: "request.make", kind: field("#request-kind").value, text: words });
    (found("#request-text") as HTMLTextAreaElement).value = "";
  }

  /** All of it as one file, with its proofs: what the registrar keeps, and what this device remembers. */
  async #export(): Promise<void> {
    const acting = this.#acting;
    if (acting === undefined) return;
    const told = await acting.act(acting.export);
    const whole = {
      format: "zhixin-my-data/1",
      network: root.dataset["network"],
      issuer: acting.issuer,
      made_ms: Date.now(),
      registrar: told,
      shown_by_this_device: await this.#store.history(),
    };
    const file = new Blob([JSON.stringify(whole, null, 1)], { type: "application/json" });
    const link = element("a", { href: URL.createObjectURL(file), download: `my-data-${new Date().toISOString().slice(0, 10)}.json` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}

async function begin(): Promise<void> {
  root.hidden = false;
  try {
    await new DataSpace(await WalletStore.open()).start();
  } catch {
    found("[data-failed-title]").textContent = text("script.wallet.no-storage");
    found("[data-failed-about]").textContent = text("script.wallet.no-storage-about");
    found("[data-failed]").hidden = false;
  }
  await tellProgram(root.dataset["offline"] ?? "");
}

wearTheme();
void begin();
