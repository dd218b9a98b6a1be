// SPDX-License-Identifier: Apache-2.0
// What can begin before the wallet's program stands: a request behind the # of its address is fetched, the verifier is
// started, and the registration that the request carries is proven, all while the page is still being read.
//
// Nothing here is believed or shown. `request.ts` checks who signed what was fetched, `registration.ts` reads the proof.

import { toHex } from "../verify/src/bytes.js";
import type { Kept, PageVerifier, Verified } from "../verify/src/client.js";
import { registrationIn } from "./carried.js";
import { openVerifierOf } from "./device.js";
import { Failed, address, ask, fields, form, parseFields } from "./web.js";

const AGE_MS_MAX = 10 * 60_000; // a suspension is seen within that time

/** A request as it came: a signed text, not yet checked. */
export interface Fetched {
  /** Whom the link names. */
  readonly client: string;
  readonly origin: string;
  /** What the text must repeat; undefined: it was not asked to. */
  readonly walletNonce: string | undefined;
  readonly token: string;
}

/** A receipt of a registration, proven. */
export type Proof = Kept<Verified>;

export function isRequest(link: string): boolean {
  return /[?&]request_uri=/.test(link) && /[?&]client_id=/.test(link);
}

/** The link behind the # of the page's address, which never leaves the device; "": none, or one that is cut off. */
export function linkInAddress(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

let verifier: Promise<PageVerifier> | undefined;

/** The verifier of the page's network, started when it is first needed; after a failure the next call tries again. */
export function networkVerifier(): Promise<PageVerifier> {
  verifier ??= openVerifierOf(network()).catch((error: unknown) => {
    verifier = undefined;
    throw error instanceof Failed ? error : new Failed("offline");
  });
  return verifier;
}

/** What the page says of its network: in the element of this script, which stands before all others. */
export function network(): DOMStringMap {
  return document.querySelector<HTMLElement>("script[data-network]")?.dataset ?? {};
}

/** One request on its way in: what was fetched, and the proof of what it carries. */
export class Opening {
  readonly fetched: Promise<Fetched>;
  #begun: { readonly receipt: string; readonly proof: Promise<Proof> } | undefined;

  constructor(readonly link: string) {
    void networkVerifier().catch(() => undefined); // it starts while the request is fetched
    this.fetched = this.#fetch();
    void this.fetched.catch(() => undefined); // told where it is waited for
  }

  /** Prove a receipt of this network's states, at most ten minutes old. */
  prove(receipt: string): Promise<Proof> {
    if (this.#begun?.receipt === receipt) return this.#begun.proof;
    const proof = proven(receipt);
    void proof.catch(() => undefined); // likewise
    this.#begun = { receipt, proof };
    return proof;
  }

  async #fetch(): Promise<Fetched> {
    const query = new URLSearchParams(this.link.slice(this.link.indexOf("?") + 1));
    const uri = address(query.get("request_uri") ?? "");
    const nonce = toHex(crypto.getRandomValues(new Uint8Array(16)));
    const walletNonce = query.get("request_uri_method") === "post" ? nonce : undefined;
    const { status, text } = await ask(uri, walletNonce === undefined ? {} : form({ wallet_nonce: walletNonce }));
    if (status === 400 || status === 404 || status === 410) throw new Failed("expired");
    if (status !== 200) throw new Failed("refused");
    const token = text.trim();
    const receipt = receiptIn(token);
    if (receipt !== undefined) void this.prove(receipt);
    return { client: query.get("client_id") ?? "", origin: uri.origin, walletNonce, token };
  }
}

async function proven(receipt: string): Promise<Proof> {
  const raw = Uint8Array.from(atob(receipt), (character) => character.charCodeAt(0));
  return (await networkVerifier()).verifyReceipt(raw, { stateAgeMsMax: AGE_MS_MAX, nowMs: Date.now() });
}

/** The receipt in a signed request; what it says counts only once its signature was checked. */
function receiptIn(token: string): string | undefined {
  try {
    const said = parseFields(atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"))); // base64 is ASCII
    return registrationIn((said["verifier_info"] as readonly unknown[]).map(fields)).receipt;
  } catch {
    return undefined; // whoever reads it whole says what is wrong
  }
}

let first = isRequest(linkInAddress()) ? new Opening(linkInAddress()) : undefined;

/** A request's way in: the one that began with the page, or one that begins now. */
export function opening(link: string): Opening {
  const found = first?.link === link ? first : new Opening(link);
  first = undefined; // a request is answered once
  return found;
}
