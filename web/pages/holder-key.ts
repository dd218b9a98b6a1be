// SPDX-License-Identifier: Apache-2.0
// The key of somebody whose log it is: P-256, made by this browser and never out of it (WebCrypto, not extractable),
// kept in IndexedDB. It signs nonces of the service, bound to the service's origin and to what the signature is for.

const DATABASE = "zhixin-credit";
const STORE = "keys";
const SLOT = "holder";
const DOMAIN = "zhixin/credit-holder/1";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const COORDINATE_BYTES = 32;

/** What the service is sent. */
export interface Signed {
  readonly public_key: string;
  readonly nonce: string;
  readonly signature: string;
}

const toHex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the browser's database failed"));
  });
}

function opened(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return settled(request);
}

/** The key pair that this browser keeps; null: none. */
export async function keptKey(): Promise<CryptoKeyPair | null> {
  const database = await opened();
  const found: unknown = await settled(database.transaction(STORE).objectStore(STORE).get(SLOT));
  database.close();
  return (found as CryptoKeyPair | undefined) ?? null;
}

/** Make a key pair. It is not kept yet: the service must have taken it first. */
export function newKey(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
}

/** Keep a key pair in place of the one before. */
export async function keepKey(pair: CryptoKeyPair): Promise<void> {
  const database = await opened();
  await settled(database.transaction(STORE, "readwrite").objectStore(STORE).put(pair, SLOT));
  database.close();
}

/** Sign a nonce; `what` is what the signature is for. */
export async function signNonce(
  pair: CryptoKeyPair,
  what: "join" | "sign-in",
  origin: string,
  nonce: string,
): Promise<Signed> {
  const message = new TextEncoder().encode([DOMAIN, what, origin, nonce].join("\0"));
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, message);
  return { public_key: await compressed(pair.publicKey), nonce, signature: toHex(new Uint8Array(signature)) };
}

/** A public key as the service names it: 33 bytes, compressed. */
export async function compressed(key: CryptoKey): Promise<string> {
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", key));
  const isOdd = ((raw[raw.length - 1] ?? 0) & 1) === 1;
  return (isOdd ? "03" : "02") + toHex(raw.subarray(1, 1 + COORDINATE_BYTES));
}
