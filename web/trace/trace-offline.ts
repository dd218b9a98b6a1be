// SPDX-License-Identifier: Apache-2.0
// The service worker of the journey pages: gives the files that the page loads only as the plan has their digests, and
// pages and proofs that the page has kept where there is no connection, or a bad one. The plan above this script comes
// from traceability/api/shopper/offline.py; another build has another plan and another cache.

interface Plan {
  readonly version: string;
  /** Addresses with the digest that each answer is held to. */
  readonly files: Readonly<Record<string, string>>;
}

interface Lasting extends Event {
  waitUntil(done: Promise<unknown>): void;
}
interface Fetching extends Lasting {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Scope {
  readonly offlinePlan: Plan;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Lasting) => void): void;
  addEventListener(type: "fetch", listener: (event: Fetching) => void): void;
}

const PREFIX = "zhixin-food-";
const WAIT_MS_MAX = 4_000; // a connection that hangs is worse than none

const scope = globalThis as unknown as Scope;
const plan = scope.offlinePlan;
const name = PREFIX + plan.version;

/** Fetch all that the plan names; one that is missing or is not what it should be ends it, and the next visit tries again. */
async function fill(): Promise<void> {
  const cache = await caches.open(name);
  await Promise.all(
    Object.entries(plan.files).map(async ([address, integrity]) => {
      const answer = await fetch(new Request(address, { integrity, cache: "no-cache", credentials: "omit" }));
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      await cache.put(address, answer);
    }),
  );
  await scope.skipWaiting();
}

async function dropOthers(): Promise<void> {
  for (const one of await caches.keys()) if (one.startsWith(PREFIX) && one !== name) await caches.delete(one);
  await scope.clients.claim();
}

async function kept(address: string): Promise<Response | undefined> {
  return (await caches.open(name)).match(address, { ignoreVary: true });
}

/** What there is now; what was kept where there is no connection, a bad one, or a server that fails. */
async function freshOrKept(request: Request, address: string): Promise<Response> {
  const old = await kept(address);
  if (old === undefined) return fetch(request);
  const fresh = fetch(request).then((answer) => (answer.status >= 500 ? old : answer));
  const late = new Promise<Response>((resolve) => setTimeout(() => resolve(old.clone()), WAIT_MS_MAX));
  return Promise.race([fresh.catch(() => old), late]);
}

async function held(request: Request, address: string): Promise<Response> {
  return (await kept(address)) ?? fetch(request);
}

scope.addEventListener("install", (event) => event.waitUntil(fill()));
scope.addEventListener("activate", (event) => event.waitUntil(dropOthers()));
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname, search } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (pathname + search in plan.files) event.respondWith(held(request, pathname + search));
  else if (request.mode === "navigate" || pathname.startsWith("/v1/journeys/")) event.respondWith(freshOrKept(request, pathname));
});

export {};
