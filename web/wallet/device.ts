// SPDX-License-Identifier: Apache-2.0
// What the device keeps beside credentials: what it knows of the network.

import { fromHex } from "../verify/src/bytes.js";
import { openVerifier, type PageVerifier } from "../verify/src/client.js";
import { Failed } from "./web.js";

const ANCHOR = "zhixin-anchor-";

/**
 * The verifier of a page's network: from what this device knows of it, else from its genesis file.
 *
 * @param place - The page's data: `verifier`, `genesis`, `network`.
 */
export async function openVerifierOf(place: DOMStringMap): Promise<PageVerifier> {
  const { genesis = "", network: name = "", verifier = "" } = place;
  const scriptUrl = new URL(verifier, location.href).href;
  const network = fromHex(name);
  if (network === null) throw new Error("the page names no network");
  const kept = localStorage.getItem(ANCHOR + name);
  if (kept !== null) {
    try {
      return await openVerifier({ scriptUrl, network, anchor: kept });
    } catch {
      localStorage.removeItem(ANCHOR + name); // damaged: begin anew
    }
  }
  const answer = await fetch(genesis, { credentials: "omit" });
  if (!answer.ok) throw new Failed("offline");
  return openVerifier({ scriptUrl, network, genesis: new Uint8Array(await answer.arrayBuffer()) });
}

/** Keep what a verifier knows now, so that a network which goes back is noticed. */
export function rememberNetwork(place: DOMStringMap, verifier: PageVerifier): void {
  localStorage.setItem(ANCHOR + (place["network"] ?? ""), verifier.anchor);
}
