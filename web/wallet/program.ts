// SPDX-License-Identifier: Apache-2.0
// The wallet's program as its page meets it: keeps it on this device, and learns what became of a newer one.

import type { Reason } from "./manifest.js";

const ANSWER_MS_MAX = 60_000; // a new program is fetched whole before the worker answers

/** How the program that is kept stands to what the service offers now. */
export interface Standing {
  /** `kept`: the same; `taken`: another, from the next opening on; `unkept`: none is kept here. */
  readonly outcome: "kept" | "taken" | "refused" | "offline" | "unkept";
  readonly reason?: Reason;
  /** Of the program that is kept: who anchored it, when, and its digest. */
  readonly organisation?: string;
  readonly sinceMs?: number;
  readonly digest?: string;
}

const UNKEPT: Standing = { outcome: "unkept" };

/**
 * Have the program kept, so that it opens without a connection and no other takes its place unseen.
 *
 * @param address - The worker's.
 * @returns Undefined where browsers have no workers (inside another app): the wallet works while the page stays open.
 */
export async function keepProgram(address: string): Promise<Standing | undefined> {
  try {
    const registration = await navigator.serviceWorker.register(address, { scope: "/", updateViaCache: "none" });
    const worker = registration.active ?? (await activated(registration));
    if (worker === undefined) return UNKEPT;
    const standing = await ask(worker);
    document.documentElement.dataset["kept"] = "yes";
    return standing;
  } catch {
    return undefined;
  }
}

/** The first worker, once it runs; undefined: it found nothing that it may keep. */
function activated({ installing, waiting }: ServiceWorkerRegistration): Promise<ServiceWorker | undefined> {
  const worker = installing ?? waiting;
  return new Promise((resolve) => {
    const look = (): void => {
      if (worker === null || worker.state === "redundant") resolve(undefined);
      else if (worker.state === "activated") resolve(worker);
    };
    worker?.addEventListener("statechange", look);
    look();
  });
}

function ask(worker: ServiceWorker): Promise<Standing> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const timer = setTimeout(() => resolve({ outcome: "offline" }), ANSWER_MS_MAX);
    port1.onmessage = ({ data }: MessageEvent<Standing>) => {
      clearTimeout(timer);
      port1.close();
      resolve(data);
    };
    worker.postMessage({ question: "program", language: document.documentElement.lang }, [port2]);
  });
}
