# SPDX-License-Identifier: Apache-2.0
"""JSON that means the same to every reader: no member twice, no float, no lone surrogate, bounded size and depth.

Depth and digits are bounded before or while parsing, so that no limit of an interpreter decides; some of it is
consensus-critical.  Source: RFC 8259; RFC 7493 (I-JSON), section 2.
"""

import json
import re
from collections.abc import Mapping
from typing import TypeAlias

from chain.errors import InvalidMessage

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool | None"

INTEGER_CHARACTERS_MAX = 20
"""As many as 64 bits take, with a sign."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def parse(data: bytes, *, size_max: int, depth_max: int) -> Json:
    """Parse one JSON text.

    Args:
        data: UTF-8, without byte order mark.
        size_max: In bytes.
        depth_max: How many brackets may be open at once.

    Raises:
        InvalidMessage: Not JSON, or outside of what this module lets through.
    """
    if len(data) > size_max:
        raise InvalidMessage(f"the JSON text has {len(data)} bytes; at most {size_max} are allowed")
    try:
        text = data.decode()
        check_depth(text, depth_max)
        value: Json = json.loads(
            text, object_pairs_hook=_unique, parse_float=_refuse, parse_int=_integer, parse_constant=_refuse
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    except ValueError as error:
        raise InvalidMessage(f"not valid JSON: {error}") from None
    return value


def canonical(value: Mapping[str, Json]) -> bytes:
    """One text for each value: members sorted, no white space, UTF-8."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def check_depth(text: str, depth_max: int) -> None:
    """Count open brackets outside of strings, so that no parser's own stack decides.

    Args:
        text: What is to be parsed.
        depth_max: How many brackets may be open at once.

    Raises:
        ValueError: More are.
    """
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > depth_max:
            raise ValueError(f"nested deeper than {depth_max}")


def _unique(pairs: "list[tuple[str, Json]]") -> "dict[str, Json]":
    """An object whose members have distinct names."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return result


def _integer(text: str) -> int:
    """A number that 64 bits hold."""
    if len(text) > INTEGER_CHARACTERS_MAX:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _refuse(text: str) -> Json:
    """Floats, NaN and infinities mean different things to different readers."""
    raise ValueError(f"{text} is not an integer")
