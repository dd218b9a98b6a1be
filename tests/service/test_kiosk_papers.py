# SPDX-License-Identifier: Apache-2.0
"""What a kiosk hands out: sealed by the registrar's office as PAdES, judged by others' programs; or plainly without."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from desk_cards_rig import OWN_PIN
from fpdf import FPDF
from kiosk_rig import ADDRESS_FIELDS, COMPANY, HeldPhone, KioskRig, ProvingStates
from store_rig import Rig

from cli import language
from cli.exits import Exit
from cli.main import run
from identity.api.documents.seal_keys import CHAIN_FILE, load_seal, make_seal
from identity.api.documents.stamp_keys import CERTIFICATE_FILE, load_stamp_authority, make_stamp_authority
from identity.api.kiosk.base import OfficeRefused, PhoneState
from identity.api.kiosk.paper_way import CommandPaper
from identity.api.kiosk.papers import Papers
from identity.api.kiosk.printing import PaperPrinter
from identity.api.kiosk.session import State
from identity.api.kiosk.statements import Kind
from identity.cards.authority import load_certificate
from identity.cards.profile import seconds
from identity.cards.verifying import load_chain
from identity.jose import MemorySigner
from identity.pades.seals import DocumentSeal, make_certificates, organisation_of
from identity.pades.signing import Statement
from identity.pades.time_stamps import TimeStampAuthority, load_certificates, make_certificate
from identity.pades.verifying import Outcome, StepName, Trust, verify_pdf
from membership.anchors import anchor_key
from membership.pb import membership_pb2
from service.errors import ConfigError, KeyFileError

ORGANISATION = "禅城区户政中心"
CHECK = "https://ledger.example/check"


def sealing(kiosk: KioskRig) -> Papers:
    """The office's printing shop, with keys in memory and the rig's clock."""
    keys = [MemorySigner(ec.derive_private_key(number, ec.SECP256R1())) for number in (301, 302, 303)]
    today = seconds(kiosk.rig.clock_ms // 1000)

    def clock() -> float:
        return kiosk.rig.clock_ms / 1000

    stamps = TimeStampAuthority(make_certificate(keys[2], ORGANISATION, today), keys[2], clock)
    seal = DocumentSeal(make_certificates(ORGANISATION, keys[0], keys[1], today), keys[0], keys[1], stamps, clock)
    return Papers(seal, ProvingStates(kiosk.cards), PaperPrinter("city", CHECK, ORGANISATION))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KioskRig]:
    folder = tmp_path_factory.mktemp("kiosk-papers")
    rig = Rig(folder, None)
    yield KioskRig(rig, folder, papers=sealing)
    rig.close()


@pytest.fixture
def kiosk(shared: KioskRig) -> KioskRig:
    shared.paper = None
    shared.started()
    return shared


def trust_of(kiosk: KioskRig) -> Trust:
    papers = kiosk.desk._papers
    assert papers is not None
    return papers.seal.trust


def anchored(kiosk: KioskRig) -> list[str]:
    """Digests of statements that the ledger has, in hexadecimal."""
    prefix = anchor_key("x", membership_pb2.ANCHOR_KIND_AUDIT, bytes(16)).split(b"x")[0]
    raw = [value for key, value in kiosk.cards.rules.state.items() if key.startswith(prefix) and value]
    return [membership_pb2.AnchorRecord.FromString(value).digest.hex() for value in raw]


def told(*command: str) -> str:
    """What a program of others' says."""
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


async def handed_out(kiosk: KioskRig, kind: Kind, fields: dict[str, str]) -> bytes:
    await kiosk.stated(kind, fields)
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    assert visit.is_sealed, visit.notice
    pdf = visit.pdf
    kiosk.kiosk.back(kiosk.turn)
    return pdf


