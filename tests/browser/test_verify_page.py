# SPDX-License-Identifier: Apache-2.0
"""The verifier in a real browser: in a worker and without one, from a disk, fast enough, and the example page."""

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from visiting import ROOT, pace, visiting

from chain import receipt_text
from sim.instant_ledger import InstantLedger
from tests.browser import verify_package
from tests.vectors.make_receipts import transaction

CORPUS = ROOT / "tests" / "vectors" / "receipts"
CASES = {case["name"]: case for case in json.loads((CORPUS / "cases.json").read_text())}
GENESIS = (CORPUS / "genesis.json").read_text()
ONE = CASES["one operation"]["receipt"]

COLD_MS_MAX, COLD_THROTTLED_MS_MAX, FURTHER_MS_MAX = 300, 1_200, 10
GENEROUS = 8
"""The figures that count are in docs/results/benchmarks.md; other work shares the machine that runs the tests."""
FROZEN_SHARE_MAX = 0.6
"""Of the whole work: a page that waits for all of it in one piece waits for nearly 1, each time."""
TRIES = 5
"""The best counts: other work may hold up any of them."""

POLICIES = {
    "/": "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'",
    "/no-worker/": "default-src 'none'; script-src 'self'; worker-src 'none'; style-src 'self'",
}


class Handler(SimpleHTTPRequestHandler):
    """The package's files, a blank page for each policy, and no word on the terminal."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path in POLICIES:
            body = b"<!doctype html><html lang=en><title>x</title><script src=/dist/client.global.js></script></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICIES[self.path])
            self.end_headers()
            self.wfile.write(body)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def package() -> Path:
    return verify_package.built()


@pytest.fixture(scope="module")
def origin(package: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(package)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


OPEN = """
const openVerifier = async (more = {}) => zhixinVerifyClient.openVerifier({
  scriptUrl: "/dist/verifier.js", genesis: new TextEncoder().encode(genesis), ...more });
const fromHex = digits => Uint8Array.from(digits.match(/../g), pair => parseInt(pair, 16));
"""


def call(page: Page, body: str, **arguments: object) -> dict:
    """Run JavaScript with a genesis, openVerifier and fromHex at hand."""
    names = {"genesis": GENESIS, "receipt": ONE, **arguments}
    result: dict = page.evaluate(f"async ({{{', '.join(names)}}}) => {{ {OPEN} {body} }}", names)
    return result


# ---------------------------------------------------------------- worker, and none


@pytest.mark.parametrize(("path", "thread"), [("/", "worker"), ("/no-worker/", "page")])
def test_verifier_with_and_without_a_worker_gives_content_steps_anchor_and_codes(
    browser: Browser, origin: str, path: str, thread: str
) -> None:
    with visiting(browser, origin) as visit:
        visit.expect("worker-src|violates|Content Security Policy")
        page = visit.open(path)
        seen = call(
            page,
            """
            const steps = [], forged = fromHex(receipt);
            const verifier = await openVerifier({ onStep: step => steps.push(step.check) });
            const before = verifier.anchor;
            const content = await verifier.verifyReceipt(fromHex(receipt), { onStep: step => steps.push(step.check) });
            forged[40] ^= 1;
            const codes = [];
            for (const [one, options] of [[forged, {}], [fromHex(old), { stateAgeMsMax: 1000 }]]) {
              try { await verifier.verifyReceipt(one, options); } catch (error) {
                codes.push(error instanceof zhixinVerifyClient.LedgerError ? error.code : String(error));
              }
            }
            const state = await verifier.verifyStateReceipt(fromHex(absent));
            return { steps, codes, type: content.inclusions[0].type, thread: verifier.thread, value: state.value,
                     moved: before !== verifier.anchor, network: JSON.parse(verifier.anchor).network };
            """,
            old=CASES["a state key that is absent"]["receipt"],
            absent=CASES["a state key that is absent"]["receipt"],
        )
    assert seen["thread"] == thread
    assert seen["type"] == "identity.Attest"
    assert seen["value"] is None
    assert seen["moved"]
    assert seen["codes"] == ["proof.invalid", "receipt.clock"]
    assert seen["steps"] == [
        *("genesis", "possession", "decode", "sequence", "network", "epoch", "quorum", "signature", "history"),
        *("decode", "operation", "entry", "result", "content"),
    ]


def test_kept_anchor_starts_a_verifier_and_refuses_what_contradicts_it(browser: Browser, origin: str) -> None:
    case = CASES["another checkpoint at a height already seen"]
    with visiting(browser, origin) as visit:
        seen = call(
            visit.open("/"),
            """
            const first = await openVerifier();
            await first.verifyReceipt(fromHex(seenBefore));
            localStorage.anchor = first.anchor;
            const anchor = localStorage.anchor;
            const second = await zhixinVerifyClient.openVerifier({ scriptUrl: "/dist/verifier.js", anchor });
            const refusal = await second.verifyReceipt(fromHex(receipt)).catch(error => error.code);
            const genesisOf = text => new TextEncoder().encode(text);
            const foreign = await openVerifier({ genesis: genesisOf(other), anchor }).catch(error => error.code);
            const damaged = await openVerifier({ anchor: anchor.slice(0, -9) }).catch(error => error.code);
            return { refusal, foreign, damaged };
            """,
            receipt=case["receipt"],
            seenBefore=case["kept"][0],
            other=(CORPUS / "other-genesis.json").read_text(),
        )
    assert seen == {"refusal": case["code"], "foreign": "genesis.invalid", "damaged": "message.invalid"}


@pytest.mark.parametrize("path", POLICIES)
def test_page_stays_responsive_while_a_genesis_and_a_receipt_are_verified(
    browser: Browser, origin: str, path: str
) -> None:
    shares: list[float] = []
    while not shares or (min(shares) >= FROZEN_SHARE_MAX and len(shares) < TRIES):
        shares.append(frozen_share(browser, origin, path))
    assert min(shares) < FROZEN_SHARE_MAX, shares


def frozen_share(browser: Browser, origin: str, path: str) -> float:
    """How much of a fresh page's work went by without a turn for anything else."""
    with visiting(browser, origin) as visit:
        visit.expect("worker-src|violates|Content Security Policy")
        seen = call(
            visit.open(path),
            """
            let longest = 0, last = performance.now(), isRunning = true;
            const tick = () => {
              const now = performance.now();
              longest = Math.max(longest, now - last);
              last = now;
              if (isRunning) setTimeout(tick, 0);
            };
            tick();
            const begin = last;
            const verifier = await openVerifier();
            await verifier.verifyReceipt(fromHex(receipt));
            isRunning = false;
            return { longest, whole: performance.now() - begin };
            """,
        )
    return float(seen["longest"] / seen["whole"])


