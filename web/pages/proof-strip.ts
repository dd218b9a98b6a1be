// SPDX-License-Identifier: Apache-2.0
// The proof strip's states. Green is the outcome of checks that ran here: `finish` turns the strip only when every one
// of its steps was reported proved since `start`, and there is no other way to that state.

import { all } from "./elements.js";

export type Outcome = "proved" | "failed" | "unchecked";
type State = "waiting" | "checking" | Outcome;

function show(element: HTMLElement, state: State, within: string): void {
  element.dataset["state"] = state;
  for (const part of all<HTMLElement>(within, element)) part.hidden = part.dataset["when"] !== state;
}

export class ProofStrip {
  readonly #strip: HTMLElement;
  readonly #steps = new Map<string, HTMLElement>();
  readonly #outcomes = new Map<string, Outcome>();

  /** @param strip What the macro `proof_strip` wrote. */
  constructor(strip: HTMLElement) {
    this.#strip = strip;
    for (const step of all<HTMLElement>("[data-step]", strip)) this.#steps.set(step.dataset["step"] ?? "", step);
    if (this.#steps.size === 0) throw new Error("a proof strip without steps proves nothing");
  }

  /** The strip for the element with this id. */
  static byId(id: string): ProofStrip {
    const strip = document.getElementById(id);
    if (strip === null) throw new Error(`the page has no proof strip "${id}"`);
    return new ProofStrip(strip);
  }

  /** The checks begin, or begin anew: all that was said before is taken back. */
  start(): void {
    this.#outcomes.clear();
    for (const step of this.#steps.values()) this.#showStep(step, "waiting", "", "");
    this.#showHead("checking");
  }

  /** Nothing is checked yet of what comes next: all that was said before is taken back. */
  reset(): void {
    this.start();
    this.#showHead("waiting");
  }

  /** This step is being checked. */
  begin(id: string): void {
    this.#showStep(this.#step(id), "checking", "", "");
  }

  /**
   * A step has ended.
   * @param figure What stands at its right: "6/6", "25 hashes".
   * @param reason Why it failed or could not be checked, in the reader's language.
   */
  end(id: string, outcome: Outcome, figure = "", reason = ""): void {
    this.#outcomes.set(id, outcome);
    this.#showStep(this.#step(id), outcome, figure, reason);
  }

  /** No more steps will be checked: the head says what came out, and the steps left over could not be checked. */
  finish(): Outcome {
    const outcomes = [...this.#steps.keys()].map((id) => this.#outcomes.get(id));
    for (const [id, step] of this.#steps) if (!this.#outcomes.has(id)) this.#showStep(step, "unchecked", "", "");
    const outcome = outcomes.includes("failed")
      ? "failed"
      : outcomes.every((one) => one === "proved")
        ? "proved"
        : "unchecked";
    this.#showHead(outcome);
    return outcome;
  }

  #step(id: string): HTMLElement {
    const step = this.#steps.get(id);
    if (step === undefined) throw new Error(`the proof strip has no step "${id}"`);
    return step;
  }

  #showHead(state: State): void {
    show(this.#strip, state, ".proof-head[data-when]");
  }

  #showStep(step: HTMLElement, state: State, figure: string, reason: string): void {
    show(step, state, "[data-when]");
    const figureAt = step.querySelector<HTMLElement>("[data-figure]");
    if (figureAt !== null) figureAt.textContent = figure;
    const reasonAt = step.querySelector<HTMLElement>("[data-reason]");
    if (reasonAt !== null) {
      reasonAt.textContent = reason;
      reasonAt.hidden = reason === "";
    }
  }
}
