# SPDX-License-Identifier: Apache-2.0
"""`zhixin keys`: organisations' signing keys as files, encrypted with ZHIXIN_PASSPHRASE."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.command import command, group
from cli.errors import InputError, UsageError
from cli.home import Home, HomeOption, keys_home
from cli.language import t
from cli.output import emit, emit_table
from node.errors import KeyFileError
from node.keys import Algorithm, Purpose, generate_key, load_passphrase, load_public_key, save_key

app = group(t("help.keys"))

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help=t("keys.option.name"))]
_SCHEMES = {Algorithm.ED25519: "ed25519", Algorithm.P256: "p256"}


@command(app, "new", t("keys.new.help"))
def new(
    name: NameArgument,
    home: HomeOption = None,
    algorithm: Annotated[Algorithm, typer.Option("--algorithm", help=t("keys.option.algorithm"))] = Algorithm.ED25519,
    plain: Annotated[bool, typer.Option("--plain", help=t("keys.option.plain"))] = False,
) -> None:
    """Make a key file; an existing one is never overwritten."""
    passphrase = load_passphrase("", os.environ)
    if passphrase is None and not plain:
        raise UsageError("usage.passphrase", t("usage.passphrase"))
    path = _path(keys_home(home), name)
    try:
        pair = generate_key(Purpose.ORGANISATION, algorithm)
        save_key(path, pair, None if plain else passphrase)
    except KeyFileError as error:
        raise InputError("key.unusable", str(error)) from None
    emit(_fields(path), t("keys.made", path=path), t("keys.public", key=pair.public_key.hex()))


@command(app, "show", t("keys.show.help"))
def show(name: NameArgument, home: HomeOption = None) -> None:
    """The public half; the file is not opened."""
    fields = _fields(_path(keys_home(home), name))
    emit(fields, t("keys.public", key=fields["public_key"]), f"{fields['scheme']}  {fields['path']}")


@command(app, "list", t("keys.list.help"))
def list_keys(home: HomeOption = None) -> None:
    """All keys of the home."""
    place = keys_home(home)
    keys = [_fields(_path(place, name)) for name in place.key_names()]
    rows = [[str(key["name"]), str(key["scheme"]), str(key["public_key"])] for key in keys]
    columns = [t("column.name"), t("column.scheme"), t("column.public-key")]
    emit_table({"keys": keys}, columns, rows, empty=t("keys.none"))


def _path(home: Home, name: str) -> Path:
    if not name or Path(name).name != name or name.startswith("."):
        raise UsageError("usage.key-name", t("usage.key-name"))
    return home.keys / f"{name}.json"


def _fields(path: Path) -> dict[str, output.Json]:
    try:
        purpose, algorithm, public_key = load_public_key(path)
    except KeyFileError as error:
        raise InputError("key.unusable", str(error)) from None
    return {
        "name": path.stem,
        "path": str(path),
        "purpose": str(purpose),
        "scheme": _SCHEMES.get(algorithm, str(algorithm)),
        "public_key": public_key.hex(),
    }
