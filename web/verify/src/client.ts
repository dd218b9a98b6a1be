// SPDX-License-Identifier: Apache-2.0
/**
 * The verifier for pages: it works in a worker, so that a page never freezes, and in slices on the page's own thread
 * where workers are refused. Either way it loads the same one script, once.
 */

import type { Bytes } from "./bytes.js";
import { LedgerError } from "./errors.js";
import type { Verified, VerifiedState, VerifyOptions } from "./receipt.js";
import type { ReceiptInput } from "./receipt_text.js";
import type { ScriptApi } from "./script.js";
import type { Answer, Kept, Question, Refusal, Reply, Request, Start, VerifierService } from "./service.js";
import type { Observer } from "./steps.js";

export { LedgerError } from "./errors.js";
export type { Observer, Step } from "./steps.js";
export type { Kept, Start } from "./service.js";
export type { Failure, Inclusion, State } from "./proven.js";
export type { Verified, VerifiedState, VerifyOptions } from "./receipt.js";

/** A worker that has not said that it runs by then is given up. */
const READY_MS_MAX = 8_000;

export interface OpenOptions extends Start {
  /** Where `verifier.js` of this package is served. */
  readonly scriptUrl: string;
  /** Told of each check of the genesis file. */
  readonly onStep?: Observer;
}

/** Options of one verification; the page's clock is taken where none is given. */
export interface PageOptions extends VerifyOptions {
  readonly onStep?: Observer;
}

/** What does the work: a worker, or this thread. */
interface Engine {
  ask(request: Request, onStep?: Observer): Promise<Answer>;
  close(): void;
}

/**
 * Start a verifier.
 *
 * @returns Once the genesis file or the kept anchor has been checked.
 * @throws LedgerError - `genesis.invalid`, or the kept anchor is damaged (`message.invalid`): then start without it.
 */
export async function openVerifier({ scriptUrl, onStep, ...start }: OpenOptions): Promise<PageVerifier> {
  let engine: Engine;
  let thread: PageVerifier["thread"] = "worker";
  try {
    engine = await WorkerEngine.open(scriptUrl);
  } catch {
    engine = new PageEngine(await loadScript(scriptUrl));
    thread = "page";
  }
  try {
    const { anchor } = await engine.ask({ method: "start", ...start }, onStep);
    return new PageVerifier(engine, thread, anchor);
  } catch (error) {
    engine.close();
    throw error;
  }
}

/** Verifies one after another, in the order of the calls, and keeps the newest anchor. */
export class PageVerifier {
  constructor(
    private readonly engine: Engine,
    /** Where it works. */
    readonly thread: "worker" | "page",
    private kept: string,
  ) {}

  /** What is known now, as text to keep in localStorage: without it a network that went back is not noticed. */
  get anchor(): string {
    return this.kept;
  }

  /**
   * Verify a receipt or a bundle, in any of its encodings.
   *
   * @throws LedgerError - As `verifyReceipt` of the main module.
   */
  async verifyReceipt(receipt: ReceiptInput, options: PageOptions = {}): Promise<Kept<Verified>> {
    return (await this.ask("verifyReceipt", receipt, options)) as Kept<Verified>;
  }

  /** The same for a bundle: 1 to N proofs under one certificate. */
  verifyBundle(receipt: ReceiptInput, options: PageOptions = {}): Promise<Kept<Verified>> {
    return this.verifyReceipt(receipt, options);
  }

  /**
   * Verify a receipt that must prove exactly one state key.
   *
   * @throws LedgerError - As `verifyStateReceipt` of the main module.
   */
  async verifyStateReceipt(receipt: ReceiptInput, options: PageOptions = {}): Promise<Kept<VerifiedState>> {
    return (await this.ask("verifyStateReceipt", receipt, options)) as Kept<VerifiedState>;
  }

