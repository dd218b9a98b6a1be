// SPDX-License-Identifier: Apache-2.0
// Drafts that a device keeps while it has no connection: in IndexedDB, each under its own idempotency key, until the
// service has taken it. What is kept is what was typed; nothing is signed before it is sent, for only the service knows
// what would stand on the ledger.

/** What is sent of a draft; the members of `Draft` in traceability/api/trader/forms.py. */
export interface Draft {
  readonly draft: string;
  readonly step: string;
  readonly actor: string;
  readonly at_ms: number;
  readonly lines: readonly { readonly item: string; readonly quantity: string }[];
  readonly [field: string]: unknown;
}

const NAME = "zhixin-trade";
const STORE = "drafts";
const DRAFTS_MAX = 200; // a season's days in the field; whoever has more sends some first

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "draft" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error ?? new Error("no database"));
  });
}

async function run<Result>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<Result>): Promise<Result> {
  const database = await open();
  try {
    return await new Promise<Result>((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const asked = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onerror = () => reject(transaction.error ?? new Error("not kept"));
      transaction.onabort = () => reject(transaction.error ?? new Error("not kept"));
    });
  } finally {
    database.close();
  }
}

/** All drafts, the oldest first. */
export async function drafts(): Promise<Draft[]> {
  const found = (await run("readonly", (store) => store.getAll() as IDBRequest<Draft[]>)) ?? [];
  return found.sort((one, other) => one.at_ms - other.at_ms);
}

/** Keep a draft; the same one again replaces it. Fails where the device keeps nothing, or enough already. */
export async function keep(draft: Draft): Promise<void> {
  if ((await run("readonly", (store) => store.count())) >= DRAFTS_MAX) throw new Error("too many drafts");
  await run("readwrite", (store) => store.put(draft));
}

/** Forget a draft that was sent, or that nobody wants any more. */
export async function forget(name: string): Promise<void> {
  await run("readwrite", (store) => store.delete(name));
}
