# SPDX-License-Identifier: Apache-2.0
"""Which item an address names: addresses of pages end with the path of a GS1 Digital Link."""

from typing import Final
from urllib.parse import unquote

from starlette.requests import Request

from service.problems import Problem
from traceability import digital_link
from traceability.api.problems import NO_DIGITAL_LINK
from traceability.epc import path_of
from traceability.gs1 import InvalidCode

FOOD: Final = "/food/"
_STEM: Final = "https://id.gs1.org/"


def items_named(request: Request, prefix: str) -> list[str]:
    """What an address may mean, the finest first, as the ledger names it.

    A label may carry batch and serial; the ledger keeps either, and pages are those of the finest that is known.

    Args:
        request: For a path that begins with the prefix.
        prefix: With a slash at its end.

    Raises:
        Problem: The rest is no GS1 Digital Link.
    """
    raw = request.scope.get("raw_path") or request.url.path.encode()
    rest = raw.decode("ascii", "replace").partition("?")[0].removeprefix(prefix)
    try:
        path = digital_link.parse(_STEM + rest).path
    except InvalidCode as error:
        raise Problem(NO_DIGITAL_LINK, {"reason": error.reason}) from None
    key = path[0]
    if key[0] != "01":
        return [item_of(path)]
    codes = dict(path[1:])
    found = [item_of((key, (name, codes[name]))) for name in ("21", "10") if name in codes]
    return found or [*found, item_of((key,))]


def item_of(path: tuple[tuple[str, str], ...]) -> str:
    """The name of what a path of keys and values stands for."""
    return path_of(path)


def plain(item: str) -> str:
    """The last part of an item's name as people write it."""
    return unquote(item.rpartition("/")[2])
