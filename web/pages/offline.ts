// SPDX-License-Identifier: Apache-2.0
// What the service workers of pages share: files that are given only as the plan has their digests, pages that are shown
// as they were kept where there is no connection, or a bad one. The plan stands above each worker's script and comes from
// service/offline.py; another build has another plan and another cache, and what the old one kept is dropped.

export interface Plan {
  readonly version: string;
  /** Of answers with pages: which version they go with. */
  readonly header: string;
  /** Addresses with the digest that each answer is held to. */
  readonly files: Readonly<Record<string, string>>;
  /** Addresses of pages that are kept beforehand. */
  readonly pages: readonly string[];
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

const WAIT_MS_MAX = 4_000; // a connection that hangs is worse than none: then what was kept is shown

const scope = globalThis as unknown as Scope;

/** What one build of a page keeps. */
export class Kept {
  readonly plan = scope.offlinePlan;
  readonly #name: string;

  /** @param prefix Of the names of its caches, the old ones' too. */
  constructor(readonly prefix: string) {
    this.#name = prefix + this.plan.version;
  }

  /** What was kept of an address. */
  async find(address: string): Promise<Response | undefined> {
    return (await this.#cache()).match(address, { ignoreVary: true });
  }

  /** What there is now; `old` where there is no connection, a bad one, or a server that fails. */
  async freshOr(request: Request, old: Response | undefined, keptAs = ""): Promise<Response> {
    const fresh = fetch(request).then(async (answer) => {
      if (keptAs !== "" && this.#isOurs(answer)) await (await this.#cache()).put(keptAs, answer.clone());
      return answer.status >= 500 && old !== undefined ? old : answer;
    });
    if (old === undefined) return fresh;
    const late = new Promise<Response>((resolve) => setTimeout(() => resolve(old), WAIT_MS_MAX));
    return Promise.race([fresh.catch(() => old), late]);
  }

  /** Begin to serve: the plan's files, and what `other` answers; undefined leaves a request to the browser. */
  serve(other: (request: Request, path: string) => Promise<Response> | undefined): void {
    scope.addEventListener("install", (event) => event.waitUntil(this.#fill()));
    scope.addEventListener("activate", (event) => event.waitUntil(this.#dropOthers()));
    scope.addEventListener("fetch", (event) => {
      const { request } = event;
      const { origin, pathname, search } = new URL(request.url);
      if (request.method !== "GET" || origin !== location.origin) return;
      const isFile = pathname + search in this.plan.files;
      const answer = isFile ? this.#held(request, pathname + search) : other(request, pathname);
      if (answer !== undefined) event.respondWith(answer);
    });
  }

  async #cache(): Promise<Cache> {
    return caches.open(this.#name);
  }

  /** Fetch all that the plan names; what is missing or not what it should be ends it, and the next visit tries again. */
  async #fill(): Promise<void> {
    const cache = await this.#cache();
    const files = Object.entries(this.plan.files).map(async ([address, integrity]) => {
      const answer = await fetch(new Request(address, { integrity, cache: "no-cache", credentials: "omit" }));
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      await cache.put(address, answer);
    });
    const pages = this.plan.pages.map(async (address) => {
      const answer = await fetch(address, { cache: "no-cache", credentials: "same-origin" }); // the language is a cookie
      if (!this.#isOurs(answer)) throw new Error(`${address}: ${answer.status}, or of another build`);
      await cache.put(address, answer);
    });
    await Promise.all([...files, ...pages]);
    await scope.skipWaiting();
  }

  /** Whether a page goes with the files that were kept. */
  #isOurs(page: Response): boolean {
    return page.ok && page.headers.get(this.plan.header) === this.plan.version;
  }

  async #dropOthers(): Promise<void> {
    for (const one of await caches.keys()) if (one.startsWith(this.prefix) && one !== this.#name) await caches.delete(one);
    await scope.clients.claim();
  }

  async #held(request: Request, address: string): Promise<Response> {
    return (await this.find(address)) ?? fetch(request);
  }
}
