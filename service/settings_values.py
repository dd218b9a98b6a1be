# SPDX-License-Identifier: Apache-2.0
"""Values of settings as they are written, in TOML or in the environment: of the default's kind, under known names.

What a value of the right kind may still get wrong is `service.settings`' affair.
"""

import difflib
from collections.abc import Mapping
from dataclasses import fields

from service.errors import ConfigError

LIST_ITEMS_MAX = 256
"""More nodes than validators and followers of the largest network; more hosts and proxies than anybody has."""


def section_of(factory: type, values: Mapping[str, object], section: str, source: str) -> object:
    """One section's dataclass from raw values; what is not given has its default.

    Args:
        factory: The dataclass; each field has a default, whose kind a value must be of.
        values: By name of a field, as TOML or the environment has them.
        section: Its name, e.g. "http".
        source: Where it was read, for messages.

    Raises:
        ConfigError: An unknown name, or a value of the wrong kind.
    """
    known = {item.name: item for item in fields(factory)}
    converted: dict[str, object] = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{source}: unknown setting {section}.{name}{nearest(name, list(known))}")
        converted[name] = convert(value, known[name].default, f"{source}: {section}.{name}")
    return factory(**converted)


def convert(value: object, default: object, where: str) -> object:
    """A value of the default's kind; text from the environment is read as that kind.

    Args:
        value: As it was written.
        default: A bool, an integer, a tuple of texts, or text.
        where: Which setting, for messages.

    Raises:
        ConfigError: It is of another kind, or a list is too long.
    """
    if isinstance(default, bool):
        words = {"true": True, "false": False, "1": True, "0": False}
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        if not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false")
        return value
    if isinstance(default, int):
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 18:
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{where} must be a whole number")
        return value
    if isinstance(default, tuple):
        items = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{where} must be a list of texts")
        if len(items) > LIST_ITEMS_MAX:
            raise ConfigError(f"{where} has more than {LIST_ITEMS_MAX} items")
        return tuple(items)
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be text")
    return value


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """A hint at what was meant: the known name that is most like it, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"
