// SPDX-License-Identifier: Apache-2.0
// The public key in a certificate. Nothing else of it is believed: who it belongs to, the ledger says.
//
// Source: RFC 5280, 4.1 (Certificate, TBSCertificate); X.690, 8.1 and 10.1 (DER).

const SEQUENCE = 0x30;
const VERSION = 0xa0;

interface Piece {
  readonly tag: number;
  readonly start: number; // of the whole piece
  readonly content: number;
  readonly end: number;
}

/** The piece that begins at a place; lengths of at most three bytes, as certificates have them. */
function piece(der: Uint8Array, start: number): Piece {
  const tag = der[start];
  const first = der[start + 1];
  if (tag === undefined || first === undefined) throw new Error("the certificate ends early");
  const extra = first < 0x80 ? 0 : first & 0x7f;
  if (first >= 0x80 && (extra < 1 || extra > 3)) throw new Error("a length is too long");
  let length = extra === 0 ? first : 0;
  for (let i = 0; i < extra; i += 1) length = length * 256 + (der[start + 2 + i] ?? 0);
  const content = start + 2 + extra;
  if (content + length > der.length) throw new Error("the certificate ends early");
  return { tag, start, content, end: content + length };
}

function sequence(der: Uint8Array, start: number): Piece {
  const found = piece(der, start);
  if (found.tag !== SEQUENCE) throw new Error("a sequence was due");
  return found;
}

/**
 * The P-256 key of a certificate, for checking signatures.
 *
 * @param der - The certificate.
 * @throws Error where it is none, or its key is of another kind.
 */
export async function publicKeyOf(der: Uint8Array): Promise<CryptoKey> {
  const tbs = sequence(der, sequence(der, 0).content);
  let next = tbs.content;
  if (piece(der, next).tag === VERSION) next = piece(der, next).end;
  for (let i = 0; i < 5; i += 1) next = piece(der, next).end; // serial number, signature, issuer, validity, subject
  const spki = sequence(der, next);
  const key = new Uint8Array(der.subarray(spki.start, spki.end));
  return crypto.subtle.importKey("spki", key, { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"]);
}
