# SPDX-License-Identifier: Apache-2.0
"""All scenes, in the order in which they are played."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cli.language import t
from cli.scenes import credit, identity, kiosk, ledger, services, trace
from cli.scenes.stage import Stage


def _nothing() -> None:
    """Most scenes can be played anywhere."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A story.

    Attributes:
        play: Runs it; raises if anything that it claims does not hold.
        summary: What happened and what to try next, in both languages, from the stage's facts.
        check: Finds out before anything is started whether it can be played here; raises if not.
    """

    name: str
    title: str
    play: Callable[[Stage], Awaitable[None]]
    summary: Callable[[Stage], list[str]]
    check: Callable[[], None] = _nothing


def scenes() -> dict[str, Scene]:
    """By name."""
    return {
        "ledger": Scene("ledger", t("scene.ledger.title"), ledger.play, ledger.summary),
        "identity": Scene("identity", t("scene.identity.title"), identity.play, identity.summary),
        "kiosk": Scene("kiosk", t("scene.kiosk.title"), kiosk.play, kiosk.summary),
        "credit": Scene("credit", t("scene.credit.title"), credit.play, credit.summary),
        "trace": Scene("trace", t("scene.trace.title"), trace.play, trace.summary, check=services.check_built),
        "services": Scene(
            "services", t("scene.services.title"), services.play, services.summary, check=services.check_built
        ),
    }
