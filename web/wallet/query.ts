// SPDX-License-Identifier: Apache-2.0
// A verifier's query, and which of the held credentials answer it. Loaded with the first request: it is large.
//
// Source: OpenID4VP 1.0, 6 (DCQL).

import { DcqlQuery } from "dcql";
import type { Wanted } from "./request.js";
import type { Held, Path } from "./sd-jwt.js";
import { Failed } from "./web.js";

const QUESTIONS_MAX = 4;

/** A query, checked. */
export function queryOf(value: unknown): DcqlQuery {
  try {
    const query = DcqlQuery.parse(value as DcqlQuery.Input);
    DcqlQuery.validate(query);
    if (query.credentials.length > QUESTIONS_MAX) throw new Error("too many");
    return query;
  } catch {
    throw new Failed("malformed");
  }
}

/**
 * Which of the held credentials answer, and with which claims: of each set that the verifier would take the first that
 * can be given, in their order. Where several do, the holder chooses.
 *
 * @param query - What is asked.
 * @param held - By the wallet's own id, in the order in which they are proposed.
 * @returns By id of the credential query, at least one each; undefined where what is held does not answer.
 */
export function match(
  query: DcqlQuery,
  held: ReadonlyMap<string, Held>,
): ReadonlyMap<string, readonly Wanted[]> | undefined {
  const ids = [...held.keys()];
  const found = DcqlQuery.query(
    query,
    [...held.values()].map((one) => ({
      credential_format: "dc+sd-jwt" as const,
      vct: String(one.payload["vct"]),
      cryptographic_holder_binding: true,
      claims: one.claims as never,
    })),
  );
  if (!found.can_be_satisfied) return undefined;
  const wanted = new Map<string, readonly Wanted[]>();
  for (const id of chosen(query, found)) {
    const asked = query.credentials.find((each) => each.id === id);
    const answer = found.credential_matches[id];
    if (asked?.format !== "dc+sd-jwt" || answer?.success !== true) return undefined;
    const all = asked.claims ?? [];
    wanted.set(
      id,
      answer.valid_credentials.map((one) => {
        const card = ids[one.input_credential_index] ?? "";
        const set = one.claims.valid_claim_sets[0]?.valid_claim_indexes;
        const claims = set === undefined ? all : all.filter((_, i) => set.includes(i));
        return { id: card, type: String(held.get(card)?.payload["vct"]), paths: claims.map(({ path }) => pathOf(path)) };
      }),
    );
  }
  return wanted.size === 0 ? undefined : wanted;
}

/** A claim's path; elements of a list go together. */
function pathOf(path: readonly unknown[]): Path {
  const names = path[path.length - 1] === null ? path.slice(0, -1) : path;
  if (!names.every((part) => typeof part === "string")) throw new Failed("malformed");
  return names as Path;
}

type Answer = ReturnType<typeof DcqlQuery.query>;

/** Ids of the credential queries to answer: all, or of each required set the first that can be answered whole. */
function chosen(query: DcqlQuery, found: Answer): readonly string[] {
  const sets = query.credential_sets;
  if (sets === undefined) return query.credentials.map(({ id }) => id);
  const can = (id: string): boolean => found.credential_matches[id]?.success === true;
  const ids = sets.filter(({ required }) => required).flatMap(({ options }) => options.find((one) => one.every(can)) ?? []);
  return [...new Set(ids)];
}
