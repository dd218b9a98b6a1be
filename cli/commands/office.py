# SPDX-License-Identifier: Apache-2.0
"""`zhixin office`: what the keeper of a governing key does for officers and services; signing needs no network."""

from pathlib import Path
from typing import Annotated

import typer

from chain.codec import encode
from chain.errors import InvalidMessage
from chain.transaction import Operation
from cli import acting
from cli.acting import show_time, write_file
from cli.command import command, group
from cli.errors import InputError
from cli.home import Home, HomeOption, KeyOption, OutOption, find_home, keys_home, read_file
from cli.language import t
from cli.output import Json, emit
from client.signing import now_ms, sign_transaction
from membership.pb import membership_pb2
from membership.state import signer_pb
from service.sign_in.key_request import REQUEST_BYTES_MAX, KeyRequest, answer_request
from service.sign_in.ledger import officer_key_text, parse_officer_key

EARLY_MS_MAX = 3_600_000
"""How far a request may begin in the future: a machine in a vault has a clock that nobody sets."""

app = group(t("help.office"))


@command(app, "sign-registration", t("office.sign.help"))
def sign_registration(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=t("office.option.file"))],
    home: HomeOption = None,
    key: KeyOption = None,
    fingerprint: Annotated[str | None, typer.Option("--fingerprint", help=t("office.option.fingerprint"))] = None,
    out: Annotated[Path | None, typer.Option("--out", help=t("office.option.out"))] = None,
) -> None:
    """Show a request in words; sign it once the officer's digits are given."""
    request = _read(file)
    place = keys_home(home)
    _check(request, file, place)
    if fingerprint is None:
        emit({**_fields(request), "signed": False}, *_words(request), t("office.next", file=file))
        return
    if _digits(fingerprint) != _digits(request.fingerprint):
        raise InputError("office.fingerprint", t("office.fingerprint", shown=request.fingerprint))
    signer = place.signer(key)
    answer = answer_request(request, signer)
    target = out if out is not None else file.with_suffix(".answer")
    write_file(target, answer.encode())
    target.chmod(0o644)  # nothing in it is secret: it is made to be carried
    fields = {**_fields(request), "signed": True, "key": signer.signer.public_key.hex(), "file": str(target)}
    emit(fields, *_words(request), t("office.signed", file=target))


@command(app, "revoke-registration", t("office.revoke.help"))
def revoke_registration(
    officer: Annotated[str, typer.Argument(metavar="KEY", help=t("office.option.passkey"))],
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """End the use of an officer's passkey or card on the ledger, for good."""
    named = parse_officer_key(officer)
    if named is None:
        raise InputError("registrar.passkey", t("registrar.passkey"))
    operation = Operation.make("membership.RevokeKey", encode(membership_pb2.RevokeKey(key=signer_pb(named))))
    fields = acting.submit(find_home(home), [operation], key, out=out)
    emit({**fields, "officer": officer}, *acting.words(fields), t("office.revoked", officer=officer))


@command(app, "add-service-key", t("office.add.help"))
def add_service_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help=t("office.option.name"))],
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """Make a key file's key one of the organisation's, for submitting alone: the service's own."""
    place = find_home(home)
    governor, added = place.signer(key), place.signer(name)
    grant = membership_pb2.KeyGrant(key=signer_pb(added.signer), purposes=[membership_pb2.PURPOSE_SUBMIT])
    operation = Operation.make("membership.AddKey", encode(membership_pb2.AddKey(key=grant)))
    transaction = sign_transaction([operation], [governor, added], place.genesis().network)
    fields = acting.submit_signed(place, transaction, out=out)
    public_key = added.signer.public_key.hex()
    emit({**fields, "key": public_key}, *acting.words(fields), t("office.added", name=name, key=public_key))


def _read(file: Path) -> KeyRequest:
    try:
        return KeyRequest.decode(read_file(file, REQUEST_BYTES_MAX))
    except InvalidMessage as error:
        raise InputError("office.request", t("office.request", path=file, text=error.reason)) from None


def _check(request: KeyRequest, file: Path, place: Home) -> None:
    """Refuse what cannot be used: of another network as far as this machine knows one, too old, or from the future.

    Raises:
        InputError: It is.
    """
    if place.genesis_path.is_file() and place.genesis().network != request.network:
        raise InputError("office.network", t("office.network", path=file, home=place.root))
    now = now_ms()
    if now >= request.until_ms:
        raise InputError("office.expired", t("office.expired", path=file, time=show_time(request.until_ms)))
    if request.from_ms > now + EARLY_MS_MAX:
        raise InputError("office.early", t("office.early", path=file, time=show_time(request.from_ms)))


def _fields(request: KeyRequest) -> dict[str, Json]:
    return {
        "network": request.network.hex(),
        "organisation": request.organisation,
        "officer": officer_key_text(request.officer),
        "purposes": ["submit", "attest"],
        "until_ms": request.until_ms,
        "fingerprint": request.fingerprint,
    }


def _words(request: KeyRequest) -> list[str]:
    """What signing means, for whoever keeps the key."""
    return [
        t("office.says", organisation=request.organisation),
        t("office.purposes"),
        t("office.once", time=show_time(request.until_ms)),
        t("office.of-network", network=request.network.hex()),
        t("office.of-officer", officer=officer_key_text(request.officer)),
        t("office.digits", digits=request.fingerprint),
    ]


def _digits(text: str) -> str:
    return "".join(text.split()).lower()
