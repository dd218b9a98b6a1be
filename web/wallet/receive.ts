// SPDX-License-Identifier: Apache-2.0
// Taking credentials that a desk offers: the pre-authorised code, digits told apart from it, a batch of one-time copies.
//
// Source: OpenID4VCI 1.0: 4.1 (offer), 6 (token), 7 (nonce), 8 and appendix F.1 (proofs), 12.2 (metadata).

import { SignJWT, compactVerify, decodeProtectedHeader, exportJWK, importJWK, type JWK } from "jose";
import { isObject, read, type Held } from "./sd-jwt.js";
import type { Card, Copy } from "./store.js";
import { Failed, address, ask, fields, form, parseFields, textOf, type Fields } from "./web.js";

const GRANT = "urn:ietf:params:oauth:grant-type:pre-authorized_code";
const COPIES_WANTED = 10; // a copy for each time that it is shown, for some weeks
const SKEW_S = 300;

/** What somebody offers. */
export interface Offer {
  readonly issuer: string;
  readonly configuration: string;
  readonly type: string;
  readonly code: string;
  /** How many digits the issuer told its holder apart from the offer; 0: none. */
  readonly digits: number;
  readonly tokenEndpoint: string;
  readonly nonceEndpoint: string;
  readonly credentialEndpoint: string;
  readonly copies: number;
}

export function isOffer(link: string): boolean {
  return /[?&]credential_offer(_uri)?=/.test(link);
}

async function getJson(url: URL): Promise<Fields> {
  const { status, text } = await ask(url);
  if (status === 404 || status === 410) throw new Failed("expired");
  if (status !== 200) throw new Failed("refused");
  return parseFields(text);
}

/** Where an identifier's metadata stands: the name goes between host and path. */
function known(issuer: URL, name: string): URL {
  return new URL(`/.well-known/${name}${issuer.pathname === "/" ? "" : issuer.pathname}`, issuer);
}

/**
 * Read an offer, and what its issuer says of itself.
 *
 * @param link - As a QR code or a page holds it.
 * @throws Failed
 */
export async function readOffer(link: string): Promise<Offer> {
  const query = new URLSearchParams(link.slice(link.indexOf("?") + 1));
  const whole = query.get("credential_offer");
  const offer = whole !== null ? parseFields(whole) : await getJson(address(query.get("credential_offer_uri") ?? ""));
  const issuer = address(textOf(offer, "credential_issuer"));
  const named = offer["credential_configuration_ids"];
  const configuration: unknown = Array.isArray(named) ? named[0] : undefined;
  if (typeof configuration !== "string") throw new Failed("malformed");
  const grant = fields(fields(offer["grants"])[GRANT]);
  const [metadata, server] = await Promise.all([
    getJson(known(issuer, "openid-credential-issuer")),
    getJson(known(issuer, "oauth-authorization-server")),
  ]);
  if (textOf(metadata, "credential_issuer") !== textOf(offer, "credential_issuer")) throw new Failed("untrusted");
  const described = fields(fields(metadata["credential_configurations_supported"])[configuration]);
  if (described["format"] !== "dc+sd-jwt") throw new Failed("malformed");
  const batch = metadata["batch_credential_issuance"];
  const most = isObject(batch) && typeof batch["batch_size"] === "number" ? batch["batch_size"] : 1;
  const told = grant["tx_code"];
  const endpoint = (from: Fields, name: string): string => {
    const url = address(textOf(from, name));
    if (url.origin !== issuer.origin) throw new Failed("untrusted");
    return url.href;
  };
  return {
    issuer: textOf(metadata, "credential_issuer"),
    configuration,
    type: textOf(described, "vct"),
    code: textOf(grant, "pre-authorized_code"),
    digits: isObject(told) ? (typeof told["length"] === "number" ? told["length"] : 6) : 0,
    tokenEndpoint: endpoint(server, "token_endpoint"),
    nonceEndpoint: endpoint(metadata, "nonce_endpoint"),
    credentialEndpoint: endpoint(metadata, "credential_endpoint"),
    copies: Math.max(1, Math.min(most, COPIES_WANTED)),
  };
}

/** The protocol's code of an error; undefined where the answer has none. */
function codeOf(text: string): unknown {
  try {
    return parseFields(text)["error"];
  } catch {
    return undefined;
  }
}

/** An error of the protocol, as the page has words for it. */
function refused(text: string): Failed {
  const code = codeOf(text);
  if (code === "invalid_grant") return new Failed("digits");
  return code === "temporarily_unavailable" ? new Failed("offline") : new Failed("refused", String(code ?? ""));
}

/**
 * Take what is offered: makes the keys, proves them, checks what comes.
 *
 * @param offer - See `readOffer`.
 * @param digits - What the desk told its holder.
 * @param nowMs - Unix time.
 * @throws Failed; "digits": they were not the offer's, and few tries remain.
 */
