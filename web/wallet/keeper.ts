// SPDX-License-Identifier: Apache-2.0
// The wallet's service worker: keeps the wallet's program on the device and runs that one, connection or not. It takes
// another only when the digest of every file of it stands in a manifest that the organisation of the program it has
// has anchored on the ledger, no earlier than the one it has; a receipt proves that, against the genesis that it began
// with. Where one is refused, the page says so and the one that is kept goes on.
//
// Browsers replace a worker's own script by whatever its server gives; docs/wallet.md says what that leaves open.
//
// Source: docs/wallet.md, "Whose program it is"; identity/api/wallet/program.py.

import { sha256, toHex, utf8, type Bytes } from "../verify/src/bytes.js";
import { VerifierService } from "../verify/src/service.js";
import { run } from "../verify/src/steps.js";
import { anchored } from "./anchored.js";
import { Refused, readDocument, readManifest, type Announced, type Manifest } from "./manifest.js";
import type { Standing } from "./program.js";

interface Lasting extends Event {
  waitUntil(done: Promise<unknown>): void;
}
interface Fetching extends Lasting {
  readonly request: Request;
  /** The page to come. */
  readonly resultingClientId: string;
  respondWith(answer: Promise<Response>): void;
}
interface Asked extends Lasting {
  readonly data: { readonly question?: string; readonly language?: string } | null;
  readonly ports: readonly MessagePort[];
  readonly source: { readonly id: string } | null;
}
interface Scope {
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Lasting) => void): void;
  addEventListener(type: "fetch", listener: (event: Fetching) => void): void;
  addEventListener(type: "message", listener: (event: Asked) => void): void;
}

/** What is kept, and what is known of the network; `manifest` is of the program that runs. */
interface Kept {
  readonly manifest: string;
  readonly organisation: string;
  readonly sinceMs: number;
  /** As the verifier wrote it. */
  readonly anchor: string;
  /** Digest of the program before, whose pages may still stand open; "": none. */
  readonly before: string;
}

const OWN = "zhixin-wallet-";
const [STATE, LANGUAGE] = ["/kept", "/language"];
const FILE_BYTES_MAX = 8 * 1024 * 1024; // as much as all built files together may have
const FETCH_MS_MAX = 30_000;
const AGAIN_MS = 1_500; // an opening page's navigation and its question are one look
const PAGES_MAX = 100; // that are remembered; nobody has as many open
const RUNS = new Set(["script", "style", "worker", "sharedworker", "document", "iframe", "frame", "embed", "object"]);

const scope = globalThis as unknown as Scope;
let looking: Promise<Standing> | undefined;
let looked: { readonly standing: Standing; readonly atMs: number } | undefined;
/** The program that each page is of, by its digest: a page that asks late still learns what was taken beside it. */
const opened = new Map<string, string>();

const state = (): Promise<Cache> => caches.open(`${OWN}state`);
const programOf = (digest: string): Promise<Cache> => caches.open(`${OWN}program-${digest}`);
const digestOf = (manifest: string): string => toHex(sha256(utf8(manifest)));

async function kept(): Promise<Kept | undefined> {
  const found = await (await state()).match(STATE);
  return found === undefined ? undefined : ((await found.json()) as Kept);
}

async function fetched(address: string): Promise<Bytes> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), FETCH_MS_MAX);
  try {
    const answer = await fetch(address, { cache: "no-cache", credentials: "omit", redirect: "error", signal: stop.signal });
    if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
    const content = new Uint8Array(await answer.arrayBuffer());
    if (content.length > FILE_BYTES_MAX) throw new Refused("changed");
    return content;
  } finally {
    clearTimeout(timer);
  }
}

/** A file whose digest the manifest has. */
async function held(address: string, digest: string): Promise<Bytes> {
  const content = await fetched(address);
  if (toHex(sha256(content)) !== digest) throw new Refused("changed");
  return content;
}

