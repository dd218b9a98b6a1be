// SPDX-License-Identifier: Apache-2.0
// Builds the package: ES modules with types for Node.js and bundlers (tsc), and the one classic script that browsers load.

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const SCRIPT_GZIP_BYTES_MAX = 45 * 1024;
const here = fileURLToPath(new URL(".", import.meta.url));
const dist = `${here}dist`;
const compiler = createRequire(import.meta.url).resolve("typescript/package.json").replace("package.json", "bin/tsc");

rmSync(dist, { recursive: true, force: true });
execFileSync(process.execPath, [compiler, "--project", here], { stdio: "inherit" });

const shared = { bundle: true, minify: true, target: "es2020", legalComments: "none", logLevel: "warning" };
await build({ ...shared, entryPoints: [`${here}src/script.ts`], format: "iife", outfile: `${dist}/verifier.js` });
await build({
  ...shared,
  entryPoints: [`${here}src/client.ts`],
  format: "iife",
  globalName: "zhixinVerifyClient",
  outfile: `${dist}/client.global.js`,
});

const size = gzipSync(readFileSync(`${dist}/verifier.js`), { level: 9 }).length;
if (size > SCRIPT_GZIP_BYTES_MAX) {
  console.error(`dist/verifier.js has ${size} bytes gzipped; at most ${SCRIPT_GZIP_BYTES_MAX} are allowed`);
  process.exit(1);
}
