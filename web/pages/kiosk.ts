// SPDX-License-Identifier: Apache-2.0
// The kiosk's screen: keys for figures, the countdown, and a look each second at where the session stands. The kiosk
// itself decides everything; without this script a page is stale until it is opened anew.

import { countDown } from "./countdown.js";
import { all } from "./elements.js";

const LOOK_MS = 1_000;
/** A touch is told so often at most. */
const TOUCH_MS = 5_000;
/** A side page of the start, which nobody ends by a card, goes back by itself. */
const HOME_MS = 55_000;

const root = document.querySelector<HTMLElement>("[data-kiosk]");

function entry(): HTMLInputElement | null {
  const active = document.activeElement;
  if (active instanceof HTMLInputElement && active.matches("[data-entry]")) return active;
  return last ?? document.querySelector<HTMLInputElement>("[data-entry]");
}

let last: HTMLInputElement | null = null;
let touchedAt = 0;

function press(button: HTMLElement): void {
  const field = entry();
  if (field === null) return;
  const key = button.dataset["key"];
  if (key !== undefined) {
    if (field.value.length < field.maxLength) field.value += key;
  } else {
    field.value = button.dataset["clear"] === undefined ? field.value.slice(0, -1) : "";
  }
}

async function tellTouch(token: string): Promise<void> {
  if (performance.now() - touchedAt < TOUCH_MS && touchedAt !== 0) return;
  touchedAt = performance.now();
  await fetch("/touch", { method: "POST", headers: { "X-CSRF-Token": token } }).catch(() => undefined);
}

async function look(mark: string): Promise<void> {
  try {
    const answer = await fetch("/now", { cache: "no-store" });
    const now = (await answer.json()) as { readonly turn: string };
    if (now.turn !== mark) location.replace("/");
  } catch {
    location.replace("/"); // the kiosk is gone: nothing of it may stay on the screen
  }
}

if (root !== null) {
  const mark = root.dataset["kiosk"] ?? "";
  const token = root.dataset["token"] ?? "";
  for (const keys of all<HTMLElement>("[data-keys]")) keys.hidden = false;
  for (const field of all<HTMLInputElement>("[data-entry]")) {
    field.addEventListener("focus", () => {
      last = field;
    });
  }
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-keys] button") : null;
    if (button !== null) press(button);
  });
  const counted = document.querySelector<HTMLElement>("[data-countdown]");
  if (counted !== null) {
    countDown(counted, () => location.replace("/"));
    for (const name of ["pointerdown", "keydown"] as const) document.addEventListener(name, () => void tellTouch(token));
  } else if (location.pathname !== "/") {
    setTimeout(() => location.replace("/"), HOME_MS);
  }
  setInterval(() => void look(mark), LOOK_MS);
}
