// SPDX-License-Identifier: Apache-2.0
// What the wallet keeps on this device: credentials, each copy with a key that no script can read, and what was shown.
//
// Nothing of it leaves the device but what its holder presents. A browser may clear a page's storage; `wasEvicted` tells
// that from a wallet that was never used, so that the holder learns it instead of wondering.

const NAME = "zhixin-wallet";
const VERSION = 1;
const BEGUN = "zhixin-wallet-begun";
export const SHOWN_MAX = 1_000; // presentations that are remembered; the oldest goes first

/** A credential: of one type from one issuer, in one or several copies. */
export interface Card {
  readonly id: string;
  readonly type: string;
  readonly issuer: string;
  /** As JSON: all that it says. */
  readonly claims: string;
  readonly receivedMs: number;
  readonly expiresS: number;
}

/** One copy, with the key it is bound to. */
export interface Copy {
  readonly id: string;
  readonly card: string;
  readonly token: string;
  readonly key: CryptoKey;
  /** How often it was shown: a copy shown twice can be recognised. */
  readonly shown: number;
}

/** A one-time token for a code that is shown where nobody is online. */
export interface Token {
  readonly id: string;
  readonly card: string;
  readonly kind: "age" | "name";
  readonly token: Uint8Array<ArrayBuffer>;
  readonly key: CryptoKey;
  readonly expiresS: number;
}

/** That something was shown, or that the holder said no. */
export interface Shown {
  readonly atMs: number;
  readonly party: string;
  readonly nameZh: string;
  readonly nameEn: string;
  readonly purpose: string;
  readonly basis: string;
  readonly claims: readonly string[];
  readonly origin: string;
  readonly outcome: "shown" | "declined" | "failed";
}

function asked<Type>(request: IDBRequest<Type>): Promise<Type> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("storage"));
  });
}

function done(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("storage"));
  });
}

export class WalletStore {
  readonly #database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.#database = database;
  }

  /** Open the storage of this device, or throw where the browser keeps none (a private window). */
  static async open(): Promise<WalletStore> {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("cards", { keyPath: "id" });
      request.result.createObjectStore("copies", { keyPath: "id" }).createIndex("card", "card");
      request.result.createObjectStore("tokens", { keyPath: "id" }).createIndex("card", "card");
      request.result.createObjectStore("shown", { autoIncrement: true });
    };
    return new WalletStore(await asked(request));
  }

  /** Whether this wallet held something here once and the browser has cleared it. */
  async wasEvicted(): Promise<boolean> {
    return localStorage.getItem(BEGUN) !== null && (await this.cards()).length === 0;
  }

  /** All credentials, newest first. */
  async cards(): Promise<Card[]> {
    const found = await asked<Card[]>(this.#read("cards").getAll());
    return found.sort((a, b) => b.receivedMs - a.receivedMs);
  }

  /** The copies of a credential, those least shown first. */
  async copies(card: string): Promise<Copy[]> {
    const found = await asked<Copy[]>(this.#read("copies").index("card").getAll(card));
    return found.sort((a, b) => a.shown - b.shown);
  }

  /** Keep a new credential with its copies: all or none. Ask the browser not to clear it. */
  async keep(card: Card, copies: readonly Copy[]): Promise<void> {
    const transaction = this.#database.transaction(["cards", "copies"], "readwrite", { durability: "strict" });
    transaction.objectStore("cards").add(card);
    for (const copy of copies) transaction.objectStore("copies").add(copy);
    await done(transaction);
    localStorage.setItem(BEGUN, "yes");
    await navigator.storage?.persist?.();
  }

  /** Count that copies are about to be shown, before they are: one that may have been seen is not taken again. */
  async use(ids: readonly string[]): Promise<void> {
    const transaction = this.#database.transaction("copies", "readwrite", { durability: "strict" });
    const copies = transaction.objectStore("copies");
    for (const id of ids) {
      const copy = await asked<Copy | undefined>(copies.get(id));
      if (copy !== undefined) copies.put({ ...copy, shown: copy.shown + 1 });
    }
    await done(transaction);
  }

  /** Forget a credential and its keys for good. */
  async forget(card: string): Promise<void> {
    const names = ["copies", "tokens"];
    const transaction = this.#database.transaction(["cards", ...names], "readwrite", { durability: "strict" });
    transaction.objectStore("cards").delete(card);
    for (const entries of names.map((name) => transaction.objectStore(name))) {
      for (const key of await asked(entries.index("card").getAllKeys(card))) entries.delete(key);
    }
    await done(transaction);
    if ((await this.cards()).length === 0) localStorage.removeItem(BEGUN);
  }

  /** Keep tokens for codes; those that have ended go. */
  async stock(tokens: readonly Token[], nowS: number): Promise<void> {
    const transaction = this.#database.transaction("tokens", "readwrite", { durability: "strict" });
    const entries = transaction.objectStore("tokens");
    for (const one of await asked<Token[]>(entries.getAll())) if (one.expiresS <= nowS) entries.delete(one.id);
    for (const one of tokens) entries.add(one);
    await done(transaction);
  }

  /** How many tokens of a kind are left. */
  async left(card: string, kind: Token["kind"], nowS: number): Promise<number> {
    const found = await asked<Token[]>(this.#read("tokens").index("card").getAll(card));
    return found.filter((one) => one.kind === kind && one.expiresS > nowS).length;
  }

  /** Take a token out for good: each is shown once. Undefined: none is left. */
  async draw(card: string, kind: Token["kind"], nowS: number): Promise<Token | undefined> {
    const transaction = this.#database.transaction("tokens", "readwrite", { durability: "strict" });
    const entries = transaction.objectStore("tokens");
    const found = await asked<Token[]>(entries.index("card").getAll(card));
    const [one] = found.filter((each) => each.kind === kind && each.expiresS > nowS).sort((a, b) => a.expiresS - b.expiresS);
    if (one !== undefined) entries.delete(one.id);
    await done(transaction);
    return one;
  }

  /** Remember what was shown; the oldest is dropped when there are too many. */
  async remember(shown: Shown): Promise<void> {
    const transaction = this.#database.transaction("shown", "readwrite");
    const entries = transaction.objectStore("shown");
    entries.add(shown);
    const keys = await asked(entries.getAllKeys());
    for (const key of keys.slice(0, Math.max(0, keys.length - SHOWN_MAX))) entries.delete(key);
    await done(transaction);
  }

  /** What was shown, newest first. */
  async history(): Promise<Shown[]> {
    return (await asked<Shown[]>(this.#read("shown").getAll())).reverse();
  }

  #read(name: string): IDBObjectStore {
    return this.#database.transaction(name, "readonly").objectStore(name);
  }
}
