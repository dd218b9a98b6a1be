// SPDX-License-Identifier: Apache-2.0
// The service worker of the traders' pages: keeps the forms that hold nothing of anybody, the list of them first, and the
// files that they load. Pages of somebody who is signed in are never kept.

import { Kept } from "./offline.js";

const kept = new Kept("zhixin-trade-");
const { pages } = kept.plan;

/** The page as it is now; its kept form, or the list of forms, where that can't be had. */
async function open(request: Request, path: string): Promise<Response> {
  const instead = (await kept.find(path)) ?? (await kept.find(pages[0] ?? ""));
  return kept.freshOr(request, instead, pages.includes(path) ? path : "");
}

kept.serve((request, path) => (request.mode === "navigate" ? open(request, path) : undefined));
