// SPDX-License-Identifier: Apache-2.0
/**
 * Raw deflate, read into memory of a bounded size. In-app browsers lack the platform's stream for it.
 *
 * It refuses what zlib refuses: code sets that are over-full or have gaps, symbols that stand for nothing, distances
 * before the beginning, and anything after the last block.
 *
 * Source: RFC 1951.
 */

import type { Bytes } from "./bytes.js";
import { invalidMessage } from "./errors.js";

const CODE_BITS_MAX = 15;
const LITERALS_MAX = 286;
const DISTANCES_MAX = 30;
const END_OF_BLOCK = 256;
/** In this order the lengths of the code for lengths stand; RFC 1951, 3.2.7. */
const LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Symbols by length of their code, and then in order: what a canonical Huffman code is made from. */
interface Code {
  readonly counts: readonly number[];
  readonly symbols: readonly number[];
}

const broken = (what: string): Error => invalidMessage(`the compact receipt does not inflate: ${what}`);

/**
 * Inflate exactly one deflate stream.
 *
 * @param data - The stream, with nothing after it.
 * @param sizeMax - Of the result, in bytes.
 * @throws LedgerError - `message.invalid`: it is not that, or its content is larger.
 */
export function inflate(data: Bytes, sizeMax: number): Bytes {
  return new Inflater(data, sizeMax).run();
}

class Inflater {
  private at = 0;
  private held = 0;
  private heldBits = 0;
  private readonly out: Bytes;
  private size = 0;

  constructor(
    private readonly data: Bytes,
    private readonly sizeMax: number,
  ) {
    this.out = new Uint8Array(sizeMax);
  }

  run(): Bytes {
    let isLast = false;
    while (!isLast) {
      isLast = this.bits(1) === 1;
      const kind = this.bits(2);
      if (kind === 0) this.stored();
      else if (kind === 1) this.block(FIXED_LITERALS, FIXED_DISTANCES);
      else if (kind === 2) this.block(...this.codes());
      else throw broken("a block of unknown kind");
    }
    if (this.at < this.data.length) throw invalidMessage("something follows the compact receipt");
    return this.out.slice(0, this.size);
  }

  private bits(count: number): number {
    while (this.heldBits < count) {
      const byte = this.data[this.at];
      if (byte === undefined) throw invalidMessage("the compact receipt is cut short");
      this.at += 1;
      this.held |= byte << this.heldBits;
      this.heldBits += 8;
    }
    const value = this.held & ((1 << count) - 1);
    this.held >>>= count;
    this.heldBits -= count;
    return value;
  }

  private put(byte: number): void {
    if (this.size >= this.sizeMax) {
      throw invalidMessage(`the compact receipt inflates to more than ${this.sizeMax} bytes`);
    }
    this.out[this.size] = byte;
    this.size += 1;
  }

  private stored(): void {
    this.bits(this.heldBits);
    const size = this.bits(16);
    if (size !== (this.bits(16) ^ 0xffff)) throw broken("a stored block's length is damaged");
    for (let i = 0; i < size; i++) this.put(this.bits(8));
  }

  /** The symbol whose code comes next. */
  private symbol(code: Code): number {
    let value = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= CODE_BITS_MAX; length++) {
      value |= this.bits(1);
      const count = code.counts[length] as number;
      if (value - count < first) return code.symbols[index + value - first] as number;
      index += count;
      first = (first + count) << 1;
      value <<= 1;
    }
    throw broken("a code that stands for nothing");
  }

  private block(literals: Code, distances: Code): void {
    for (;;) {
      const symbol = this.symbol(literals);
      if (symbol === END_OF_BLOCK) return;
      if (symbol < END_OF_BLOCK) this.put(symbol);
      else this.copy(symbol, distances);
    }
  }

  private copy(symbol: number, distances: Code): void {
    if (symbol >= LITERALS_MAX) throw broken("a length that stands for nothing");
    const place = symbol - END_OF_BLOCK - 1;
    let length = place + 3;
    if (place === 28) length = 258;
    else if (place >= 8) {
      const extra = (place >> 2) - 1;
      length = ((4 + (place & 3)) << extra) + 3 + this.bits(extra);
    }
    const code = this.symbol(distances);
    if (code >= DISTANCES_MAX) throw broken("a distance that stands for nothing");
    let distance = code + 1;
    if (code >= 4) {
      const extra = (code >> 1) - 1;
      distance = ((2 + (code & 1)) << extra) + 1 + this.bits(extra);
    }
    if (distance > this.size) throw broken("a distance before the beginning");
    for (let i = 0; i < length; i++) this.put(this.out[this.size - distance] as number);
  }

  /** The codes of a block that brings its own. */
  private codes(): [Code, Code] {
    const literals = this.bits(5) + 257;
    const distances = this.bits(5) + 1;
    const lengthCodes = this.bits(4) + 4;
    if (literals > LITERALS_MAX || distances > DISTANCES_MAX) throw broken("too many codes");
    const own = new Array<number>(LENGTH_ORDER.length).fill(0);
    for (let i = 0; i < lengthCodes; i++) own[LENGTH_ORDER[i] as number] = this.bits(3);
    const code = codeOf(own, false);
    const lengths: number[] = [];
    while (lengths.length < literals + distances) {
      const symbol = this.symbol(code);
      if (symbol < 16) {
        lengths.push(symbol);
        continue;
      }
      if (symbol === 16 && lengths.length === 0) throw broken("a repetition of nothing");
      const repeated = symbol === 16 ? (lengths[lengths.length - 1] as number) : 0;
      const times = symbol === 16 ? 3 + this.bits(2) : symbol === 17 ? 3 + this.bits(3) : 11 + this.bits(7);
      for (let i = 0; i < times; i++) lengths.push(repeated);
    }
    if (lengths.length > literals + distances) throw broken("more code lengths than codes");
    if (lengths[END_OF_BLOCK] === 0) throw broken("a block without an end");
    return [codeOf(lengths.slice(0, literals), true), codeOf(lengths.slice(literals), true)];
  }
}

/** A canonical code. Only a set of one code of one bit, or of none, may leave gaps, and only where `mayHaveGaps`. */
function codeOf(lengths: readonly number[], mayHaveGaps: boolean): Code {
  const counts = new Array<number>(CODE_BITS_MAX + 1).fill(0);
  for (const length of lengths) counts[length] = (counts[length] as number) + 1;
  counts[0] = 0;
  let left = 1;
  let longest = 0;
  for (let length = 1; length <= CODE_BITS_MAX; length++) {
    left = left * 2 - (counts[length] as number);
    if (left < 0) throw broken("a code with more symbols than it has room for");
    if (counts[length] !== 0) longest = length;
  }
  if (left > 0 && (!mayHaveGaps || longest > 1)) throw broken("a code with gaps");
  const symbols: number[] = [];
  for (let length = 1; length <= longest; length++) {
    for (let symbol = 0; symbol < lengths.length; symbol++) if (lengths[symbol] === length) symbols.push(symbol);
  }
  return { counts, symbols };
}

const FIXED_LITERALS = codeOf(
  Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)),
  true,
);
const FIXED_DISTANCES = codeOf(new Array<number>(32).fill(5), true);
