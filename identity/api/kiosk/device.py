# SPDX-License-Identifier: Apache-2.0
"""A kiosk as its registrar's office knows it."""

from dataclasses import dataclass

from chain.types import sha256
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer


@dataclass(frozen=True, slots=True)
class Device:
    """A kiosk that counts.

    Attributes:
        public_key: 33 bytes.
        registrar: Organisation that registered it.
        place_zh: Where it stands.
        place_en: The same in English.
    """

    public_key: bytes
    registrar: str
    place_zh: str = ""
    place_en: str = ""

    def place(self, language: str) -> str:
        """Where it stands, in a language if the record has it."""
        first, second = (self.place_en, self.place_zh) if language == "en" else (self.place_zh, self.place_en)
        return first or second

    @property
    def actor(self) -> Officer:
        """Under what its openings and calls stand in the desk's records: itself, and nobody's name."""
        own = sha256(self.public_key).hex()[:32]
        return Officer(own, own, f"kiosk {own[:8]}", Role.CLERK, self.registrar, own, own, 0, bytes(32))
