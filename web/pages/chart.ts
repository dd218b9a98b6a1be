// SPDX-License-Identifier: Apache-2.0
// Charts as inline SVG, drawn from the table that stands behind them: one source for the eye, the screen reader and
// print. Drawn again whenever the table changes.

import { all, element, svg } from "./elements.js";
import { number, text } from "./messages.js";

const WIDTH = 640; // user units; the drawing scales to its place
const LEFT = 64; // room for the scale's figures
const RIGHT = 8;
const TOP = 10;
const FOOT = 26; // room for the points' names
const HEIGHTS = { line: 240, bar: 240, spark: 48 } as const;
const SERIES_MAX = 4; // styles/data.css knows as many strokes apart
const POINTS_MAX = 2000; // more would not be seen apart
const GRID_LINES = 4;

type Kind = keyof typeof HEIGHTS;
interface Series {
  readonly name: string;
  readonly values: readonly number[];
}
interface Data {
  readonly points: readonly string[];
  readonly series: readonly Series[];
}

function read(table: HTMLTableElement): Data {
  const rows = all<HTMLTableRowElement>("tbody tr", table).slice(-POINTS_MAX);
  const names = all("thead th", table).slice(1, 1 + SERIES_MAX);
  return {
    points: rows.map((row) => row.cells[0]?.textContent?.trim() ?? ""),
    series: names.map((name, index) => ({
      name: name.textContent?.trim() ?? "",
      values: rows.map((row) => Number(row.cells[index + 1]?.dataset["value"] ?? Number.NaN)),
    })),
  };
}

/** A round number at or above the largest value, so that the scale's figures are round: 1, 2, 2.5 or 5 times 10^n. */
export function scaleEnd(largest: number): number {
  if (!(largest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(largest / GRID_LINES));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power * GRID_LINES >= largest) ?? 10;
  return step * power * GRID_LINES;
}

function digitsFor(end: number): number {
  return end >= 10 * GRID_LINES || Number.isInteger(end / GRID_LINES) ? 0 : end >= GRID_LINES ? 1 : 2;
}

