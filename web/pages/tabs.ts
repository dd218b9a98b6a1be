// SPDX-License-Identifier: Apache-2.0
// Links to the parts of a page become tabs: arrow keys move, Home and End jump, the address remembers the one chosen.
// Source: WAI-ARIA Authoring Practices, "Tabs".

import { all } from "./elements.js";

export function enhanceTabs(list: HTMLElement): void {
  const tabs = all<HTMLAnchorElement>("a[href^='#']", list);
  const panels = tabs.map((tab) => document.getElementById(tab.hash.slice(1)));
  if (list.getAttribute("role") === "tablist" || panels.some((panel) => panel === null)) return;

  const select = (chosen: number, focus: boolean): void => {
    tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === chosen));
      tab.tabIndex = index === chosen ? 0 : -1;
      const panel = panels[index];
      if (panel) panel.hidden = index !== chosen;
    });
    if (focus) tabs[chosen]?.focus();
  };

  list.setAttribute("role", "tablist");
  tabs.forEach((tab, index) => {
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", tab.hash.slice(1));
    panels[index]?.setAttribute("role", "tabpanel");
    panels[index]?.setAttribute("tabindex", "0");
    tab.addEventListener("click", (event) => {
      event.preventDefault();
      history.replaceState(null, "", tab.hash);
      select(index, true);
    });
  });
  list.addEventListener("keydown", (event) => {
    const now = tabs.findIndex((tab) => tab === document.activeElement);
    const last = tabs.length - 1;
    const next = { ArrowRight: now === last ? 0 : now + 1, ArrowLeft: now <= 0 ? last : now - 1, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(next, true);
  });
  const named = tabs.findIndex((tab) => tab.hash === location.hash);
  select(Math.max(named, 0), false);
}
