// SPDX-License-Identifier: Apache-2.0
// The pages of people and companies: signs in with the holder's key, computes the score anew from the same events and
// says whether it agrees, and computes what would be if. Nothing that is tried out is sent anywhere.

import { score, type CreditEvent } from "../score/score.js";
import { all } from "./elements.js";
import { keepKey, keptKey, newKey, signNonce } from "./holder-key.js";
import { text } from "./messages.js";

const DAY_MS = 86_400_000;

interface Problem {
  readonly title: string;
  readonly detail: string;
}

class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title);
  }
}

async function post(path: string, body: object): Promise<Record<string, string>> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Refused({ title: text("script.credit.failed"), detail: text("script.credit.offline") });
  }
  const answer = (await response.json()) as Record<string, string>;
  if (!response.ok) throw new Refused(answer as unknown as Problem);
  return answer;
}

function fail(key: string): Refused {
  return new Refused({ title: text("script.credit.failed"), detail: text(key) });
}

async function enter(card: HTMLElement): Promise<void> {
  const joins = card.dataset["holder"] === "join";
  const origin = card.dataset["origin"] ?? "";
  const token = location.hash.slice(1);
  if (joins && token === "") throw fail("script.credit.no-link");
  const pair = joins ? await newKey() : await keptKey();
  if (pair === null) throw fail("script.credit.no-key");
  const { nonce = "" } = await post("/me/nonce", {});
  const signed = await signNonce(pair, joins ? "join" : "sign-in", origin, nonce);
  const answer = await post(joins ? "/me/join" : "/me/sign-in", joins ? { ...signed, token } : signed);
  if (joins) await keepKey(pair);
  location.replace(answer["next"] ?? "/me");
}

function offerEntrance(card: HTMLElement): void {
  const button = card.querySelector<HTMLButtonElement>("[data-holder-button]");
  const outcome = card.querySelector<HTMLElement>("[data-outcome]");
  if (button === null || outcome === null) return;
  button.disabled = false;
  button.addEventListener("click", () => {
    button.disabled = true;
    outcome.hidden = true;
    enter(card).catch((error: unknown) => {
      const problem =
        error instanceof Refused
          ? error.problem
          : { title: text("script.credit.failed"), detail: text("script.credit.offline") };
      for (const [part, words] of [
        ["[data-title]", problem.title],
        ["[data-detail]", problem.detail],
      ] as const) {
        const place = outcome.querySelector(part);
        if (place !== null) place.textContent = words;
      }
      outcome.hidden = false;
      button.disabled = false;
    });
  });
}

interface Data {
  readonly events: readonly (readonly [number, string, string, number, number])[];
  readonly scorecard: string;
  readonly as_of: number;
  readonly raw: string;
}

function toEvents(data: Data): CreditEvent[] {
  return data.events.map(([number, found, status, documentDay, publishedDaysMax]) => ({
    number,
    found,
    status,
    documentDay,
    publishedDaysMax,
  }));
}

/** Show one of the sentences beside the score. */
function say(outcome: string): void {
  for (const strip of all<HTMLElement>("[data-recomputed]")) {
    strip.dataset["recomputed"] = outcome;
    for (const sentence of all<HTMLElement>("[data-when]", strip)) {
      sentence.hidden = sentence.dataset["when"] !== outcome;
    }
  }
}

function recompute(data: Data, document: Uint8Array): void {
  try {
    say(score(toEvents(data), document, data.as_of) === data.raw ? "agrees" : "differs");
  } catch {
    say("differs");
  }
}

function offerTrial(data: Data, card: Uint8Array): void {
  const section = document.querySelector<HTMLElement>("[data-what-if]");
  const day = section?.querySelector<HTMLInputElement>("[data-day]");
  const would = section?.querySelector<HTMLElement>("[data-would]");
  if (!section || !day || !would) return;
  const choices = all<HTMLSelectElement>("select[data-event]", section);
  const show = (): void => {
    const events = toEvents(data).map((event, i) => {
      const chosen = choices.find((choice) => Number(choice.dataset["event"]) === i)?.value;
      return chosen ? { ...event, status: chosen } : event;
    });
    const asOf = day.value === "" ? data.as_of : Math.floor(Date.parse(day.value) / DAY_MS);
    const found = JSON.parse(score(events, card, asOf)) as { points: number; grade: string };
    would.textContent = text("script.credit.would", { points: found.points, grade: found.grade });
  };
  section.hidden = false;
  section.addEventListener("input", show);
  show();
}

for (const card of all<HTMLElement>("[data-holder]")) offerEntrance(card);
const block = document.getElementById("credit-data");
if (block !== null) {
  const data = JSON.parse(block.textContent ?? "null") as Data;
  const card = new TextEncoder().encode(data.scorecard);
  recompute(data, card);
  offerTrial(data, card);
}