  /** Follow closing checkpoints, as a node answers them. */
  async advance(closings: Bytes, onStep?: Observer): Promise<void> {
    this.kept = (await this.engine.ask({ method: "advance", closings }, onStep)).anchor;
  }

  /** End the worker. */
  close(): void {
    this.engine.close();
  }

  private async ask(
    method: "verifyReceipt" | "verifyStateReceipt",
    receipt: ReceiptInput,
    { onStep, ...options }: PageOptions,
  ): Promise<Answer["content"]> {
    const clocked = options.stateAgeMsMax === undefined ? options : { nowMs: Date.now(), ...options };
    const answer = await this.engine.ask({ method, receipt, options: clocked }, onStep);
    this.kept = answer.anchor;
    return answer.content;
  }
}

interface Asked {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly onStep: Observer | undefined;
}

class WorkerEngine implements Engine {
  private readonly asked = new Map<number, Asked>();
  private lastId = 0;
  private isOver = false;

  private constructor(private readonly worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.take(data);
    worker.onerror = () => this.close();
  }

  /** A worker that runs. */
  static open(scriptUrl: string): Promise<WorkerEngine> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(scriptUrl);
      const giveUp = (): void => {
        worker.terminate();
        reject(new Error("no worker"));
      };
      const timer = setTimeout(giveUp, READY_MS_MAX);
      worker.onerror = (event) => {
        event.preventDefault();
        clearTimeout(timer);
        giveUp();
      };
      worker.onmessage = () => {
        clearTimeout(timer);
        resolve(new WorkerEngine(worker));
      };
    });
  }

  ask(request: Request, onStep?: Observer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.isOver) throw over(); // a worker that is gone would never answer
      this.lastId += 1;
      this.asked.set(this.lastId, { resolve, reject, onStep });
      const question: Question = { id: this.lastId, request, observed: onStep !== undefined };
      this.worker.postMessage(question);
    });
  }

  close(): void {
    this.isOver = true;
    this.worker.terminate();
    for (const { reject } of this.asked.values()) reject(over());
    this.asked.clear();
  }

  private take(reply: Reply): void {
    if ("ready" in reply) return;
    const asked = this.asked.get(reply.id);
    if (asked === undefined) return;
    if ("step" in reply) {
      asked.onStep?.(reply.step);
      return;
    }
    this.asked.delete(reply.id);
    if ("answer" in reply) asked.resolve(reply.answer);
    else asked.reject(errorOf(reply.refusal));
  }
}

class PageEngine implements Engine {
  private readonly service: VerifierService;
  private before: Promise<unknown> = Promise.resolve();

  constructor(private readonly script: ScriptApi) {
    this.service = new script.VerifierService();
  }

  ask(request: Request, onStep?: Observer): Promise<Answer> {
    const answer = this.before.then(async () => {
      try {
        return await this.script.runInSlices(this.service.answer(request), onStep);
      } catch (error) {
        throw errorOf(this.script.refusalOf(error));
      }
    });
    this.before = answer.catch(() => undefined);
    return answer;
  }

  close(): void {
    // Nothing runs between calls.
  }
}

const over = (): Error => new Error("the verifier was closed, or its worker failed; open another");

/** This module's own error: the script has a class of its own by that name. */
const errorOf = ({ code, reason }: Refusal): Error =>
  code === null ? new Error(reason) : new LedgerError(code, reason);

/** Load the script into the page itself, once. */
function loadScript(scriptUrl: string): Promise<ScriptApi> {
  const page = globalThis as { zhixinVerify?: ScriptApi };
  if (page.zhixinVerify !== undefined) return Promise.resolve(page.zhixinVerify);
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    const fail = (): void => reject(new Error(`the verifier's script does not load from ${scriptUrl}`));
    element.src = scriptUrl;
    element.onerror = fail;
    element.onload = () => (page.zhixinVerify === undefined ? fail() : resolve(page.zhixinVerify));
    document.head.append(element);
  });
}
