// SPDX-License-Identifier: Apache-2.0
// The desk by keyboard alone: `g` and a letter go to a place, Escape leaves a field first, Ctrl+Enter sends the page's
// form. Each also has a link or a button, so that nothing needs this file.

import { all } from "./elements.js";

/** A letter after `g` counts for so long: time to look for the key. */
const SEQUENCE_MS = 4_000;

/** What is on its way to the ledger is looked at again after so long: rounds of the service take a second. */
const AGAIN_MS = 2_000;

let wentAt = 0;

function isWriting(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.matches("input, select, textarea") || target.isContentEditable);
}

function go(key: string): void {
  for (const place of all<HTMLElement>("[data-go]")) {
    if (place.textContent?.trim() === key) location.assign(place.dataset["go"] ?? "/");
  }
}

/** Shows by itself what became of an act whose outcome nobody knew; not while somebody writes or looks elsewhere. */
function lookAgain(): void {
  if (document.hidden || isWriting(document.activeElement)) window.setTimeout(lookAgain, AGAIN_MS);
  else location.reload();
}

if (document.querySelector("[data-again]") !== null) window.setTimeout(lookAgain, AGAIN_MS);

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const own = event.target instanceof Element ? event.target.closest("form") : null;
    const form = own ?? document.querySelector<HTMLFormElement>("form[data-send]");
    if (form === null) return;
    event.preventDefault();
    form.requestSubmit(form.querySelector<HTMLButtonElement>("button[type=submit]"));
    return;
  }
  if (event.key === "Escape" && isWriting(event.target)) (event.target as HTMLElement).blur();
  if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
  if (event.key === "g") {
    wentAt = event.timeStamp;
  } else if (wentAt !== 0) {
    if (event.timeStamp - wentAt < SEQUENCE_MS) go(event.key);
    wentAt = 0;
  }
});
