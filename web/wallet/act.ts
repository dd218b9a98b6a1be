// SPDX-License-Identifier: Apache-2.0
// Acts in the data space, each signed together with what it does: by a key of this device, or by the card itself.
//
// Source: docs/my-data.md; identity/api/space/acts.py.

import { nonceOf } from "./receive.js";
import { digest, present, type Held } from "./sd-jwt.js";
import { Failed, address, ask, parseFields, textOf, type Fields } from "./web.js";

/** What somebody does; `do` names it. */
export type What = Readonly<Record<string, unknown>>;

/** Where a registrar's service takes acts, with a fresh nonce. */
export interface Asking {
  readonly endpoint: URL;
  readonly nonce: string;
}

/**
 * Ask a registrar's service for a nonce.
 *
 * @throws Failed
 */
export async function askingOf(issuer: string): Promise<Asking> {
  const metadata = await ask(new URL("/.well-known/openid-credential-issuer", address(issuer)));
  if (metadata.status !== 200) throw new Failed("refused");
  const described = parseFields(metadata.text);
  const endpoint = address(textOf(described, "data_space_endpoint"));
  if (endpoint.origin !== new URL(issuer).origin) throw new Failed("untrusted");
  return { endpoint, nonce: await nonceOf(textOf(described, "nonce_endpoint")) };
}

/** Send a signed act, and read what it answers. */
export async function send(endpoint: URL, body: Fields): Promise<Fields> {
  const headers = { "content-type": "application/json" };
  const answer = await ask(endpoint, { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.status !== 200) throw new Failed(answer.status === 503 ? "offline" : "refused");
  return parseFields(answer.text);
}

/**
 * Sign an act with a copy's key and send it to its issuer's data space.
 *
 * @param held - A copy of a credential.
 * @param key - That copy's.
 * @param issuer - Who issued it.
 * @param what - The act.
 * @param nowMs - Unix time.
 * @throws Failed
 */
export async function act(held: Held, key: CryptoKey, issuer: string, what: What, nowMs: number): Promise<Fields> {
  const { endpoint, nonce } = await askingOf(issuer);
  const text = JSON.stringify(what);
  const more = { act_hash: await digest(text) };
  const presentation = await present(held, [], key, issuer, nonce, Math.floor(nowMs / 1000), more);
  return send(endpoint, { presentation, nonce, act: text });
}
