# SPDX-License-Identifier: Apache-2.0
"""The code that pairs a site's pages with the agent: shown when the agent starts, good until it ends."""

import secrets

CHARACTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Without those that look alike."""
LENGTH = 20
"""99 bits, which nobody guesses however many requests this machine answers."""


def new_code() -> str:
    """A random code, in groups of four: to be typed once."""
    characters = "".join(secrets.choice(CHARACTERS) for _ in range(LENGTH))
    return "-".join(characters[at : at + 4] for at in range(0, LENGTH, 4))


def is_code(given: str, code: str) -> bool:
    """Whether what a page brings is the code, however it was typed; takes the same time whatever it is."""
    typed = given.upper().replace("-", "").replace(" ", "").encode()
    return secrets.compare_digest(typed, code.replace("-", "").encode())
