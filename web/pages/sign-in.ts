// SPDX-License-Identifier: Apache-2.0
// Passkeys: asks the service what to sign, the device to sign it, and the service whether that holds. The service
// decides everything; this file only carries bytes between the two, as base64url.

import { all } from "./elements.js";
import { text } from "./messages.js";

type Json = Record<string, unknown>;
interface Problem {
  title: string;
  detail: string;
}

class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title);
  }
}

function toBytes(words: string): ArrayBuffer {
  const binary = atob(words.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0)).buffer;
}

function toWords(bytes: ArrayBuffer): string {
  const binary = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

async function post(path: string, body: Json): Promise<Json> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Refused({ title: text("script.sign-in.failed"), detail: text("script.sign-in.offline") });
  }
  const answer = (await response.json()) as Json;
  if (!response.ok) throw new Refused(answer as unknown as Problem);
  return answer;
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

function say(notice: HTMLElement | null, problem: Problem): void {
  if (notice === null) return;
  for (const part of all<HTMLElement>("[data-title]", notice)) part.textContent = problem.title;
  for (const part of all<HTMLElement>("[data-detail]", notice)) part.textContent = problem.detail;
  notice.hidden = false;
}

const linkToken = (): string => location.hash.slice(1);

async function run(form: HTMLFormElement): Promise<void> {
  const path = form.dataset["path"] ?? "";
  const token = path === "/join" ? { token: linkToken() } : {};
  const shown = form.dataset["digest"] === undefined ? {} : { shown: form.dataset["digest"] };
  const options = await post(`${path}/options`, { ...token, ...shown });
  const name = form.querySelector<HTMLInputElement>("input[name=name]")?.value;
  const credential = form.dataset["ceremony"] === "create" ? await create(options) : await get(options);
  const back = form.dataset["back"] ? { next: form.dataset["back"] } : {};
  const named = name === undefined ? {} : { name };
  const { next } = await post(`${path}/verify`, { ...token, ...back, ...named, credential });
  location.assign(next as string);
}

function enhance(form: HTMLFormElement): void {
  const notice = form.querySelector<HTMLElement>("[data-outcome]");
  const button = form.querySelector<HTMLButtonElement>("button[type=submit]");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (button === null || button.getAttribute("aria-busy") === "true") return;
    if (notice !== null) notice.hidden = true;
    if (typeof PublicKeyCredential === "undefined") {
      say(notice, { title: text("script.sign-in.failed"), detail: text("script.sign-in.unsupported") });
      return;
    }
    button.setAttribute("aria-busy", "true");
    run(form)
      .catch((error: unknown) => say(notice, explained(error)))
      .finally(() => button.removeAttribute("aria-busy"));
  });
}

async function look(card: HTMLElement): Promise<void> {
  const part = (name: string): HTMLElement | null => card.querySelector<HTMLElement>(name);
  for (const link of all<HTMLAnchorElement>("a[hreflang]")) link.hash = location.hash; // another language, the same link
  try {
    if (linkToken() === "") {
      throw new Refused({ title: text("script.sign-in.failed"), detail: text("script.sign-in.no-link") });
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

for (const form of all<HTMLFormElement>("form[data-ceremony]")) enhance(form);
for (const card of all<HTMLElement>("[data-join]")) void look(card);
