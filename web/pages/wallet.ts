// SPDX-License-Identifier: Apache-2.0
// The wallet's page: what is held, taking what a desk offers, and showing what somebody asks for, claim by claim.
//
// Everything happens on this device. The service that served the page is never asked anything about its visitor.

import { fetchReport, listOf, verifyReport } from "../wallet/accesses.js";
import { KINDS, fetchTokens, show as showCode } from "../wallet/codes.js";
import { isRequest, linkInAddress, networkVerifier } from "../wallet/opening.js";
import { accept, isOffer, readOffer, type Offer } from "../wallet/receive.js";
import { read, type Json } from "../wallet/sd-jwt.js";
import { WalletStore, type Card, type Shown, type Token } from "../wallet/store.js";
import { Failed, type Fault } from "../wallet/web.js";
import { all, element } from "./elements.js";
import { text } from "./messages.js";
import { tellProgram, wearTheme } from "./program-words.js";
import { Asking } from "./wallet-ask.js";
import { found, inView, open, root, say, view, type View } from "./wallet-views.js";
import {
  FAULTS,
  OWN,
  accessRow,
  claimName,
  day,
  isChinese,
  moment,
  pair,
  shownValue,
  titleOf,
  typeName,
  types,
} from "./wallet-words.js";

const CODE_MS = 300_000; // as long as a code counts

class Wallet {
  readonly #store: WalletStore;
  #offer: Offer | undefined;
  readonly #asking: Asking;
  #card: Card | undefined;
  #ticking: ReturnType<typeof setInterval> | undefined;

