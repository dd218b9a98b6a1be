// SPDX-License-Identifier: Apache-2.0
// The registration that a request carries, as the request says it: what the ledger has is for `registration.ts`.

import { Failed, fields, textOf, type Fields } from "./web.js";

const FORMAT = "zhixin-registration";
const RECEIPT_CHARACTERS_MAX = 2 * 1024 * 1024;

/** Relying party, purpose and receipt, out of `verifier_info`. */
export function registrationIn(info: readonly Fields[]): { party: string; purpose: unknown; receipt: string } {
  const found = info.find((one) => one["format"] === FORMAT);
  if (found === undefined) throw new Failed("untrusted", "no registration");
  const data = fields(found["data"]);
  const receipt = textOf(data, "receipt");
  if (receipt.length > RECEIPT_CHARACTERS_MAX) throw new Failed("malformed");
  return { party: textOf(data, "relying_party"), purpose: data["purpose"], receipt };
}
