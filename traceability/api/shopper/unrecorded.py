# SPDX-License-Identifier: Apache-2.0
"""Labels whose batch or serial stands in no record: what a label said beyond the item that its page is about.

Whoever leads to a page of a wider item names the rest of the label in the query, under GS1's numbers (`?10=L7`): the
resolver does, and an address with batch and serial. A page says that something stands in no record only after it has
asked for it itself, so that an address that somebody made up says nothing false of goods that are recorded.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request

from service.language import Language, translate
from traceability.api.shopper.places import plain
from traceability.epc import path_of
from traceability.items import Kind, gtin_of, is_product, kind_of

_SERIAL, _BATCH = "21", "10"
_FINER: Final = (_SERIAL, _BATCH)
"""Qualifiers that goods have pages by, the finest first."""
_KEYS: Final = {Kind.SERIAL: "shopper.unrecorded-serial", Kind.LOT: "shopper.unrecorded-batch"}


def asked_beyond(request: Request, item: str) -> list[str]:
    """Items that a label named beyond the one that its page is about, the finest first; what is no code is left out.

    Args:
        request: For the page.
        item: A product or a batch; others have nothing finer.
    """
    finer = _FINER if is_product(item) else (_SERIAL,) if kind_of(item) is Kind.LOT else ()
    given = [(name, request.query_params.get(name, "")) for name in finer]
    named = [path_of((("01", gtin_of(item)), (name, code))) for name, code in given if code]
    return [one for one in named if kind_of(one) is not None]


def query_left(request: Request, item: str) -> str:
    """A page's query with a question mark, without what the item that it leads on to answers; empty where none is left.

    Args:
        request: For the page.
        item: A batch or a serial that is recorded.
    """
    answered = _FINER if kind_of(item) is Kind.SERIAL else (_BATCH,)
    left = [pair for pair in parse_qsl(request.url.query, keep_blank_values=True) if pair[0] not in answered]
    return f"?{urlencode(left)}" if left else ""


def query_beyond(beyond: Sequence[str]) -> str:
    """The query, with a question mark, that names these items again; empty for none."""
    pairs = [one.split("/")[2:] for one in reversed(beyond)]
    return "?" + "&".join(f"{name}={code}" for name, code in pairs) if pairs else ""


def unrecorded_lines(language: Language, beyond: Sequence[str]) -> list[str]:
    """That each of these items stands in no record, as sentences; the wider first."""
    kinds = [(one, kind_of(one)) for one in reversed(beyond)]
    return [translate(language, _KEYS[kind], code=plain(one)) for one, kind in kinds if kind in _KEYS]
