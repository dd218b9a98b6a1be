// SPDX-License-Identifier: Apache-2.0
// The wallet's answer: presentations, encrypted to the request's key where that is asked, posted once; or that its holder
// says no, or that the wallet can't show what was to be confirmed.
//
// Source: OpenID4VP 1.0: 8.2 (direct_post), 8.3 (encrypted responses), 8.5 (errors).

import { CompactEncrypt, importJWK, type JWK } from "jose";
import type { Asked } from "./request.js";
import { Failed, address, ask, fields, form, parseFields } from "./web.js";

const CIPHERS = ["A256GCM", "A128GCM"] as const;

/**
 * Post presentations.
 *
 * @param asked - The request.
 * @param presented - By id of the credential query.
 * @returns Where the verifier sends the holder; undefined: nowhere.
 * @throws Failed
 */
export async function respond(asked: Asked, presented: ReadonlyMap<string, string>): Promise<string | undefined> {
  const token = Object.fromEntries([...presented].map(([id, one]) => [id, [one]]));
  const state = asked.state === undefined ? {} : { state: asked.state };
  return post(
    asked,
    asked.isEncrypted
      ? { response: await encrypt(asked, { vp_token: token, ...state }) }
      : { vp_token: JSON.stringify(token), ...state },
  );
}

/** Tell the verifier that the holder does not want to, or that what was to be confirmed can't be shown here. */
export async function decline(
  asked: Asked,
  error: "access_denied" | "invalid_transaction_data" = "access_denied",
): Promise<string | undefined> {
  const state = asked.state === undefined ? {} : { state: asked.state };
  return post(asked, { error, ...state });
}

async function encrypt(asked: Asked, content: object): Promise<string> {
  const keys = fields(asked.metadata["jwks"])["keys"];
  const jwk = (Array.isArray(keys) ? (keys as JWK[]) : []).find(
    (one) => one.kty === "EC" && one.crv === "P-256" && one.use !== "sig" && one.alg === "ECDH-ES",
  );
  const taken = asked.metadata["encrypted_response_enc_values_supported"] ?? ["A128GCM"];
  const enc = CIPHERS.find((one) => Array.isArray(taken) && taken.includes(one));
  if (jwk === undefined || enc === undefined) throw new Failed("malformed");
  const header = { alg: "ECDH-ES", enc, ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) };
  return new CompactEncrypt(new TextEncoder().encode(JSON.stringify(content)))
    .setProtectedHeader(header)
    .encrypt(await importJWK({ ...jwk, ext: true }, "ECDH-ES"));
}

async function post(asked: Asked, values: Readonly<Record<string, string>>): Promise<string | undefined> {
  const { status, text } = await ask(new URL(asked.responseUri), form(values));
  if (status === 400 || status === 404 || status === 409) throw new Failed("expired");
  if (status !== 200) throw new Failed("refused");
  const target = text.trim() === "" ? undefined : parseFields(text)["redirect_uri"];
  return typeof target === "string" ? address(target).href : undefined;
}
