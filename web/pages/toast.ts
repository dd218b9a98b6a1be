// SPDX-License-Identifier: Apache-2.0
// Short words about what has just happened. Good news leaves by itself, bad news stays until it is closed.

import { ALERT, CHECK, CROSS, element, sign } from "./elements.js";
import { text } from "./messages.js";

const STAY_MS = 6000; // long enough to read twelve words twice
const SHOWN_MAX = 4; // more would cover the page; the oldest leaves

export function toast(words: string, kind: "good" | "bad" = "good"): void {
  const region = document.getElementById("toasts");
  if (region === null) return;
  const close = element("button", { type: "button", "aria-label": text("script.shell.close") }, sign(CROSS));
  const shown = element("div", { class: `toast ${kind}` }, sign(kind === "good" ? CHECK : ALERT), element("span", {}, words), close);
  close.addEventListener("click", () => shown.remove());
  region.append(shown);
  while (region.childElementCount > SHOWN_MAX) region.firstElementChild?.remove();
  if (kind === "bad") return;
  let leaving = setTimeout(() => shown.remove(), STAY_MS);
  const stay = (): void => clearTimeout(leaving);
  const leave = (): void => {
    stay();
    leaving = setTimeout(() => shown.remove(), STAY_MS);
  };
  shown.addEventListener("pointerenter", stay);
  shown.addEventListener("focusin", stay);
  shown.addEventListener("pointerleave", leave);
  shown.addEventListener("focusout", leave);
}
