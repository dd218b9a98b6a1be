// SPDX-License-Identifier: Apache-2.0
// Somebody asks: who they are and why, as the ledger proves it; what they would see, claim by claim; and the holder's yes
// or no.

import { act } from "../wallet/act.js";
import { contentOf, draft, giving, shown, type Draft } from "../wallet/consents.js";
import { rememberNetwork } from "../wallet/device.js";
import { beyond, registered, type Registered } from "../wallet/registration.js";
import { network, networkVerifier, opening } from "../wallet/opening.js";
import { disclosed, readRequest, type Asked, type Wanted } from "../wallet/request.js";
import { decline, respond } from "../wallet/respond.js";
import { isAlwaysShown, present, read, type Held } from "../wallet/sd-jwt.js";
import type { Card, Copy, Shown, WalletStore } from "../wallet/store.js";
import { confirmation } from "../wallet/transaction.js";
import { Failed } from "../wallet/web.js";
import { element } from "./elements.js";
import { text } from "./messages.js";
import { shortly, showConfirmed } from "./wallet-confirmed.js";
import { found, inView, open, say } from "./wallet-views.js";
import { OWN, claimName, day, isChinese, moment, pair, shownValue, typeName, valueOf } from "./wallet-words.js";

/** What the page does for a request. */
export interface Page {
  /** Do something, and say what went wrong where it does not work. */
  guard(what: () => Promise<void>): void;
  done(title: string, about: string, target?: string): void;
}

/** One request at a time, from the link to what became of it. */
export class Asking {
  readonly #store: WalletStore;
  readonly #page: Page;
  #asked: Asked | undefined;
  #who: Registered | undefined;
  #wanted: ReadonlyMap<string, Wanted> = new Map();
  #offered: ReadonlyMap<string, readonly Wanted[]> = new Map();
  #held: ReadonlyMap<string, Held> = new Map();

  constructor(store: WalletStore, page: Page) {
    this.#store = store;
    this.#page = page;
  }

  forget(): void {
    this.#asked = this.#who = undefined;
    this.#wanted = this.#offered = this.#held = new Map();
  }

