// SPDX-License-Identifier: Apache-2.0
// Checks a dropped receipt against a given genesis file, on this device alone. It also works from a disk, without a server.

"use strict";

const TEXTS = {
  en: {
    language: "中文",
    title: "Check a receipt",
    introduction:
      "Nothing leaves this device. Give the network's genesis file, which you got from somebody you trust, and then a receipt.",
    genesis: "1. The genesis file",
    receipt: "2. The receipt: drop a file here or choose one",
    working: "Checking …",
    network: (id) => `This is the network ${id}. Compare it with what its operators publish.`,
    proven: "Proven. The ledger recorded this.",
    failed: "Proven: the ledger refused this operation. It did not take effect.",
    refused: (code, reason) => `Not proven (${code}). ${reason}`,
    missing: "Give the genesis file first.",
    time: "As of",
    operation: "Operation",
    failure: "Refused operation",
    state: "State",
    absent: "no entry",
    checks: {
      genesis: "The genesis file is complete and well formed",
      possession: "Each founding validator has proven that it holds its key",
      decode: "It is complete and well formed",
      sequence: "Its epoch follows from what is known",
      network: "It belongs to this network",
      epoch: "It names the validators who were in charge",
      quorum: "Enough validators signed",
      signature: "Their signatures are genuine",
      history: "It agrees with all that was seen before",
      "next-validators": "It names the validators who came after",
      age: "It is recent enough",
      operation: "The operation belongs to a transaction with these signers",
      entry: "That transaction stands in the ledger",
      result: "The ledger says how it ended",
      presence: "The ledger's state has this value",
      absence: "The ledger's state has no such entry",
      content: "All that it shows is proven",
    },
  },
  "zh-CN": {
    language: "English",
    title: "核验凭证",
    introduction: "核验全程在本机完成，不上传任何内容。请先选择从可信渠道取得的创世文件，再选择凭证。",
    genesis: "1. 创世文件",
    receipt: "2. 凭证：拖到此处，或选择文件",
    working: "正在核验……",
    network: (id) => `网络编号为 ${id}，请与运营方公布的编号核对。`,
    proven: "核验通过：账本确有此记录。",
    failed: "核验通过：账本拒绝了该操作，操作未生效。",
    refused: (code, reason) => `核验未通过（${code}）。${reason}`,
    missing: "请先选择创世文件。",
    time: "截至时间",
    operation: "操作",
    failure: "被拒绝的操作",
    state: "状态",
    absent: "无记录",
    checks: {
      genesis: "创世文件完整且格式正确",
      possession: "每个创始验证节点都证明持有自己的密钥",
      decode: "内容完整且格式正确",
      sequence: "所属时期与已知记录相接",
      network: "属于本网络",
      epoch: "写明了当时负责的验证节点",
      quorum: "签名的验证节点达到法定数量",
      signature: "签名真实有效",
      history: "与此前见过的记录一致",
      "next-validators": "写明了继任的验证节点",
      age: "时间足够新",
      operation: "该操作属于由这些签名者签署的交易",
      entry: "该交易已记入账本",
      result: "账本写明了处理结果",
      presence: "账本状态中有此值",
      absence: "账本状态中没有此记录",
      content: "所示内容全部得到证明",
    },
  },
};

const at = (id) => document.getElementById(id);
let language = navigator.language.startsWith("zh") ? "zh-CN" : "en";
let verifier = null;

function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = TEXTS[language][element.dataset.text];
  }
  at("language").textContent = TEXTS[language].language;
  at("language").lang = language === "en" ? "zh-CN" : "en";
}

function say(outcome, text) {
  at("verdict").className = outcome;
  at("verdict").textContent = text;
}

function showStep(step) {
  const item = document.createElement("li");
  item.className = step.outcome;
  item.textContent = `${step.outcome === "passed" ? "✓" : "✗"} ${TEXTS[language].checks[step.check]}`;
  const detail = document.createElement("small");
  detail.textContent = ` ${Object.entries(step.inputs)
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name} ${value}`)
    .join(", ")}`;
  item.append(detail);
  at("steps").append(item);
}

function showContent(content) {
  const texts = TEXTS[language];
  const bytes = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const rows = [[texts.time, new Date(content.timeMs).toLocaleString(language)]];
  for (const one of content.inclusions) rows.push([texts.operation, `${one.type} ${bytes(one.body)}`]);
  for (const one of content.failures) rows.push([texts.failure, `${one.type}: ${one.code}`]);
  for (const { key, value } of content.states) {
    rows.push([texts.state, `${new TextDecoder().decode(key)} = ${value === null ? texts.absent : bytes(value)}`]);
  }
  for (const [name, value] of rows) {
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.textContent = value;
    at("content").append(term, description);
  }
}

function clear() {
  at("steps").textContent = "";
  at("content").textContent = "";
  say("", TEXTS[language].working);
}

async function takeGenesis(file) {
  clear();
  if (verifier !== null) verifier.close();
  verifier = null;
  try {
    const genesis = new Uint8Array(await file.arrayBuffer());
    const opened = await zhixinVerifyClient.openVerifier({ scriptUrl: "../dist/verifier.js", genesis, onStep: showStep });
    verifier = opened;
    document.documentElement.dataset.thread = opened.thread;
    say("passed", TEXTS[language].network(JSON.parse(opened.anchor).network));
  } catch (error) {
    say("refused", TEXTS[language].refused(error.code, error.message));
  }
}

async function takeReceipt(file) {
  if (verifier === null) {
    say("refused", TEXTS[language].missing);
    return;
  }
  clear();
  try {
    const receipt = new Uint8Array(await file.arrayBuffer());
    const content = await verifier.verifyReceipt(receipt, { onStep: showStep });
    const isFailure = content.failures.length > 0;
    say(isFailure ? "refused" : "passed", isFailure ? TEXTS[language].failed : TEXTS[language].proven);
    showContent(content);
  } catch (error) {
    say("refused", TEXTS[language].refused(error.code, error.message));
  }
}

for (const [name, take] of [
  ["genesis", takeGenesis],
  ["receipt", takeReceipt],
]) {
  const zone = at(`${name}-drop`);
  at(name).addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file !== undefined) take(file);
  });
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file !== undefined) take(file);
  });
}
at("language").addEventListener("click", () => {
  language = language === "en" ? "zh-CN" : "en";
  translate();
});
translate();
