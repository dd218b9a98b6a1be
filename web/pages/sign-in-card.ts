// SPDX-License-Identifier: Apache-2.0
// Staff cards: asks the service what to sign, the card's agent on this computer to have the card sign it, and the
// service whether that holds. The person sees what is signed, and enters the PIN, in the agent's own window: no page
// ever has the PIN. This file only carries the agent's answer to the service.

import { all } from "./elements.js";
import { text } from "./messages.js";
import { failed, fields, onSubmit, post, send, Refused } from "./sign-in-form.js";
import type { Json, Problem } from "./sign-in-form.js";

/** Where this site keeps the code that the agent showed when it was started; worthless once the agent ends. */
const CODE = "card-agent-code";
const IN_ADDRESS = /^#agent-([A-Z0-9-]{8,40})$/;
const LOOK_AGAIN_MS = 400;
const UNPAIRED = "agent.unpaired";

function agentOf(form: HTMLFormElement): (path: string, body?: Json) => Promise<Json> {
  const origin = form.dataset["cardAgent"] ?? "";
  const headers = {
    accept: "application/json",
    "accept-language": document.documentElement.lang,
    "content-type": "application/json",
    "x-card-agent-code": localStorage.getItem(CODE) ?? "",
  };
  return (path, body) => {
    const options = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
    return send(origin + path, { ...options, credentials: "omit", cache: "no-store" }, text("script.sign-in.card-agent"));
  };
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Has the agent ask the person, and waits for what they decide in its window. */
async function decided(form: HTMLFormElement, asked: Json): Promise<Json> {
  const agent = agentOf(form);
  await agent("/agent/card"); // says at once what is amiss with card or reader
  const { id, window: place } = await agent("/agent/requests", asked);
  const address = `${form.dataset["cardAgent"]}${String(place)}?lang=${document.documentElement.lang}`;
  const waiting = form.querySelector<HTMLElement>("[data-waiting]");
  form.querySelector<HTMLAnchorElement>("[data-window]")?.setAttribute("href", address);
  if (waiting !== null) waiting.hidden = false;
  open(address, "_blank", "popup,width=560,height=760"); // where the browser keeps it from opening, the link is there
  try {
    for (;;) {
      const { state, answer } = await agent(`/agent/requests/${String(id)}`);
      if (state === "signed") return answer as Json;
      if (state !== "waiting") throw failed(text("script.sign-in.card-declined"));
      await pause(LOOK_AGAIN_MS);
    }
  } finally {
    if (waiting !== null) waiting.hidden = true;
  }
}

async function run(form: HTMLFormElement): Promise<void> {
  const entered = form.querySelector<HTMLInputElement>("input[name=pairing]")?.value.trim().toUpperCase();
  if (entered) localStorage.setItem(CODE, entered);
  const path = form.dataset["path"] ?? "";
  const { first, second } = fields(form);
  const options = await post(`${path}/options`, first);
  const card = await decided(form, options["card"] as Json);
  const isAct = form.dataset["digest"] !== undefined;
  const { next } = await post(`${path}/verify`, { ...second, ...(isAct ? { credential: { card } } : { card }) });
  location.assign(next as string);
}

/** Says what went wrong; where the agent does not know this site yet, there is a place for its code. */
function explainedIn(form: HTMLFormElement): (error: unknown) => Problem {
  return (error) => {
    if (!(error instanceof Refused)) throw error;
    const pairing = form.querySelector<HTMLElement>("[data-pairing]");
    if (pairing !== null && error.code === UNPAIRED) {
      pairing.hidden = false;
      pairing.querySelector("input")?.focus();
    }
    return error.problem;
  };
}

const found = IN_ADDRESS.exec(location.hash);
if (found !== null) {
  localStorage.setItem(CODE, found[1] ?? "");
  history.replaceState(null, "", location.pathname + location.search);
}
for (const form of all<HTMLFormElement>("form[data-card-agent]")) {
  onSubmit(form, () => run(form), explainedIn(form));
}