/** The path through a series; a value that is missing interrupts it. */
function path(values: readonly number[], x: (index: number) => number, y: (value: number) => number): string {
  let pen = "M";
  let drawn = "";
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) {
      pen = "M";
      return;
    }
    drawn += `${pen}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return drawn;
}

function grid(end: number, y: (value: number) => number, unit: string): SVGElement[] {
  const parts: SVGElement[] = [];
  for (let line = 0; line <= GRID_LINES; line += 1) {
    const value = (end * line) / GRID_LINES;
    const at = y(value);
    parts.push(svg("path", { class: "grid", d: `M${LEFT} ${at}H${WIDTH - RIGHT}` }));
    const words = number(value, digitsFor(end)) + (unit && line === GRID_LINES ? `\u00a0${unit}` : "");
    parts.push(svg("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" }, words));
  }
  return parts;
}

function pointNames(points: readonly string[], x: (index: number) => number, height: number, middle: boolean): SVGElement[] {
  const every = Math.max(1, Math.ceil(points.length / (middle ? 8 : 6)));
  const parts: SVGElement[] = [];
  points.forEach((name, index) => {
    if (index % every !== 0 && index !== points.length - 1) return;
    if (index === points.length - 1 && index % every !== 0 && index % every < every / 2) return;
    const anchor = middle ? "middle" : index === 0 ? "start" : index === points.length - 1 ? "end" : "middle";
    parts.push(svg("text", { x: x(index), y: height - 4, "text-anchor": anchor }, name));
  });
  return parts;
}

function drawLine(data: Data, unit: string): SVGElement[] {
  const height = HEIGHTS.line;
  const end = scaleEnd(Math.max(0, ...data.series.flatMap(({ values }) => values.filter(Number.isFinite))));
  const span = Math.max(1, data.points.length - 1);
  const x = (index: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * index) / span;
  const y = (value: number): number => TOP + (height - TOP - FOOT) * (1 - value / end);
  const lines = data.series.map(({ values }, index) => svg("path", { class: `series s${index}`, d: path(values, x, y) }));
  return [...grid(end, y, unit), ...lines.reverse(), ...pointNames(data.points, x, height, false)];
}

function drawBars(data: Data, unit: string): SVGElement[] {
  const height = HEIGHTS.bar;
  const end = scaleEnd(Math.max(0, ...data.series.flatMap(({ values }) => values.filter(Number.isFinite))));
  const slot = (WIDTH - LEFT - RIGHT) / Math.max(1, data.points.length);
  const width = (slot * 0.64) / Math.max(1, data.series.length);
  const y = (value: number): number => TOP + (height - TOP - FOOT) * (1 - value / end);
  const bars = data.series.flatMap(({ values }, series) =>
    values.flatMap((value, index) => {
      if (!Number.isFinite(value)) return [];
      const left = LEFT + slot * index + slot * 0.18 + width * series;
      const top = y(value);
      const bar = svg("rect", { class: `f${series}`, x: left, y: top, width: Math.max(1, width - 2), height: y(0) - top, rx: 3 });
      return [bar];
    }),
  );
  const middle = (index: number): number => LEFT + slot * (index + 0.5);
  return [...grid(end, y, unit), ...bars, ...pointNames(data.points, middle, height, true)];
}

function drawSpark(data: Data): SVGElement[] {
  const values = data.series[0]?.values ?? [];
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const height = HEIGHTS.spark;
  const x = (index: number): number => 4 + ((WIDTH / 3 - 8) * index) / Math.max(1, values.length - 1);
  const y = (value: number): number => 4 + (height - 8) * (high > low ? 1 - (value - low) / (high - low) : 0.5);
  const last = values.length - 1;
  const drawn: SVGElement[] = [svg("path", { class: "series s0", d: path(values, x, y) })];
  if (Number.isFinite(values[last])) drawn.push(svg("circle", { class: "f0", cx: x(last), cy: y(values[last] ?? 0), r: 4 }));
  return drawn;
}

function legend(series: readonly Series[]): HTMLUListElement {
  const items = series.map(({ name }, index) => {
    const stroke = svg("path", { class: `series s${index}`, d: "M2 6H26" });
    return element("li", {}, svg("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" }, stroke), name);
  });
  return element("ul", { class: "legend" }, ...items);
}

/** What the chart shows, in one sentence, for who does not see it; the table has the rest. */
function summary(data: Data, unit: string): string {
  const parts = data.series.map(({ name, values }) => {
    const finite = values.filter(Number.isFinite);
    const digits = finite.every(Number.isInteger) ? 0 : 1;
    const say = (value: number): string => number(value, digits) + (unit ? `\u00a0${unit}` : "");
    if (finite.length === 0) return text("script.shell.chart-empty", { name });
    const last = finite[finite.length - 1] ?? 0;
    return text("script.shell.chart", { name, low: say(Math.min(...finite)), high: say(Math.max(...finite)), last: say(last) });
  });
  return parts.join(" ");
}

/** Draw, or draw again, the chart that a figure's table holds; the table folds away the first time. */
export function drawChart(figure: HTMLElement): void {
  const table = figure.querySelector("table");
  const kind = figure.dataset["chart"] as Kind | undefined;
  if (table === null || kind === undefined || !(kind in HEIGHTS)) return;
  const unit = figure.dataset["unit"] ?? "";
  const data = read(table);
  const parts = kind === "line" ? drawLine(data, unit) : kind === "bar" ? drawBars(data, unit) : drawSpark(data);
  const width = kind === "spark" ? WIDTH / 3 : WIDTH;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${HEIGHTS[kind]}`, role: "img", "aria-label": summary(data, unit) }, ...parts);
  const before = figure.querySelector(":scope > svg");
  if (before !== null) {
    before.replaceWith(drawing);
    return;
  }
  figure.querySelector("figcaption")?.after(drawing, ...(data.series.length > 1 ? [legend(data.series)] : []));
  figure.querySelector("details")?.removeAttribute("open");
}
