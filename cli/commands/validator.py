# SPDX-License-Identifier: Apache-2.0
"""`zhixin validator`: who votes, and proposals to join or leave."""

from pathlib import Path
from typing import Annotated

import typer

from chain import bls
from cli import acting
from cli.acts import load_acts, save_act
from cli.command import command, group
from cli.errors import InputError, MissingError, UsageError
from cli.governing import LifetimeOption, propose
from cli.home import Home, HomeOption, KeyOption, find_home, load_genesis, open_validator_key, read_file
from cli.language import t
from cli.output import Json, emit, emit_table
from cli.records import show
from cli.run import run_async
from client.answers import ProvenState
from membership.pb import membership_pb2
from membership.state import VALIDATORS_KEY, seat_key
from node.certificates import CERTIFICATE_BYTES_MAX, from_pem
from node.config import Home as NodeHome
from node.config import load_config

app = group(t("help.validator"))

PREFIX_DIGITS_MIN = 8
"""Two validators' keys agree in so many digits by chance once in millions of networks."""


@command(app, "list", t("validator.list.help"))
def list_validators(home: HomeOption = None) -> None:
    """The set that serves the next block's epoch, in bitmap order."""
    place = find_home(home)

    async def ask() -> tuple[list[membership_pb2.ValidatorRecord], list[bytes], ProvenState]:
        async with place.session() as session:
            state = await session.read(VALIDATORS_KEY)
            listed = membership_pb2.ValidatorsRecord.FromString(state.value or b"").validators
            keys = [validator.bls_key for validator in listed]
            seats = await session.read_many([seat_key(key) for key in keys])
            return [membership_pb2.ValidatorRecord.FromString(seat.value or b"") for seat in seats], keys, state

    seats, keys, state = run_async(ask())
    validators = [{"bls_key": key.hex(), **show(seat)} for seat, key in zip(seats, keys, strict=True)]
    rows = [
        [seat.organisation, seat.endpoint.address, key.hex()[:16], str(seat.since_epoch)]
        for seat, key in zip(seats, keys, strict=True)
    ]
    columns = [t("column.organisation"), t("column.address"), t("column.bls-key"), t("column.since")]
    data: dict[str, Json] = {
        "epoch": state.checkpoint.epoch,
        "height": state.checkpoint.height,
        "validators": validators,
    }
    emit_table(data, columns, rows, empty="-")


@command(app, "request", t("validator.request.help"))
def request(
    node: Annotated[Path, typer.Option("--node-home", help=t("validator.option.node"))],
    organisation: Annotated[str, typer.Option("--organisation", help=t("validator.option.organisation"))],
    out: Annotated[Path, typer.Option("--out", help=t("validator.option.request"))],
    address: Annotated[str | None, typer.Option("--address", help=t("validator.option.address"))] = None,
) -> None:
    """Write what the others vote on; the node's key proves possession here and stays in its home."""
    place = NodeHome(node)
    pair = open_validator_key(place)
    network = load_genesis(place.genesis).network
    reached = address or load_config(place).peer.listen
    certificate = from_pem(read_file(place.tls_certificate, CERTIFICATE_BYTES_MAX))
    join = membership_pb2.AddValidator(
        bls_key=pair.public_key,
        organisation=organisation,
        possession=bls.SecretKey(pair.secret).prove_possession(network, organisation),
        endpoint=membership_pb2.Endpoint(address=reached, tls_certificate=certificate),
    )
    act = save_act(out, membership_pb2.Act(add_validator=join))
    emit(
        {"file": str(out), "network": network.hex(), **act},
        t("validator.requested", file=out, key=pair.public_key.hex(), address=reached),
        t("validator.request-next", file=out),
    )


@command(app, "propose-join", t("validator.join.help"))
def propose_join(
    file: Annotated[Path, typer.Argument(metavar="REQUEST.json", help=t("validator.option.request"))],
    home: HomeOption = None,
    key: KeyOption = None,
    replacing: Annotated[str | None, typer.Option("--replacing", help=t("validator.option.replacing"))] = None,
    lifetime: LifetimeOption = 86_400,
) -> None:
    """Propose the validator of a request, or let it take the place of another of its organisation."""
    place = find_home(home)
    acts = load_acts([file])
    if len(acts) != 1 or acts[0].WhichOneof("act") != "add_validator":
        raise InputError("validator.no-request", t("validator.no-request", path=file))
    join = acts[0].add_validator
    if replacing is not None:
        replace = membership_pb2.ReplaceValidator(
            bls_key=_find(place, replacing),
            new_bls_key=join.bls_key,
            possession=join.possession,
            endpoint=join.endpoint,
        )
        acts = [membership_pb2.Act(replace_validator=replace)]
    propose(place, acts, key, lifetime_s=lifetime)


@command(app, "propose-leave", t("validator.leave.help"))
def propose_leave(
    bls_key: Annotated[str, typer.Argument(metavar="BLS_KEY", help=t("validator.option.bls-key"))],
    home: HomeOption = None,
    key: KeyOption = None,
    lifetime: LifetimeOption = 86_400,
) -> None:
    """Propose that a validator leaves; its key never serves again."""
    place = find_home(home)
    leave = membership_pb2.RemoveValidator(bls_key=_find(place, bls_key))
    propose(place, [membership_pb2.Act(remove_validator=leave)], key, lifetime_s=lifetime)


def _find(place: Home, text: str) -> bytes:
    """The BLS key that somebody means by its first digits, as `validator list` shows them; by all 96, any key.

    Raises:
        UsageError: It is no key's beginning, or that of several.
        MissingError: No validator's key begins so.
    """
    if len(text) == 2 * bls.PUBLIC_KEY_BYTES:
        return acting.parse_hex(text, (bls.PUBLIC_KEY_BYTES,))
    if len(text) < PREFIX_DIGITS_MIN:
        raise UsageError("usage.bls-key", t("usage.bls-key", digits=PREFIX_DIGITS_MIN))

    async def ask() -> ProvenState:
        async with place.session() as session:
            return await session.read(VALIDATORS_KEY)

    listed = membership_pb2.ValidatorsRecord.FromString(run_async(ask()).value or b"").validators
    found = [validator.bls_key for validator in listed if validator.bls_key.hex().startswith(text.lower())]
    if len(found) > 1:
        raise UsageError("usage.bls-key", t("usage.bls-key", digits=PREFIX_DIGITS_MIN))
    if not found:
        raise MissingError("validator.missing", t("validator.missing", key=text))
    return found[0]
