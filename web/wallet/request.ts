// SPDX-License-Identifier: Apache-2.0
// What a verifier asks: fetched, its signature checked against the name it goes by, its query matched with what is held.
//
// Source: OpenID4VP 1.0: 5 (request), 5.9.3 (x509_hash), 5.10 (request_uri_method), 6 (DCQL); RFC 9101.

import type { DcqlQuery } from "dcql";
import { base64url, compactVerify, decodeProtectedHeader } from "jose";
import { publicKeyOf } from "./certificate.js";
import type { Fetched } from "./opening.js";
import { told, type Held, type Path } from "./sd-jwt.js";
import { readConfirmed, type Confirmed } from "./transaction.js";
import { Failed, address, fields, parseFields, textOf, type Fields } from "./web.js";

const REQUEST_TYPE = "oauth-authz-req+jwt";
const AUDIENCE = "https://self-issued.me/v2";
const HASHED = "x509_hash:";
const SKEW_S = 60;

/** One credential that is asked for, with the claims that would be shown of it. */
export interface Wanted {
  readonly id: string;
  readonly type: string;
  readonly paths: readonly Path[];
}

/** A request, proven to come from whom it says. */
export interface Asked {
  /** The verifier's name, which the answer is made for. */
  readonly audience: string;
  /** SHA-256 of the certificate, base64url. */
  readonly certificate: string;
  readonly publicKey: CryptoKey;
  readonly nonce: string;
  readonly state: string | undefined;
  readonly responseUri: string;
  readonly isEncrypted: boolean;
  readonly metadata: Fields;
  readonly query: DcqlQuery;
  readonly info: readonly Fields[];
  /** What the holder confirms by answering; undefined: nothing. */
  readonly confirmed: Confirmed | undefined;
  /** Why what was to be confirmed can't be shown, so that nothing is signed; undefined: it can. */
  readonly unfit: Failed | undefined;
  readonly expiresS: number;
}

/**
 * Read a request and check who signed it.
 *
 * @param fetched - As it came.
 * @param nowMs - Unix time.
 * @throws Failed
 */
export async function readRequest({ client, origin, walletNonce, token }: Fetched, nowMs: number): Promise<Asked> {
  if (!client.startsWith(HASHED)) throw new Failed("untrusted");
  const { payload, certificate, publicKey } = await verified(token, client);
  const at = nowMs / 1000;
  const expiresS = Number(payload["exp"] ?? 0);
  if (payload["client_id"] !== client || payload["aud"] !== AUDIENCE) throw new Failed("untrusted");
  if (walletNonce !== undefined && payload["wallet_nonce"] !== walletNonce) throw new Failed("untrusted");
  if (!(expiresS > at - SKEW_S)) throw new Failed("expired");
  if (payload["response_type"] !== "vp_token") throw new Failed("malformed");
  const mode = textOf(payload, "response_mode");
  if (mode !== "direct_post" && mode !== "direct_post.jwt") throw new Failed("malformed");
  const responseUri = address(textOf(payload, "response_uri"));
  if (responseUri.origin !== origin) throw new Failed("untrusted");
  const state = payload["state"];
  const info = payload["verifier_info"];
  const { queryOf } = await import("./query.js"); // large, and nothing else on the page needs it
  const dcql = queryOf(payload["dcql_query"]);
  return {
    audience: client,
    certificate,
    publicKey,
    nonce: textOf(payload, "nonce"),
    state: typeof state === "string" ? state : undefined,
    responseUri: responseUri.href,
    isEncrypted: mode === "direct_post.jwt",
    metadata: fields(payload["client_metadata"] ?? {}),
    query: dcql,
    info: Array.isArray(info) ? info.map(fields) : [],
    ...confirmedIn(payload, dcql.credentials.map(({ id }) => id)),
    expiresS,
  };
}

/** What is to be confirmed, or why it can't be: who asks is told so once they are proven. */
function confirmedIn(payload: Fields, ids: readonly string[]): Pick<Asked, "confirmed" | "unfit"> {
  try {
    return { confirmed: readConfirmed(payload["transaction_data"], ids), unfit: undefined };
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    return { confirmed: undefined, unfit: error };
  }
}

async function verified(
  token: string,
  client: string,
): Promise<{ payload: Fields; certificate: string; publicKey: CryptoKey }> {
  try {
    const { typ, alg, x5c, crit } = decodeProtectedHeader(token);
    const leaf = x5c?.[0];
    if (typ !== REQUEST_TYPE || alg !== "ES256" || crit !== undefined || leaf === undefined) throw new Error("header");
    const der = Uint8Array.from(atob(leaf), (character) => character.charCodeAt(0));
    const certificate = base64url.encode(new Uint8Array(await crypto.subtle.digest("SHA-256", der)));
    if (HASHED + certificate !== client) throw new Error("another certificate");
    const publicKey = await publicKeyOf(der);
    const { payload } = await compactVerify(token, publicKey, { algorithms: ["ES256"] });
    return { payload: parseFields(new TextDecoder().decode(payload)), certificate, publicKey };
  } catch {
    throw new Failed("untrusted");
  }
}

/** Claims that are shown of a credential: those asked for, and those that nobody can keep back. */
export function disclosed(held: Held, paths: readonly Path[]): Path[] {
  const always = told(held)
    .map(([name]) => [name])
    .filter((path) => held.needed.get(JSON.stringify(path))?.size === 0);
  const keys = new Set([...paths, ...always].map((path) => JSON.stringify(path)));
  return [...keys].map((key) => JSON.parse(key) as Path);
}
