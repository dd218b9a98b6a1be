// SPDX-License-Identifier: Apache-2.0
// Charts as inline SVG, drawn from the table that stands behind them: one source for the eye, the screen reader and
// print. Drawn again whenever the table changes.

import { all, element, svg } from "./elements.js";
import { number, text } from "./messages.js";

const WIDTH_MIN = 240; // narrower places scroll
const WIDTH_SPARK_MAX = 320;
const LEFT = 60; // room for the scale's figures
const NAME_WIDTH = 84; // room for one point's name; the last one stands left of its point
const RIGHT = 8;
const TOP = 10;
const FOOT = 26; // room for the points' names
const HEIGHT = 220;
const HEIGHT_SPARK = 44;
const KINDS = ["line", "bar", "spark"] as const;
const SERIES_MAX = 4; // styles/data.css knows as many strokes apart
const POINTS_MAX = 2000; // more would not be seen apart
const GRID_LINES = 4;

type Kind = (typeof KINDS)[number];
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

/**
 * A round number at or above the largest value, so that the scale's figures are round: 1, 2, 2.5 or 5 times 10^n.
 * What is counted has whole figures alone.
 */
export function scaleEnd(largest: number, isCount: boolean): number {
  if (isCount && largest <= GRID_LINES) return GRID_LINES;
  if (!(largest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(largest / GRID_LINES));
  const step = [1, 2, 2.5, 5, 10].find(
    (factor) => factor * power * GRID_LINES >= largest && !(isCount && !Number.isInteger(factor * power)),
  );
  return (step ?? 10) * power * GRID_LINES;
}

/** The end of the scale of some series; without a unit, whole numbers are counts. */
function endOf(data: Data, unit: string): number {
  const values = data.series.flatMap((one) => one.values.filter(Number.isFinite));
  return scaleEnd(Math.max(0, ...values), unit === "" && values.every(Number.isInteger));
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

function grid(end: number, width: number, y: (value: number) => number, unit: string): SVGElement[] {
  const parts: SVGElement[] = [];
  for (let line = 0; line <= GRID_LINES; line += 1) {
    const value = (end * line) / GRID_LINES;
    const at = y(value);
    parts.push(svg("path", { class: "grid", d: `M${LEFT} ${at}H${width - RIGHT}` }));
    const words = number(value, digitsFor(end)) + (unit && line === GRID_LINES ? `\u00a0${unit}` : "");
    parts.push(svg("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" }, words));
  }
  return parts;
}

function pointNames(points: readonly string[], x: (index: number) => number, width: number, middle: boolean): SVGElement[] {
  const every = Math.max(1, Math.ceil((points.length * NAME_WIDTH) / (width - LEFT - RIGHT)));
  const parts: SVGElement[] = [];
  points.forEach((name, index) => {
    if ((points.length - 1 - index) % every !== 0) return; // counted from the latest, which is always named
    const isLatest = index === points.length - 1 && points.length > 1;
    const anchor = isLatest ? "end" : index === 0 && !middle ? "start" : "middle";
    parts.push(svg("text", { x: isLatest ? width - RIGHT : x(index), y: HEIGHT - 4, "text-anchor": anchor }, name));
  });
  return parts;
}

function drawLine(data: Data, unit: string, width: number): SVGElement[] {
  const end = endOf(data, unit);
  const span = Math.max(1, data.points.length - 1);
  const x = (index: number): number => LEFT + ((width - LEFT - RIGHT) * index) / span;
  const y = (value: number): number => TOP + (HEIGHT - TOP - FOOT) * (1 - value / end);
  const lines = data.series.map(({ values }, index) => svg("path", { class: `series s${index}`, d: path(values, x, y) }));
  return [...grid(end, width, y, unit), ...lines.reverse(), ...pointNames(data.points, x, width, false)];
}

function drawBars(data: Data, unit: string, width: number): SVGElement[] {
  const end = endOf(data, unit);
  const slot = (width - LEFT - RIGHT) / Math.max(1, data.points.length);
  const thick = (slot * 0.64) / Math.max(1, data.series.length);
  const y = (value: number): number => TOP + (HEIGHT - TOP - FOOT) * (1 - value / end);
  const bars = data.series.flatMap(({ values }, series) =>
    values.flatMap((value, index) => {
      if (!Number.isFinite(value)) return [];
      const left = LEFT + slot * index + slot * 0.18 + thick * series;
      const top = y(value);
      const bar = svg("rect", { class: `f${series}`, x: left, y: top, width: Math.max(1, thick - 2), height: y(0) - top, rx: 3 });
      return [bar];
    }),
  );
  const middle = (index: number): number => LEFT + slot * (index + 0.5);
  return [...grid(end, width, y, unit), ...bars, ...pointNames(data.points, middle, width, true)];
}

function drawSpark(data: Data, _unit: string, width: number): SVGElement[] {
  const values = data.series[0]?.values ?? [];
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const x = (index: number): number => 4 + ((width - 8) * index) / Math.max(1, values.length - 1);
  const y = (value: number): number => 4 + (HEIGHT_SPARK - 8) * (high > low ? 1 - (value - low) / (high - low) : 0.5);
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

function draw(figure: HTMLElement, kind: Kind, table: HTMLTableElement): Data {
  const unit = figure.dataset["unit"] ?? "";
  const data = read(table);
  const room = Math.max(WIDTH_MIN, Math.floor(figure.clientWidth));
  const width = kind === "spark" ? Math.min(room, WIDTH_SPARK_MAX) : room;
  const height = kind === "spark" ? HEIGHT_SPARK : HEIGHT;
  const parts = { line: drawLine, bar: drawBars, spark: drawSpark }[kind](data, unit, width);
  const label = summary(data, unit);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, ...parts);
  const before = figure.querySelector(":scope > svg");
  if (before === null) figure.querySelector("figcaption")?.after(drawing);
  else before.replaceWith(drawing);
  return data;
}

/**
 * Draw the chart that a figure's table holds, and again whenever its place gets another width.
 * Called again after the table has changed, it draws anew. The table folds away the first time.
 */
export function drawChart(figure: HTMLElement): void {
  const table = figure.querySelector("table");
  const kind = KINDS.find((known) => known === figure.dataset["chart"]);
  if (table === null || kind === undefined) return;
  const data = draw(figure, kind, table);
  if (figure.dataset["drawn"] === "yes") return;
  figure.dataset["drawn"] = "yes";
  if (data.series.length > 1) figure.querySelector(":scope > svg")?.after(legend(data.series));
  figure.querySelector("details")?.removeAttribute("open");
  let width = figure.clientWidth;
  new ResizeObserver(() => {
    if (figure.clientWidth === width) return;
    width = figure.clientWidth;
    draw(figure, kind, table);
  }).observe(figure);
}
