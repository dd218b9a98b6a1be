// SPDX-License-Identifier: Apache-2.0
// Asking issuers and verifiers: bounded in time and size, without cookies, over https or to this machine alone.

const ANSWER_MS_MAX = 20_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024; // a batch of thirty credentials of 64 KB each stays below

export type Fault = "address" | "offline" | "refused" | "malformed" | "expired" | "untrusted" | "digits" | "used" | "unproven" | "unknown-act" | "forged" | "no-program" | "unpaired" | "no-card" | "unsigned";

/** Why something did not work, as the page has words for it. */
export class Failed extends Error {
  readonly fault: Fault;

  constructor(fault: Fault, detail = "") {
    super(detail || fault);
    this.fault = fault;
  }
}

/** An address that may be asked: https, or http on this machine, as in a test network. */
export function address(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Failed("address");
  }
  const near = url.protocol === "http:" && ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if ((url.protocol !== "https:" && !near) || url.username !== "" || url.password !== "") throw new Failed("address");
  return url;
}

/** What an address answers, whatever its status; throws `offline` where nobody does. */
export async function ask(url: URL, init: RequestInit = {}): Promise<{ status: number; text: string }> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), ANSWER_MS_MAX);
  try {
    const answer = await fetch(url.href, {
      ...init,
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      cache: "no-store",
      signal: stop.signal,
    });
    const text = await answer.text();
    if (text.length > ANSWER_BYTES_MAX) throw new Failed("malformed");
    return { status: answer.status, text };
  } catch (error) {
    throw error instanceof Failed ? error : new Failed("offline");
  } finally {
    clearTimeout(timer);
  }
}

export type Fields = Readonly<Record<string, unknown>>;

export function fields(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Failed("malformed");
  return value as Fields;
}

/** An object in JSON. */
export function parseFields(text: string): Fields {
  try {
    return fields(JSON.parse(text));
  } catch (error) {
    throw error instanceof Failed ? error : new Failed("malformed");
  }
}

export function textOf(from: Fields, name: string): string {
  const value = from[name];
  if (typeof value !== "string" || value === "") throw new Failed("malformed", name);
  return value;
}

/** Form fields as a request's body. */
export function form(values: Readonly<Record<string, string>>): RequestInit {
  return { method: "POST", body: new URLSearchParams(values) };
}
