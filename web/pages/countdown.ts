// SPDX-License-Identifier: Apache-2.0
// Seconds until a kiosk forgets who stood there: shown as a ring and a figure, set back by any touch.

/**
 * Counts a `countdown` of components/structure.html down, and calls `ended` once at zero.
 * @returns Stops the counting.
 */
export function countDown(element: HTMLElement, ended: () => void): () => void {
  const seconds = Number(element.dataset["countdown"]);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Error("a countdown needs a whole number of seconds");
  const figure = element.querySelector<HTMLElement>(".ring b");
  const ring = element.querySelector<SVGCircleElement>(".left");
  let since = performance.now();
  const reset = (): void => {
    since = performance.now();
  };
  const tick = (): void => {
    const left = Math.max(0, seconds - (performance.now() - since) / 1000);
    if (figure !== null) figure.textContent = String(Math.ceil(left));
    ring?.setAttribute("stroke-dasharray", `${((left / seconds) * 100).toFixed(1)} 100`);
    if (left > 0) return;
    stop();
    ended();
  };
  const events = ["pointerdown", "keydown"] as const;
  const timer = setInterval(tick, 250);
  const stop = (): void => {
    clearInterval(timer);
    for (const name of events) document.removeEventListener(name, reset);
  };
  for (const name of events) document.addEventListener(name, reset);
  tick();
  return stop;
}
