# SPDX-License-Identifier: Apache-2.0
"""`zhixin credential`: show and verify credentials and offline codes without any network; make issuing keys."""

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.acting import write_file
from cli.command import command, group
from cli.errors import InputError, UsageError
from cli.exits import Exit
from cli.home import read_file
from cli.language import current, t
from cli.output import emit, note
from cli.services import explained
from identity import credentials, sd_jwt, status_list
from identity.credential_check import STATUS_LISTS_MAX, Finding, Outcome, Report, StatusPolicy, Step, check
from identity.disclosures import Path as ClaimPath
from identity.disclosures import unpack
from identity.issuer_keys import CERTIFICATE_BYTES_MAX, Trust
from identity.jose import InvalidToken, JsonObject, decode_jws, load_object
from identity.offline_qr import PREFIX, TEXT_CHARACTERS_MAX
from identity.sd_jwt import Binding
from identity.status_list import Status

STDIN = "-"
"""Instead of a file's name."""

app = group(t("help.credential"))

FileArgument = Annotated[str, typer.Argument(metavar="FILE|-", help=t("credential.option.file"))]


@command(app, "show", t("credential.show.help"))
def show(file: FileArgument) -> None:
    """What a credential claims. Nothing is verified."""
    text = _text(file)
    if text.startswith(PREFIX):
        raise InputError("credential.code", t("credential.code"))
    issued, *rest = text.split("~")
    jws = decode_jws(issued, None, "the credential")
    unpacked = unpack(load_object(jws.payload, "the credential's payload"), rest[:-1])
    disclosed = {path[0] for path in unpacked.places if len(path) == 1}
    fields: dict[str, output.Json] = {
        "verified": False,
        "header": {name: value for name, value in jws.header.items() if name != "x5c"},
        "claims": unpacked.claims,
        "disclosed": [_path(path) for path in unpacked.places],
        "bound": bool(rest and rest[-1]),
    }
    note(t("credential.unverified"))
    emit(fields, *_claim_lines(unpacked.claims, disclosed))


@command(app, "verify", t("credential.verify.help"))
def verify(
    file: FileArgument,
    issuer: Annotated[list[Path], typer.Option("--issuer", help=t("credential.option.issuer"))],
    key: Annotated[list[Path] | None, typer.Option("--key", help=t("credential.option.key"))] = None,
    lists: Annotated[list[Path] | None, typer.Option("--status-list", help=t("credential.option.status-list"))] = None,
    status: Annotated[
        StatusPolicy, typer.Option("--status", help=t("credential.option.status"))
    ] = StatusPolicy.REQUIRED,
    audience: Annotated[str | None, typer.Option("--audience", help=t("credential.option.audience"))] = None,
    nonce: Annotated[str | None, typer.Option("--nonce", help=t("credential.option.nonce"))] = None,
) -> None:
    """Whether a credential counts, step by step; nothing is asked of any network."""
    if (audience is None) != (nonce is None):
        raise UsageError("credential.binding", t("credential.binding"))
    paths = lists or []
    if len(paths) > STATUS_LISTS_MAX:
        raise UsageError("credential.lists", t("credential.lists", limit=STATUS_LISTS_MAX))
    tokens = [_ascii(path, read_file(path, status_list.TOKEN_CHARACTERS_MAX)) for path in paths]
    text = _text(file)
    try:
        trust = Trust([_certificate(path) for path in issuer], [_certificate(path) for path in key or []])
    except InvalidToken as error:
        raise InputError("credential.certificate", t("credential.certificate", reason=error.reason)) from None
    binding = None if audience is None or nonce is None else Binding(audience, nonce)
    report = check(text, trust, int(time.time()), lists=tokens, policy=status, binding=binding)
    _emit_report(report)
    if not report.counts:
        failed = next(finding for finding in report.findings if finding.outcome is Outcome.FAILED)
        is_status = failed.step is Step.STATUS and report.status is not None
        raise typer.Exit(Exit.NOT_HELD if is_status else Exit.UNPROVEN)


@command(app, "new-key", t("credential.new-key.help"))
def new_key(
    folder: Annotated[Path, typer.Option("--folder", help=t("credential.option.folder"))],
    name: Annotated[str | None, typer.Option("--name", help=t("credential.option.name"))] = None,
    token: Annotated[str, typer.Option("--token", metavar="pkcs11:…", help=t("credential.option.token"))] = "",
    plain: Annotated[bool, typer.Option("--plain", help=t("credential.option.plain"))] = False,
) -> None:
    """Make the next issuing key, and the registrar's own if there is none yet."""
    from identity.api.issuer import key_files  # noqa: PLC0415 - needs the store's libraries
    from service.errors import TokenError  # noqa: PLC0415 - likewise
    from service.store.key_encryption import load_passphrase  # noqa: PLC0415 - likewise

    now_s = int(time.time())
    certificate_path = folder / "registrar.cer"
    try:
        with explained():
            passphrase = load_passphrase("", os.environ)
            if name is not None:
                made = key_files.make_registrar(folder, name, passphrase, allow_plain=plain, now_s=now_s)
                write_file(certificate_path, made)
            key = key_files.make_issuing_key(
                folder, passphrase, allow_plain=plain, now_s=now_s, environment=os.environ, token_uri=token
            )
    except TokenError as error:
        raise InputError("key.unusable", str(error)) from None
    issuing_path = folder / f"issuing-{key.key_id.hex()}.cer"
    write_file(issuing_path, key.certificate)
    fields: dict[str, output.Json] = {
        "kid": key.kid,
        "public_key": key.public_key.hex(),
        "certificate": str(issuing_path),
        "registrar": str(certificate_path),
        "signs_until_s": key.signs_until_s,
        "ends_s": key.ends_s,
    }
    emit(
        fields,
        t("credential.key-made", kid=key.kid, until=_day(key.signs_until_s)),
        t("credential.key-given", path=certificate_path),
    )