  /** Whatever was scanned, pasted or opened: who asks is proven before anything is shown. */
  async take(link: string): Promise<void> {
    const begun = opening(link);
    const asked = await readRequest(await begun.fetched, Date.now());
    const proven = registered(asked, (receipt) => begun.prove(receipt), Date.now());
    void proven.catch(() => undefined); // told below
    const { match } = await import("../wallet/query.js");
    const held = await this.#readCards();
    const found_ = match(asked.query, held); // while the registration is being proven
    const who = await proven;
    rememberNetwork(network(), await networkVerifier());
    if (asked.unfit !== undefined) {
      await decline(asked, "invalid_transaction_data").catch(() => undefined); // they learn it by hearing nothing, too
      throw asked.unfit;
    }
    if (found_ === undefined) throw new Failed("used");
    if (beyond(who, [...found_.values()].flat(), OWN).length > 0) throw new Failed("untrusted", "asks for more than it may");
    [this.#asked, this.#who, this.#held, this.#offered] = [asked, who, held, found_];
    this.#wanted = new Map([...found_].flatMap(([id, [first]]) => (first === undefined ? [] : [[id, first]])));
    inView("ask", "[data-asker]").textContent = isChinese ? who.nameZh : who.nameEn;
    inView("ask", "[data-purpose]").textContent = isChinese ? who.purposeZh : who.purposeEn;
    inView("ask", "[data-basis]").textContent = who.basis;
    inView("ask", "[data-origin]").textContent = new URL(asked.responseUri).host;
    inView("ask", "[data-proven-at]").textContent = moment(who.atMs);
    inView("ask", "[data-consent]").hidden = !who.needsConsent;
    showConfirmed(asked.confirmed);
    await this.#ask();
    open("ask");
  }

  /** What is held and in force, the oldest first: a newer one takes nothing's place unseen. */
  async #readCards(): Promise<ReadonlyMap<string, Held>> {
    const held = new Map<string, Held>();
    for (const card of (await this.#store.cards()).reverse()) {
      const [copy] = await this.#store.copies(card.id);
      if (copy !== undefined && card.expiresS * 1000 > Date.now()) held.set(card.id, await read(copy.token));
    }
    return held;
  }

  /** What would be shown, of the credentials that are chosen now. */
  async #ask(): Promise<void> {
    const rows: HTMLElement[] = [];
    let [again, forRecord] = [false, false];
    const cards = new Map((await this.#store.cards()).map((card) => [card.id, card]));
    for (const [id, one] of this.#wanted) {
      const held = this.#held.get(one.id);
      if (held === undefined) continue;
      again ||= (await this.#store.copies(one.id))[0]?.shown !== 0;
      rows.push(pair(text("script.wallet.from"), await this.#source(id, one, cards)));
      for (const path of disclosed(held, one.paths)) {
        if (OWN.has(path[0] ?? "")) {
          forRecord = true;
          continue;
        }
        const always = isAlwaysShown(held, path) ? ` ${text("script.wallet.always")}` : "";
        rows.push(pair(claimName(one.type, path) + always, shownValue(one.type, path, valueOf(held.claims, path))));
      }
    }
    inView("ask", "[data-for-record]").hidden = !forRecord;
    inView("ask", "[data-claims]").replaceChildren(...rows);
    inView("ask", "[data-again]").hidden = !again;
  }

  /** Which credential it comes from, and who issued it; where several answer, the holder chooses. */
  async #source(id: string, chosen: Wanted, cards: ReadonlyMap<string, Card>): Promise<string | HTMLElement> {
    const named = ({ id: card }: Wanted): string => {
      const found_ = cards.get(card);
      return found_ === undefined ? "" : `${typeName(found_.type)} · ${new URL(found_.issuer).host} · ${day(found_.receivedMs)}`;
    };
    const offered = this.#offered.get(id) ?? [];
    if (offered.length < 2) return named(chosen);
    const choice = element("select", { "aria-label": text("script.wallet.choose") });
    for (const one of offered) choice.append(element("option", { value: one.id }, named(one)));
    choice.value = chosen.id;
    choice.addEventListener("change", () => {
      const other = offered.find((one) => one.id === choice.value);
      if (other !== undefined) this.#wanted = new Map([...this.#wanted, [id, other]]);
      this.#page.guard(() => this.#ask());
    });
    return choice;
  }

  async show(): Promise<void> {
    const [asked, who] = [this.#asked, this.#who];
    if (asked === undefined || who === undefined) return;
    const consent = who.needsConsent ? await this.#consent(who) : undefined;
    const more = consent === undefined ? {} : { consent: shown(consent) };
    say("ask", text("script.wallet.sending"));
    const presented = new Map<string, string>();
    const used: Copy[] = [];
    const names: string[] = [];
    for (const [id, one] of this.#wanted) {
      const [copy] = await this.#store.copies(one.id);
      if (copy === undefined) throw new Failed("used");
      const held = await read(copy.token);
      const nowS = Math.floor(Date.now() / 1000);
      presented.set(id, await present(held, one.paths, copy.key, asked.audience, asked.nonce, nowS, {
        ...more,
        ...(await confirmation(asked.confirmed, id)),
      }));
      const seen = disclosed(held, one.paths).filter(([name = ""]) => !OWN.has(name));
      names.push(...seen.map((path) => claimName(one.type, path)));
      used.push(copy);
    }
    if (asked.confirmed !== undefined) names.push(shortly(asked.confirmed));
    await this.#store.use(used.map(({ id }) => id));
    let target: string | undefined;
    try {
      target = await respond(asked, presented);
    } catch (error) {
      await this.#remember("failed", names);
      throw error;
    }
    await this.#remember("shown", names);
    this.#page.done("script.wallet.was-sent", text("script.wallet.was-sent-about"), target);
  }

  /** Put the holder's consent to what is about to be shown on the ledger, before it is shown. */
  async #consent(who: Registered): Promise<Draft> {
    say("ask", text("script.wallet.consenting"));
    for (const { id } of this.#wanted.values()) {
      const card = (await this.#store.cards()).find((one) => one.id === id);
      const [copy] = await this.#store.copies(id);
      const held = copy === undefined ? undefined : await read(copy.token);
      const seed = held?.claims["pairwise_seed"];
      if (card === undefined || copy === undefined || held === undefined || typeof seed !== "string") continue;
      const days = Number((found("#consent-days") as HTMLSelectElement).value);
      const made = draft(await contentOf(who, this.#wanted.values(), OWN, seed, days + 1, Date.now()));
      await act(held, copy.key, card.issuer, giving(made), Date.now());
      return made;
    }
    throw new Failed("used"); // none of the credentials says whose consent it would be
  }

  async sayNo(): Promise<void> {
    const asked = this.#asked;
    if (asked === undefined) return;
    await this.#remember("declined", []);
    const target = await decline(asked).catch(() => undefined); // they learn it by hearing nothing, too
    this.#page.done("script.wallet.said-no", text("script.wallet.said-no-about"), target);
  }

  async #remember(outcome: Shown["outcome"], claims: readonly string[]): Promise<void> {
    const [asked, who] = [this.#asked, this.#who];
    if (asked === undefined || who === undefined) return;
    await this.#store.remember({
      atMs: Date.now(),
      party: who.party,
      nameZh: who.nameZh,
      nameEn: who.nameEn,
      purpose: isChinese ? who.purposeZh : who.purposeEn,
      basis: who.basis,
      claims,
      origin: new URL(asked.responseUri).origin,
      outcome,
    });
  }
}
