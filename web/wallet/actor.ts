// SPDX-License-Identifier: Apache-2.0
// Who acts in the data space: a credential in this wallet, or the holder's card in a reader.

import { base64url } from "jose";
import type { Bytes } from "../verify/src/bytes.js";
import { act, type What } from "./act.js";
import { fetchReport, listOf } from "./accesses.js";
import { actByCard, type Program, type Show } from "./card.js";
import { read } from "./sd-jwt.js";
import type { WalletStore } from "./store.js";
import { fields, textOf, type Fields } from "./web.js";

export interface Actor {
  readonly issuer: string;
  /** Whether each act takes its holder's PIN, so that none is done unasked. */
  readonly asksEachTime: boolean;
  act(what: What): Promise<Fields>;
  /** What is kept, with the list of accesses and where that begins: the credential says it, or the registrar does. */
  look(): Promise<{ readonly told: Fields; readonly report: Bytes; readonly slot: string }>;
  readonly export: What;
}

/** A person's credential whose issuer keeps their list of accesses; undefined: this wallet has none. */
export async function byWallet(store: WalletStore): Promise<Actor | undefined> {
  for (const card of await store.cards()) {
    const [copy] = await store.copies(card.id);
    if (copy === undefined || card.expiresS * 1000 <= Date.now()) continue;
    const held = await read(copy.token);
    const slot = listOf(card.type, held.claims);
    if (slot === undefined) continue;
    const acts = (what: What): Promise<Fields> => act(held, copy.key, card.issuer, what, Date.now());
    return {
      issuer: card.issuer,
      asksEachTime: false,
      act: acts,
      export: { do: "export", access_slot: slot },
      look: async () => ({
        told: await acts({ do: "overview" }),
        report: await fetchReport(held, copy.key, card.issuer, Date.now()),
        slot,
      }),
    };
  }
  return undefined;
}

/** The card in the reader of this computer, at one registrar's service. */
export function byCard(program: Program, issuer: string, show: Show): Actor {
  const acts = (what: What): Promise<Fields> => actByCard(program, issuer, what, show);
  return {
    issuer,
    asksEachTime: true,
    act: acts,
    export: { do: "export" },
    look: async () => {
      const told = await acts({ do: "overview", accesses: true });
      const accesses = fields(told["accesses"]);
      return { told, report: base64url.decode(textOf(accesses, "report")), slot: textOf(accesses, "first_slot") };
    },
  };
}
