// SPDX-License-Identifier: Apache-2.0
/**
 * Checking as a sequence of steps that a page can show one by one, and that can pause between any two.
 *
 * Each check is a generator: it yields a `Step` when one is done, and nothing where a long computation may pause. The
 * same generator runs to its end at once in Node.js and in a worker, and in slices where it shares a thread with a
 * page.
 */

import { type Bytes, toHex } from "./bytes.js";
import { LedgerError } from "./errors.js";

/** Which check; docs/verifier.md says each in words. */
export type Check =
  | "genesis"
  | "possession"
  | "decode"
  | "sequence"
  | "network"
  | "epoch"
  | "quorum"
  | "signature"
  | "history"
  | "next-validators"
  | "age"
  | "operation"
  | "entry"
  | "result"
  | "presence"
  | "absence"
  | "content";

/** One check that was made. Whatever is refused ends with exactly one refused step, which carries the error's code. */
export interface Step {
  readonly check: Check;
  /** What it was part of: the genesis file, a closing checkpoint, the receipt's checkpoint, or one of its proofs. */
  readonly part: "genesis" | "closing" | "checkpoint" | "inclusion" | "state" | "receipt";
  /** Which of these, 0-based. */
  readonly index: number;
  /** What was compared: numbers, names, and byte strings as short hexadecimal digits. */
  readonly inputs: Readonly<Record<string, string | number>>;
  readonly outcome: "passed" | "refused";
  /** Of a refused one. */
  readonly code?: string;
  /** Of a refused one: one English sentence. */
  readonly reason?: string;
}

export type Observer = (step: Step) => void;

/** A computation that yields steps, and undefined where it may pause. */
export type Work<T> = Generator<Step | undefined, T, void>;

/** What a step is of. */
export interface Place {
  readonly part: Step["part"];
  readonly index: number;
}

/** Beginning of a byte string, as pages show it. */
export function short(data: Bytes): string {
  return data.length <= 8 ? toHex(data) : `${toHex(data.subarray(0, 4))}…${toHex(data.subarray(-4))}`;
}

/** Make one check, and yield what came of it; the check may add to its inputs what it finds. */
export function* step<T>(
  check: Check,
  place: Place,
  inputs: Step["inputs"],
  work: () => T | Work<T>,
): Work<T> {
  try {
    const made = work();
    const result = isWork(made) ? yield* made : made;
    yield { check, ...place, inputs, outcome: "passed" };
    return result;
  } catch (error) {
    if (error instanceof LedgerError) {
      yield { check, ...place, inputs, outcome: "refused", code: error.code, reason: error.reason };
    }
    throw error;
  }
}

/** Run to the end at once. */
export function run<T>(work: Work<T>, onStep?: Observer): T {
  for (;;) {
    const next = work.next();
    if (next.done === true) return next.value;
    if (next.value !== undefined) onStep?.(next.value);
  }
}

/**
 * Run in slices, so that a page which shares the thread stays responsive.
 *
 * @param work - The computation.
 * @param onStep - Told of each step.
 * @param sliceMs - How long to run before the page gets its turn; a single curve operation may take longer.
 */
export async function runInSlices<T>(work: Work<T>, onStep?: Observer, sliceMs = 8): Promise<T> {
  let began = Date.now();
  for (;;) {
    const next = work.next();
    if (next.done === true) return next.value;
    if (next.value !== undefined) onStep?.(next.value);
    if (Date.now() - began >= sliceMs) {
      await new Promise<void>((resolve) => setTimeout(resolve, 0));
      began = Date.now();
    }
  }
}

function isWork<T>(value: T | Work<T>): value is Work<T> {
  return typeof value === "object" && value !== null && Symbol.iterator in value && "throw" in value;
}
