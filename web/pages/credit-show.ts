// SPDX-License-Identifier: Apache-2.0
// The holder's page that hands out a report: their key signs it for one reader and one purpose; it becomes a file, and,
// sealed under a key that stands in the link alone, what a link or a QR code opens.

import { fromHex, type Bytes } from "../verify/src/bytes.js";
import { makeFile, toBase64 } from "../score/shown.js";
import { all } from "./elements.js";
import { compressed, keptKey } from "./holder-key.js";
import { text } from "./messages.js";
import { picture } from "./wallet-code.js";

const NONCE_BYTES = 32;

const fromBase64 = (words: string): Bytes => Uint8Array.from(atob(words), (character) => character.charCodeAt(0));
const toBase64Url = (data: Bytes): string =>
  toBase64(data).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

class Refused extends Error {}

async function post(path: string, body: object): Promise<Record<string, string>> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Refused(text("script.credit.offline"));
  }
  const found = (await answer.json()) as Record<string, string>;
  if (!answer.ok) throw new Refused([found["title"], found["detail"]].join(". "));
  return found;
}

/** The report for a reader, signed by the holder's key, as the file that they are given. */
async function made(place: HTMLElement): Promise<{ id: string; file: Uint8Array<ArrayBuffer> }> {
  const { audience = "", purpose = "" } = place.dataset;
  const pair = await keptKey();
  if (pair === null) throw new Refused(text("script.credit.no-key"));
  const found = await post("/me/shown", { audience, purpose });
  const network = fromHex(place.dataset["network"] ?? "");
  if (network === null) throw new Error("the page names no network");
  const holder = fromHex(await compressed(pair.publicKey));
  if (holder === null) throw new Error("a key has 33 bytes");
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const shown = { report: fromBase64(found["report"] ?? ""), audience, purpose, nonce, atMs: Date.now(), holder };
  const sign = async (message: Bytes): Promise<Bytes> =>
    new Uint8Array(
      await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, new Uint8Array(message)),
    );
  const file = new TextEncoder().encode(await makeFile(shown, network, sign, found));
  return { id: found["id"] ?? "", file };
}

/** What a link opens: the service keeps it sealed, and the link's last part opens it. */
async function linked(id: string, file: Uint8Array<ArrayBuffer>): Promise<string> {
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt"]);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, file));
  const whole = new Uint8Array(iv.length + sealed.length);
  whole.set(iv);
  whole.set(sealed, iv.length);
  const { link = "" } = await post(`/me/shown/${id}/link`, { sealed: toBase64(whole) });
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", key));
  return `${link}#${id}.${toBase64Url(raw)}`;
}

function offer(place: HTMLElement, file: Uint8Array<ArrayBuffer>): void {
  const save = place.querySelector<HTMLAnchorElement>("a[data-file]");
  if (save === null) return;
  save.href = URL.createObjectURL(new Blob([file], { type: "application/json" }));
  const result = place.querySelector<HTMLElement>("[data-made]");
  if (result !== null) result.hidden = false;
  for (const before of all<HTMLElement>("[data-given]")) before.hidden = true; // it lacks this one until the next visit
}

function offerLink(place: HTMLElement, link: string): void {
  const part = place.querySelector<HTMLElement>("[data-linked]");
  if (part === null) return;
  for (const code of all<HTMLElement>("[data-code]", part)) code.replaceChildren(picture(link, text("script.credit.code-alt")));
  for (const field of all<HTMLInputElement>("input[data-link]", part)) field.value = link;
  for (const copy of all<HTMLButtonElement>("[data-copy-link]", part)) {
    copy.addEventListener("click", () => {
      void navigator.clipboard.writeText(link).then(() => {
        copy.textContent = text("script.credit.copied");
      });
    });
  }
  part.hidden = false;
}

async function hand(place: HTMLElement, button: HTMLButtonElement): Promise<void> {
  const wrong = place.querySelector<HTMLElement>("[data-wrong]");
  const words = wrong?.querySelector<HTMLElement>("[data-why]");
  const fail = (error: unknown): void => {
    if (words) words.textContent = error instanceof Refused ? error.message : text("script.credit.show-failed");
    if (wrong) wrong.hidden = false;
  };
  button.disabled = true;
  if (wrong) wrong.hidden = true;
  try {
    const { id, file } = await made(place);
    offer(place, file);
    button.hidden = true;
    await linked(id, file).then((link) => offerLink(place, link), fail); // the file is there either way
    place.querySelector<HTMLElement>("[data-made]")?.scrollIntoView({ block: "nearest" });
  } catch (error) {
    fail(error);
    button.disabled = false;
  }
}

const place = document.querySelector<HTMLElement>("[data-show]");
const button = place?.querySelector<HTMLButtonElement>("[data-sign]");
if (place && button) {
  button.disabled = false;
  button.addEventListener("click", () => void hand(place, button));
}