async def test_everything_that_is_handed_out_is_sealed_for_the_long_term_and_an_altered_or_foreign_one_does_not_count(
    kiosk: KioskRig, tmp_path: Path
) -> None:
    person_id, card_id, chip = kiosk.holder()
    mandate = await kiosk.mandated(person_id)
    await kiosk.log_in(chip)
    bill = kiosk.bills[0]
    payment = {
        "reference": bill.reference,
        "payee": bill.payee,
        "purpose": bill.purpose,
        "amount_fen": str(bill.amount_fen),
    }
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    company = kiosk.kiosk.company_fields(visit, mandate)
    assert company is not None
    assert company["company"] == COMPANY.name_zh
    await kiosk.kiosk.certify(kiosk.turn, "zh-CN")
    papers = {"certificate": visit.pdf}
    assert visit.is_sealed
    kiosk.kiosk.back(kiosk.turn)
    papers["address"] = await handed_out(kiosk, Kind.ADDRESS, ADDRESS_FIELDS)
    papers["payment"] = await handed_out(kiosk, Kind.PAYMENT, payment)
    papers["company"] = await handed_out(kiosk, Kind.COMPANY, company)
    papers["stop"] = await handed_out(
        kiosk, Kind.STOP, {"way": "card", "id": card_id, "reference": f"K-{card_id[:8].upper()}"}
    )
    kiosk.regular = None  # the card is stopped
    assert kiosk.printer.receipts == kiosk.printer.certificates == []  # the kiosk itself made none
    for name, content in papers.items():
        report = verify_pdf(content, trust_of(kiosk))
        assert [step.outcome for step in report.steps] == [Outcome.PASSED] * len(StepName), name
        assert report.level == "B-LTA"
        assert organisation_of(load_certificate(report.certificate)) == ORGANISATION
    (tmp_path / "paper.pdf").write_bytes(papers["payment"])
    said = told("pdfsig", "-nocert", str(tmp_path / "paper.pdf"))
    assert "Signature is Valid" in said
    assert "ETSI.CAdES.detached" in said
    text = "".join(told("pdftotext", str(tmp_path / "paper.pdf"), "-").split())
    assert ORGANISATION in text
    assert any(digest in text for digest in anchored(kiosk)), "the ledger has the digest on the paper"
    altered = papers["payment"].replace(b"/Producer (Zhixin)", b"/Producer (Zhixim)")
    assert altered != papers["payment"]
    assert not verify_pdf(altered, trust_of(kiosk)).is_valid
    other = sealing(kiosk).seal.trust  # the same organisation's name, other certificates
    report = verify_pdf(papers["payment"], Trust(other.chains, trust_of(kiosk).time_stamps))
    assert report.first_failure.name is StepName.CERTIFICATE


