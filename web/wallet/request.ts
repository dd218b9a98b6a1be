// SPDX-License-Identifier: Apache-2.0
// What a verifier asks: fetched, its signature checked against the name it goes by, its query matched with what is held.
//
// Source: OpenID4VP 1.0: 5 (request), 5.9.3 (x509_hash), 5.10 (request_uri_method), 6 (DCQL); RFC 9101.

import { DcqlQuery } from "dcql";
import { base64url, compactVerify, decodeProtectedHeader } from "jose";
import { publicKeyOf } from "./certificate.js";
import { told, type Held, type Path } from "./sd-jwt.js";
import { Failed, address, ask, fields, form, parseFields, textOf, type Fields } from "./web.js";

const REQUEST_TYPE = "oauth-authz-req+jwt";
const AUDIENCE = "https://self-issued.me/v2";
const HASHED = "x509_hash:";
const SKEW_S = 60;
const QUESTIONS_MAX = 4;

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
  readonly expiresS: number;
}

export function isRequest(link: string): boolean {
  return /[?&]request_uri=/.test(link) && /[?&]client_id=/.test(link);
}

/**
 * Fetch a request and check who signed it.
 *
 * @param link - As a QR code or a page holds it: `openid4vp://?client_id=…&request_uri=…`.
 * @param nowMs - Unix time.
 * @throws Failed
 */
export async function readRequest(link: string, nowMs: number): Promise<Asked> {
  const query = new URLSearchParams(link.slice(link.indexOf("?") + 1));
  const client = query.get("client_id") ?? "";
  const uri = address(query.get("request_uri") ?? "");
  if (!client.startsWith(HASHED)) throw new Failed("untrusted");
  const isPost = query.get("request_uri_method") === "post";
  const walletNonce = base64url.encode(crypto.getRandomValues(new Uint8Array(16)));
  const { status, text } = await ask(uri, isPost ? form({ wallet_nonce: walletNonce }) : {});
  if (status === 400 || status === 404 || status === 410) throw new Failed("expired");
  if (status !== 200) throw new Failed("refused");
  const { payload, certificate, publicKey } = await verified(text.trim(), client);
  const at = nowMs / 1000;
  const expiresS = Number(payload["exp"] ?? 0);
  if (payload["client_id"] !== client || payload["aud"] !== AUDIENCE) throw new Failed("untrusted");
  if (isPost && payload["wallet_nonce"] !== walletNonce) throw new Failed("untrusted");
  if (!(expiresS > at - SKEW_S)) throw new Failed("expired");
  if (payload["response_type"] !== "vp_token") throw new Failed("malformed");
  const mode = textOf(payload, "response_mode");
  if (mode !== "direct_post" && mode !== "direct_post.jwt") throw new Failed("malformed");
  const responseUri = address(textOf(payload, "response_uri"));
  if (responseUri.origin !== uri.origin) throw new Failed("untrusted");
  const state = payload["state"];
  const info = payload["verifier_info"];
  return {
    audience: client,
    certificate,
    publicKey,
    nonce: textOf(payload, "nonce"),
    state: typeof state === "string" ? state : undefined,
    responseUri: responseUri.href,
    isEncrypted: mode === "direct_post.jwt",
    metadata: fields(payload["client_metadata"] ?? {}),
    query: queryOf(payload["dcql_query"]),
    info: Array.isArray(info) ? info.map(fields) : [],
    expiresS,
  };
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

function queryOf(value: unknown): DcqlQuery {
  try {
    const query = DcqlQuery.parse(value as DcqlQuery.Input);
    DcqlQuery.validate(query);
    if (query.credentials.length > QUESTIONS_MAX) throw new Error("too many");
    return query;
  } catch {
    throw new Failed("malformed");
  }
}

/**
 * Which of the held credentials answer, and with which claims: of each set that the verifier would take the first that
 * can be given, in their order. Where several do, the holder chooses.
 *
 * @param query - What is asked.
 * @param held - By the wallet's own id, in the order in which they are proposed.
 * @returns By id of the credential query, at least one each; undefined where what is held does not answer.
 */
export function match(
  query: DcqlQuery,
  held: ReadonlyMap<string, Held>,
): ReadonlyMap<string, readonly Wanted[]> | undefined {
  const ids = [...held.keys()];
  const found = DcqlQuery.query(
    query,
    [...held.values()].map((one) => ({
      credential_format: "dc+sd-jwt" as const,
      vct: String(one.payload["vct"]),
      cryptographic_holder_binding: true,
      claims: one.claims as never,
    })),
  );
  if (!found.can_be_satisfied) return undefined;
  const wanted = new Map<string, readonly Wanted[]>();
  for (const id of chosen(query, found)) {
    const asked = query.credentials.find((each) => each.id === id);
    const answer = found.credential_matches[id];
    if (asked?.format !== "dc+sd-jwt" || answer?.success !== true) return undefined;
    const all = asked.claims ?? [];
    wanted.set(
      id,
      answer.valid_credentials.map((one) => {
        const card = ids[one.input_credential_index] ?? "";
        const set = one.claims.valid_claim_sets[0]?.valid_claim_indexes;
        const claims = set === undefined ? all : all.filter((_, i) => set.includes(i));
        return { id: card, type: String(held.get(card)?.payload["vct"]), paths: claims.map(({ path }) => pathOf(path)) };
      }),
    );
  }
  return wanted.size === 0 ? undefined : wanted;
}

/** A claim's path; elements of a list go together. */
function pathOf(path: readonly unknown[]): Path {
  const names = path[path.length - 1] === null ? path.slice(0, -1) : path;
  if (!names.every((part) => typeof part === "string")) throw new Failed("malformed");
  return names as Path;
}

type Answer = ReturnType<typeof DcqlQuery.query>;

/** Ids of the credential queries to answer: all, or of each required set the first that can be answered whole. */
function chosen(query: DcqlQuery, found: Answer): readonly string[] {
  const sets = query.credential_sets;
  if (sets === undefined) return query.credentials.map(({ id }) => id);
  const can = (id: string): boolean => found.credential_matches[id]?.success === true;
  const ids = sets.filter(({ required }) => required).flatMap(({ options }) => options.find((one) => one.every(can)) ?? []);
  return [...new Set(ids)];
}

/** Claims that are shown of a credential: those asked for, and those that nobody can keep back. */
export function disclosed(held: Held, paths: readonly Path[]): Path[] {
  const always = told(held)
    .map(([name]) => [name])
    .filter((path) => held.needed.get(JSON.stringify(path))?.size === 0);
  const keys = new Set([...paths, ...always].map((path) => JSON.stringify(path)));
  return [...keys].map((key) => JSON.parse(key) as Path);
}
