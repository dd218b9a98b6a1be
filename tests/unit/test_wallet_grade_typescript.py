# SPDX-License-Identifier: Apache-2.0
"""A wallet that holds a credit grade shows it by itself, and opens its holder's own pages by their own credential."""

import json
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

from token_rig import HOLDER, ISSUER, NOW_S

from identity import credentials, sd_jwt
from identity.credentials import CREDIT_GRADE, NATURAL_PERSON, Proofing

ROOT = Path(__file__).resolve().parents[2]
RUNNER = """
import { readFileSync } from "node:fs";
import { listOf } from "./accesses.ts";
import { byWallet } from "./actor.ts";
import { isAlwaysShown, read, told } from "./sd-jwt.ts";
import { placesOf } from "./space.ts";
const { grade, person } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const named = { grade, person };
const cards = Object.entries(named).map(([id, one]) => ({ ...one, id, issuer: `https://${id}.example` }));
const store = {
  cards: async () => cards,
  copies: async (id) => cards.filter((one) => one.id === id).map((one) => ({ ...one, key: null })),
};
const held = await Promise.all(cards.map(({ token }) => read(token)));
console.log(JSON.stringify({
  actor: (await byWallet(store))?.issuer,
  places: placesOf(held),
  lists: cards.map(({ type }, i) => listOf(type, held[i].claims) ?? null),
  told: Object.fromEntries(told(held[0])),
  always: told(held[0]).map(([name]) => name).filter((name) => isAlwaysShown(held[0], [name])).sort(),
}));
"""
OWN = {"access_slot": "c2xvdA", "pairwise_seed": "c2VlZA"}


def card(claims: credentials.Claims, **more: Any) -> dict[str, Any]:
    """As the wallet keeps one; the newest comes first."""
    ends_s = 4_102_444_800
    whole = {"iss": "https://x.example", "vct": claims.vct, "iat": NOW_S, "exp": ends_s, **claims.claims, **more}
    token = sd_jwt.issue(whole, claims.disclosable, ISSUER, holder_key=HOLDER.public_key)
    return {"type": claims.vct, "token": token, "expiresS": ends_s}


def test_grade_names_its_holders_list_for_verifiers_and_leads_the_wallet_nowhere(tmp_path: Path) -> None:
    proofing = Proofing("document-chip", date(2025, 10, 1), "禅城区行政服务中心", "clerk")
    person = credentials.natural_person(
        family_name="李", given_name="小明", birthdate=date(1990, 5, 17), region="广东省", locality="佛山市禅城区",
        assurance_level="high", proofing=proofing, as_of=date(2025, 11, 1), **OWN,
    )  # fmt: skip
    place = {"uri": "https://issuer.example/status/1", "idx": 7}
    held = {
        "grade": card(credentials.credit_grade(grade_at_least="B", as_of=date(2025, 11, 1), **OWN)),
        "person": card(person, status={"status_list": place}),
    }
    assert [held[name]["type"] for name in held] == [CREDIT_GRADE, NATURAL_PERSON]
    inputs, bundle = tmp_path / "held.json", tmp_path / "runner.mjs"
    inputs.write_text(json.dumps(held), encoding="utf-8")
    esbuild = [ROOT / "web/node_modules/.bin/esbuild", "--bundle", "--platform=node", "--format=esm", "--loader=ts"]
    subprocess.run(
        [*esbuild, f"--outfile={bundle}", "--log-level=error"],
        input=RUNNER.encode(), check=True, cwd=ROOT / "web/wallet", timeout=60,
    )  # fmt: skip
    ran = subprocess.run(["node", bundle, inputs], check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(ran.stdout) == {
        "actor": "https://person.example",
        "places": [place],
        "lists": [None, "c2xvdA"],
        "told": {"grade_at_least": "B", "as_of": "2025-11-01", **OWN},
        "always": ["as_of", "grade_at_least"],
    }
