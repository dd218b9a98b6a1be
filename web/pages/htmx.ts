// SPDX-License-Identifier: Apache-2.0
// htmx, for the pages that use it: parts of a page are fetched as HTML and swapped in.
//
// Under our Content-Security-Policy htmx never evaluates text as code: hx-on, "js:" values and trigger filters are not
// used (a test looks), its own style sheet is not made, and requests stay on this origin.

import htmx from "htmx.org";

htmx.config.includeIndicatorCSS = false;
htmx.config.mode = "same-origin";
htmx.config.history = false;