  constructor(store: WalletStore) {
    this.#store = store;
    this.#asking = new Asking(store, {
      guard: (what) => void this.#guard(what),
      done: (title, about, target) => this.#done(title, about, target),
    });
  }

  start(): void {
    for (const button of all("[data-home]", root)) button.addEventListener("click", () => void this.home());
    this.#on("#link-form", "home", () => this.take((found("#link") as HTMLInputElement).value.trim()));
    this.#on("#offer-form", "offer", () => this.accept());
    this.#on("#ask-form", "ask", () => this.#asking.show());
    found("[data-decline]").addEventListener("click", () => void this.#guard(() => this.#asking.sayNo()));
    const photo = found("#photo") as HTMLInputElement;
    photo.addEventListener("change", () => void this.#guard(() => this.scan(photo)));
    const dialog = found("#forget-dialog") as HTMLDialogElement;
    found("[data-forget]").addEventListener("click", () => dialog.showModal());
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "yes") void this.#guard(() => this.forget());
      dialog.returnValue = "";
    });
    for (const button of all<HTMLButtonElement>("[data-code]", root)) {
      button.addEventListener("click", () => void this.#guard(() => this.code(button.dataset["code"] === "age" ? "age" : "name")));
    }
    for (const button of all("[data-to-card]", root)) {
      button.addEventListener("click", () => {
        if (this.#card !== undefined) void this.openCard(this.#card);
      });
    }
    found("[data-accesses]").addEventListener("click", () => void this.#guard(() => this.accesses()));
    window.addEventListener("hashchange", () => void this.#fromAddress());
    void this.#fromAddress();
  }

  /** A link may stand behind the # of this page's address: that part never leaves the device. */
  async #fromAddress(): Promise<void> {
    const link = linkInAddress();
    if (link === "") return this.home();
    history.replaceState(null, "", location.pathname + location.search);
    return this.#guard(() => this.take(link));
  }

  #on(form: string, name: View, act: () => Promise<void>): void {
    const place = found(form) as HTMLFormElement;
    place.addEventListener("submit", (event) => {
      event.preventDefault();
      const button = found("button:not([type])", place) as HTMLButtonElement;
      if (button.getAttribute("aria-busy") === "true") return;
      button.setAttribute("aria-busy", "true");
      say(name, "");
      void this.#guard(act).finally(() => button.removeAttribute("aria-busy"));
    });
  }

  async #guard(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#fail(error instanceof Failed ? error.fault : "malformed");
      if (!(error instanceof Failed)) console.warn("wallet: unexpected", (error as Error).name);
    }
  }

  #fail(fault: Fault): void {
    const [title, about] = FAULTS[fault];
    inView("failed", "[data-failed-title]").textContent = text(title);
    inView("failed", "[data-failed-about]").textContent = text(about);
    open("failed");
  }

  async home(): Promise<void> {
    this.#offer = this.#card = undefined;
    this.#asking.forget();
    clearInterval(this.#ticking);
    (found("#digits") as HTMLInputElement).value = (found("#link") as HTMLInputElement).value = "";
    const cards = await this.#store.cards();
    inView("home", "[data-evicted]").hidden = !(await this.#store.wasEvicted());
    inView("home", "[data-empty]").hidden = cards.length > 0;
    inView("home", "[data-my-data]").hidden = cards.length === 0;
    const rows = await Promise.all(cards.map((card) => this.#row(card)));
    inView("home", "[data-cards]").replaceChildren(...rows);
    await this.#history();
    say("home", "");
    open("home");
  }

  async #row(card: Card): Promise<HTMLElement> {
    const copies = await this.#store.copies(card.id);
    const fresh = copies.filter(({ shown }) => shown === 0).length;
    const ends = text("script.wallet.until", { day: day(card.expiresS * 1000) });
    const left = copies.length > 1 ? text("script.wallet.fresh", { count: fresh }) : "";
    const button = element(
      "button",
      { type: "button", class: "wallet-card" },
      element("b", {}, typeName(card.type)),
      element("span", {}, titleOf(card)),
      element("span", {}, [ends, left].filter((one) => one !== "").join(" · ")),
    );
    button.addEventListener("click", () => void this.openCard(card));
    return element("li", {}, button);
  }

  async #history(): Promise<void> {
    const entries = await this.#store.history();
    inView("home", "[data-history-none]").hidden = entries.length > 0;
    const words: Record<Shown["outcome"], string> = {
      shown: text("script.wallet.was-shown"),
      declined: text("script.wallet.was-declined"),
      failed: text("script.wallet.was-lost"),
    };
    const rows = entries.map((one) =>
      element(
        "li",
        {},
        element("b", {}, isChinese ? one.nameZh : one.nameEn),
        element("span", { class: "small muted" }, moment(one.atMs)),
        element("span", {}, `${words[one.outcome]} ${one.purpose}`),
        element("span", { class: "small muted" }, one.claims.join(", ")),
      ),
    );
    inView("home", "[data-history]").replaceChildren(...rows);
  }

  async openCard(card: Card): Promise<void> {
    this.#card = card;
    clearInterval(this.#ticking);
    inView("card", "[data-card-title]").textContent = typeName(card.type);
    inView("card", "[data-card-about]").textContent = text("script.wallet.received", {
      day: day(card.receivedMs),
      issuer: new URL(card.issuer).host,
    });
    const claims = JSON.parse(card.claims) as Record<string, Json>;
    const rows = Object.keys(types[card.type]?.claims ?? claims) // in the order of the type; the issuer mixes them
      .filter((name) => claims[name] !== undefined && !OWN.has(name))
      .map((name) => pair(claimName(card.type, [name]), shownValue(card.type, [name], claims[name] ?? null)));
    inView("card", "[data-card-claims]").replaceChildren(...rows);
    inView("card", "[data-codes]").hidden = !Object.values(KINDS).flat().every(([name = ""]) => name in claims);
    found("[data-accesses]").hidden = listOf(card.type, claims) === undefined;
    const nowS = Date.now() / 1000;
    for (const button of all<HTMLButtonElement>("[data-code]", view("card"))) {
      const left = await this.#store.left(card.id, button.dataset["code"] === "age" ? "age" : "name", nowS);
      found("[data-left]", button).textContent = text("script.wallet.codes-left", { count: left });
    }
    say("card", "");
    open("card");
  }

  /** Who looked: fetched, proven here, and told in words. */
  async accesses(): Promise<void> {
    const card = this.#card;
    const [copy] = card === undefined ? [] : await this.#store.copies(card.id);
    if (card === undefined || copy === undefined) return;
    say("card", text("script.wallet.asking"));
    const held = await read(copy.token);
    const raw = await fetchReport(held, copy.key, card.issuer, Date.now());
    const verifier = await networkVerifier();
    const found_ = await verifyReport(raw, String(held.claims["access_slot"]), verifier, Date.now());
    inView("accesses", "[data-complete]").textContent = text("script.wallet.complete", { moment: moment(found_.atMs) });
    inView("accesses", "[data-sealed]").textContent = text("script.wallet.sealed", { count: found_.sealed });
    inView("accesses", "[data-none]").hidden = found_.accesses.length > 0;
    const rows = [...found_.accesses].reverse().map((one) => accessRow(one));
    inView("accesses", "[data-list]").replaceChildren(...rows);
    open("accesses");
  }

  /** Show a code: from the stock, which is filled first where there is a connection. */
  async code(kind: Token["kind"]): Promise<void> {
    const card = this.#card;
    if (card === undefined) return;
    say("card", text("script.wallet.code-making"));
    const nowS = Math.floor(Date.now() / 1000);
    if ((await this.#store.left(card.id, kind, nowS)) === 0) {
      const [copy] = await this.#store.copies(card.id);
      if (copy === undefined) throw new Failed("used");
      const tokens = await fetchTokens(await read(copy.token), copy.key, card.issuer, card.id, kind, Date.now());
      await this.#store.stock(tokens, nowS);
    }
    const token = await this.#store.draw(card.id, kind, nowS);
    if (token === undefined) throw new Failed("used");
    const { picture } = await import("./wallet-code.js");
    inView("code", "[data-picture]").replaceChildren(picture(await showCode(token, nowS)));
    inView("code", "[data-code-claims]").textContent = KINDS[kind].map((path) => claimName(card.type, path)).join(isChinese ? "、" : ", ");
    const ends = Date.now() + CODE_MS;
    const tell = (): void => {
      const left = Math.max(0, Math.ceil((ends - Date.now()) / 1000));
      inView("code", "[data-code-left]").textContent =
        left === 0 ? text("script.wallet.code-over") : text("script.wallet.code-left", { time: `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` });
      if (left > 0) return;
      clearInterval(this.#ticking);
      inView("code", "[data-picture]").replaceChildren();
    };
    clearInterval(this.#ticking);
    this.#ticking = setInterval(tell, 1000);
    tell();
    open("code");
  }

  async forget(): Promise<void> {
    if (this.#card !== undefined) await this.#store.forget(this.#card.id);
    await this.home();
  }

  async scan(input: HTMLInputElement): Promise<void> {
    const photo = input.files?.[0];
    if (photo === undefined) return;
    say("home", text("script.wallet.reading"));
    const { readPhoto } = await import("./qr-photo.js");
    const words = await readPhoto(photo, root.dataset["reader"] ?? "").catch(() => undefined);
    input.value = "";
    if (words === undefined) {
      say("home", text("script.wallet.no-code"));
      return;
    }
    await this.take(words.trim());
  }

  /** Whatever was scanned, pasted or opened. */
  async take(link: string): Promise<void> {
    if (link === "") return;
    say("home", text("script.wallet.asking"));
    if (isOffer(link)) return this.#takeOffer(link);
    if (isRequest(link)) return this.#asking.take(link);
    throw new Failed("address");
  }

  async #takeOffer(link: string): Promise<void> {
    const offer = (this.#offer = await readOffer(link));
    inView("offer", "[data-offer-type]").textContent = typeName(offer.type);
    inView("offer", "[data-offer-issuer]").textContent = new URL(offer.issuer).host;
    const digits = found("#digits") as HTMLInputElement;
    inView("offer", "[data-digits]").hidden = offer.digits === 0;
    digits.maxLength = offer.digits;
    digits.required = offer.digits > 0;
    open("offer");
    if (offer.digits > 0) digits.focus();
  }

  async accept(): Promise<void> {
    const offer = this.#offer;
    if (offer === undefined) return;
    const digits = (found("#digits") as HTMLInputElement).value.replace(/\s/g, "");
    say("offer", text("script.wallet.taking"));
    try {
      if (digits.length !== offer.digits || /\D/.test(digits)) throw new Failed("digits");
      const { card, copies } = await accept(offer, digits, Date.now());
      await this.#store.keep(card, copies);
      this.#done("script.wallet.taken", text("script.wallet.taken-about", { count: copies.length }));
    } catch (error) {
      if (!(error instanceof Failed) || error.fault !== "digits") throw error;
      say("offer", text("script.wallet.digits-about"));
      found("#digits").focus();
    }
  }

  #done(title: string, about: string, target?: string): void {
    inView("done", "[data-done-title]").textContent = text(title);
    inView("done", "[data-done-about]").textContent = about;
    const back = inView("done", "[data-return]");
    back.hidden = target === undefined;
    if (target !== undefined) back.setAttribute("href", target);
    open("done");
  }
}

async function begin(): Promise<void> {
  try {
    new Wallet(await WalletStore.open()).start();
  } catch {
    inView("failed", "[data-failed-title]").textContent = text("script.wallet.no-storage");
    inView("failed", "[data-failed-about]").textContent = text("script.wallet.no-storage-about");
    open("failed");
    return;
  }
  await tellProgram(root.dataset["offline"] ?? "");
}

wearTheme();
void begin();

