// SPDX-License-Identifier: Apache-2.0
// What forms of sign-in share: asking the service, and saying what went wrong.

import { all } from "./elements.js";
import { text } from "./messages.js";

export type Json = Record<string, unknown>;
export interface Problem {
  title: string;
  detail: string;
}

export class Refused extends Error {
  constructor(
    readonly problem: Problem,
    readonly code = "",
  ) {
    super(problem.title);
  }
}

export const failed = (detail: string): Refused => new Refused({ title: text("script.sign-in.failed"), detail });

/** Sends a question and takes the answer; `unanswered` is said where nothing comes back. */
export async function send(url: string, options: RequestInit, unanswered: string): Promise<Json> {
  let response: Response;
  let answer: Json;
  try {
    response = await fetch(url, options);
    answer = (await response.json()) as Json;
  } catch {
    throw failed(unanswered);
  }
  if (!response.ok) throw new Refused(answer as unknown as Problem, String(answer["code"] ?? ""));
  return answer;
}

export async function post(path: string, body: Json): Promise<Json> {
  const headers = { "content-type": "application/json", accept: "application/json" };
  return send(path, { method: "POST", headers, body: JSON.stringify(body) }, text("script.sign-in.offline"));
}

export function say(notice: HTMLElement | null, problem: Problem): void {
  if (notice === null) return;
  for (const part of all<HTMLElement>("[data-title]", notice)) part.textContent = problem.title;
  for (const part of all<HTMLElement>("[data-detail]", notice)) part.textContent = problem.detail;
  notice.hidden = false;
}

const CONFIRM_PATH = "/confirm";
const CONFIRM = "sign-in.confirm";

/** Where the passkey or card was asked for too long ago, it is asked for again on its own page, which leads back here. */
function leadsToConfirming(error: unknown): boolean {
  if (!(error instanceof Refused) || error.code !== CONFIRM || location.pathname === CONFIRM_PATH) return false;
  location.assign(`${CONFIRM_PATH}?next=${encodeURIComponent(location.pathname + location.search)}`);
  return true;
}

/** The token of the link that was opened; the fragment is never sent by itself. */
export const linkToken = (): string => location.hash.slice(1);

/** What a form sends with its first question, and with its second beside the answer of the device. */
export function fields(form: HTMLFormElement): { first: Json; second: Json } {
  const path = form.dataset["path"] ?? "";
  const token = path.startsWith("/join") ? { token: linkToken() } : {};
  const shown = form.dataset["digest"] === undefined ? {} : { shown: form.dataset["digest"] };
  const name = form.querySelector<HTMLInputElement>("input[name=name], input[name=card_name]")?.value;
  const back = form.dataset["back"] ? { next: form.dataset["back"] } : {};
  return { first: { ...token, ...shown }, second: { ...token, ...back, ...(name === undefined ? {} : { name }) } };
}

/** Runs a ceremony when its form is sent, one at a time; nobody can send it before, for a browser alone would lose it. */
export function onSubmit(form: HTMLFormElement, run: () => Promise<void>, explained: (error: unknown) => Problem): void {
  const notice = form.querySelector<HTMLElement>("[data-outcome]");
  const button = form.querySelector<HTMLButtonElement>("button[type=submit]");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (button === null || button.getAttribute("aria-busy") === "true") return;
    if (notice !== null) notice.hidden = true;
    button.setAttribute("aria-busy", "true");
    run()
      .catch((error: unknown) => {
        if (!leadsToConfirming(error)) say(notice, explained(error));
      })
      .finally(() => button.removeAttribute("aria-busy"));
  });
  if (button !== null) button.disabled = false;
}