# ---------------------------------------------------------------- speed

MEASURE = """
await new Promise((resolve, reject) => {
  const script = document.createElement("script");
  script.src = "/dist/verifier.js"; script.onload = resolve; script.onerror = reject;
  document.head.append(script);
});
const api = zhixinVerify;
const begin = performance.now();
const anchor = kept === null ? api.loadGenesis(new TextEncoder().encode(genesis)).anchor : api.TrustAnchor.parse(kept);
const first = api.verifyReceipt(fromHex(receipt), anchor);
const cold = performance.now() - begin;
api.verifyReceipt(fromHex(receipt), first.anchor);
let further = Infinity; // the quickest: other work may hold up any of them
for (let i = 0; i < 20; i++) {
  const again = performance.now();
  api.verifyReceipt(fromHex(receipt), first.anchor);
  further = Math.min(further, performance.now() - again);
}
return { cold, further };
"""
CITY = InstantLedger([f"office-{i}" for i in range(31)])
CITY.append([(transaction(CITY, 1), None)])


def measure(browser: Browser, origin: str, throttle: int, ledger: InstantLedger, kept: str | None) -> dict:
    """Milliseconds of a first receipt in a fresh page, and of each further one under the same certificate."""
    with visiting(browser, origin) as visit:
        page = visit.open("/")
        visit.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": throttle})
        text = ledger.genesis_bytes.decode()
        return call(page, MEASURE, genesis=text, receipt=ledger.receipt([(0, 0)]).hex(), kept=kept)


@pytest.fixture(scope="module")
def four() -> InstantLedger:
    ledger = InstantLedger(("water", "roads", "health", "archive"))
    ledger.append([(transaction(ledger, 1), None)])
    return ledger


def kept_anchor(browser: Browser, origin: str, ledger: InstantLedger) -> str:
    """What another page left in localStorage; nothing of its work is left in this process."""
    with visiting(browser, origin) as visit:
        body = "return { anchor: (await openVerifier({ network: fromHex(network) })).anchor }"
        names = {"genesis": ledger.genesis_bytes.decode(), "network": ledger.genesis.network.hex()}
        return str(call(visit.open("/"), body, **names)["anchor"])


