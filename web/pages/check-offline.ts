// SPDX-License-Identifier: Apache-2.0
// The service worker of the check page: keeps the page, the files that it loads and the network's genesis file, so that
// it opens without a connection. Its scope is that page; the plan above this script comes from
// service/explorer/offline.py. Another build has another plan and another cache, and what the old one kept is dropped.

interface Plan {
  readonly version: string;
  readonly page: string;
  readonly header: string;
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

const NAMED = "zhixin-check-";
const PAGE_MS_MAX = 4_000; // a connection that hangs is worse than none: then the page that was kept is shown

const scope = globalThis as unknown as Scope;
const plan = scope.offlinePlan;
const kept = NAMED + plan.version;

/** Fetch all that the plan names; one that is missing or is not what it should be ends it, and the next visit tries again. */
async function fill(): Promise<void> {
  const cache = await caches.open(kept);
  await Promise.all(
    Object.entries(plan.files).map(async ([address, integrity]) => {
      const answer = await fetch(new Request(address, { integrity, cache: "no-cache", credentials: "omit" }));
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      await cache.put(address, answer);
    }),
  );
  const page = await fetch(plan.page, { cache: "no-cache", credentials: "same-origin" });
  if (!isOurs(page)) throw new Error("the page belongs to another build");
  await cache.put(plan.page, page);
  await scope.skipWaiting();
}

/** Whether a page goes with the files that were kept. */
const isOurs = (page: Response): boolean => page.ok && page.headers.get(plan.header) === plan.version;

async function dropOthers(): Promise<void> {
  for (const name of await caches.keys()) if (name.startsWith(NAMED) && name !== kept) await caches.delete(name);
  await scope.clients.claim();
}

/** The page as it is now, in the reader's language; as it was kept where there is no connection, or a bad one. */
async function open(request: Request): Promise<Response> {
  const cache = await caches.open(kept);
  const old = await cache.match(plan.page);
  const fresh = fetch(request).then(async (page) => {
    if (isOurs(page)) await cache.put(plan.page, page.clone());
    return page.status >= 500 && old !== undefined ? old : page;
  });
  if (old === undefined) return fresh;
  const late = new Promise<Response>((resolve) => setTimeout(() => resolve(old), PAGE_MS_MAX));
  return Promise.race([fresh.catch(() => old), late]);
}

async function take(request: Request, address: string): Promise<Response> {
  return (await (await caches.open(kept)).match(address)) ?? fetch(request);
}

scope.addEventListener("install", (event) => event.waitUntil(fill()));
scope.addEventListener("activate", (event) => event.waitUntil(dropOthers()));
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname, search } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (request.mode === "navigate" && pathname === plan.page) event.respondWith(open(request));
  else if (pathname + search in plan.files) event.respondWith(take(request, pathname + search));
});
