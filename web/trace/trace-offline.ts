// SPDX-License-Identifier: Apache-2.0
// The service worker of the journey pages: gives the files that they load, and pages and proofs that a page has kept.

import { Kept } from "../pages/offline.js";

const kept = new Kept("zhixin-food-");

async function freshOrKept(request: Request, path: string): Promise<Response> {
  return kept.freshOr(request, await kept.find(path));
}

kept.serve((request, path) =>
  request.mode === "navigate" || path.startsWith("/v1/journeys/") ? freshOrKept(request, path) : undefined,
);
