// SPDX-License-Identifier: Apache-2.0
// What the wallet's pages say of their own program, and the looks that its holder chose: a kept page is the same for all.

import { keepProgram, type Standing } from "../wallet/program.js";
import type { Reason } from "../wallet/manifest.js";
import { text } from "./messages.js";
import { day } from "./wallet-words.js";

const REASONS: Readonly<Record<Reason, () => string>> = {
  unanchored: () => text("script.wallet.program-unanchored"),
  changed: () => text("script.wallet.program-changed"),
  older: () => text("script.wallet.program-older"),
  another: () => text("script.wallet.program-another"),
  malformed: () => text("script.wallet.program-malformed"),
};
const DIGITS = 12; // of the digest: enough to compare with what an operator publishes

/** Keep the program on this device, and say what became of it in the page's places for that. */
export async function tellProgram(address: string): Promise<void> {
  const standing = await keepProgram(address);
  if (standing === undefined) return;
  const [refused, about] = ["[data-program-refused]", "[data-program]"].map((place) => document.querySelector<HTMLElement>(place));
  if (about) about.textContent = aboutIt(standing);
  if (!refused || standing.outcome !== "refused") return;
  const reason = refused.querySelector("p");
  if (reason) reason.textContent = standing.reason === undefined ? "" : REASONS[standing.reason]();
  refused.hidden = false;
}

function aboutIt({ outcome, organisation, sinceMs, digest }: Standing): string {
  if (organisation === undefined || sinceMs === undefined || digest === undefined) return text("script.wallet.program-unkept");
  const known = text("script.wallet.program-kept", { organisation, day: day(sinceMs), digest: digest.slice(0, DIGITS) });
  return outcome === "taken" ? `${known} ${text("script.wallet.program-taken")}` : known;
}

/** Light or dark as it was chosen: whoever serves a page writes it there, but a kept page is written once for all. */
export function wearTheme(): void {
  const theme = /(?:^|; )theme=(light|dark)/.exec(document.cookie)?.[1];
  if (theme === undefined || document.documentElement.dataset["theme"] === theme) return;
  document.querySelector<HTMLElement>(`[data-theme-choice="${theme}"]`)?.click(); // the shell's own way
}
