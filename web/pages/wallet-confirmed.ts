// SPDX-License-Identifier: Apache-2.0
// What the holder confirms, on the wallet's consent view in words, before anything is signed.

import type { Act, Confirmed } from "../wallet/transaction.js";
import { text } from "./messages.js";
import { inView } from "./wallet-views.js";
import { pair } from "./wallet-words.js";

const TITLES: Readonly<Record<Confirmed["kind"], () => string>> = {
  payment: () => text("script.wallet.pay"),
  company: () => text("script.wallet.act-company"),
  "stop-card": () => text("script.wallet.act-stop-card"),
  "stop-phone": () => text("script.wallet.act-stop-phone"),
  "stop-seal": () => text("script.wallet.act-stop-seal"),
};

/** Show what is confirmed, or that nothing is. */
export function showConfirmed(confirmed: Confirmed | undefined): void {
  inView("ask", "[data-confirmed]").hidden = confirmed === undefined;
  inView("ask", "[data-agree]").textContent = confirmed === undefined ? text("script.wallet.show") : text("script.wallet.confirm");
  if (confirmed === undefined) return;
  inView("ask", "[data-confirmed-title]").textContent = TITLES[confirmed.kind]();
  inView("ask", "[data-confirmed-about]").textContent = about(confirmed);
  const rows = confirmed.kind === "payment"
    ? [
        pair(text("script.wallet.pay-amount"), amountOf(confirmed)),
        pair(text("script.wallet.pay-payee"), confirmed.payee),
        ...(confirmed.reference === "" ? [] : [pair(text("script.wallet.pay-reference"), confirmed.reference)]),
      ]
    : actRows(confirmed);
  inView("ask", "[data-confirmed-list]").replaceChildren(...rows);
}

function about({ kind }: Confirmed): string {
  if (kind === "payment") return text("script.wallet.pay-about");
  return kind === "company" ? text("script.wallet.act-company-about") : text("script.wallet.act-stop-about");
}

function actRows(act: Act): HTMLElement[] {
  if (act.kind !== "company") return [pair(text("script.wallet.act-which"), act.subject)];
  return [
    pair(text("script.wallet.act-matter"), act.matter),
    pair(text("script.wallet.act-for"), act.subject),
    pair(text("script.wallet.act-number"), act.number),
    pair(text("script.wallet.act-up-to"), act.amount === "" ? text("script.wallet.act-no-amount") : amountOf(act)),
  ];
}

/** The same in one line, for the list of what was shown. */
export function shortly(confirmed: Confirmed): string {
  if (confirmed.kind === "payment") return `${amountOf(confirmed)} → ${confirmed.payee}`;
  return `${TITLES[confirmed.kind]()} → ${confirmed.subject}`;
}

/** An amount as it is read: digits in groups of three, then the currency. */
function amountOf({ amount, currency }: { readonly amount: string; readonly currency: string }): string {
  const [whole = "", decimals = ""] = amount.split(".");
  return `${whole.replace(/\B(?=(\d{3})+$)/g, "\u202f")}.${decimals} ${currency}`;
}
