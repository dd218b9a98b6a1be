# SPDX-License-Identifier: Apache-2.0
"""`zhixin card agent`: a staff card for the pages of services, on the officer's machine; see docs/staff-cards.md."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli.card_agent.agent import CardAgent
from cli.card_agent.code import new_code
from cli.cards import FileOption, ReaderOption, load_emulated
from cli.errors import UsageError
from cli.language import t
from cli.output import emit
from cli.services import explained
from identity.cards import pcsc
from identity.cards.card import Card
from service.logs import configure_logging
from service.serve import Ground, Service, run
from service.settings import Address, LoggingSettings, Settings

PORT = 8820
_ORIGIN = re.compile(r"https?://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[1-9][0-9]{0,4})?")
_LOOPBACK = frozenset({"localhost", "127.0.0.1"})

OriginOption = Annotated[list[str], typer.Option("--origin", metavar="ORIGIN", help=t("card.agent.option.origin"))]
PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help=t("card.agent.option.port"))]


def agent(origin: OriginOption, port: PortOption = PORT, reader: ReaderOption = "", file: FileOption = None) -> None:
    """Answer pages of the named origins until Ctrl-C."""
    from cli.card_agent.part import agent_parts  # noqa: PLC0415 - needs the built pages

    if reader and file is not None:
        raise UsageError("usage.card", t("usage.card"))
    origins = [_origin(text) for text in origin]
    code, own = new_code(), f"127.0.0.1:{port}"
    address = Address("card-agent", own, f"http://{own}", (f"localhost:{port}",))
    settings = Settings(logging=LoggingSettings(level="warning", access=False), addresses={"card-agent": address})
    card = CardAgent(_opener(reader, file))
    service = Service(
        "card-agent", port, needs_store=False, build=lambda _ground, _at: agent_parts(card, origins, code)
    )
    configure_logging(settings.logging.level)

    def ready(_addresses: Sequence[Address]) -> None:
        links = [f"{one}/sign-in#agent-{code}" for one in origins]
        lines = [t("card.agent.listening", address=f"http://{own}"), t("card.agent.code", code=code)]
        emit({"listen": f"http://{own}", "code": code, "links": links}, *lines, t("card.agent.links"), *links)

    with explained():
        run([service], Ground(settings, None), ready)


def _opener(reader: str, file: Path | None) -> Callable[[], Card]:
    if file is None:
        return lambda: pcsc.open_card(reader)
    load_emulated(file)  # says now what is wrong with it
    return lambda: load_emulated(file)


def _origin(text: str) -> str:
    """An origin exactly as browsers name it.

    Raises:
        UsageError: It is none, or one whose pages anybody on the way could have written.
    """
    if not _ORIGIN.fullmatch(text):
        raise UsageError("usage.origin", t("usage.origin", text=text))
    parts = urlsplit(text)
    default = {"https": ":443", "http": ":80"}[parts.scheme]
    if text.endswith(default) or (parts.scheme == "http" and parts.hostname not in _LOOPBACK):
        raise UsageError("usage.origin", t("usage.origin", text=text))
    return text
