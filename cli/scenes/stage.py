# SPDX-License-Identifier: Apache-2.0
"""What a scene plays on: a running network, a folder of its own, and a place where claims are checked aloud."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from cli import output
from cli.devnet.network import Devnet
from cli.errors import NotHeldError
from cli.language import t
from cli.output import Json


@dataclass(slots=True)
class Stage:
    """One run of one scene.

    Attributes:
        network: Four validators, running.
        folder: For the scene's files; empty at first.
        is_kept: Whether network and folder stay when the scenes are over.
        facts: What the scene found out, for the summary and --json.
        personal: What the scene's made-up people are known by; searched for on the validators when all is over.
    """

    network: Devnet
    folder: Path
    is_kept: bool = True
    facts: dict[str, Json] = field(default_factory=dict)
    personal: set[str] = field(default_factory=set)
    held: int = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step of the story, with the time that it took."""
        output.note(f"\n▶ {title}")
        started = monotonic()
        yield
        output.note(t("demo.took", seconds=f"{monotonic() - started:.1f}"))

    def hold(self, claim: str, held: object, seen: str = "") -> None:
        """State a claim that was just checked.

        Args:
            claim: What is stated.
            held: Whether it was so.
            seen: What was seen instead, for whoever looks into it.

        Raises:
            NotHeldError: It does not hold; the demonstration ends.
        """
        if not held:
            look = t("demo.not-held-look", folder=self.folder)
            raise NotHeldError("demo.not-held", t("demo.not-held", claim=claim), (*([seen] if seen else []), look))
        self.held += 1
        output.note(f"  ✓ {claim}")

    def say(self, text: str) -> None:
        """Say something that needs no check."""
        output.note(f"  {text}")
