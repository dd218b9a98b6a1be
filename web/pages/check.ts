// SPDX-License-Identifier: Apache-2.0
// A receipt that somebody brings along: as a file, as text, or as a photo of its QR code. The verifier is started when
// the page opens, so that the page needs no connection from then on.

import { Checker, contentOf, offerPin, showFacts } from "./check-steps.js";
import { text } from "./messages.js";

const FILE_BYTES_MAX = 48 * 1024 * 1024; // the largest JSON form that the verifier reads

interface Detector {
  detect(image: ImageBitmap): Promise<readonly { readonly rawValue: string }[]>;
}
type DetectorClass = (new (options: { formats: string[] }) => Detector) & { getSupportedFormats(): Promise<string[]> };

const checker = Checker.onPage();
const ready = document.querySelector<HTMLElement>("[data-standing]");
const shows = document.querySelector<HTMLElement>("[data-shows]");

function say(key: string): void {
  if (ready !== null) ready.textContent = text(key);
}

async function check(receipt: Uint8Array<ArrayBuffer> | string): Promise<void> {
  const proven = await checker.check(receipt);
  const place = shows?.querySelector<HTMLElement>("[data-content]");
  if (shows === null || place === null || place === undefined) return;
  place.replaceChildren();
  shows.hidden = proven === undefined;
  const refused = document.querySelector<HTMLElement>("[data-refused]");
  if (refused !== null) refused.hidden = (proven?.failures.length ?? 0) === 0;
  if (proven !== undefined) showFacts(place, contentOf(proven));
  document.getElementById("verdict")?.scrollIntoView({ block: "nearest" });
}

/** QR codes are read where the browser itself can; no reader is bundled. */
async function offerPhoto(): Promise<void> {
  const made = (globalThis as { BarcodeDetector?: DetectorClass }).BarcodeDetector;
  const canRead = made !== undefined && (await made.getSupportedFormats()).includes("qr_code");
  const place = document.querySelector<HTMLElement>(canRead ? "[data-photo]" : "[data-no-photo]");
  if (place !== null) place.hidden = false;
  if (!canRead) return;
  const detector = new made({ formats: ["qr_code"] });
  const input = document.querySelector<HTMLInputElement>("#receipt-photo");
  input?.addEventListener("change", async () => {
    const file = input.files?.[0];
    if (file === undefined) return;
    try {
      const [found] = await detector.detect(await createImageBitmap(file));
      if (found === undefined) say("script.check.qr-none");
      else await check(found.rawValue.trim());
    } catch {
      say("script.check.qr-none"); // no picture at all
    }
  });
}

const file = document.querySelector<HTMLInputElement>("#receipt-file");
file?.addEventListener("change", async () => {
  const chosen = file.files?.[0];
  if (chosen === undefined) return;
  await check(new Uint8Array(await chosen.slice(0, FILE_BYTES_MAX).arrayBuffer()));
});

const area = document.querySelector<HTMLTextAreaElement>("#receipt-text");
// Without scripts the form does not show: it would send to the server what must not leave the device.
const form = document.querySelector<HTMLFormElement>("#check-form");
if (form !== null) form.hidden = false;
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const words = area?.value.trim() ?? "";
  if (words !== "") void check(words);
});

offerPin();
void offerPhoto();
say("script.check.loading");
checker.open().then(
  () => say("script.check.ready"),
  () => say("script.check.genesis"),
);
