// SPDX-License-Identifier: Apache-2.0
// Acts in the data space by the card alone: the card's program on this computer shows in its own window what is signed,
// takes the PIN there, and has the card sign. This page carries the answer to the registrar's service.
//
// Source: docs/my-data.md, "By card alone"; identity/space_card.py; cli/card_agent.

import { askingOf, send, type What } from "./act.js";
import { Failed, fields, parseFields, textOf, type Fields } from "./web.js";

const LOOK_AGAIN_MS = 400;
const WAIT_MS_MAX = 5 * 60_000; // as long as the program keeps a question

/** Where the program is, and what it showed when it was started. */
export interface Program {
  readonly origin: string;
  readonly code: string;
}

/** Shows where the program's window is, while it waits; undefined: it waits no longer. */
export type Show = (window: string | undefined) => void;

async function toProgram({ origin, code }: Program, path: string, body?: Fields): Promise<Fields> {
  const headers = {
    accept: "application/json",
    "accept-language": document.documentElement.lang,
    "content-type": "application/json",
    "x-card-agent-code": code,
  };
  const init = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  let answer: Response;
  try {
    answer = await fetch(origin + path, { ...init, credentials: "omit", cache: "no-store" });
  } catch {
    throw new Failed("no-program");
  }
  const told = parseFields(await answer.text());
  if (answer.status === 401) throw new Failed("unpaired");
  if (!answer.ok) throw new Failed("no-card", typeof told["title"] === "string" ? told["title"] : "");
  return told;
}

/**
 * Have the card sign an act, and send it to a registrar's data space.
 *
 * @throws Failed
 */
export async function actByCard(program: Program, issuer: string, what: What, show: Show): Promise<Fields> {
  await toProgram(program, "/agent/card"); // says at once what is amiss with card or reader
  const { endpoint, nonce } = await askingOf(issuer);
  const text = JSON.stringify(what);
  const asked = await toProgram(program, "/agent/requests", { audience: new URL(issuer).origin, nonce, act: text });
  const place = `${program.origin}${textOf(asked, "window")}?lang=${document.documentElement.lang}`;
  show(place);
  open(place, "_blank", "popup,width=560,height=760"); // where the browser keeps it from opening, the link is there
  try {
    for (const endsMs = Date.now() + WAIT_MS_MAX; Date.now() < endsMs; ) {
      const { state, answer } = await toProgram(program, `/agent/requests/${textOf(asked, "id")}`);
      if (state === "signed") return await send(endpoint, { card: fields(answer), nonce, act: text });
      if (state !== "waiting") break;
      await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
    }
  } finally {
    show(undefined);
  }
  throw new Failed("unsigned");
}
