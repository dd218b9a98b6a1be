// SPDX-License-Identifier: Apache-2.0
// A receipt that somebody brings along: as a file, as text, or as photos of its QR codes. The verifier is started when
// the page opens, so that the page needs no connection from then on; a service worker keeps it for later visits.

import { Checker, contentOf, offerPin, showFacts } from "./check-steps.js";
import { text } from "./messages.js";
import { Parts } from "./qr-parts.js";

const FILE_BYTES_MAX = 48 * 1024 * 1024; // the largest JSON form that the verifier reads
const PHOTOS_MAX = 16; // as many codes as one receipt has at most
const LINES_MAX = 16;

const checker = Checker.onPage();
const parts = new Parts();
const ready = document.querySelector<HTMLElement>("[data-standing]");
const shows = document.querySelector<HTMLElement>("[data-shows]");
const refused = document.querySelector<HTMLElement>("[data-refused]");

function say(words: string): void {
  if (ready !== null) ready.textContent = words;
}

/** A verdict never stands beside a receipt that it is not about. */
function forget(): void {
  checker.forget();
  if (shows !== null) shows.hidden = true;
  if (refused !== null) refused.hidden = true;
}

async function check(receipt: Uint8Array<ArrayBuffer> | string): Promise<void> {
  forget();
  const proven = await checker.check(receipt);
  const place = shows?.querySelector<HTMLElement>("[data-content]");
  if (shows === null || place === null || place === undefined) return;
  place.replaceChildren();
  shows.hidden = proven === undefined;
  if (refused !== null) refused.hidden = (proven?.failures.length ?? 0) === 0;
  if (proven !== undefined) showFacts(place, contentOf(proven));
  document.getElementById("verdict")?.scrollIntoView({ block: "nearest" });
}

/** A text, or the texts of several codes; checks the receipt once it is whole. */
async function take(texts: readonly string[]): Promise<void> {
  forget();
  for (const one of texts) {
    const joined = parts.take(one);
    if ("whole" in joined) {
      say("");
      return check(joined.whole);
    }
    say(text("script.check.part", { have: joined.have, count: joined.count }));
  }
}

async function readPhotos(input: HTMLInputElement): Promise<void> {
  forget();
  say(text("script.check.reading"));
  const texts: string[] = [];
  try {
    const { readPhoto } = await import("./qr-photo.js"); // most people bring no photo
    for (const photo of [...(input.files ?? [])].slice(0, PHOTOS_MAX)) {
      const found = await readPhoto(photo, input.dataset["reader"] ?? "");
      if (found !== undefined) texts.push(found.trim());
    }
  } catch {
    // Without a connection, in a browser that keeps no pages: what follows says that nothing was read.
  }
  input.value = ""; // the same photo may be chosen again
  if (texts.length === 0) say(text("script.check.qr-none"));
  else await take(texts);
}

/** Keep the page on this device; whether it is kept, as far as this browser says. */
async function keep(address: string, page: string): Promise<boolean> {
  try {
    await navigator.serviceWorker.register(address, { scope: page, updateViaCache: "none" });
    return (await navigator.serviceWorker.ready).active !== null;
  } catch {
    return false; // no workers here: a private window, an in-app browser, or no secure connection
  }
}

async function start(form: HTMLFormElement | null): Promise<void> {
  say(text("script.check.loading"));
  try {
    await checker.open();
  } catch {
    say(text("script.check.genesis"));
    return;
  }
  say(text("script.check.ready"));
  const address = form?.dataset["offline"];
  if (address !== undefined && (await keep(address, location.pathname))) {
    if (ready?.textContent === text("script.check.ready")) say(text("script.check.ready-offline"));
    document.documentElement.dataset["kept"] = "yes";
  }
}

const file = document.querySelector<HTMLInputElement>("#receipt-file");
file?.addEventListener("change", async () => {
  const chosen = file.files?.[0];
  if (chosen === undefined) return;
  await check(new Uint8Array(await chosen.slice(0, FILE_BYTES_MAX).arrayBuffer()));
});

const photo = document.querySelector<HTMLInputElement>("#receipt-photo");
photo?.addEventListener("change", () => void readPhotos(photo));

const area = document.querySelector<HTMLTextAreaElement>("#receipt-text");
// Without scripts the form does not show: it would send to the server what must not leave the device.
const form = document.querySelector<HTMLFormElement>("#check-form");
if (form !== null) form.hidden = false;
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const words = area?.value.trim() ?? "";
  if (words === "") return;
  const lines = words.split(/\s*\n\s*/, LINES_MAX + 1);
  void take(lines.length <= LINES_MAX && lines.every((line) => line.startsWith("ZX1/")) ? lines : [words]);
});

offerPin();
void start(form);
