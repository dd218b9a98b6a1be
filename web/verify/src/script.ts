// SPDX-License-Identifier: Apache-2.0
/**
 * The one script that browsers load, made a classic one by bundling: as a worker it answers `client.ts`; in a page that
 * may have no worker it offers the same as `zhixinVerify`.
 */

import * as api from "./index.js";
import { type Question, refusalOf, type Reply, VerifierService } from "./service.js";
import { run } from "./steps.js";

export interface ScriptApi {
  readonly VerifierService: typeof VerifierService;
  readonly refusalOf: typeof refusalOf;
  readonly runInSlices: typeof api.runInSlices;
}

interface WorkerScope {
  onmessage: ((event: MessageEvent<Question>) => void) | null;
  postMessage(reply: Reply): void;
}

const offered: ScriptApi & typeof api = { ...api, VerifierService, refusalOf };
Object.assign(globalThis, { zhixinVerify: offered });

if (typeof document === "undefined" && "importScripts" in globalThis) {
  const scope = globalThis as unknown as WorkerScope;
  const service = new VerifierService();
  scope.onmessage = ({ data: { id, request, observed } }) => {
    try {
      const answer = run(service.answer(request), observed ? (step) => scope.postMessage({ id, step }) : undefined);
      scope.postMessage({ id, answer });
    } catch (error) {
      scope.postMessage({ id, refusal: refusalOf(error) });
    }
  };
  scope.postMessage({ ready: true });
}
