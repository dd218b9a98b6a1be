// SPDX-License-Identifier: Apache-2.0
// Passkeys: asks the service what to sign, the device to sign it, and the service whether that holds. The service
// decides everything; this file only carries bytes between the two, as base64url.

import { all } from "./elements.js";
import { text } from "./messages.js";
import { failed, fields, linkToken, onSubmit, post, say, Refused } from "./sign-in-form.js";
import type { Json, Problem } from "./sign-in-form.js";

function toBytes(words: string): ArrayBuffer {
  const binary = atob(words.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0)).buffer;
}

function toWords(bytes: ArrayBuffer): string {
  const binary = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

interface Descriptor {
  id: string;
  type: "public-key";
}

const known = (listed: unknown): PublicKeyCredentialDescriptor[] =>
  ((listed ?? []) as Descriptor[]).map(({ id, type }) => ({ id: toBytes(id), type }));

async function create(options: Json): Promise<Json> {
  const user = options["user"] as { id: string; name: string; displayName: string };
  const publicKey = {
    ...options,
    challenge: toBytes(options["challenge"] as string),
    user: { ...user, id: toBytes(user.id) },
    excludeCredentials: known(options["excludeCredentials"]),
  } as unknown as PublicKeyCredentialCreationOptions;
  const made = (await navigator.credentials.create({ publicKey })) as PublicKeyCredential;
  const response = made.response as AuthenticatorAttestationResponse;
  return {
    id: made.id,
    rawId: toWords(made.rawId),
    type: made.type,
    response: { clientDataJSON: toWords(response.clientDataJSON), attestationObject: toWords(response.attestationObject) },
  };
}

async function get(options: Json): Promise<Json> {
  const publicKey = {
    ...options,
    challenge: toBytes(options["challenge"] as string),
    allowCredentials: known(options["allowCredentials"]),
  } as unknown as PublicKeyCredentialRequestOptions;
  const given = (await navigator.credentials.get({ publicKey })) as PublicKeyCredential;
  const response = given.response as AuthenticatorAssertionResponse;
  return {
    id: given.id,
    rawId: toWords(given.rawId),
    type: given.type,
    response: {
      clientDataJSON: toWords(response.clientDataJSON),
      authenticatorData: toWords(response.authenticatorData),
      signature: toWords(response.signature),
    },
  };
}

function explained(error: unknown): Problem {
  if (error instanceof Refused) return error.problem;
  const title = text("script.sign-in.failed");
  if (error instanceof DOMException && error.name === "InvalidStateError") {
    return { title, detail: text("script.sign-in.known") };
  }
  if (error instanceof DOMException) return { title, detail: text("script.sign-in.cancelled") };
  throw error;
}

async function run(form: HTMLFormElement): Promise<void> {
  if (typeof PublicKeyCredential === "undefined") throw failed(text("script.sign-in.unsupported"));
  const path = form.dataset["path"] ?? "";
  const { first, second } = fields(form);
  const options = await post(`${path}/options`, first);
  const credential = form.dataset["ceremony"] === "create" ? await create(options) : await get(options);
  const { next } = await post(`${path}/verify`, { ...second, credential });
  location.assign(next as string);
}

async function look(card: HTMLElement): Promise<void> {
  const part = (name: string): HTMLElement | null => card.querySelector<HTMLElement>(name);
  for (const link of all<HTMLAnchorElement>("a[hreflang]")) link.hash = location.hash; // another language, the same link
  try {
    if (linkToken() === "") {
      throw failed(text("script.sign-in.no-link"));
    }
    const invited = await post("/join/look", { token: linkToken() });
    for (const place of all<HTMLElement>("[data-fill]", card)) {
      place.textContent = String(invited[place.dataset["fill"] ?? ""] ?? "");
    }
    part("[data-invited]")?.removeAttribute("hidden");
  } catch (error) {
    say(part("[data-refused]"), explained(error));
  }
  part("[data-looking]")?.remove();
}

for (const form of all<HTMLFormElement>("form[data-ceremony]")) onSubmit(form, () => run(form), explained);
for (const card of all<HTMLElement>("[data-join]")) void look(card);