const TYPES: Readonly<Record<string, string>> = { js: "text/javascript", css: "text/css", svg: "image/svg+xml" };

/** Headers of safety as the service sends them, whatever the service sends now. */
const SAFE = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy":
    "accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), midi=(), payment=(), serial=(), usb=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

function answerOf(content: Bytes, type: string, policy = ""): Response {
  const headers = new Headers({ ...SAFE, "content-type": `${type}; charset=utf-8` });
  if (policy !== "") headers.set("content-security-policy", policy);
  return new Response(new Uint8Array(content), { headers });
}

/** Fetch all of a program, each file held to its digest; one that differs ends it, and nothing of it runs. */
async function fill(manifest: Manifest, digest: string): Promise<void> {
  const cache = await programOf(digest);
  for (const [address, expected] of Object.entries(manifest.files)) {
    const type = TYPES[address.split(".").pop() ?? ""] ?? "application/json";
    await cache.put(address, answerOf(await held(address, expected), type));
  }
  for (const [path, texts] of Object.entries(manifest.pages)) {
    for (const [language, expected] of Object.entries(texts)) {
      const text = await held(`/v1/wallet-pages/${expected}`, expected);
      await cache.put(pageAddress(path, language), answerOf(text, "text/html", manifest.policy));
    }
  }
  await held(new URL(location.href).pathname, manifest.worker);
}

const pageAddress = (path: string, language: string): string => `/page${path}?${language}`;

/** A verifier that begins with what is known of the network, else with its genesis file. */
async function verifierFor(now: Kept | undefined, manifest: Manifest): Promise<VerifierService> {
  const verifier = new VerifierService();
  if (now !== undefined) {
    run(verifier.answer({ method: "start", anchor: now.anchor }));
    return verifier;
  }
  const [address = ""] = Object.keys(manifest.files).filter((one) => one.startsWith("/v1/genesis?"));
  run(verifier.answer({ method: "start", genesis: await held(address, manifest.files[address] ?? "") }));
  return verifier;
}

/** Take an announced program in the place of the one that is kept. */
async function take(now: Kept | undefined, announced: Announced): Promise<Kept> {
  const manifest = readManifest(announced.manifest);
  const digest = digestOf(announced.manifest);
  const found = anchored(await verifierFor(now, manifest), announced, digest, now, Date.now());
  await fill(manifest, digest);
  const next: Kept = {
    manifest: announced.manifest,
    organisation: found.organisation,
    sinceMs: found.sinceMs,
    anchor: found.anchor,
    before: now === undefined ? "" : digestOf(now.manifest),
  };
  await (await state()).put(STATE, new Response(JSON.stringify(next))); // from here on the new one runs
  const lasting = new Set([`${OWN}state`, `${OWN}program-${digest}`, `${OWN}program-${next.before}`]);
  for (const name of await caches.keys()) if (name.startsWith(OWN) && !lasting.has(name)) await caches.delete(name);
  return next;
}

/** See whether the service has another program, and take it if it may be taken. */
async function look(): Promise<Standing> {
  const now = await kept();
  const told = now === undefined ? {} : { organisation: now.organisation, sinceMs: now.sinceMs, digest: digestOf(now.manifest) };
  let announced: Announced;
  try {
    announced = readDocument(await fetched("/v1/wallet-program"));
  } catch (error) {
    return error instanceof Refused ? { outcome: "refused", reason: error.reason, ...told } : { outcome: "offline", ...told };
  }
  try {
    if (now !== undefined && announced.manifest === now.manifest) {
      await held(new URL(location.href).pathname, readManifest(now.manifest).worker);
      return { outcome: "kept", ...told };
    }
    const { organisation, sinceMs, manifest } = await take(now, announced);
    return { outcome: now === undefined ? "kept" : "taken", organisation, sinceMs, digest: digestOf(manifest) };
  } catch (error) {
    if (error instanceof Refused) return { outcome: "refused", reason: error.reason, ...told };
    return { outcome: "offline", ...told };
  }
}

