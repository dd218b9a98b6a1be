# SPDX-License-Identifier: Apache-2.0
"""A report handed to a reader as a file: it says whose it is, for whom and what for, and the browser reads it alike."""

import base64
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chain import receipt
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.errors import LedgerError
from chain.p256 import P256Signer
from chain.signing import TransactionSigner
from chain.strict_json import canonical
from chain.types import sha256
from credit import report
from credit.pb import credit_pb2 as pb
from credit.showing import Shown, Statement, make_file, signed_statement, standing_keys, verify_file
from membership.pb import membership_pb2
from membership.state import organisation_key, signer_key
from sim.instant_ledger import InstantLedger
from tests.credit_rig import log, slot
from tests.unit.test_credit_report import COUNT, HOLDER, NONCE, state, whole

ROOT = Path(__file__).resolve().parents[2]
KEEPER = Ed25519Signer(sha256(b"keeper"))
CARD_KEEPER = P256Signer(ec.derive_private_key(11, ec.SECP256R1()))
STRANGER = Ed25519Signer(sha256(b"stranger"))
LATE = Ed25519Signer(sha256(b"late"))
OTHER = P256Signer(ec.derive_private_key(8, ec.SECP256R1()))
RUNNER = """
import { readFileSync } from "node:fs";
import { decodeReport, openReport, ReportRefused } from "./report.ts";
import { checkWhose, readFile } from "./shown.ts";
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
const proven = ({ timeMs, states }) => ({ timeMs, epoch: 1, height: 1, logSize: 0, inclusions: [], failures: [],
  states: states.map(([key, value]) => ({ key: bytes(key), value: value === null ? null : bytes(value) })) });
const { network, cases } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const out = [];
for (const { raw, first, second } of cases) {
  try {
    const file = readFile(bytes(raw), bytes(network));
    const found = openReport(decodeReport(file.report), proven(first), true);
    const whose = checkWhose(file, found, proven(second), bytes(network));
    out.push([whose.name, whose.kind, whose.registrar, file.audience, file.purpose, file.atMs, found.log,
      found.events.map(({ event }) => event !== null)]);
  } catch (error) {
    if (!(error instanceof ReportRefused)) throw error;
    out.push(error.step);
  }
}
process.stdout.write(JSON.stringify(out));
"""


@pytest.fixture(scope="module")
def ledger() -> InstantLedger:
    made = InstantLedger(("a", "b", "c", "d"))
    purposes = [membership_pb2.PURPOSE_SUBMIT]
    states = {**state(), **state(name="other")}
    for signer, organisation, revoked in (
        (KEEPER, "org-r", 0),
        (CARD_KEEPER, "org-r", 0),
        (STRANGER, "org-x", 0),
        (LATE, "org-r", 5),
    ):
        key = membership_pb2.KeyRecord(organisation=organisation, purposes=purposes, revoked_at_ms=revoked)
        states[signer_key(signer.signer)] = encode(key)
    for name, status in (
        ("org-r", membership_pb2.ORGANISATION_STATUS_ACTIVE),
        ("org-x", membership_pb2.ORGANISATION_STATUS_ACTIVE),
    ):
        record = membership_pb2.OrganisationRecord(id=name, name_zh="登记", roles=["registrar", "x"], status=status)
        states[organisation_key(name)] = encode(record)
    made.append([], states)
    return made


def given(
    ledger: InstantLedger,
    *,
    raw: bytes = b"",
    keeper: TransactionSigner = KEEPER,
    holder: P256Signer = HOLDER,
    of_log: bytes = b"",
    registrar: str = "org-r",
) -> bytes:
    """A file; each part of it can be another's."""
    network = ledger.genesis.network
    statement = Statement(of_log or log(), HOLDER.signer.public_key, "王芳", "person")
    shown = report.show(raw or made_once(ledger), network, holder, "bank", "tender", NONCE, 1_000)
    return make_file(shown, signed_statement(statement, network, keeper), standing_of(ledger, keeper, registrar))


@cache
def made_once(ledger: InstantLedger) -> bytes:
    """The whole report: a proof costs more than all that is done with it here."""
    return whole(ledger)


@cache
def standing_of(ledger: InstantLedger, keeper: TransactionSigner, registrar: str) -> bytes:
    return ledger.receipt([], standing_keys(keeper.signer, registrar))


def changed(raw: bytes, **parts: str) -> bytes:
    return canonical({**json.loads(raw), **parts})


def relabelled(raw: bytes, **fields: Any) -> bytes:
    """The holder's part with other fields, under the same signature."""
    shown = pb.ShownReport.FromString(base64.b64decode(json.loads(raw)["shown"]))
    for name, value in fields.items():
        setattr(shown, name, value)
    return changed(raw, shown=base64.b64encode(encode(shown)).decode())


def code_of(raw: bytes, ledger: InstantLedger) -> str:
    try:
        verify_file(raw, ledger.genesis)
    except LedgerError as error:
        return error.code
    return ""


