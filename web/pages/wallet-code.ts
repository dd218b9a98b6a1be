// SPDX-License-Identifier: Apache-2.0
// A code's text as a picture that another device reads.

import { encode } from "uqr";
import { svg } from "./elements.js";
import { text } from "./messages.js";

/** A QR code, dark on light whatever the theme: readers want it so. */
export function picture(words: string, alt = text("script.wallet.code-alt")): SVGSVGElement {
  const { data, size } = encode(words, { ecc: "M", border: 4 });
  const dark = data.flatMap((row, y) => row.flatMap((on, x) => (on ? [`M${x} ${y}h1v1h-1z`] : [])));
  return svg(
    "svg",
    { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": alt, "shape-rendering": "crispEdges" },
    svg("path", { d: `M0 0h${size}v${size}H0z`, fill: "#fff" }),
    svg("path", { d: dark.join(""), fill: "#000" }),
  );
}
