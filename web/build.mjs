// SPDX-License-Identifier: Apache-2.0
// Builds what pages load into service/static: checks the types, bundles, minifies, names each file by its content,
// and refuses a build in which a file or a page has outgrown its limit.
//
// Copies the font that printed matter embeds into service/fonts.
//
//   node build.mjs            check, build, print the sizes
//   node build.mjs --quiet    print only what is wrong

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { BARE_PAGES, ENTRIES, PAGES, PAGE_KB_MAX, SHELL } from "./entries.mjs";

const WEB = dirname(fileURLToPath(import.meta.url));
const OUT = resolve(WEB, "../service/static");
const FRESH = `${OUT}.fresh`;
const FONTS_IN = join(WEB, "node_modules/@expo-google-fonts/noto-sans-sc");
const FONTS_OUT = resolve(WEB, "../service/fonts");
/** Noto Sans SC in two weights, with its licence (SIL Open Font License 1.1), which has to go with it. */
const FONTS = ["400Regular/NotoSansSC_400Regular.ttf", "700Bold/NotoSansSC_700Bold.ttf", "LICENSE_FONT"];
const quiet = process.argv.includes("--quiet");

/** Phones of 2020 with the browsers of their day, those inside messaging apps included. */
const TARGET = ["chrome87", "firefox78", "safari14.1"];

function fail(text) {
  console.error(`web/build.mjs: ${text}`);
  process.exit(1);
}

function checkTypes() {
  const checked = spawnSync(process.execPath, [join(WEB, "node_modules/typescript/bin/tsc"), "--noEmit", "-p", WEB], {
    stdio: "inherit",
  });
  if (checked.status !== 0) fail("the types don't hold; nothing was built");
}

/** Bundles the entries of one kind and returns a map from each entry's name to its output and what that imports. */
async function bundle(names, options) {
  const result = await build({
    entryPoints: names.map((name) => ({ in: join(WEB, ENTRIES[name].from), out: name.replace(/\.\w+$/, "") })),
    outdir: FRESH,
    entryNames: "[hash]/[name]",
    chunkNames: "[hash]/shared",
    bundle: true,
    minify: true,
    metafile: true,
    target: TARGET,
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
    absWorkingDir: WEB,
    ...options,
  });
  const outputs = result.metafile.outputs;
  const built = {};
  for (const name of names) {
    const from = ENTRIES[name].from;
    const path = Object.keys(outputs).find((output) => outputs[output].entryPoint === from);
    if (path === undefined) fail(`${name}: esbuild made nothing of ${from}`);
    const needed = new Set([path]);
    const late = new Set(); // asked for by import() when somebody needs it: no part of what a page loads
    for (const one of needed) {
      for (const { path: imported, external, kind } of outputs[one].imports) {
        if (!external) (kind === "dynamic-import" ? late : needed).add(imported);
      }
    }
    for (const one of late) for (const { path: imported, external } of outputs[one].imports) if (!external) late.add(imported);
    const placed = (one) => relative(FRESH, resolve(WEB, one));
    built[name] = [...needed].map(placed);
    lateOf[name] = [...late].filter((one) => !needed.has(one)).map(placed);
  }
  return built;
}

/** Copies one file as it is, under the hash of its content. */
function copy(name) {
  const content = readFileSync(join(WEB, ENTRIES[name].from));
  const folder = createHash("sha256").update(content).digest("hex").slice(0, 10).toUpperCase();
  mkdirSync(join(FRESH, folder), { recursive: true });
  writeFileSync(join(FRESH, folder, name), content);
  return [`${folder}/${name}`];
}

const lateOf = {};
const packedSizes = new Map();
function packed(path) {
  if (!packedSizes.has(path)) packedSizes.set(path, gzipSync(readFileSync(join(FRESH, path)), { level: 9 }).length);
  return packedSizes.get(path);
}

const sum = (paths) => [...new Set(paths)].reduce((total, path) => total + packed(path), 0);
const kb = (bytes) => (bytes / 1000).toFixed(1);

function checkSizes(built) {
  const wrong = [];
  const weigh = (name, paths, kbMax) => {
    const size = sum(paths);
    if (!quiet) console.log(`${name.padEnd(24)} ${kb(size).padStart(6)} KB of ${kbMax}`);
    if (size > kbMax * 1000) wrong.push(`${name} takes ${kb(size)} KB gzipped, its limit is ${kbMax} KB`);
  };
  for (const [name, { kbMax }] of Object.entries(ENTRIES)) weigh(name, built[name], kbMax);
  const shelled = Object.entries(PAGES).map(([page, names]) => [page, [...SHELL, ...names]]);
  for (const [page, names] of [...shelled, ...Object.entries(BARE_PAGES)]) {
    const unknown = names.find((name) => built[name] === undefined);
    if (unknown !== undefined) fail(`${page} loads ${unknown}, which entries.mjs does not list`);
    weigh(`page: ${page}`, names.flatMap((name) => built[name]), PAGE_KB_MAX);
  }
  if (wrong.length > 0) fail(`too large:\n  ${wrong.join("\n  ")}`);
}

function* filesBelow(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield relative(FRESH, path);
  }
}

const named = (extension) => Object.keys(ENTRIES).filter((name) => name.endsWith(extension));

checkTypes();
rmSync(FRESH, { recursive: true, force: true });
mkdirSync(FRESH, { recursive: true });
const workers = named(".js").filter((name) => ENTRIES[name].classic);
const modules = named(".js").filter((name) => !ENTRIES[name].classic);
const built = {
  ...(await bundle(modules, { format: "esm", splitting: true })),
  ...(workers.length > 0 ? await bundle(workers, { format: "iife" }) : {}),
  ...(await bundle(named(".css"), {})),
};
for (const name of Object.keys(ENTRIES)) built[name] ??= copy(name);
checkSizes(built);

const manifest = {
  imports: Object.fromEntries(Object.entries(built).map(([name, paths]) => [name, [...paths, ...(lateOf[name] ?? [])]])),
  files: [...filesBelow(FRESH)].sort(),
};
for (const [name, paths] of Object.entries(built)) {
  if (basename(paths[0]) !== name) fail(`${name} was built as ${paths[0]}`);
}
writeFileSync(join(FRESH, "manifest.json"), `${JSON.stringify(manifest, null, 1)}\n`);
rmSync(OUT, { recursive: true, force: true });
renameSync(FRESH, OUT);
mkdirSync(FONTS_OUT, { recursive: true });
for (const font of FONTS) {
  const fresh = join(FONTS_OUT, `.${basename(font)}`);
  copyFileSync(join(FONTS_IN, font), fresh);
  renameSync(fresh, join(FONTS_OUT, basename(font)));
}
