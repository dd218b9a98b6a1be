// SPDX-License-Identifier: Apache-2.0
// Live figures of the network: asked every two seconds while somebody looks, and not while the page is hidden.

import { drawChart } from "./chart.js";
import { all, element } from "./elements.js";
import { number, text } from "./messages.js";

const EVERY_MS = 2000;

interface Live {
  readonly answering: number;
  readonly validators: number;
  readonly is_recording: boolean;
  readonly indexed_height: number;
  readonly last_certified_ms: number;
  readonly transactions: number;
  readonly beats: readonly { readonly time_ms: number; readonly transactions: number; readonly latency_ms: number }[];
}

const place = document.querySelector<HTMLElement>("[data-health]");
let recording: boolean | undefined;
let answering: number | undefined;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "Asia/Shanghai" });

function redraw(live: Live): void {
  for (const card of all<HTMLElement>("[data-beats]")) {
    const figure = card.querySelector<HTMLElement>("figure");
    const rows = figure?.querySelector("tbody");
    if (figure === null || rows === null || rows === undefined) continue;
    const key = card.dataset["beats"] === "latency" ? "latency_ms" : "transactions";
    const unit = figure.dataset["unit"] ? `\u00a0${figure.dataset["unit"]}` : "";
    rows.replaceChildren(
      ...live.beats.map((beat) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, clock.format(beat.time_ms)),
          element("td", { class: "num", "data-value": beat[key] }, number(beat[key]) + unit),
        ),
      ),
    );
    drawChart(figure);
  }
  const last = document.querySelector<HTMLTimeElement>("[data-last] time");
  if (last !== null && live.last_certified_ms > 0) last.dateTime = new Date(live.last_certified_ms).toISOString();
  const [height, total, latency] = all<HTMLElement>(".figures dd b");
  if (height !== undefined) height.textContent = number(live.indexed_height);
  if (total !== undefined) total.textContent = number(live.transactions);
  const sorted = live.beats.map((beat) => beat.latency_ms).sort((a, b) => a - b);
  if (latency !== undefined && sorted.length > 0) latency.textContent = `${number(sorted[sorted.length >> 1] ?? 0)}\u00a0ms`;
}

async function ask(): Promise<void> {
  if (document.hidden || place === null) return;
  try {
    const answer = await fetch(place.dataset["live"] ?? "", { headers: { accept: "application/json" } });
    if (!answer.ok) return;
    const live = (await answer.json()) as Live;
    // What the page says in a sentence was written by the server: a change of it is a new page.
    if (recording !== undefined && (recording !== live.is_recording || answering !== live.answering)) location.reload();
    recording = live.is_recording;
    answering = live.answering;
    redraw(live);
  } catch {
    if (place.querySelector("[data-paused]") === null) {
      place.append(element("p", { class: "small muted", "data-paused": "" }, text("script.explorer-network.paused")));
    }
  }
}

setInterval(() => void ask(), EVERY_MS);
void ask();
