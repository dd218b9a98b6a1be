# SPDX-License-Identifier: Apache-2.0
"""`zhixin init`: a home for this command, from a network's genesis file."""

from pathlib import Path
from typing import Annotated

import typer

from chain import genesis as genesis_file
from chain.types import sha256
from cli.command import command
from cli.errors import InputError, UsageError
from cli.home import HOME_VARIABLE, USER_HOME, Home, read_file
from cli.language import t
from cli.output import emit
from node.certificates import CERTIFICATE_BYTES_MAX, from_pem, to_pem

app = typer.Typer(add_completion=False)


@command(app, "init", t("init.help"))
def init(
    genesis: Annotated[Path, typer.Option("--genesis", help=t("option.genesis"))],
    home: Annotated[Path, typer.Option("--home", envvar=HOME_VARIABLE, help=t("init.option.home"))] = USER_HOME,
    expect: Annotated[str | None, typer.Option("--expect", help=t("init.option.expect"))] = None,
    node: Annotated[list[str] | None, typer.Option("--node", help=t("init.option.node"))] = None,
    key: Annotated[str | None, typer.Option("--key", help=t("option.key"))] = None,
) -> None:
    """Check the genesis file and keep it with the settings."""
    raw = read_file(genesis, genesis_file.GENESIS_BYTES_MAX)
    loaded = genesis_file.load(raw)
    network = loaded.network.hex()
    if expect is not None and expect.lower() != network:
        raise InputError("genesis.other", t("genesis.other", network=network, expected=expect))
    place = Home(home)
    if place.genesis_path.exists() and place.genesis_path.read_bytes() != raw:
        raise InputError("home.other", t("home.other", home=home))
    organisations = {founder.organisation for founder in loaded.founders}
    certificates: dict[str, bytes] = {}
    lines = [] if key is None else [f'key = "{key}"']
    for item in node or []:
        address, _, named = item.partition("=")
        if '"' in address or not (named in organisations or Path(named).is_file()):
            raise UsageError("usage.node", t("usage.node", text=item, known=", ".join(sorted(organisations))))
        lines += ["[[nodes]]", f'address = "{address}"']
        if named in organisations:
            lines.append(f'organisation = "{named}"')
        else:
            pem = to_pem(from_pem(read_file(Path(named), CERTIFICATE_BYTES_MAX)))
            certificates[f"{sha256(pem).hex()[:16]}.pem"] = pem
            lines.append(f'certificate = "nodes/{sha256(pem).hex()[:16]}.pem"')
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.keys.mkdir(mode=0o700, exist_ok=True)
    place.genesis_path.write_bytes(raw)
    for name, pem in certificates.items():
        (home / "nodes").mkdir(mode=0o700, exist_ok=True)
        (home / "nodes" / name).write_bytes(pem)
    place.settings_path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    emit(
        {"home": str(home), "network": network, "name": loaded.name, "validators": sorted(organisations)},
        t("init.done", home=home, name=loaded.name),
        t("init.compare", network=network),
    )
