# SPDX-License-Identifier: Apache-2.0
"""The wallet's program: all that runs is in its manifest, whose anchor is proven; a wallet judges that by itself."""

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chain import receipt
from chain.codec import encode
from chain.types import sha256
from client.errors import TransportError
from identity.api.wallet.part import SITE, wallet_part
from identity.api.wallet.program import KIND, STREAM, Prove
from membership.anchors import anchor_key
from membership.pb import membership_pb2
from service.app import create_app
from service.settings import parse_settings
from service.shell import shell_part
from service.static_files import static_files
from sim.instant_ledger import InstantLedger
from tests.service.http_rig import ADDRESS, BROWSER, ORIGIN, caller

ROOT = Path(__file__).resolve().parents[2]
OPERATOR = "city-wallet"
RUNNER = """
import { readFileSync } from "node:fs";
import { fromHex } from "../verify/src/bytes.ts";
import { VerifierService } from "../verify/src/service.ts";
import { run } from "../verify/src/steps.ts";
import { anchored } from "./anchored.ts";
import { Refused, readManifest } from "./manifest.ts";
const { genesis, cases } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { anchor } = run(new VerifierService().answer({ method: "start", genesis: fromHex(genesis) }));
for (const { announced, digest, now, nowMs } of cases) {
  const verifier = new VerifierService();
  run(verifier.answer({ method: "start", anchor }));
  let said;
  try {
    readManifest(announced.manifest);
    said = anchored(verifier, announced, digest, now ?? undefined, nowMs).sinceMs;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    said = error.reason;
  }
  console.log(JSON.stringify(said));
}
"""


def ledger_with(digest: bytes, organisation: str = OPERATOR) -> InstantLedger:
    ledger = InstantLedger(("a",))
    record = membership_pb2.AnchorRecord(digest=digest, size=3, since_ms=ledger.checkpoint.time_ms)
    ledger.append([], {anchor_key(organisation, KIND, STREAM): encode(record)})
    return ledger


def proving(ledger: InstantLedger) -> Prove:
    async def prove(keys: Sequence[bytes]) -> tuple[bytes, dict[bytes, bytes | None]]:
        return ledger.receipt([], list(keys)), {key: ledger.tree.prove(key)[0] for key in keys}

    return prove


def app(ledger: InstantLedger, prove: Prove | None, organisations: Sequence[str] = (OPERATOR,)) -> Any:
    part = wallet_part(ledger.genesis_bytes, ledger.genesis.network, ORIGIN, organisations=organisations, prove=prove)
    return create_app([shell_part(SITE), part], parse_settings("", {}), ADDRESS)


async def test_manifest_names_every_file_that_pages_load_and_each_page_as_everybody_gets_it() -> None:
    ledger = InstantLedger(("a",))
    async with caller(app(ledger, None), BROWSER) as web:
        told = (await web.get("/v1/wallet-program")).json()
        described = json.loads(told["manifest"])
        assert set(told) == {"manifest"}, "nobody anchored it, and nobody is named"
        for address, digest in described["files"].items():
            assert sha256((await web.get(address)).content).hex() == digest, address
        assert sha256((await web.get("/wallet-offline.js")).content).hex() == described["worker"]
        for path in ("/", "/my-data"):
            for language in ("zh-CN", "en"):
                page = await web.get(path, headers={"accept-language": language})
                assert sha256(page.content).hex() == described["pages"][path][language]
                assert page.headers["content-security-policy"] == described["policy"]
                loaded = {word.split('"')[0] for word in page.text.split("/static/")[1:]}
                assert loaded
                assert {f"/static/{one}" for one in loaded} <= set(described["files"])
                kept = await web.get(f"/v1/wallet-pages/{described['pages'][path][language]}")
                assert kept.content == page.content
                assert kept.headers["content-type"] == "text/plain; charset=utf-8"
        assert (await web.get(f"/v1/wallet-pages/{'0' * 64}")).status_code == 404
        names = static_files().needed(["wallet.js", "space.js"])
        assert {f"/static/{name}" for name in names} <= set(described["files"]), "what is imported later, too"


async def test_worker_is_asked_for_often_and_sent_once() -> None:
    async with caller(app(InstantLedger(("a",)), None), BROWSER) as web:
        first = await web.get("/wallet-offline.js")
        assert first.headers["cache-control"] == "no-cache"
        answer = await web.get("/wallet-offline.js", headers={"if-none-match": first.headers["etag"]})
        assert (answer.status_code, answer.content) == (304, b"")


async def test_receipt_proves_the_anchor_of_whoever_anchored_this_very_program() -> None:
    async with caller(app(InstantLedger(("a",)), None), BROWSER) as web:
        manifest = (await web.get("/v1/wallet-program")).json()["manifest"]
    # the manifest has the genesis file's digest, and a network of the same name has the same
    ledger = ledger_with(sha256(manifest.encode()))
    async with caller(app(ledger, proving(ledger), ("another", OPERATOR)), BROWSER) as web:
        told = (await web.get("/v1/wallet-program")).json()
    assert (told["manifest"], told["organisation"]) == (manifest, OPERATOR)
    (state,) = receipt.verify(base64.b64decode(told["receipt"]), ledger.genesis).states
    assert state.key == anchor_key(OPERATOR, KIND, STREAM)

    other = ledger_with(sha256(b"another program"))
    async with caller(app(other, proving(other)), BROWSER) as web:
        assert set((await web.get("/v1/wallet-program")).json()) == {"manifest"}


