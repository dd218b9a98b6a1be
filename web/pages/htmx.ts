// SPDX-License-Identifier: Apache-2.0
// htmx, for the pages that use it: parts of a page are fetched as HTML and swapped in.
//
// Under our Content-Security-Policy htmx never evaluates text as code: hx-on, "js:" values and trigger filters are not
// used (a test looks). Its settings stand in templates/base.html, for it reads them once, while it is loaded: it makes no
// style sheet of its own, stays on this origin, and going back loads the page that was left.

import "htmx.org";
