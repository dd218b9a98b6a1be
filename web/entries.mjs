// SPDX-License-Identifier: Apache-2.0
// What is built, from which file, and how large it may get: kilobytes (1,000 bytes) after gzip, with all it imports.
//
// `classic` makes one plain script without imports (for workers: in-app browsers know no module workers).
// A template names an entry with static("shell.js").

/** Script and style of one page together: it opens on a slow phone within seconds. */
export const PAGE_KB_MAX = 60;

/** What each page loads. */
export const SHELL = ["shell.css", "shell.js"];

/** What each kind of page loads beside the shell, the verifier included where it checks something. */
export const PAGES = {
  "sign-in": ["sign-in.js", "sign-in-card.js"],
  desk: ["sign-in.js", "sign-in-card.js", "desk.js"],
  "trader and food office": ["sign-in.js", "trade.js", "trade.css"],
  credit: ["credit.css", "credit.js", "credit-proof.js"], // the verifier's worker comes once the page stands
  "credit: to a reader": ["credit.css", "credit.js", "credit-show.js"],
  "credit: a reader's": ["credit.css", "credit-read.js"], // likewise
  "style page": ["htmx.js", "style-page.js"],
  "explorer: network": ["explorer-network.js"],
  "explorer: record": ["explorer-record.js", "verifier.js"],
  "explorer: check": ["check.js", "verifier.js"],
  kiosk: ["kiosk.css", "kiosk.js"],
  wallet: ["wallet.css", "wallet-opening.js", "wallet.js"], // the verifier and what reads a request: when somebody asks
  "my data": ["wallet.css", "space.js"], // likewise, and it opens from the wallet
};

/** Pages that do without the shell's script, with all that they load. */
export const BARE_PAGES = {
  "food: journey": ["shell.css", "trace.css", "trace.js", "trace-worker.js"],
};

export const ENTRIES = {
  "shell.css": { from: "styles/shell.css", kbMax: 12 },
  "shell.js": { from: "pages/shell.ts", kbMax: 6 },
  "htmx.js": { from: "pages/htmx.ts", kbMax: 16 },
  "sign-in.js": { from: "pages/sign-in.ts", kbMax: 4 },
  "sign-in-agent.js": { from: "pages/sign-in-agent.ts", kbMax: 1 },
  "sign-in-card.js": { from: "pages/sign-in-card.ts", kbMax: 4 },
  "desk.js": { from: "pages/desk.ts", kbMax: 4 },
  "trade.js": { from: "pages/trade.ts", kbMax: 10 },
  "trade-offline.js": { from: "pages/trade-offline.ts", kbMax: 2, classic: true },
  "trade.css": { from: "styles/trade.css", kbMax: 3 },
  "credit.css": { from: "styles/credit.css", kbMax: 2 },
  "credit.js": { from: "pages/credit.ts", kbMax: 10, classic: true }, // what it shares with others would grow their pages
  "credit-proof.js": { from: "pages/credit-proof.ts", kbMax: 12, classic: true }, // likewise
  "credit-show.js": { from: "pages/credit-show.ts", kbMax: 12, classic: true },
  "credit-read.js": { from: "pages/credit-read.ts", kbMax: 34, classic: true }, // two kinds of signatures beside the score
  "style-page.js": { from: "pages/style-page.ts", kbMax: 10 },
  "explorer-network.js": { from: "pages/explorer-network.ts", kbMax: 6 },
  "explorer-record.js": { from: "pages/explorer-record.ts", kbMax: 12 },
  "check.js": { from: "pages/check.ts", kbMax: 12 },
  "check-offline.js": { from: "pages/check-offline.ts", kbMax: 2, classic: true },
  "qr-reader.js": { from: "pages/qr-reader.ts", kbMax: 50, classic: true }, // loaded once a picture was chosen
  "trace.css": { from: "trace/trace.css", kbMax: 4 },
  "trace.js": { from: "trace/trace.ts", kbMax: 5 },
  "trace-worker.js": { from: "trace/worker.ts", kbMax: 52, classic: true },
  "trace-offline.js": { from: "trace/trace-offline.ts", kbMax: 2, classic: true },
  "kiosk.css": { from: "styles/kiosk.css", kbMax: 2 },
  "kiosk.js": { from: "pages/kiosk.ts", kbMax: 3 },
  "wallet.css": { from: "styles/wallet.css", kbMax: 2 },
  "wallet-offline.js": { from: "wallet/keeper.ts", kbMax: 45, classic: true }, // the browser fetches it beside the page
  "wallet-opening.js": { from: "wallet/opening.ts", kbMax: 5 },
  "wallet.js": { from: "pages/wallet.ts", kbMax: 36 },
  "space.js": { from: "pages/space.ts", kbMax: 31 },
  "verifier.js": { from: "verify/src/script.ts", kbMax: 45, classic: true },
  "mark.svg": { from: "images/mark.svg", kbMax: 2 },
};