def wrong_files(ledger: InstantLedger) -> dict[str, bytes]:
    """What an attacker makes of a file, by what it is; each is refused."""
    good = given(ledger)
    words = json.loads(good)
    statement = json.loads(base64.b64decode(words["statement"]))
    renamed = base64.b64encode(canonical({**statement, "name": "李四"})).decode()
    left_out = pb.Report.FromString(made_once(ledger))
    del left_out.openings[-1]
    return {
        "shown to somebody else": relabelled(good, audience="shop"),
        "shown for something else": relabelled(good, purpose="trust-approval"),
        "made to look newer": relabelled(good, at_ms=2_000),
        "signed by another key": given(ledger, holder=OTHER),
        "with another name": changed(good, statement=renamed),
        "of another's log": given(ledger, of_log=log("other")),
        "by somebody who does not keep the log": given(ledger, keeper=STRANGER),
        "by somebody else's word and standing": given(ledger, keeper=STRANGER, registrar="org-x"),
        "by a key that was revoked": given(ledger, keeper=LATE),
        "without its last event": given(ledger, raw=encode(left_out)),
        "with more beside it": changed(good, more="x"),
        "of another form": changed(good, format="zhixin-credit-report/2"),
        "no file": b"{}",
    }


@pytest.mark.parametrize("keeper", [KEEPER, CARD_KEEPER], ids=["ed25519", "p256"])
def test_file_says_whose_report_it_is_for_whom_and_what_for(ledger: InstantLedger, keeper: TransactionSigner) -> None:
    found: Shown = verify_file(given(ledger, keeper=keeper), ledger.genesis)
    assert found.statement == Statement(log(), HOLDER.signer.public_key, "王芳", "person")
    assert (found.registrar, found.audience, found.purpose, found.at_ms) == ("org-r", "bank", "tender", 1_000)
    assert len(found.report.entries) == COUNT
    assert found.report.score().points == report.verify(made_once(ledger), ledger.genesis).score().points


def test_file_that_is_older_than_its_purpose_allows_is_refused(ledger: InstantLedger) -> None:
    now_ms = ledger.checkpoint.time_ms + 3_600_000
    assert verify_file(given(ledger), ledger.genesis, age_ms_max=3_600_000, now_ms=now_ms).purpose == "tender"
    with pytest.raises(LedgerError, match="ms old"):
        verify_file(given(ledger), ledger.genesis, age_ms_max=3_599_999, now_ms=now_ms)


def test_each_change_of_a_file_is_refused_in_python_and_in_the_browser_which_reads_good_ones_alike(
    tmp_path: Path, ledger: InstantLedger
) -> None:
    limited = given(ledger, raw=report.withhold(made_once(ledger), {slot(0)}))
    good = [given(ledger), given(ledger, keeper=CARD_KEEPER), limited]
    wrong = wrong_files(ledger)
    assert {name for name, raw in wrong.items() if not code_of(raw, ledger)} == set()
    read = run(tmp_path, [*good, *wrong.values()], ledger)
    for raw, found in zip(good, read[: len(good)], strict=True):
        told = verify_file(raw, ledger.genesis)
        whose = [told.statement.name, told.statement.kind, told.registrar, told.audience, told.purpose, told.at_ms]
        shown = [one.content is not None for one in told.report.entries]
        assert found == [*whose, told.report.log.hex(), shown]
    assert {name for name, one in zip(wrong, read[len(good) :], strict=True) if not isinstance(one, str)} == set()


def run(folder: Path, files: list[bytes], ledger: InstantLedger) -> list[object]:
    """What the browser says of files whose receipts the verifier has accepted."""
    bundle, inputs = folder / "shown.mjs", folder / "files.json"
    esbuild = [ROOT / "web/node_modules/.bin/esbuild", "--bundle", "--platform=node", "--format=esm", "--loader=ts"]
    subprocess.run(
        [*esbuild, f"--outfile={bundle}", "--log-level=error"],
        input=RUNNER.encode(), check=True, cwd=ROOT / "web/score", timeout=60,
    )  # fmt: skip
    cases = [{"raw": raw.hex(), "first": None, "second": None} | proven_of(raw, ledger) for raw in files]
    inputs.write_text(json.dumps({"network": ledger.genesis.network.hex(), "cases": cases}))
    ran = subprocess.run(["node", bundle, inputs], check=True, capture_output=True, text=True, timeout=60)
    found: list[object] = json.loads(ran.stdout)
    return found


def proven_of(raw: bytes, ledger: InstantLedger) -> dict[str, Any]:
    """What the verifier says of a file's two receipts."""
    words = json.loads(raw)
    if "shown" not in words:
        return {}
    shown = pb.ShownReport.FromString(base64.b64decode(words["shown"]))
    receipts = pb.Report.FromString(shown.report).receipt, base64.b64decode(words["standing"])
    return {name: read_once(one, ledger) for name, one in zip(("first", "second"), receipts, strict=True)}


@cache
def read_once(raw: bytes, ledger: InstantLedger) -> dict[str, Any]:
    proven = receipt.verify(raw, ledger.genesis)
    states = [[state.key.hex(), None if state.value is None else state.value.hex()] for state in proven.states]
    return {"timeMs": proven.checkpoint.time_ms, "states": states}
