// SPDX-License-Identifier: Apache-2.0
// What the wallet's service announces of its program: a manifest, and whose anchor stands behind it.
//
// Source: identity/api/wallet/program.py.

import { utf8, type Bytes } from "../verify/src/bytes.js";

const MANIFEST_BYTES_MAX = 64 * 1024; // some thirty files and four pages, at a hundred bytes each
const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024; // with a receipt that goes through many epochs
const FORMAT = "zhixin-wallet-program/1";
const DIGEST = /^[0-9a-f]{64}$/;
const ADDRESS = /^\/[!-~]{1,256}$/;
const PATH = /^\/[a-z-]{0,64}$/;
const LANGUAGES = ["en", "zh-CN"];

/** Why a program is not taken. */
export type Reason = "unanchored" | "changed" | "older" | "another" | "malformed";

export class Refused extends Error {
  readonly reason: Reason;

  constructor(reason: Reason) {
    super(reason);
    this.reason = reason;
  }
}

type Digests = Readonly<Record<string, string>>;

export interface Manifest {
  /** SHA-256 of the worker's script, in hex as all of them. */
  readonly worker: string;
  /** The Content-Security-Policy under which the pages run. */
  readonly policy: string;
  /** By the address of each. */
  readonly files: Digests;
  /** By path and language. */
  readonly pages: Readonly<Record<string, Digests>>;
}

export interface Announced {
  /** The manifest's text, as it is hashed. */
  readonly manifest: string;
  /** Empty: nobody anchored it. */
  readonly organisation: string;
  readonly receipt: string;
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Refused("malformed");
  return value as Readonly<Record<string, unknown>>;
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return object(JSON.parse(text));
  } catch {
    throw new Refused("malformed");
  }
}

const word = (value: unknown): string => (typeof value === "string" ? value : "");

/** What the service answers. */
export function readDocument(raw: Bytes): Announced {
  if (raw.length > DOCUMENT_BYTES_MAX) throw new Refused("malformed");
  const document = parsed(new TextDecoder().decode(raw));
  const [manifest, organisation, receipt] = ["manifest", "organisation", "receipt"].map((name) => word(document[name]));
  if (!manifest) throw new Refused("malformed");
  return { manifest, organisation: organisation ?? "", receipt: receipt ?? "" };
}

function digests(value: unknown, names: RegExp): Digests {
  const found = object(value);
  for (const [name, digest] of Object.entries(found)) {
    if (!names.test(name) || !DIGEST.test(word(digest))) throw new Refused("malformed");
  }
  return found as Digests;
}

/** A manifest in its one form. */
export function readManifest(text: string): Manifest {
  if (utf8(text).length > MANIFEST_BYTES_MAX) throw new Refused("malformed");
  const { format, worker, policy, files, pages } = parsed(text);
  if (format !== FORMAT || !DIGEST.test(word(worker)) || !word(policy).startsWith("default-src 'none';")) {
    throw new Refused("malformed");
  }
  const named: Record<string, Digests> = {};
  for (const [path, texts] of Object.entries(object(pages))) {
    named[path] = digests(texts, /^(en|zh-CN)$/);
    if (!PATH.test(path) || !LANGUAGES.every((language) => named[path]?.[language])) throw new Refused("malformed");
  }
  if (named["/"] === undefined) throw new Refused("malformed");
  return { worker: word(worker), policy: word(policy), files: digests(files, ADDRESS), pages: named };
}
