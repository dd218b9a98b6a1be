// SPDX-License-Identifier: Apache-2.0
// The service worker of the traders' pages: keeps the forms that hold nothing of anybody, and the files that they load;
// shows them where there is no connection. Pages of somebody who is signed in are never kept. The plan above this script
// comes from traceability/api/trader/offline.py; another build has another plan and another cache.

interface Plan {
  readonly version: string;
  readonly header: string;
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
const PAGE_MS_MAX = 4_000; // a connection that hangs is worse than none

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
    if (!isOurs(answer)) throw new Error(`${address}: ${answer.status}, or of another build`);
    await cache.put(address, answer);
  });
  await Promise.all([...files, ...pages]);
  await scope.skipWaiting();
}

/** Whether a page goes with the files that were kept. */
const isOurs = (page: Response): boolean => page.ok && page.headers.get(plan.header) === plan.version;

async function dropOthers(): Promise<void> {
  for (const one of await caches.keys()) if (one.startsWith(PREFIX) && one !== name) await caches.delete(one);
  await scope.clients.claim();
}

async function kept(address: string): Promise<Response | undefined> {
  return (await caches.open(name)).match(address, { ignoreVary: true });
}

/** The page as it is now; its kept form, or the list of them, without a connection, with a bad one, or a server that fails. */
async function open(request: Request, address: string): Promise<Response> {
  const instead = (await kept(address)) ?? (await kept(plan.home));
  if (instead === undefined) return fetch(request);
  const fresh = fetch(request).then(async (page) => {
    if (plan.pages.includes(address) && isOurs(page)) await (await caches.open(name)).put(address, page.clone());
    return page.status >= 500 ? instead : page;
  });
  const late = new Promise<Response>((resolve) => setTimeout(() => resolve(instead), PAGE_MS_MAX));
  return Promise.race([fresh.catch(() => instead), late]);
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