/** The same, once for those who ask at about the same time. */
function lookOnce(): Promise<Standing> {
  if (looked !== undefined && Date.now() - looked.atMs < AGAIN_MS) return Promise.resolve(looked.standing);
  looking ??= look().then((standing) => {
    looked = { standing, atMs: Date.now() };
    looking = undefined;
    return standing;
  });
  return looking;
}

/** Whatever script a server gives, this one is installed only as part of a program that may be taken. */
async function install(): Promise<void> {
  const { outcome } = await lookOnce();
  if (outcome !== "kept" && outcome !== "taken") throw new Error(`the wallet's program is ${outcome}`);
  await scope.skipWaiting();
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) if (!name.startsWith(OWN)) await caches.delete(name);
  await scope.clients.claim();
}

/** The language that the reader chose here, else the browser's. */
async function languageFor(url: URL): Promise<string> {
  const chosen = url.searchParams.get("lang");
  if (chosen !== null) {
    const language = chosen.toLowerCase().startsWith("en") ? "en" : "zh-CN";
    await (await state()).put(LANGUAGE, new Response(language));
    return language;
  }
  const known = await (await state()).match(LANGUAGE);
  if (known !== undefined) return known.text();
  const first = navigator.languages.find((one) => /^(zh|en)\b/.test(one)) ?? "zh-CN";
  return first.startsWith("en") ? "en" : "zh-CN";
}

/** A page of the program that is kept; every other address of this origin leads there, so that no other page runs here. */
async function open({ request, resultingClientId }: Fetching, url: URL): Promise<Response> {
  const now = await kept();
  if (now === undefined) return fetch(request);
  const digest = digestOf(now.manifest);
  const page = await (await programOf(digest)).match(pageAddress(url.pathname, await languageFor(url)));
  if (page === undefined) return Response.redirect("/", 302);
  if (opened.size >= PAGES_MAX) opened.delete([...opened.keys()][0] ?? "");
  opened.set(resultingClientId, digest);
  return page;
}

/** How a page stands: whether the program that is kept is its own, or was taken beside it. */
function standingOf(page: string | undefined, standing: Standing): Standing {
  if (page === undefined || (standing.outcome !== "kept" && standing.outcome !== "taken")) return standing;
  return { ...standing, outcome: page === standing.digest ? "kept" : "taken" };
}

async function part(request: Request, address: string): Promise<Response> {
  const now = await kept();
  if (now === undefined) return fetch(request);
  for (const digest of [digestOf(now.manifest), now.before]) {
    if (digest === "") continue;
    const found = await (await programOf(digest)).match(address);
    if (found !== undefined) return found;
  }
  return RUNS.has(request.destination) ? Response.error() : fetch(request);
}

async function reply({ data, ports, source }: Asked): Promise<void> {
  const [port] = ports;
  if (data?.question !== "program" || port === undefined) return;
  const language = data.language === "en" ? "en" : "zh-CN";
  await (await state()).put(LANGUAGE, new Response(language));
  const page = source === null ? undefined : opened.get(source.id);
  port.postMessage(standingOf(page, await lookOnce()));
}

scope.addEventListener("install", (event) => event.waitUntil(install()));
scope.addEventListener("activate", (event) => event.waitUntil(activate()));
scope.addEventListener("message", (event) => event.waitUntil(reply(event)));
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== location.origin) return;
  if (request.method === "GET" && request.mode === "navigate") {
    const page = open(event, url);
    event.respondWith(page);
    event.waitUntil(page.then(lookOnce)); // not before: a page is of one program whole
  } else if (request.mode === "navigate") event.respondWith(Promise.resolve(Response.redirect("/", 303)));
  else if (request.method === "GET") event.respondWith(part(request, url.pathname + url.search));
});
