// SPDX-License-Identifier: Apache-2.0
// The worker that finds a QR code in a picture's pixels, for browsers that have no reader of their own. It is loaded
// once a picture was chosen.

import jsQR from "jsqr";

/** What the page asks: the pixels of one picture, four bytes each. */
export interface Pixels {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

interface Scope {
  onmessage: ((event: MessageEvent<Pixels>) => void) | null;
  postMessage(text: string | null): void;
}

const scope = globalThis as unknown as Scope;
scope.onmessage = ({ data: { data, width, height } }) => {
  let found: string | null = null;
  try {
    found = jsQR(data, width, height, { inversionAttempts: "attemptBoth" })?.data ?? null;
  } catch {
    // What is no code may lead it astray: then there is none.
  }
  scope.postMessage(found);
};
