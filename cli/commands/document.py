# SPDX-License-Identifier: Apache-2.0
"""`zhixin document`: sign a PDF with a card, verify or renew one that was signed, make a seal or a stamp authority."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Protocol

import typer
from cryptography import x509

from cli import output
from cli.cards import ReaderOption, ask_pin, card_in
from cli.command import command, group
from cli.errors import UsageError
from cli.exits import Exit
from cli.home import read_file
from cli.language import current, t
from cli.output import emit
from cli.services import explained
from identity.api.documents.seal_keys import CHAIN_FILE, make_seal
from identity.api.documents.stamp_keys import CERTIFICATE_FILE, load_stamp_authority, make_stamp_authority
from identity.api.time_stamps.far import FarStamps
from identity.cards.authority import load_certificate
from identity.cards.piv import Piv
from identity.cards.verifying import CHAIN_BYTES_MAX, REVOCATION_LIST_BYTES_MAX, load_chain
from identity.pades.reading import DOCUMENT_BYTES_MAX
from identity.pades.renewal import renew_pdf
from identity.pades.revocation import ANSWER_BYTES_MAX, Evidence
from identity.pades.seals import organisation_of
from identity.pades.signing import CardKey, Statement, sign_pdf
from identity.pades.time_stamps import Stamps, load_certificates
from identity.pades.verifying import Outcome, Report, Step, StepName, Trust, verify_pdf
from service.store.key_encryption import load_passphrase

CLOCK_SKEW = timedelta(minutes=1)
"""How far the time-stamp authority's clock may be ahead of this machine's."""

app = group(t("help.document"))

DocumentArgument = Annotated[Path, typer.Argument(metavar="FILE", help=t("document.option.file"))]
ChainOption = Annotated[Path, typer.Option("--chain", help=t("card.option.chain"))]
ListOption = Annotated[list[Path] | None, typer.Option("--list", help=t("document.option.list"))]
StampsOption = Annotated[str, typer.Option("--stamps", help=t("document.option.stamps-folder"))]
TrustedOption = Annotated[list[Path] | None, typer.Option("--trusted", help=t("document.option.trusted"))]
PlainOption = Annotated[bool, typer.Option("--plain", help=t("card.option.plain"))]
FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help=t("document.option.folder"))]
NameOption = Annotated[str, typer.Option("--name", help=t("card.option.name"))]
AnswerOption = Annotated[list[Path] | None, typer.Option("--answer", help=t("document.option.answer"))]


@command(app, "sign", t("document.sign.help"))
def sign(
    file: DocumentArgument,
    signed: Annotated[Path, typer.Argument(metavar="SIGNED", help=t("document.option.signed"))],
    chain: ChainOption,
    stamps: StampsOption,
    trusted: TrustedOption = None,
    lists: ListOption = None,
    answers: AnswerOption = None,
    reason: Annotated[str, typer.Option("--reason", help=t("document.option.reason"))] = "",
    place: Annotated[str, typer.Option("--place", help=t("document.option.place"))] = "",
    reader: ReaderOption = "",
    card_file: Annotated[Path | None, typer.Option("--card", help=t("card.option.file"))] = None,
    plain: PlainOption = False,
) -> None:
    """Sign a PDF with the card in a reader (or an emulated one), for the long term."""
    if signed.exists():
        raise UsageError("usage.document-there", t("usage.document-there", path=signed))
    pdf = read_file(file, DOCUMENT_BYTES_MAX)
    authority, certificates = _stamps(stamps, trusted, plain=plain)
    trust = Trust([load_chain(read_file(chain, CHAIN_BYTES_MAX))], certificates)
    evidence = _evidence(lists, answers)
    pin = ask_pin()
    with card_in(reader, card_file) as card:
        piv = Piv(card)
        piv.select()
        done = asyncio.run(sign_pdf(pdf, CardKey(piv, pin), Statement(reason, place), evidence, authority, trust))
    signed.write_bytes(done.content)
    emit(
        {"file": str(signed), "level": done.report.level, "digest": done.digest.hex(), **_fields(done.report)},
        t("document.signed", path=signed, level=done.report.level),
        *_lines(done.report),
        t("document.law"),
    )


@command(app, "verify", t("document.verify.help"))
def verify(
    file: DocumentArgument,
    chain: ChainOption,
    stamps: Annotated[Path, typer.Option("--stamps", help=t("document.option.stamps"))],
    lists: ListOption = None,
    answers: AnswerOption = None,
    at: Annotated[str, typer.Option("--at", metavar="YYYY-MM-DDTHH:MM:SSZ", help=t("document.option.at"))] = "",
) -> None:
    """Verify a signed PDF, offline; exits with 5 unless each step passed."""
    trust = Trust(
        [load_chain(read_file(chain, CHAIN_BYTES_MAX))], load_certificates(read_file(stamps, CHAIN_BYTES_MAX))
    )
    moment = _moment(at) if at else datetime.now(UTC) + CLOCK_SKEW
    report = verify_pdf(read_file(file, DOCUMENT_BYTES_MAX), trust, _evidence(lists, answers), moment)
    words = {
        Outcome.PASSED: t("document.counts", level=report.level),
        Outcome.FAILED: t("document.counts-not"),
        Outcome.UNKNOWN: t("document.undecided"),
    }
    emulated = [t("card.emulated")] if report.emulated else []
    organisation = organisation_of(load_certificate(report.certificate)) if report.is_valid else ""
    sealed = [t("document.sealed-by", name=organisation)] if organisation else []
    emit(
        {"file": str(file), "level": report.level, "sealed_by": organisation, **_fields(report)},
        *_lines(report),
        words[report.outcome],
        *sealed,
        *emulated,
        t("document.law"),
    )
    if not report.is_valid:
        raise typer.Exit(Exit.UNPROVEN)


@command(app, "renew", t("document.renew.help"))
def renew(
    file: DocumentArgument,
    renewed: Annotated[Path, typer.Argument(metavar="RENEWED", help=t("document.option.signed"))],
    chain: ChainOption,
    stamps: StampsOption,
    trusted: TrustedOption = None,
    plain: PlainOption = False,
) -> None:
    """Put a newer time stamp over a signed PDF, so that it counts beyond the key of its last one."""
    if renewed.exists():
        raise UsageError("usage.document-there", t("usage.document-there", path=renewed))
    pdf = read_file(file, DOCUMENT_BYTES_MAX)
    authority, certificates = _stamps(stamps, trusted, plain=plain)
    trust = Trust([load_chain(read_file(chain, CHAIN_BYTES_MAX))], certificates)
    done = asyncio.run(renew_pdf(pdf, authority, trust, datetime.now(UTC) + CLOCK_SKEW))
    renewed.write_bytes(done.content)
    emit(
        {"file": str(renewed), "level": done.report.level, **_fields(done.report)},
        t("document.renewed", path=renewed),
        *_lines(done.report),
    )


@command(app, "stamps", t("document.stamps.help"))
def stamps(folder: FolderArgument, name: NameOption, plain: PlainOption = False) -> None:
    """Make an authority of time stamps: a key, and the certificate that whoever verifies pins."""
    made = _make(make_stamp_authority, folder, name, plain=plain)
    path = folder / CERTIFICATE_FILE
    emit(
        {"folder": str(folder), "certificate": str(path), "name": made.subject.rfc4514_string()},
        t("document.stamps-made", folder=folder),
        t("document.stamps-pin", path=path),
    )


@command(app, "seal", t("document.seal.help"))
def seal(folder: FolderArgument, name: NameOption, plain: PlainOption = False) -> None:
    """Make an organisation's seal, with which the desk signs the papers that kiosks hand out."""
    made = _make(make_seal, folder, name, plain=plain)
    path, ends = folder / CHAIN_FILE, made.not_valid_after_utc
    emit(
        {"folder": str(folder), "chain": str(path), "name": made.subject.rfc4514_string(), "ends": ends.isoformat()},
        t("document.seal-made", folder=folder, day=f"{ends:%Y-%m-%d}"),
        t("document.seal-pin", path=path),
    )


