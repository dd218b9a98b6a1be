// SPDX-License-Identifier: Apache-2.0
/**
 * A verifier that answers requests one after another and keeps the newest anchor: what a worker runs, and a page that
 * has none. Requests and answers are plain values that cross a thread's border.
 */

import { type Bytes, equal } from "./bytes.js";
import { invalidGenesis, LedgerError } from "./errors.js";
import { genesisSteps } from "./genesis.js";
import { advanceSteps, decodeClosings, TrustAnchor } from "./light_client.js";
import { receiptSteps, stateReceiptSteps, type Verified, type VerifiedState, type VerifyOptions } from "./receipt.js";
import type { ReceiptInput } from "./receipt_text.js";
import type { Step, Work } from "./steps.js";

/** From where to start: a genesis file, a kept anchor, or both, which must then be of one network. */
export interface Start {
  /** The genesis file's bytes. */
  readonly genesis?: Bytes;
  /** The network's id, if it is known from elsewhere; see `GenesisOptions`. */
  readonly network?: Bytes;
  /** As `TrustAnchor.toString` wrote it. */
  readonly anchor?: string;
}

export type Request =
  | ({ readonly method: "start" } & Start)
  | { readonly method: "advance"; readonly closings: Bytes }
  | {
      readonly method: "verifyReceipt" | "verifyStateReceipt";
      readonly receipt: ReceiptInput;
      readonly options: VerifyOptions;
    };

/** What the service knows after an answer, and what it was asked. The anchor is text, to be kept. */
export interface Answer {
  readonly anchor: string;
  readonly content: Kept<Verified> | Kept<VerifiedState> | null;
}

/** Without the anchor, which does not cross a thread's border as it is. */
export type Kept<T> = Omit<T, "anchor">;

/** What a worker is sent. */
export interface Question {
  readonly id: number;
  readonly request: Request;
  /** Whether steps are wanted. */
  readonly observed: boolean;
}

/** What a worker sends. */
export type Reply =
  | { readonly ready: true }
  | { readonly id: number; readonly step: Step }
  | { readonly id: number; readonly answer: Answer }
  | { readonly id: number; readonly refusal: Refusal };

/** A refusal with its code, or a programming error without. */
export interface Refusal {
  readonly code: string | null;
  readonly reason: string;
}

export class VerifierService {
  private anchor: TrustAnchor | null = null;

  /** Answer one request; a refused one changes nothing. */
  *answer(request: Request): Work<Answer> {
    if (request.method === "start") {
      this.anchor = yield* anchorOf(request);
      return { anchor: String(this.anchor), content: null };
    }
    if (this.anchor === null) throw new TypeError("the verifier has not been started");
    if (request.method === "advance") {
      this.anchor = yield* advanceSteps(this.anchor, decodeClosings(request.closings));
      return { anchor: String(this.anchor), content: null };
    }
    const { anchor, ...content } =
      request.method === "verifyReceipt"
        ? yield* receiptSteps(request.receipt, this.anchor, request.options)
        : yield* stateReceiptSteps(request.receipt, this.anchor, request.options);
    this.anchor = anchor;
    return { anchor: String(anchor), content };
  }
}

/** An error as a plain value. */
export const refusalOf = (error: unknown): Refusal => ({
  code: error instanceof LedgerError ? error.code : null,
  reason: error instanceof Error ? error.message : String(error),
});

function* anchorOf({ genesis, network, anchor: kept }: Start): Work<TrustAnchor> {
  if (kept === undefined) {
    if (genesis === undefined) throw new TypeError("a verifier starts from a genesis file or from a kept anchor");
    return (yield* genesisSteps(genesis, network)).anchor;
  }
  const anchor = TrustAnchor.parse(kept);
  // Its proofs were checked when the anchor was made; that it is of this network is checked now.
  if (network !== undefined && !equal(network, anchor.network)) {
    throw invalidGenesis("the kept anchor is of another network than the one asked for");
  }
  if (genesis !== undefined) yield* genesisSteps(genesis, anchor.network);
  return anchor;
}
