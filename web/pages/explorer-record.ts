// SPDX-License-Identifier: Apache-2.0
// One record: fetches its receipt and checks it here, on the reader's own device.

import { Checker, offerPin } from "./check-steps.js";

async function run(): Promise<void> {
  const checker = Checker.onPage();
  const address = document.querySelector<HTMLElement>("[data-check]")?.dataset["receipt"] ?? "";
  const opened = checker.open().catch(() => undefined); // while the receipt comes; `check` says what is wrong
  let receipt: Uint8Array<ArrayBuffer>;
  try {
    const answer = await fetch(`${address}?form=binary`);
    if (!answer.ok) throw new Error(String(answer.status));
    receipt = new Uint8Array(await answer.arrayBuffer());
  } catch {
    checker.missing();
    return;
  }
  await opened;
  await checker.check(receipt);
}

offerPin();
void run();