@pytest.mark.parametrize(("throttle", "cold_ms_max"), [(1, COLD_MS_MAX), (4, COLD_THROTTLED_MS_MAX)])
def test_first_receipt_is_verified_in_time_and_each_further_one_at_once(
    browser: Browser, origin: str, four: InstantLedger, throttle: int, cold_ms_max: int
) -> None:
    figures = measure(browser, origin, throttle, four, kept_anchor(browser, origin, four))
    slower = pace(browser)
    print(f"\n4 validators, throttle {throttle}: {figures['cold']:.0f} ms, further {figures['further']:.2f} ms")
    assert figures["cold"] < GENEROUS * cold_ms_max * slower
    assert figures["further"] < GENEROUS * FURTHER_MS_MAX * slower


@pytest.mark.parametrize("throttle", [1, 4])
def test_first_receipt_takes_longer_with_a_genesis_to_check_or_many_validators_but_not_for_ever(
    browser: Browser, origin: str, four: InstantLedger, throttle: int
) -> None:
    from_genesis = measure(browser, origin, throttle, four, None)
    many = measure(browser, origin, throttle, CITY, kept_anchor(browser, origin, CITY))
    print(f"\nthrottle {throttle}: 4 proofs of genesis first {from_genesis['cold']:.0f} ms; "
          f"31 validators {many['cold']:.0f} ms, further {many['further']:.2f} ms")  # fmt: skip
    slower = pace(browser)
    assert from_genesis["cold"] < GENEROUS * throttle * COLD_MS_MAX * 2 * slower
    assert many["cold"] < GENEROUS * throttle * COLD_MS_MAX * 2 * slower
    assert many["further"] < GENEROUS * FURTHER_MS_MAX * slower


# ---------------------------------------------------------------- the example page


def give(page: Page, field: str, name: str, content: bytes) -> None:
    page.set_input_files(f"#{field}", {"name": name, "mimeType": "application/octet-stream", "buffer": content})


@pytest.mark.parametrize(("language", "theme"), [("zh-CN", "light"), ("en", "dark")])
def test_example_page_shows_each_step_and_the_verdict(browser: Browser, origin: str, language: str, theme: str) -> None:
    raw = bytes.fromhex(ONE)
    proven = {"zh-CN": "核验通过：账本确有此记录。", "en": "Proven. The ledger recorded this."}[language]
    with visiting(browser, origin, language=language, theme=theme, size="phone") as visit:
        page = visit.open("/example/index.html")
        give(page, "genesis", "genesis.json", GENESIS.encode())
        expect(page.locator("#verdict")).to_have_class("passed")
        for name, content in (
            ("receipt.bin", raw),
            ("receipt.json", receipt_text.to_json(raw).encode()),
            ("receipt.txt", receipt_text.to_compact(raw).encode()),
        ):
            give(page, "receipt", name, content)
            expect(page.locator("#verdict")).to_have_text(proven)
            assert page.locator("#steps .passed").count() == 12
        assert "identity.Attest" in page.locator("#content").inner_text()
        assert page.locator("html").get_attribute("data-thread") == "worker"
        assert visit.axe() == []
        assert not visit.is_wider_than_screen()
        visit.keep("verify-example-proven")
        give(page, "receipt", "forged.bin", raw[:60] + bytes([raw[60] ^ 1]) + raw[61:])
        expect(page.locator("#verdict")).to_have_class("refused")
        assert page.locator("#steps .refused").count() == 1
        visit.keep("verify-example-forged")
        give(page, "receipt", "failed.bin", bytes.fromhex(CASES["an operation of a failed transaction"]["receipt"]))
        expect(page.locator("#content")).to_contain_text("identity.not-registrar")
        expect(page.locator("#verdict")).to_have_class("refused")
        give(page, "genesis", "other.json", (CORPUS / "other-genesis.json").read_bytes())
        expect(page.locator("#verdict")).to_have_class("passed")
        give(page, "receipt", "receipt.bin", raw)
        expect(page.locator("#verdict")).to_contain_text("certificate.invalid")


def test_example_page_works_from_a_disk_without_a_server(browser: Browser, package: Path) -> None:
    with visiting(browser, "file://", language="en") as visit:
        visit.context.set_offline(True)
        page = visit.open(f"{package}/example/index.html")
        give(page, "receipt", "receipt.bin", bytes.fromhex(ONE))
        expect(page.locator("#verdict")).to_have_text("Give the genesis file first.")
        give(page, "genesis", "genesis.json", GENESIS.encode())
        expect(page.locator("#verdict")).to_have_class("passed")
        give(page, "receipt", "receipt.bin", bytes.fromhex(ONE))
        expect(page.locator("#verdict")).to_have_text("Proven. The ledger recorded this.")
        assert page.locator("html").get_attribute("data-thread") == "page"
