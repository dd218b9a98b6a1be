# SPDX-License-Identifier: Apache-2.0
"""A wallet shows a payment or an act as the verifier wrote it and signs its hash; what it can't show, it refuses."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from identity.api.verifier.transaction_data import ACT, PAYMENT, Act, Payment, encode, hash_of
from identity.jose import encode_base64url

ROOT = Path(__file__).resolve().parents[2]
RUNNER = """
import { readFileSync } from "node:fs";
import { confirmation, readConfirmed } from "./transaction.ts";
import { Failed } from "./web.ts";
for (const { data, id } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  let said;
  try {
    const shown = readConfirmed(data, ["person", "company"]);
    said = { shown: shown ?? "none", signed: await confirmation(shown, id) };
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    said = error.fault;
  }
  console.log(JSON.stringify(said));
}
"""
BILL = Payment("1280.50", "CNY", "禅城供水有限公司", "2026-11 / 4711")
SAID: dict[str, Any] = {
    "type": PAYMENT,
    "credential_ids": ["person"],
    "transaction_data_hashes_alg": ["sha-256"],
    "amount": "1280.50",
    "currency": "CNY",
    "payee": "Water",
}
ACTS = {
    "company": Act("company", "禅城陶瓷有限公司", "91440604MA4W12345X", "Lease of a kiln", "50000.00", "CNY"),
    "company-without-amount": Act("company", "禅城陶瓷有限公司", "91440604MA4W12345X", "年度报告"),
    "stop-card": Act("stop-card", "K-0A1B2C3D"),
    "stop-seal": Act("stop-seal", "S-17"),
}
ACT_SAID: dict[str, Any] = {
    "type": ACT,
    "credential_ids": ["person"],
    "transaction_data_hashes_alg": ["sha-256"],
    "act": "company",
    "subject": "Kilns",
    "number": "91440604MA4W12345X",
    "matter": "Lease",
}
UNKNOWN: dict[str, dict[str, Any]] = {
    "unknown-type": SAID | {"type": "urn:example:transfer-of-a-house:1"},
    "no-type": {name: value for name, value in SAID.items() if name != "type"},
    "unknown-act": ACT_SAID | {"act": "sell-the-house"},
    "act-of-objects": ACT_SAID | {"act": "constructor"},
    "no-act": {name: value for name, value in ACT_SAID.items() if name != "act"},
}
REFUSED_ACTS: dict[str, dict[str, Any]] = {
    "act-with-unknown-member": {"fee": "500.00"},
    "act-with-a-payee": {"payee": "Mallory"},
    "stop-with-a-matter": {"act": "stop-card"},
    "company-without-number": {"number": ""},
    "company-number-short": {"number": "91440604"},
    "company-without-matter": {"matter": ""},
    "company-turned-around": {"subject": "Kilns\u202esnliK"},
    "limit-without-currency": {"amount": "5.00"},
    "limit-zero": {"amount": "0.00", "currency": "CNY"},
    "act-for-another-credential": {"credential_ids": ["somebody-else"]},
}
REFUSED: dict[str, dict[str, Any]] = {
    "unknown-member": {"fee": "500.00"},
    "other-algorithm": {"transaction_data_hashes_alg": ["sha-512"]},
    "no-algorithm": {"transaction_data_hashes_alg": []},
    "credential-not-asked-for": {"credential_ids": ["somebody-else"]},
    "no-credential": {"credential_ids": []},
    "amount-in-words": {"amount": "ten"},
    "amount-zero": {"amount": "0.00"},
    "amount-as-number": {"amount": 1280.5},
    "amount-fullwidth": {"amount": "\uff11\uff12.00"},
    "currency-small": {"currency": "cny"},
    "payee-empty": {"payee": ""},
    "payee-turned-around": {"payee": "Water\u202eknab"},
    "payee-with-unseen-mark": {"payee": "Wa\u200bter"},
    "payee-with-wide-space": {"payee": "Wa\u00a0ter"},
    "payee-too-long": {"payee": "水" * 101},
    "reference-of-two-lines": {"reference": "one\ntwo"},
}


def encoded(said: dict[str, Any]) -> str:
    return encode_base64url(json.dumps(said, ensure_ascii=False).encode())


@pytest.fixture(scope="module")
def said_by_wallet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the wallet's functions say of each case, by name."""
    folder = tmp_path_factory.mktemp("payment")
    bundle, inputs = folder / "payment.mjs", folder / "cases.json"
    ours = encode(BILL, ["person"])
    cases: dict[str, Any] = {name: [encoded(SAID | change)] for name, change in REFUSED.items()}
    cases |= {name: [encoded(ACT_SAID | change)] for name, change in REFUSED_ACTS.items()}
    cases |= {name: [encoded(said)] for name, said in UNKNOWN.items()}
    cases |= {f"act-{name}": [encode(act, ["person"])] for name, act in ACTS.items()}
    cases |= {"ours": [ours], "without": None, "two": [ours, ours], "no-list": ours, "no-text": [7], "no-json": ["!"]}
    listed = [{"id": "person"} | ({} if data is None else {"data": data}) for data in cases.values()]
    inputs.write_text(json.dumps([*listed, {"id": "company", "data": [ours]}]))
    esbuild = [ROOT / "web/node_modules/.bin/esbuild", "--bundle", "--platform=node", "--format=esm", "--loader=ts"]
    subprocess.run(
        [*esbuild, f"--outfile={bundle}", "--log-level=error"],
        input=RUNNER.encode(), check=True, cwd=ROOT / "web/wallet", timeout=60,
    )  # fmt: skip
    ran = subprocess.run(["node", bundle, inputs], check=True, capture_output=True, text=True, timeout=60)
    return dict(zip([*cases, "other-credential"], map(json.loads, ran.stdout.splitlines()), strict=True))