export async function accept(offer: Offer, digits: string, nowMs: number): Promise<{ card: Card; copies: Copy[] }> {
  const token = await ask(
    new URL(offer.tokenEndpoint),
    form({ grant_type: GRANT, "pre-authorized_code": offer.code, ...(digits === "" ? {} : { tx_code: digits }) }),
  );
  if (token.status !== 200) throw refused(token.text);
  const access = textOf(parseFields(token.text), "access_token");
  let { keys, answer } = await request(offer, access, offer.copies, nowMs);
  if (answer.status === 400 && keys.length > 1 && codeOf(answer.text) === "invalid_credential_request") {
    ({ keys, answer } = await request(offer, access, 1, nowMs)); // an offer may be of fewer copies than its issuer makes
  }
  if (answer.status !== 200) throw refused(answer.text);
  const issued = parseFields(answer.text)["credentials"];
  if (!Array.isArray(issued) || issued.length !== keys.length) throw new Failed("malformed");
  const keysOfIssuer = await issuerKeys(offer.issuer);
  const id = crypto.randomUUID();
  const copies: Copy[] = [];
  let first: Held | undefined;
  for (const one of issued) {
    const text = textOf(fields(one), "credential");
    const held = await read(text).catch(() => {
      throw new Failed("malformed");
    });
    const key = keys[copies.length];
    if (key === undefined || !(await isBoundTo(held, key))) throw new Failed("forged");
    if (!isSound(held, offer, nowMs) || !(await isSignedBy(held, keysOfIssuer))) throw new Failed("forged");
    first ??= held;
    copies.push({ id: crypto.randomUUID(), card: id, token: text, key: key.privateKey, shown: 0 });
  }
  if (first === undefined) throw new Failed("malformed");
  const card = {
    id,
    type: offer.type,
    issuer: offer.issuer,
    claims: JSON.stringify(first.claims),
    receivedMs: nowMs,
    expiresS: Number(first.payload["exp"] ?? 0),
  };
  return { card, copies };
}

/** A fresh nonce of an issuer. */
export async function nonceOf(endpoint: string): Promise<string> {
  const fresh = await ask(address(endpoint), { method: "POST" });
  if (fresh.status !== 200) throw refused(fresh.text);
  return textOf(parseFields(fresh.text), "c_nonce");
}

/** The keys that an issuer says are its own. Whether it is a registrar, a verifier finds out: this keeps junk away. */
async function issuerKeys(issuer: string): Promise<readonly JWK[]> {
  const described = await getJson(known(address(issuer), "jwt-vc-issuer"));
  const keys = fields(described["jwks"])["keys"];
  if (described["issuer"] !== issuer || !Array.isArray(keys)) throw new Failed("untrusted");
  return keys as JWK[];
}

async function isSignedBy(held: Held, keys: readonly JWK[]): Promise<boolean> {
  try {
    const { kid } = decodeProtectedHeader(held.jwt);
    const key = keys.find((one) => one.kid === kid);
    if (key === undefined) return false;
    await compactVerify(held.jwt, await importJWK(key, "ES256"), { algorithms: ["ES256"] });
    return true;
  } catch {
    return false;
  }
}

/** Prove fresh keys and ask for a credential for each. */
async function request(
  offer: Offer,
  access: string,
  copies: number,
  nowMs: number,
): Promise<{ keys: CryptoKeyPair[]; answer: { status: number; text: string } }> {
  const nonce = await nonceOf(offer.nonceEndpoint);
  const keys = await Promise.all(Array.from({ length: copies }, newKey));
  const proofs = await Promise.all(keys.map((key) => prove(key, offer.issuer, nonce, nowMs)));
  const answer = await ask(new URL(offer.credentialEndpoint), {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${access}` },
    body: JSON.stringify({ credential_configuration_id: offer.configuration, proofs: { jwt: proofs } }),
  });
  return { keys, answer };
}

/** A key of this device that no script can read. */
export function newKey(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
}

/** Prove to an issuer that this device holds a key. */
export async function prove(key: CryptoKeyPair, issuer: string, nonce: string, nowMs: number): Promise<string> {
  const { kty, crv, x, y } = await exportJWK(key.publicKey);
  return new SignJWT({ nonce })
    .setProtectedHeader({ alg: "ES256", typ: "openid4vci-proof+jwt", jwk: { kty, crv, x, y } as never })
    .setAudience(issuer)
    .setIssuedAt(Math.floor(nowMs / 1000))
    .sign(key.privateKey);
}

async function isBoundTo(held: Held, key: CryptoKeyPair): Promise<boolean> {
  const { x, y } = await exportJWK(key.publicKey);
  const bound = held.payload["cnf"];
  const jwk = isObject(bound) ? bound["jwk"] : undefined;
  return isObject(jwk) && jwk["x"] === x && jwk["y"] === y;
}

/** Whether a credential is of the type that was offered, and counts now. */
function isSound(held: Held, offer: Offer, nowMs: number): boolean {
  const { vct, exp, nbf } = held.payload;
  const nowS = nowMs / 1000;
  return (
    vct === offer.type &&
    (exp === undefined || (typeof exp === "number" && exp > nowS)) &&
    (nbf === undefined || (typeof nbf === "number" && nbf < nowS + SKEW_S))
  );
}
