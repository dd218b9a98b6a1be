// SPDX-License-Identifier: Apache-2.0
// The wallet's views: one of them shows at a time.

import { all } from "./elements.js";

export type View = "home" | "offer" | "ask" | "done" | "card" | "code" | "accesses" | "failed";

export const root = found("#wallet");

export function found(selector: string, within: ParentNode = document): HTMLElement {
  const one = within.querySelector<HTMLElement>(selector);
  if (one === null) throw new Error(`the page has no ${selector}`);
  return one;
}

export const view = (name: View): HTMLElement => found(`[data-view="${name}"]`);
export const inView = (name: View, selector: string): HTMLElement => found(selector, view(name));

export function open(name: View): void {
  for (const one of all<HTMLElement>("[data-view]", root)) one.hidden = one.dataset["view"] !== name;
  if (!root.hidden) inView(name, "h1").focus({ preventScroll: true }); // the page has just been opened: nothing changed yet
  root.hidden = false;
  window.scrollTo(0, 0);
}

export function say(name: View, words: string): void {
  inView(name, "[data-standing]").textContent = words;
}
