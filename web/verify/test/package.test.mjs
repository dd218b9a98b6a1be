// SPDX-License-Identifier: Apache-2.0
// What is published: the right files, a script of at most 45 KB, types, and a README whose program works.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { gzipSync } from "node:zlib";

import { fromHex } from "../dist/index.js";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const CORPUS = join(PACKAGE, "../../tests/vectors/receipts");
const SCRIPT_GZIP_BYTES_MAX = 45 * 1024;

test("the package holds what it must and nothing else", () => {
  const listed = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: PACKAGE, encoding: "utf8" });
  const files = JSON.parse(listed)[0].files.map(({ path }) => path);
  const needed = ["LICENSE", "README.md", "package.json", "example/index.html", "example/example.js", "example/example.css"];
  for (const name of ["index", "client"]) needed.push(`dist/${name}.js`, `dist/${name}.d.ts`);
  for (const path of [...needed, "dist/verifier.js", "dist/client.global.js"]) assert.ok(files.includes(path), path);
  assert.deepEqual(files.filter((path) => !/^(dist|example)\/|^(LICENSE|README\.md|package\.json)$/.test(path)), []);
});

test("each export is a file", () => {
  const { exports } = JSON.parse(readFileSync(join(PACKAGE, "package.json")));
  const paths = Object.values(exports).flatMap((target) => (typeof target === "string" ? [target] : Object.values(target)));
  for (const path of paths) assert.ok(existsSync(join(PACKAGE, path)), path);
});

test("the script that browsers load has at most 45 KB gzipped", () => {
  const script = readFileSync(join(PACKAGE, "dist/verifier.js"));
  assert.ok(gzipSync(script, { level: 9 }).length <= SCRIPT_GZIP_BYTES_MAX);
});

test("the script verifies in a browser that has only what those of 2021 have", () => {
  const bare = createContext({ TextEncoder, TextDecoder, setTimeout });
  runInContext(
    "delete Object.hasOwn; delete Array.prototype.at; delete Array.prototype.findLast; delete Array.prototype.toSorted; " +
      "delete Array.prototype.toReversed; delete Object.groupBy; delete Uint8Array.prototype.at; delete String.prototype.at",
    bare,
  );
  runInContext(readFileSync(join(PACKAGE, "dist/verifier.js"), "utf8"), bare);
  const cases = JSON.parse(readFileSync(join(CORPUS, "cases.json")));
  bare.receipt = cases.find(({ name }) => name === "one operation").receipt;
  bare.genesis = readFileSync(join(CORPUS, "genesis.json"), "utf8");
  const seen = runInContext(
    `const { anchor } = zhixinVerify.loadGenesis(new TextEncoder().encode(genesis));
     zhixinVerify.verifyReceipt(zhixinVerify.fromHex(receipt), anchor).inclusions[0].type`,
    bare,
  );
  assert.equal(seen, "identity.Attest");
});

test("the README's program for Node.js works as it stands", () => {
  const program = /```js\n(.*?)```/s.exec(readFileSync(join(PACKAGE, "README.md"), "utf8"))[1];
  const folder = mkdtempSync(join(PACKAGE, ".test-"));
  try {
    const { receipt } = JSON.parse(readFileSync(join(CORPUS, "cases.json"))).find(({ name }) => name === "one operation");
    writeFileSync(join(folder, "genesis.json"), readFileSync(join(CORPUS, "genesis.json")));
    writeFileSync(join(folder, "receipt.bin"), fromHex(receipt));
    const run = () => execFileSync(process.execPath, ["--input-type=module", "-e", program], { cwd: folder, encoding: "utf8", stdio: "pipe" });
    assert.match(run(), /identity\.Attest/);
    assert.ok(existsSync(join(folder, "anchor.json")));
    writeFileSync(join(folder, "receipt.bin"), fromHex(`${receipt.slice(0, -2)}00`));
    assert.throws(run, /certificate\.invalid/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
