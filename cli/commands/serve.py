# SPDX-License-Identifier: Apache-2.0
"""`zhixin serve`: run one service, or all of them in one process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.command import command, group
from cli.errors import UsageError
from cli.language import t
from cli.output import emit
from cli.service_list import LISTED

ALL = "all"

app = group(t("help.serve"))

SettingsOption = Annotated[Path | None, typer.Option("--settings", metavar="TOML", help=t("serve.option.settings"))]


def _declare(name: str, names: Sequence[str], help_text: str) -> None:
    def serve(settings: SettingsOption = None) -> None:
        from cli import serving  # noqa: PLC0415 - a service imports seconds' worth of packages; its help needs none

        serving.serve(names, settings)

    declared: Callable[..., None] = serve
    command(app, name, help_text)(declared)


@command(app, "rebuild-index", t("serve.rebuild-index.help"))
def rebuild_index(settings: SettingsOption = None) -> None:
    """Drop the explorer's index, which it then makes anew from the chain."""
    from cli.explorer.build import drop_explorer_index  # noqa: PLC0415 - as above
    from cli.services import explained  # noqa: PLC0415 - as above
    from service.settings import load_settings  # noqa: PLC0415 - as above

    with explained():
        network = drop_explorer_index(load_settings(settings))
    emit({"network": network, "dropped": True}, t("serve.index-dropped", network=network))


_ABOUT = {
    "styles": t("serve.about.styles"),
    "explorer": t("serve.about.explorer"),
    "office": t("serve.about.office"),
    "desk": t("serve.about.desk"),
    "issuer": t("serve.about.issuer"),
    "uniqueness": t("serve.about.uniqueness"),
    "trace": t("serve.about.trace"),
    "verifier": t("serve.about.verifier"),
    "citizen": t("serve.about.citizen"),
    "kiosk": t("serve.about.kiosk"),
    "credit": t("serve.about.credit"),
}
for _one in LISTED:
    _declare(_one.name, [_one.name], t("serve.one.help", about=_ABOUT[_one.name], port=_one.port))
_names = [one.name for one in LISTED]
_declare(ALL, _names, t("serve.all.help", services=", ".join(_names)))


@command(app, "link", t("serve.link.help"))
def link(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help=t("serve.option.service"))],
    name: Annotated[str, typer.Option("--name", help=t("serve.option.name"))],
    organisation: Annotated[str, typer.Option("--organisation", help=t("serve.option.organisation"))],
    another: Annotated[bool, typer.Option("--another", help=t("serve.option.another"))] = False,
    settings: SettingsOption = None,
) -> None:
    """Print the link by which a service's first administrator registers a passkey."""
    known = [one.name for one in LISTED if one.needs_store]
    if service not in known:
        raise UsageError("service.unknown", t("serve.link.unknown", service=service, known=", ".join(known)))
    from cli import serving  # noqa: PLC0415 - as above

    made = serving.first_link(service, name, organisation, settings, another=another)
    lines = [t("serve.link.made", name=name), made.link]
    if made.ends_earlier:
        lines.append(t("serve.link.ends-earlier"))
    if made.is_known is None:
        lines.append(t("serve.link.unasked", organisation=organisation))
    emit(
        {
            "service": service,
            "link": made.link,
            "ended_earlier": made.ends_earlier,
            "organisation_known": made.is_known,
        },
        *lines,
    )