async def test_paper_is_fetched_by_the_kiosk_of_the_visit_alone_for_its_own_visitor(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    assert visit.holder is not None
    await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    assert visit.receipt is not None
    stream = visit.receipt.signed.statement.stream_bytes
    own, ticket = await kiosk.desk.device(kiosk.device.signer), visit.holder.visit
    assert own is not None
    _, _, other_chip = kiosk.holder(other=True)
    await kiosk.remove()
    await kiosk.log_in(other_chip)
    theirs = kiosk.kiosk.session.visit
    assert theirs is not None
    assert theirs.holder is not None
    ends, person, mac = ticket.split(".")
    for attack, named in {
        "another visitor's ticket": theirs.holder.visit,
        "another time": f"{int(ends) + 1}.{person}.{mac}",
        "another person": f"{ends}.{theirs.holder.visit.split('.')[1]}.{mac}",
        "no ticket": f"{ends}.{person}.{'0' * 64}",
    }.items():
        with pytest.raises(OfficeRefused) as refused:
            await kiosk.desk.paper(own, named, stream, "en")
        assert refused.value.code == "kiosk.visit", attack
    kiosk.rig.clock_ms += 31 * 60_000
    with pytest.raises(OfficeRefused, match=r"kiosk\.visit"):
        await kiosk.desk.paper(own, ticket, stream, "en")
    kiosk.rig.clock_ms -= 31 * 60_000


async def test_phone_opens_a_visit_and_its_certificate_comes_sealed_over_http_as_in_process(kiosk: KioskRig) -> None:
    person_id, _, _ = kiosk.holder()
    kiosk.phones = phone = HeldPhone(PhoneState.CONFIRMED, person_id)
    async with kiosk.office_over_http():
        await kiosk.pass_s()
        await kiosk.kiosk.scan(kiosk.turn)
        await kiosk.pass_s(2)
        assert kiosk.state is State.MENU
        await kiosk.kiosk.certify(kiosk.turn, "en")
        visit = kiosk.kiosk.session.visit
        assert visit is not None
        assert visit.is_sealed
        assert verify_pdf(visit.pdf, trust_of(kiosk)).level == "B-LTA"
    assert len(phone.asked) == 1


async def test_statement_that_waits_is_receipted_without_a_seal_and_says_so(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    kiosk.office.is_reachable = False
    await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    kiosk.office.is_reachable = True
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    assert (kiosk.state, visit.is_sealed) == (State.RECEIPT, False)
    async with kiosk.serving() as screen:
        assert "Without an electronic seal" in await screen.see()
    await kiosk.pass_s(20)


def test_seal_is_kept_in_a_folder_that_the_passphrase_opens_and_never_overwritten(tmp_path: Path) -> None:
    now_s = int(time.time())
    make_stamp_authority(tmp_path / "stamps", "X", b"a long one", allow_plain=False, now_s=now_s)
    stamps = load_stamp_authority(tmp_path / "stamps", b"a long one", time.time, allow_plain=False)
    made = make_seal(tmp_path / "seal", "X", b"a long one", allow_plain=False, now_s=now_s)
    with pytest.raises(KeyFileError, match="already"):
        make_seal(tmp_path / "seal", "X", b"a long one", allow_plain=False, now_s=now_s)
    seal = load_seal(tmp_path / "seal", b"a long one", stamps, time.time, allow_plain=False)
    chain = load_chain((tmp_path / "seal" / CHAIN_FILE).read_bytes())
    assert (seal.trust.chains, seal.organisation) == ([chain], "X")
    assert load_certificates((tmp_path / "stamps" / CERTIFICATE_FILE).read_bytes()) == list(seal.trust.time_stamps)
    assert organisation_of(made) == "X"
    with pytest.raises(KeyFileError, match="ended"):
        load_seal(tmp_path / "seal", b"a long one", stamps, lambda: now_s + 6 * 365 * 86_400, allow_plain=False)
    with pytest.raises(KeyFileError):
        load_seal(tmp_path / "seal", b"another", stamps, time.time, allow_plain=False)
    (tmp_path / "seal" / "seal.json").write_text("{}")
    with pytest.raises(KeyFileError, match="is not a"):
        load_seal(tmp_path / "seal", b"a long one", stamps, time.time, allow_plain=False)
    with pytest.raises(KeyFileError, match="64 characters"):
        make_seal(tmp_path / "other", "", b"a long one", allow_plain=False, now_s=now_s)


def test_sealed_paper_verifies_at_a_terminal_with_the_pinned_files_and_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    language.select("en")
    for kind in ("seal", "stamps"):
        assert run(["document", kind, str(tmp_path / kind), "--name", ORGANISATION, "--plain"]) == Exit.DONE
    stamps = load_stamp_authority(tmp_path / "stamps", None, time.time, allow_plain=True)
    seal = load_seal(tmp_path / "seal", None, stamps, time.time, allow_plain=True)
    draft = FPDF()
    draft.add_page()
    sealed = asyncio.run(seal.seal(bytes(draft.output()), Statement("Receipt")))
    (tmp_path / "paper.pdf").write_bytes(sealed.content)
    pinned = ["--chain", str(tmp_path / "seal" / CHAIN_FILE), "--stamps", str(tmp_path / "stamps" / CERTIFICATE_FILE)]
    capsys.readouterr()
    assert run(["document", "verify", str(tmp_path / "paper.pdf"), *pinned]) == Exit.DONE
    assert f"Sealed by: {ORGANISATION}" in capsys.readouterr().out
    assert run(["document", "seal", str(tmp_path / "other"), "--name", ORGANISATION, "--plain"]) == Exit.DONE
    other = ["--chain", str(tmp_path / "other" / CHAIN_FILE), *pinned[2:]]
    assert run(["document", "verify", str(tmp_path / "paper.pdf"), *other]) == Exit.UNPROVEN
    language.select("en")


# Paper ----------------------------------------------------------------------------------------------------------------


def script(folder: Path, text: str) -> list[str]:
    path = folder / "printer.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return [str(path)]


async def test_printer_is_handed_the_paper_through_a_pipe_three_times_at_most(
    kiosk: KioskRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kiosk.desk, "_papers", None)  # what is printed matters to nobody here
    out = tmp_path / "out.pdf"
    kiosk.paper = CommandPaper([*script(tmp_path, 'cat >> "$1"'), str(out)])
    kiosk.started()
    _, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    await kiosk.kiosk.certify(kiosk.turn, "en")
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    async with kiosk.serving() as screen:
        assert 'action="/print"' in await screen.see()
        before = kiosk.turn
        assert (await screen.touch("/print")).status_code == 303
        assert out.read_bytes() == visit.pdf
        assert (await screen.touch("/print", turn=before)).status_code == 409  # a second touch of the same button
        assert "Please take the paper" in await screen.see()
        for expected in (303, 303, 409):
            assert (await screen.touch("/print")).status_code == expected
    assert out.read_bytes() == 3 * visit.pdf


async def test_printer_that_fails_is_told_and_the_paper_stays_for_another_try(
    kiosk: KioskRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kiosk.desk, "_papers", None)
    kiosk.paper = CommandPaper(script(tmp_path, "exit 1"))
    kiosk.started()
    _, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    await kiosk.kiosk.certify(kiosk.turn, "en")
    await kiosk.kiosk.print_paper(kiosk.turn)
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    assert visit.notice is not None
    assert visit.notice.key == "kiosk.notice.printer"
    assert kiosk.state is State.RECEIPT


def test_printer_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            begun.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    monkeypatch.setattr("identity.api.kiosk.paper_way.PRINT_S_MAX", 0.3)
    with pytest.raises(OSError, match="TimeoutExpired"):
        CommandPaper(script(tmp_path, "exec sleep 300")).put(b"%PDF")
    (printer,) = begun
    assert printer.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(printer.pid, 0)
    with pytest.raises(FileNotFoundError):
        CommandPaper(["/nowhere/lp"]).put(b"%PDF")
    with pytest.raises(ConfigError, match="print_command"):
        CommandPaper([])