class _Make(Protocol):
    """Makes keys in a folder; returns the certificate that others look at."""

    def __call__(
        self, folder: Path, organisation: str, passphrase: bytes | None, *, allow_plain: bool, now_s: int
    ) -> x509.Certificate: ...


def _make(make: _Make, folder: Path, name: str, *, plain: bool) -> x509.Certificate:
    """An organisation's new keys, protected by the passphrase of the environment."""
    with explained():
        passphrase = load_passphrase("", os.environ)
        return make(folder, name, passphrase, allow_plain=plain, now_s=int(time.time()))


def _stamps(place: str, trusted: list[Path] | None, *, plain: bool) -> tuple[Stamps, list[x509.Certificate]]:
    """The authority in a folder or at an address, and the certificates whose stamps count.

    Raises:
        UsageError: An address, and no certificate that was got by another way.
    """
    certificates = [
        certificate for path in trusted or () for certificate in load_certificates(read_file(path, CHAIN_BYTES_MAX))
    ]
    if place.startswith(("http://", "https://")):
        if not certificates:
            raise UsageError("usage.document-trusted", t("usage.document-trusted"))
        return FarStamps(place), certificates
    with explained():
        own = load_stamp_authority(Path(place), load_passphrase("", os.environ), time.time, allow_plain=plain)
    return own, [own.certificate, *certificates]


def _evidence(lists: list[Path] | None, answers: list[Path] | None) -> Evidence:
    return Evidence(
        [read_file(path, REVOCATION_LIST_BYTES_MAX) for path in lists or ()],
        [read_file(path, ANSWER_BYTES_MAX) for path in answers or ()],
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("usage.moment", t("usage.moment", text=text)) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _fields(report: Report) -> dict[str, output.Json]:
    return {
        "outcome": report.outcome.value,
        "signed_at": None if report.signed_at is None else report.signed_at.isoformat(),
        "closed_at": None if report.closed_at is None else report.closed_at.isoformat(),
        "signed_digest": report.signed_digest.hex(),
        "emulated": report.emulated,
        "steps": [_step(step) for step in report.steps],
    }


def _step(step: Step) -> dict[str, output.Json]:
    return {"step": step.name.value, "outcome": step.outcome.value, "code": step.code, "reason": step.reason}


def _lines(report: Report) -> list[str]:
    """Each step in a line of its own; what did not pass with its reason."""
    marks = {
        Outcome.PASSED: t("document.passed"),
        Outcome.FAILED: t("document.failed"),
        Outcome.UNKNOWN: t("document.unknown"),
    }
    names = {
        StepName.SIGNATURE: t("document.step-signature"),
        StepName.UNALTERED: t("document.step-unaltered"),
        StepName.TIME: t("document.step-time"),
        StepName.CERTIFICATE: t("document.step-certificate"),
        StepName.REVOCATION: t("document.step-revocation"),
        StepName.CLOSING: t("document.step-closing"),
    }
    lines = []
    for step in report.steps:
        lines.append(f"{marks[step.outcome]}  {names[step.name]}")
        if step.code:
            words = current().refusal(step.code)
            lines += [] if words is None else [f"    {words.what}"]
            lines.append(f"    [{step.code}] {step.reason}")
    if report.signed_at is not None:
        lines.append(t("document.signed-at", moment=f"{report.signed_at:%Y-%m-%d %H:%M:%S} UTC"))
    return lines
