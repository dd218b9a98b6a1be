// SPDX-License-Identifier: Apache-2.0
// A receipt that came in several QR codes, put together as they are photographed; see service/explorer/receipt_codes.py.
// Nothing is verified here: what the parts make together is.

const PARTS_MAX = 16; // as many as are ever printed
const CHARACTERS_MAX = 4_296; // what one QR code can hold
const PART = /^ZX1\/([1-9]\d?)\/([1-9]\d?)\/([0-9A-F]{8}):(.+)$/s;

/** What came of a text: the whole receipt, or how many parts are still missing. */
export type Joined = { readonly whole: string } | { readonly have: number; readonly count: number };

export class Parts {
  readonly #found = new Map<number, string>();
  #mark = "";
  #count = 0;

  /** Take the text of one code. A part of another receipt begins anew. */
  take(text: string): Joined {
    const [, index, count, mark, piece] = PART.exec(text) ?? [];
    if (index === undefined || count === undefined || mark === undefined || piece === undefined) return { whole: text };
    const [at, of] = [Number(index), Number(count)];
    if (at > of || of > PARTS_MAX || text.length > CHARACTERS_MAX) return { whole: text }; // no part of ours: refused as a receipt
    if (mark !== this.#mark || of !== this.#count) this.#found.clear();
    [this.#mark, this.#count] = [mark, of];
    this.#found.set(at, piece);
    if (this.#found.size < of) return { have: this.#found.size, count: of };
    const whole = Array.from({ length: of }, (_, i) => this.#found.get(i + 1)).join("");
    this.#found.clear();
    return { whole };
  }
}