async def test_program_is_not_told_while_no_node_answers() -> None:
    async def silent(_keys: Sequence[bytes]) -> tuple[bytes, dict[bytes, bytes | None]]:
        raise TransportError("nobody")

    async with caller(app(InstantLedger(("a",)), silent), BROWSER) as web:
        answer = await web.get("/v1/wallet-program")
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger.unavailable")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the wallet says of announcements, by the name of each."""
    described = {
        "format": "zhixin-wallet-program/1",
        "worker": "0" * 64,
        "policy": "default-src 'none'; script-src 'self'",
        "files": {"/static/AA/wallet.js": "1" * 64},
        "pages": {"/": {"en": "2" * 64, "zh-CN": "3" * 64}},
    }
    manifest = json.dumps(described)
    digest = sha256(manifest.encode())
    ledger = ledger_with(digest)
    since_ms, now_ms = ledger.checkpoint.time_ms - 1000, ledger.checkpoint.time_ms
    elsewhere = ledger_with(digest, "somebody-else")

    def proof(of: InstantLedger, organisation: str = OPERATOR) -> str:
        return base64.b64encode(of.receipt([], [anchor_key(organisation, KIND, STREAM)])).decode()

    good = {"manifest": manifest, "organisation": OPERATOR, "receipt": proof(ledger)}
    foreign = InstantLedger(("x",))
    foreign.append([], {anchor_key(OPERATOR, KIND, STREAM): ledger.tree.prove(anchor_key(OPERATOR, KIND, STREAM))[0]})
    had = {"organisation": OPERATOR, "sinceMs": since_ms}
    announced: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "first": (good, {}),
        "next": (good, {"now": had | {"sinceMs": since_ms - 1}}),
        "no receipt": (good | {"receipt": ""}, {}),
        "nobody": (good | {"organisation": ""}, {}),
        "a path for a name": (good | {"organisation": f"{OPERATOR}/3/00"}, {}),
        "broken receipt": (good | {"receipt": good["receipt"][:-8] + "AAAAAAA="}, {}),
        "no base64": (good | {"receipt": "!"}, {}),
        "another network": (good | {"receipt": proof(foreign)}, {}),
        "absent": (good | {"receipt": proof(elsewhere)}, {}),
        "another key": (good | {"receipt": proof(elsewhere, "somebody-else")}, {}),
        "another digest": (good, {"digest": "4" * 64}),
        "ten minutes old": (good, {"nowMs": now_ms + 10 * 60_000 + 1}),
        "older": (good, {"now": had | {"sinceMs": since_ms + 1}}),
        "another's": (good, {"now": had | {"organisation": "city-hall"}}),
        "loose policy": (good | {"manifest": json.dumps(described | {"policy": "default-src *"})}, {}),
        "one language": (good | {"manifest": json.dumps(described | {"pages": {"/": {"en": "2" * 64}}})}, {}),
        "no home": (good | {"manifest": json.dumps(described | {"pages": {}})}, {}),
        "file elsewhere": (good | {"manifest": json.dumps(described | {"files": {"https://x": "1" * 64}})}, {}),
        "too long": (good | {"manifest": json.dumps(described | {"more": "x" * 70_000})}, {}),
        "no json": (good | {"manifest": "{"}, {}),
    }
    cases = [
        {"announced": one, "digest": digest.hex(), "now": None, "nowMs": now_ms} | more
        for one, more in announced.values()
    ]
    folder = tmp_path_factory.mktemp("program")
    bundle, inputs = folder / "program.mjs", folder / "cases.json"
    inputs.write_text(json.dumps({"genesis": ledger.genesis_bytes.hex(), "cases": cases}))
    esbuild = [ROOT / "web/node_modules/.bin/esbuild", "--bundle", "--platform=node", "--format=esm", "--loader=ts"]
    subprocess.run(
        [*esbuild, f"--outfile={bundle}", "--log-level=error"],
        input=RUNNER.encode(), check=True, cwd=ROOT / "web/wallet", timeout=60,
    )  # fmt: skip
    ran = subprocess.run(["node", bundle, inputs], check=True, capture_output=True, text=True, timeout=120)
    said = dict(zip(announced, map(json.loads, ran.stdout.splitlines()), strict=True))
    assert said.pop("first") == said.pop("next") == since_ms
    return said


def test_wallet_takes_no_program_whose_anchor_is_not_proven_now_or_is_older_or_anothers(
    judged: dict[str, object],
) -> None:
    reasons = {"older": "older", "another's": "another"}
    malformed = {"loose policy", "one language", "no home", "file elsewhere", "too long", "no json"}
    for name, said in judged.items():
        assert said == ("malformed" if name in malformed else reasons.get(name, "unanchored")), name