def test_wallet_reads_a_payment_as_the_verifier_wrote_it_and_signs_the_hash_that_it_checks(said_by_wallet) -> None:
    ours = encode(BILL, ["person"])
    shown = said_by_wallet["ours"]
    assert [shown["shown"][name] for name in ("amount", "currency", "payee", "reference")] == [
        BILL.amount, BILL.currency, BILL.payee, BILL.reference,
    ]  # fmt: skip
    assert shown["signed"] == {
        "transaction_data_hashes": [hash_of(ours)],
        "transaction_data_hashes_alg": "sha-256",
    }


def test_wallet_signs_nothing_more_where_nothing_is_confirmed_or_another_credential_is_asked(said_by_wallet) -> None:
    assert said_by_wallet["without"] == {"shown": "none", "signed": {}}
    assert said_by_wallet["other-credential"]["signed"] == {}


@pytest.mark.parametrize("name", ACTS)
def test_wallet_reads_an_act_as_the_verifier_wrote_it_and_signs_its_hash(said_by_wallet, name) -> None:
    act, said = ACTS[name], said_by_wallet[f"act-{name}"]
    shown = said["shown"]
    assert shown["kind"] == act.act
    assert [shown[one] for one in ("subject", "number", "matter", "amount", "currency")] == [
        act.subject, act.number, act.matter, act.amount, act.currency,
    ]  # fmt: skip
    assert said["signed"]["transaction_data_hashes"] == [hash_of(encode(act, ["person"]))]


@pytest.mark.parametrize("name", UNKNOWN)
def test_wallet_signs_nothing_of_a_kind_that_it_has_no_words_for_and_says_so(said_by_wallet, name) -> None:
    assert said_by_wallet[name] == "unknown-act"


@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_ACTS, "two", "no-list", "no-text", "no-json"])
def test_wallet_refuses_what_it_does_not_know_or_could_not_show_as_it_is(said_by_wallet, name) -> None:
    assert said_by_wallet[name] == "malformed"
