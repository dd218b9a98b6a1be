// SPDX-License-Identifier: Apache-2.0
// The traders' forms on a phone: codes out of a picture, more lines, and drafts while there is no connection. Without
// this file the forms work as they stand; whoever has a connection needs none of it. Nothing is loaded later on: it could
// not be loaded without a connection.

import { all, element } from "./elements.js";
import { number, text } from "./messages.js";
import { readPhoto } from "./qr-photo.js";
import { type Draft, drafts, forget, keep } from "./trade-drafts.js";
import { hasCamera, readCamera } from "./qr-camera.js";
import { photoText } from "./trade-photo.js";

const ACTOR = "zhixin-trade-actor"; // in the device's own storage
const SEND_MS_MAX = 30_000; // for one draft on a bad connection; it is tried again later

const CODE = /(?:^|\/)((?:01\/\d{14}\/(?:10|21)\/[^/?#]+)|00\/\d{18}|8003\/[^/?#]+|8004\/[^/?#]+)(?:[/?#]|$)/;

// ------------------------------------------------------------------ scanning

function say(form: HTMLFormElement, words: string, isGood = false): void {
  const place = form.querySelector<HTMLElement>("[data-trade-said]");
  if (place === null) return;
  place.className = isGood ? "right" : "wrong";
  place.textContent = words;
  place.hidden = words === "";
}

/** Put a scanned code where it belongs: chosen from the list where it is one's own, else as text. */
function fill(form: HTMLFormElement, target: string, found: string): void {
  const field = document.getElementById(target);
  if (!(field instanceof HTMLInputElement)) return;
  const item = CODE.exec(found)?.[1] ?? found;
  const line = field.closest("[data-line]");
  const list = line?.querySelector<HTMLSelectElement>("select[data-item]") ?? null;
  const own = list === null ? undefined : [...list.options].find((option) => option.value === item);
  if (list !== null && own !== undefined) {
    list.value = item;
    field.value = "";
    offer(line);
  } else {
    field.value = found;
    if (list !== null) list.value = "";
  }
  const next = line?.querySelector<HTMLInputElement>("[data-quantity]") ?? field;
  next.focus();
  say(form, "");
}

/** The amount at hand, where nothing was typed yet: most often all of it goes. */
function offer(line: Element | null): void {
  const list = line?.querySelector<HTMLSelectElement>("select[data-item]");
  const amount = line?.querySelector<HTMLInputElement>("[data-quantity]");
  const offered = list?.selectedOptions[0]?.dataset["amount"] ?? "";
  if (amount && (amount.value === "" || amount.dataset["offered"] === amount.value)) {
    amount.value = offered;
    amount.dataset["offered"] = offered;
  }
}

async function scan(form: HTMLFormElement, label: HTMLElement, input: HTMLInputElement): Promise<void> {
  const [file] = input.files ?? [];
  input.value = "";
  if (file === undefined) return;
  say(form, text("script.trade.reading"));
  const found = await readPhoto(file, form.dataset["reader"] ?? "");
  if (found === undefined) say(form, text("script.trade.no-code"));
  else fill(form, label.dataset["scan"] ?? "", found);
}

/** Read a code from the camera as it moves; a photo is the other way, and the only one where there is no camera. */
async function watch(form: HTMLFormElement, label: HTMLElement, input: HTMLInputElement): Promise<void> {
  say(form, "");
  const said = {
    title: text("script.trade.camera"),
    photo: text("script.trade.camera-photo"),
    stop: text("script.trade.camera-stop"),
  };
  const seen = await readCamera(form.dataset["reader"] ?? "", said);
  if (seen.outcome === "read") fill(form, label.dataset["scan"] ?? "", seen.found);
  else if (seen.outcome === "photo") input.click();
  else if (seen.outcome === "none") say(form, text("script.trade.camera-none"));
}

function enableScanning(form: HTMLFormElement, within: ParentNode): void {
  for (const label of all<HTMLElement>("[data-scan]", within)) {
    const input = label.querySelector<HTMLInputElement>("input[type=file]");
    if (input === null) continue;
    label.hidden = false;
    input.addEventListener("change", () => void scan(form, label, input));
    label.addEventListener("click", (event) => {
      if (event.target === input || !hasCamera()) return; // then the label opens the file's dialog, as it does alone
      event.preventDefault();
      void watch(form, label, input);
    });
  }
  for (const list of all<HTMLSelectElement>("select[data-item]", within)) {
    list.addEventListener("change", () => offer(list.closest("[data-line]")));
  }
}

// ------------------------------------------------------------------ more lines

function addLine(form: HTMLFormElement, lines: HTMLElement): void {
  const first = lines.querySelector<HTMLElement>("[data-line]");
  const most = Number(lines.dataset["linesMax"] ?? "1");
  const count = all("[data-line]", lines).length;
  if (first === null || count >= most) return;
  const made = first.cloneNode(true) as HTMLElement;
  for (const wrong of all<HTMLElement>(".wrong", made)) wrong.remove();
  for (const part of all<HTMLElement>("[id], [for], [data-scan]", made)) {
    for (const name of ["id", "for", "data-scan"]) {
      const value = part.getAttribute(name);
      if (value !== null) part.setAttribute(name, value.replace(/-\d+$/, `-${count}`));
    }
    part.removeAttribute("aria-invalid");
    part.removeAttribute("aria-describedby");
  }
  for (const input of all<HTMLInputElement>("input:not([type=file])", made)) {
    input.value = "";
    delete input.dataset["offered"];
  }
  for (const list of all<HTMLSelectElement>("select", made)) list.selectedIndex = 0;
  const legend = made.querySelector("legend");
  if (legend !== null) legend.textContent = (legend.textContent ?? "").replace(/\d+/, number(count + 1));
  lines.append(made);
  enableScanning(form, made);
  made.querySelector<HTMLElement>("select, input:not([type=hidden])")?.focus();
}

// ------------------------------------------------------------------ drafts

/** What a form holds, as it is kept and sent. */
async function draftOf(form: HTMLFormElement): Promise<Draft> {
  const data = new FormData(form);
  const one = (name: string): string => String(data.get(name) ?? "");
  const many = (name: string): string[] => data.getAll(name).map(String);
  const [items, codes, quantities] = [many("item"), many("code"), many("quantity")];
  const lines = quantities.map((quantity, index) => ({ item: codes[index] || items[index] || "", quantity }));
  const photo = data.get("photo");
  return {
    draft: one("draft"),
    step: form.dataset["step"] ?? "",
    actor: one("actor"),
    at_ms: Date.now(),
    lines,
    place: one("place"),
    partner: one("partner-code") || one("partner"),
    carrier: one("carrier"),
    container: one("container"),
    product: one("product"),
    lot: one("lot"),
    ...(form.dataset["step"] === "make" ? { outputs: outputsOf(data) } : {}),
    passed: one("passed") !== "no",
    complete: one("complete") === "yes",
    celsius: one("celsius"),
    photo: photo instanceof File && photo.size > 0 ? await photoText(photo) : "",
  };
}

/** What a form says was made: as many rows as it has. */
function outputsOf(data: FormData): object[] {
  const rows = [...data.keys()].filter((name) => name.startsWith("out-lot-")).map((name) => name.slice("out-lot-".length));
  const one = (name: string, row: string): string => String(data.get(`out-${name}-${row}`) ?? "");
  return rows.map((row) => ({ product: one("product", row), lot: one("lot", row), quantity: one("quantity", row) }));
}

/** A lot of one's own for what was harvested off the net: the day, one's number, the minute. */
function lotOf(actor: string): string {
  const now = new Date();
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${two(now.getFullYear() % 100)}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return `${day}-${actor.slice(7, 12)}-${two(now.getHours())}${two(now.getMinutes())}`;
}

async function keepForm(form: HTMLFormElement): Promise<void> {
  try {
    const draft = await draftOf(form);
    const lot = draft.step === "harvest" && draft["lot"] === "" ? { lot: lotOf(draft.actor) } : {};
    await keep({ ...draft, ...lot, draft: draft.draft || crypto.randomUUID() });
    remember(draft.actor);
  } catch {
    say(form, text("script.trade.not-kept"));
    return;
  }
  const field = form.querySelector<HTMLInputElement>("input[name=draft]");
  if (field !== null) field.value = crypto.randomUUID();
  for (const input of all<HTMLInputElement>("[data-quantity], [data-code], #photo", form)) input.value = "";
  say(form, text("script.trade.kept"), true);
}

/** One's own number, so that a form off the net has it; it is public. */
function remember(actor: string): void {
  try {
    localStorage.setItem(ACTOR, actor);
  } catch {
    // a device that keeps nothing asks again
  }
}

function remembered(): string {
  try {
    return localStorage.getItem(ACTOR) ?? "";
  } catch {
    return "";
  }
}

/** Whether the service can be reached: what a browser says of its connection is right only where it says no. */
async function isReachable(): Promise<boolean> {
  if (!navigator.onLine) return false;
  try {
    return (await fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(4_000) })).ok;
  } catch {
    return false;
  }
}

function watchForm(form: HTMLFormElement): void {
  enableScanning(form, form);
  const lines = form.querySelector<HTMLElement>("[data-lines]");
  const more = form.querySelector<HTMLButtonElement>("[data-add-line]");
  if (lines !== null && more !== null) {
    more.hidden = false;
    more.addEventListener("click", () => addLine(form, lines));
  }
  const actor = form.querySelector<HTMLInputElement>("input[name=actor]");
  const isKeptOnly = form.dataset["keptOnly"] !== undefined;
  if (actor !== null && isKeptOnly && actor.value === "") actor.value = remembered();
  else if (actor !== null && !isKeptOnly) remember(actor.value);
  let isSure = false;
  form.addEventListener("submit", (event) => {
    if (isSure) return;
    event.preventDefault();
    if (isKeptOnly) return void keepForm(form);
    void isReachable().then((reachable) => {
      if (!reachable) return keepForm(form);
      isSure = true;
      form.requestSubmit();
      return undefined;
    });
  });
}

interface Taken {
  readonly record: string;
  readonly sign: string;
  readonly errors: readonly string[];
}

async function send(draft: Draft): Promise<Taken> {
  const response = await fetch("/trade/drafts", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(draft),
    signal: AbortSignal.timeout(SEND_MS_MAX),
  });
  const answer = (await response.json()) as Taken & { title?: string; detail?: string };
  if (response.ok) return answer;
  return { record: "", sign: "", errors: [`${answer.title ?? ""} ${answer.detail ?? ""}`] };
}

