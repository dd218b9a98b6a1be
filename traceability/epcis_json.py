# SPDX-License-Identifier: Apache-2.0
"""JSON of EPCIS documents, read strictly, and the error that says where a document is wrong.

Unlike consensus (`chain.strict_json`) a document may hold decimals; as there, no member stands twice, no surrogate is
alone, and size, depth and digits have limits.  Source: RFC 8259; RFC 7493 (I-JSON), section 2; RFC 6901 for paths.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain.errors import LedgerError

DOCUMENT_SIZE_MAX: Final = 16 * 1024 * 1024
"""Bytes of one document; some 20,000 events of ordinary size."""

DEPTH_MAX: Final = 64
"""Brackets open at once; a published event with every field and nested extensions has 15."""

NUMBER_CHARACTERS_MAX: Final = 40
"""Characters of one number; a quantity of 30 digits is no quantity."""

PROBLEMS_MAX: Final = 100
"""Problems that one refusal lists; a reader mends these first."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document.

    Attributes:
        path: JSON pointer (RFC 6901) to the member; "" is the whole document.
        reason: One English sentence saying what is wrong and what would be right.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.reason}"


class InvalidDocument(LedgerError):
    """An EPCIS document, event or query that is refused.

    Attributes:
        problems: All that was found, in the document's order, at most PROBLEMS_MAX; never empty.
    """

    default_code = "epcis.invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        assert problems
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def parse(data: bytes | str, *, size_max: int = DOCUMENT_SIZE_MAX) -> Any:
    """Read one JSON text.

    Args:
        data: UTF-8 without byte order mark, or text.
        size_max: In bytes, or characters of a text.

    Raises:
        InvalidDocument: Not JSON, or outside of what this module lets through.
    """
    if len(data) > size_max:
        raise _invalid(f"the document has {len(data)} bytes; at most {size_max} are allowed")
    try:
        text = data if isinstance(data, str) else data.decode()
        _check_depth(text)
        value = json.loads(
            text, object_pairs_hook=_unique, parse_float=_decimal, parse_int=_integer, parse_constant=_refuse
        )
        if "\\u" in text or isinstance(data, str):
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    except UnicodeError:
        raise _invalid("the document has a lone surrogate or is not UTF-8") from None
    except ValueError as error:
        raise _invalid(f"not valid JSON: {error}") from None
    return value


def pointer(path: str, member: str | int) -> str:
    """A JSON pointer one step further."""
    return f"{path}/{str(member).replace('~', '~0').replace('/', '~1')}"


def is_too_deep(value: object) -> bool:
    """Whether a parsed value is nested deeper than DEPTH_MAX; does not recurse itself."""
    level: list[object] = [value]
    for _ in range(DEPTH_MAX + 1):
        inner: list[object] = []
        for item in level:
            if isinstance(item, Mapping):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return False
        level = inner
    return True


def _invalid(reason: str) -> InvalidDocument:
    """An error about the document as a whole."""
    return InvalidDocument([Problem("", reason)])


def _check_depth(text: str) -> None:
    """Count open brackets outside of strings, before the parser recurses."""
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH_MAX:
            raise ValueError(f"nested deeper than {DEPTH_MAX}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose members have distinct names."""
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the member {name!r} stands twice in one object")
        result[name] = value
    return result


def _integer(text: str) -> int:
    """A whole number of bounded length."""
    if len(text) > NUMBER_CHARACTERS_MAX:
        raise ValueError(f"a number of {len(text)} characters; at most {NUMBER_CHARACTERS_MAX} are allowed")
    return int(text)


def _decimal(text: str) -> float:
    """A number that a double can hold: neither infinite, nor zero for lack of range."""
    value = float(text)
    if len(text) > NUMBER_CHARACTERS_MAX or math.isinf(value) or (value == 0 and re.match(r"-?[0.]*[1-9]", text)):
        raise ValueError(f"the number {text[:NUMBER_CHARACTERS_MAX]} is too long, too large or too small")
    return value


def _refuse(text: str) -> Any:
    """NaN and the infinities are no JSON."""
    raise ValueError(f"{text} is no number")
