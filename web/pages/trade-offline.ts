// SPDX-License-Identifier: Apache-2.0
// The service worker of the traders' pages: keeps the forms that hold nothing of anybody, and the files that they load;
// shows them where there is no connection. Pages of somebody who is signed in are never kept. The plan above this script
// comes from traceability/api/trader/offline.py; another build has another plan and another cache.

interface Plan {
  readonly version: string;
  /** Addresses with the digest that each answer is held to. */
  readonly files: Readonly<Record<string, string>>;
  readonly pages: readonly string[];
  readonly home: string;
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

const PREFIX = "zhixin-trade-";

const scope = globalThis as unknown as Scope;
const plan = scope.offlinePlan;
const name = PREFIX + plan.version;

/** Fetch all that the plan names; what is missing or not what it should be ends it, and the next visit tries again. */
async function fill(): Promise<void> {
  const cache = await caches.open(name);
  const files = Object.entries(plan.files).map(async ([address, integrity]) => {
    const answer = await fetch(new Request(address, { integrity, cache: "no-cache", credentials: "omit" }));
    if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
    await cache.put(address, answer);
  });
  const pages = plan.pages.map(async (address) => {
    const answer = await fetch(address, { cache: "no-cache", credentials: "same-origin" }); // the language is a cookie
    if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
    await cache.put(address, answer);
  });
  await Promise.all([...files, ...pages]);
  await scope.skipWaiting();
}

async function dropOthers(): Promise<void> {
  for (const one of await caches.keys()) if (one.startsWith(PREFIX) && one !== name) await caches.delete(one);
  await scope.clients.claim();
}

async function kept(address: string): Promise<Response | undefined> {
  return (await caches.open(name)).match(address, { ignoreVary: true });
}

/** The page as it is now; without a connection its kept form, or the list of them. */
async function open(request: Request, address: string): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    const instead = (await kept(address)) ?? (await kept(plan.home));
    if (instead === undefined) throw error;
    return instead;
  }
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
  else if (request.mode === "navigate") event.respondWith(open(request, pathname));
});

export {};