async function sendAll(card: HTMLElement): Promise<void> {
  const status = card.querySelector<HTMLElement>("[data-draft-status]");
  const told = (words: string): void => {
    if (status !== null) status.textContent = words;
  };
  const kept = await drafts();
  told(text("script.trade.sending", { count: kept.length }));
  let sent = 0;
  const wrong: string[] = [];
  for (const draft of kept) {
    let taken: Taken;
    try {
      taken = await send(draft);
    } catch {
      told(text("script.trade.offline"));
      return;
    }
    if (taken.record === "") wrong.push(text("script.trade.wrong", { what: titleOf(draft), why: taken.errors.join(" ") }));
    else {
      await forget(draft.draft); // the service has it: from here on it waits among the records to sign
      sent += 1;
    }
  }
  if (wrong.length > 0) {
    told(wrong.join(" "));
    if (sent > 0) await list(card);
    return;
  }
  told(text("script.trade.sent"));
  location.reload();
}

function titleOf(draft: Draft): string {
  const name = document.querySelector(`a[href="/trade/record/${CSS.escape(draft.step)}"] b`)?.textContent ?? draft.step;
  return text("script.trade.draft", { step: name, time: new Date(draft.at_ms).toLocaleString(document.documentElement.lang) });
}

async function list(card: HTMLElement): Promise<void> {
  let kept: Draft[] = [];
  try {
    kept = await drafts();
  } catch {
    return; // a device that keeps nothing has no drafts
  }
  card.hidden = kept.length === 0;
  const rows = kept.map((draft) => {
    const remove = element("button", { class: "btn quiet small", type: "button" }, text("script.trade.remove"));
    remove.setAttribute("aria-label", `${text("script.trade.remove")}: ${titleOf(draft)}`);
    remove.addEventListener("click", () => void forget(draft.draft).then(() => list(card)));
    const lot = typeof draft["lot"] === "string" ? draft["lot"] : "";
    const goods = draft.lines.map(({ item, quantity }) => `${quantity} ${item.split("/").pop() || lot}`).join(", ");
    const words = element("span", {}, element("b", {}, titleOf(draft)), element("span", { class: "muted small" }, goods));
    return element("li", {}, element("div", {}, words, remove));
  });
  card.querySelector("[data-draft-list]")?.replaceChildren(...rows);
}

const worker = document.querySelector<HTMLElement>("[data-worker]")?.dataset["worker"];
if (worker !== undefined && "serviceWorker" in navigator) {
  // without it the pages work as long as there is a connection, or they are open
  navigator.serviceWorker.register(worker, { scope: "/trade", updateViaCache: "none" }).catch(() => undefined);
}
for (const form of all<HTMLFormElement>("form[data-trade-form]")) watchForm(form);
for (const card of all<HTMLElement>("[data-drafts]")) {
  void list(card);
  card.querySelector("[data-draft-send]")?.addEventListener("click", () => void sendAll(card));
}
