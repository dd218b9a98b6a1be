// SPDX-License-Identifier: Apache-2.0
// The style page shows each piece in each state. Its proof strips are turned by real checks: a digest of the sample's
// text is computed here and compared with what the page says it is.

import { countDown } from "./countdown.js";
import { all, element } from "./elements.js";
import { text } from "./messages.js";
import { ProofStrip } from "./proof-strip.js";
import { toast } from "./toast.js";

async function sha256(words: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(words));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function check(sample: HTMLElement): Promise<void> {
  const strip = ProofStrip.byId(sample.dataset["sample"] ?? "");
  const parts = all<HTMLElement>("[data-digest]", sample);
  strip.start();
  for (const part of parts) {
    const id = part.dataset["id"] ?? "";
    strip.begin(id);
    if (sample.dataset["stays"] === "checking") return;
    if (part.dataset["digest"] === "") {
      strip.end(id, "unchecked", "", text("script.style-page.missing"));
      continue;
    }
    const same = (await sha256(part.textContent ?? "")) === part.dataset["digest"];
    strip.end(id, same ? "proved" : "failed", `${part.textContent?.length ?? 0}`, same ? "" : text("script.style-page.altered"));
  }
  strip.finish();
}

for (const sample of all<HTMLElement>("[data-sample]")) void check(sample);
for (const button of all<HTMLElement>("[data-toast]")) {
  button.addEventListener("click", () => toast(button.dataset["words"] ?? "", button.dataset["toast"] === "bad" ? "bad" : "good"));
}
for (const counter of all<HTMLElement>("[data-countdown]")) {
  countDown(counter, () => counter.append(element("span", { class: "muted" }, text("script.style-page.ended"))));
}
