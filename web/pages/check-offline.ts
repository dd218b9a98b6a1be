// SPDX-License-Identifier: Apache-2.0
// The service worker of the check page, and of no other: keeps it, the files that it loads and the network's genesis
// file, so that it opens without a connection.

import { Kept } from "./offline.js";

const kept = new Kept("zhixin-check-");

/** The page as it is now, in the reader's language, or as it was kept. */
async function open(request: Request, path: string): Promise<Response> {
  return kept.freshOr(request, await kept.find(path), path);
}

kept.serve((request, path) => (request.mode === "navigate" && kept.plan.pages.includes(path) ? open(request, path) : undefined));
