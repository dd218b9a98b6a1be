// SPDX-License-Identifier: Apache-2.0
// Readers are strict: one encoding of each message, JSON that means the same to everyone, bounded inflating.

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";

import { LedgerError, TrustAnchor } from "../dist/index.js";
import { inflate } from "../dist/inflate.js";
import * as messages from "../dist/messages.js";
import { decode, encode } from "../dist/protobuf.js";
import { canonical, parse } from "../dist/strict_json.js";

const refuses = (work) => assert.throws(work, (error) => error instanceof LedgerError && error.code === "message.invalid");
const bytes = (...values) => Uint8Array.from(values);
const text = (value) => new TextEncoder().encode(value);

test("a message decodes to what encodes to the same bytes", () => {
  const header = {
    expires_at_ms: 2n ** 64n - 1n,
    salt: bytes(1, 2),
    signers: [{ scheme: -1, public_key: bytes(0) }, { scheme: 2, public_key: bytes() }],
    operations_root: bytes(),
    operation_count: 2 ** 32 - 1,
  };
  const raw = encode(messages.Header, header);
  assert.deepEqual(decode(messages.Header, raw, raw.length), header);
  refuses(() => decode(messages.Header, raw, raw.length - 1));
});

for (const [what, raw] of [
  ["an unknown field", [0x50, 1]],
  ["a field number of zero", [0x02, 0]],
  ["a default written out", [0x08, 0]],
  ["an overlong number", [0x08, 0x81, 0]],
  ["an overlong tag", [0x88, 0, 1]],
  ["a number of eleven bytes", [0x08, ...new Array(10).fill(0xff), 1]],
  ["a number beyond 64 bits", [0x08, ...new Array(9).fill(0xff), 2]],
  ["a number that does not end", [0x08, 0x80]],
  ["a position beyond 32 bits", [0x10, 0x80, 0x80, 0x80, 0x80, 0x10]],
  ["a field longer than its message", [0x22, 2, 1]],
  ["a field twice", [0x08, 1, 0x08, 2]],
  ["fields out of order", [0x10, 1, 0x08, 1]],
  ["both results", [0x2a, 0, 0x32, 0]],
  ["a code that is not UTF-8", [0x32, 3, 0x0a, 1, 0xff]],
  ["another wire type", [0x0d, 1, 0, 0, 0]],
  ["a group", [0x0b, 0x0c]],
]) {
  test(`an entry with ${what} is refused`, () => refuses(() => decode(messages.Entry, bytes(...raw), 100)));
}

for (const wrong of ["", "{", '{"a":1,"a":2}', "[1,]", "1.0", "1e2", "NaN", "01", "-", '"\\x"', '"\n"', '"\\ud800"', '"\\udc00x"']) {
  test(`JSON ${JSON.stringify(wrong)} is refused`, () => refuses(() => parse(text(wrong), 1000, 4)));
}

test("JSON is bounded in size, depth and digits", () => {
  assert.deepEqual(parse(text("[[1]]"), 5, 2), [[1n]]);
  refuses(() => parse(text("[[1]]"), 4, 2));
  refuses(() => parse(text("[[1]]"), 5, 1));
  assert.equal(parse(text("9".repeat(20)), 100, 1), BigInt("9".repeat(20)));
  refuses(() => parse(text("9".repeat(21)), 100, 1));
});

test("canonical JSON sorts by code points, and a member named __proto__ is a member", () => {
  const value = parse(text('{"\u{20bb7}":1,"\\ue000":[true,null,-0],"__proto__":{"b":"\\u2028","a":""}}'), 1000, 4);
  const written = new TextDecoder().decode(canonical(value));
  assert.equal(written, '{"__proto__":{"a":"","b":"\u2028"},"\ue000":[true,null,0],"\u{20bb7}":1}');
});

test("what zlib deflates is inflated, at each level, up to the limit and not beyond", () => {
  const content = Uint8Array.from({ length: 5000 }, (_, i) => (i * i) % 251 ^ (i >> 4));
  for (const options of [{ level: 0 }, { level: 1 }, { level: 9 }, { strategy: 4 }, { strategy: 2 }, { strategy: 3 }]) {
    const stream = deflateRawSync(content, options);
    assert.deepEqual(inflate(stream, content.length), content);
    refuses(() => inflate(stream, content.length - 1));
    refuses(() => inflate(stream.subarray(0, -1), content.length));
    refuses(() => inflate(Uint8Array.of(...stream, 0), content.length));
  }
});

test("a kept anchor that is damaged is refused", () => {
  for (const wrong of ["", "{}", "[]", '{"format":"zhixin-anchor/1"}']) refuses(() => TrustAnchor.parse(wrong));
});