def _emit_report(report: Report) -> None:
    fields: dict[str, output.Json] = {
        "counts": report.counts,
        "steps": [
            {"step": one.step, "outcome": one.outcome, "code": one.code, "reason": one.reason}
            for one in report.findings
        ],
        "claims": report.claims,
        "expires_s": report.expires_s,
    }
    lines = [t("credential.counts") if report.counts else t("credential.counts-not"), ""]
    lines += [_finding_line(finding) for finding in report.findings]
    if report.status is not None:
        found = report.status
        fields["status"] = {
            "uri": found.reference.uri,
            "index": found.reference.index,
            "value": found.value,
            "issued_s": found.issued_s,
        }
        lines.append(t("credential.status-as-of", word=_status_word(found.value), time=_moment(found.issued_s)))
    if report.expires_s is not None:
        lines.append(t("credential.expires", time=_moment(report.expires_s)))
    if report.claims:
        lines += ["", *_claim_lines(report.claims, set())]
    emit(fields, *lines)


def _finding_line(finding: Finding) -> str:
    names = {
        Step.ISSUED: t("credential.step-issued"),
        Step.BOUND: t("credential.step-bound"),
        Step.STATUS: t("credential.step-status"),
    }
    outcomes = {
        Outcome.HELD: t("credential.held"),
        Outcome.FAILED: t("credential.failed"),
        Outcome.UNKNOWN: t("credential.unknown"),
        Outcome.NOT_ASKED: t("credential.not-asked"),
    }
    line = t("credential.step", name=names[finding.step], outcome=outcomes[finding.outcome])
    words = current().refusal(finding.code) if finding.code else None
    return line if words is None else f"{line} {words.what} {words.do} ({finding.code})"


def _status_word(value: int) -> str:
    if value == Status.VALID:
        return t("credential.valid")
    return t("credential.suspended") if value == Status.SUSPENDED else t("credential.revoked")


def _claim_lines(claims: JsonObject, disclosed: set[str | int]) -> list[str]:
    """Each claim in plain words, those that the holder could keep back marked."""
    vct = claims.get("vct")
    locale = str(current().language)
    lines = []
    for name, value in claims.items():
        if name in {"cnf", "status"}:
            continue
        label = credentials.label(vct, name, locale) if isinstance(vct, str) else name
        mark = f" {t('credential.selective')}" if name in disclosed else ""
        lines.append(f"{_printable(label)}: {_printable(_shown(name, value))}{mark}")
    return lines


def _shown(name: str, value: object) -> str:
    if name in {"exp", "iat", "nbf"} and isinstance(value, int):
        return _moment(value)
    if isinstance(value, bool):
        return t("credential.yes") if value else t("credential.no")
    if isinstance(value, dict):
        return ", ".join(str(inner) for inner in value.values())
    if isinstance(value, list):
        return ", ".join(str(inner) for inner in value)
    return str(value)


def _printable(text: str) -> str:
    """Without what would steer a terminal: claims that are only shown may say anything."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def _text(file: str) -> str:
    limit = max(sd_jwt.TOKEN_CHARACTERS_MAX, TEXT_CHARACTERS_MAX)
    if file == STDIN:
        raw = sys.stdin.buffer.read(limit + 2)
        if len(raw) > limit + 1:
            raise InputError("file.too-large", t("file.too-large", path=t("credential.stdin"), limit=limit))
        return _ascii(Path(STDIN), raw)
    return _ascii(Path(file), read_file(Path(file), limit + 1))


def _ascii(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("ascii").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InputError("credential.no-text", t("credential.no-text", path=path)) from None


def _certificate(path: Path) -> bytes:
    """A certificate file, PEM or DER."""
    from cryptography import x509  # noqa: PLC0415 - start-up time
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - likewise

    raw = read_file(path, 2 * CERTIFICATE_BYTES_MAX)
    if not raw.startswith(b"-----"):
        return raw
    try:
        return x509.load_pem_x509_certificate(raw).public_bytes(Encoding.DER)
    except ValueError:
        raise InputError("credential.certificate", t("credential.certificate", reason=str(path))) from None


def _path(path: ClaimPath) -> Sequence[output.Json]:
    return list(path)


def _moment(time_s: int) -> str:
    try:
        return datetime.fromtimestamp(time_s, UTC).astimezone().isoformat(sep=" ", timespec="seconds")
    except (OverflowError, ValueError, OSError):  # a time that no calendar has: what was shown is not verified
        return str(time_s)


def _day(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).date().isoformat()
