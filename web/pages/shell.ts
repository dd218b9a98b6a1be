// SPDX-License-Identifier: Apache-2.0
// What every page does beyond plain HTML. Each piece works without this file, if less conveniently.

import { drawChart } from "./chart.js";
import { all } from "./elements.js";
import { text } from "./messages.js";
import { enhanceTabs } from "./tabs.js";
import { toast } from "./toast.js";

const AGO_EVERY_MS = 10_000;

function chooseTheme(link: HTMLAnchorElement): void {
  const choice = link.dataset["themeChoice"] ?? "system";
  document.cookie = `theme=${choice}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  if (choice === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = choice;
  for (const other of all<HTMLAnchorElement>("[data-theme-choice]")) {
    if (other === link) other.setAttribute("aria-current", "true");
    else other.removeAttribute("aria-current");
  }
  const menu = link.closest("details");
  const shown = menu?.querySelector("summary .icon");
  const chosen = link.querySelector(".icon");
  if (shown && chosen) shown.replaceWith(chosen.cloneNode(true));
  closeMenu(menu);
}

function closeMenu(menu: HTMLDetailsElement | null | undefined): void {
  if (!menu?.open) return;
  const within = menu.contains(document.activeElement);
  menu.open = false;
  if (within) menu.querySelector("summary")?.focus();
}

async function copy(button: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(button.dataset["copy"] ?? "");
    toast(text("script.shell.copied"));
  } catch {
    toast(text("script.shell.not-copied"), "bad");
  }
}

function openDialog(event: MouseEvent, link: HTMLElement): void {
  const dialog = document.getElementById(link.dataset["dialog"] ?? "");
  if (!(dialog instanceof HTMLDialogElement) || typeof dialog.showModal !== "function") return;
  event.preventDefault();
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (target === null) return;
  const theme = target.closest<HTMLAnchorElement>("a[data-theme-choice]");
  if (theme !== null) {
    event.preventDefault();
    chooseTheme(theme);
  }
  const copied = target.closest<HTMLElement>("[data-copy]");
  if (copied !== null) void copy(copied);
  const opener = target.closest<HTMLElement>("[data-dialog]");
  if (opener !== null) openDialog(event, opener);
  if (target.closest("[data-close]") !== null) target.closest("dialog")?.close();
  if (target instanceof HTMLDialogElement && target === event.target) target.close(); // the backdrop
  for (const menu of all<HTMLDetailsElement>("details[data-menu][open]")) if (!menu.contains(target)) closeMenu(menu);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of all<HTMLDetailsElement>("details[data-menu][open]")) closeMenu(menu);
});

/** A form is sent once: a second press waits for the first. Coming back to the page frees it again. */
document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  if (form.method === "dialog" || event.defaultPrevented) return;
  if (form.dataset["sent"] === "yes") {
    event.preventDefault();
    return;
  }
  form.dataset["sent"] = "yes";
  for (const button of all<HTMLElement>("button[type=submit]", form)) button.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  for (const form of all<HTMLFormElement>("form[data-sent]")) {
    delete form.dataset["sent"];
    for (const button of all("button[aria-busy]", form)) button.removeAttribute("aria-busy");
  }
});

const UNITS: ReadonlyArray<readonly [number, Intl.RelativeTimeFormatUnit]> = [
  [86_400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
];

/** Keeps "3 minutes ago" true while the page stands. */
function updateAgo(): void {
  const format = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
  for (const time of all<HTMLTimeElement>("time[data-ago]")) {
    const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
    const [size, unit] = UNITS.find(([size]) => Math.abs(seconds) >= size) ?? [1, "second"];
    time.textContent = format.format(Math.trunc(seconds / size), unit);
  }
}

function enhanceDrop(zone: HTMLElement): void {
  const input = zone.querySelector<HTMLInputElement>("input[type=file]");
  if (input === null || zone.dataset["ready"] === "yes") return;
  zone.dataset["ready"] = "yes";
  const over = (event: DragEvent, is: boolean): void => {
    event.preventDefault();
    zone.classList.toggle("over", is);
  };
  zone.addEventListener("dragover", (event) => over(event, true));
  zone.addEventListener("dragleave", (event) => over(event, false));
  zone.addEventListener("drop", (event) => {
    over(event, false);
    if (!event.dataTransfer?.files.length) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

/** What can only be done to elements once they are there; again for what htmx brings. */
export function enhance(within: ParentNode): void {
  for (const button of all<HTMLElement>("[data-copy][hidden]", within)) button.hidden = false;
  for (const chart of all<HTMLElement>("[data-chart]", within)) drawChart(chart);
  for (const tabs of all<HTMLElement>("[data-tabs]", within)) enhanceTabs(tabs);
  for (const zone of all<HTMLElement>("[data-drop]", within)) enhanceDrop(zone);
}

enhance(document);
setInterval(updateAgo, AGO_EVERY_MS);
document.addEventListener("htmx:after:swap", () => enhance(document)); // what is enhanced already is left alone
document.querySelector<HTMLElement>("[data-focus]")?.focus();
