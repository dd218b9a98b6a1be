// SPDX-License-Identifier: Apache-2.0
// The card program's window: closes by itself once there is nothing left to do, where the browser lets it.

import { all } from "./elements.js";

const READ_MS = 1200;

if (all("[data-over]").length > 0) setTimeout(() => close(), READ_MS);
