# SPDX-License-Identifier: Apache-2.0
"""Entries as they come in: from a form, or from a device that kept them while it had no connection."""

import base64
import binascii
import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData

from service.pictures import FILE_BYTES_MAX
from service.problems import Problem
from traceability.api.trader.problems import PHOTO
from traceability.api.trader.steps import LINES_MAX, OUTPUTS_MAX, SCANNED_CHARACTERS_MAX, Entry, Line, Output, Step
from traceability.api.trader.tables import DRAFT_CHARACTERS

DRAFT: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
DRAFT_PHOTO_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of a device's draft: it made the picture small before it kept it."""

Text = Annotated[str, Field(max_length=SCANNED_CHARACTERS_MAX)]


class DraftLine(BaseModel):
    """Goods of a draft."""

    model_config = ConfigDict(extra="forbid", strict=True)
    item: Text = ""
    quantity: Text = ""


class DraftOutput(BaseModel):
    """What a draft says was made."""

    model_config = ConfigDict(extra="forbid", strict=True)
    product: Text = ""
    lot: Text = ""
    quantity: Text = ""


class Draft(BaseModel):
    """What a device kept, and sends once it has a connection; `draft` is its idempotency key, a UUID."""

    model_config = ConfigDict(extra="forbid", strict=True)
    draft: Annotated[str, Field(pattern=f"^{DRAFT.pattern}$", max_length=DRAFT_CHARACTERS)]
    step: Annotated[str, Field(pattern="^(" + "|".join(Step) + ")$")]
    actor: Annotated[str, Field(pattern="^[0-9]{13}$")]
    at_ms: int
    lines: Annotated[list[DraftLine], Field(max_length=LINES_MAX)] = []
    place: Text = ""
    partner: Text = ""
    carrier: Text = ""
    container: Text = ""
    product: Text = ""
    lot: Text = ""
    outputs: Annotated[list[DraftOutput], Field(max_length=OUTPUTS_MAX)] = []
    passed: bool = True
    complete: bool = False
    celsius: Text = ""
    photo: Annotated[str, Field(max_length=DRAFT_PHOTO_BYTES_MAX * 4 // 3 + 4)] = ""

    def entry(self) -> Entry:
        """As an entry, without the picture."""
        kept: dict[str, Any] = self.model_dump(exclude={"draft", "photo", "lines", "outputs", "step"})
        lines = tuple(Line(line.item, line.quantity) for line in self.lines)
        outputs = tuple(Output(one.product, one.lot, one.quantity) for one in self.outputs)
        return Entry(step=Step(self.step), lines=lines, outputs=outputs, **kept)

    def picture(self) -> bytes:
        """Its picture's file; b"" for none.

        Raises:
            Problem: It is no base64.
        """
        try:
            return base64.b64decode(self.photo, validate=True)
        except binascii.Error:
            raise Problem(PHOTO) from None


def entry_of(form: FormData, step: Step, actor: str, now_ms: int) -> Entry:
    """What a form holds, as an entry; a scanned code goes before what was chosen from a list.

    Args:
        form: Fields by name; lines are repeated.
        step: From the form's address.
        actor: GLN, if the form names none: one's own.
        now_ms: When it was done: now.
    """

    def text(name: str) -> str:
        value = form.get(name, "")
        return value[:SCANNED_CHARACTERS_MAX].strip() if isinstance(value, str) else ""

    def texts(name: str) -> list[str]:
        found = [value[:SCANNED_CHARACTERS_MAX].strip() for value in form.getlist(name) if isinstance(value, str)]
        return found[:LINES_MAX]

    items, codes, quantities = texts("item"), texts("code"), texts("quantity")
    count = max(len(items), len(codes), len(quantities), 0)
    lines = tuple(Line(_at(codes, index) or _at(items, index), _at(quantities, index)) for index in range(count))
    outputs = tuple(
        Output(*(text(f"out-{name}-{index}") for name in ("product", "lot", "quantity")))
        for index in range(OUTPUTS_MAX)
    )
    return Entry(
        step=step,
        actor=text("actor") or actor,
        at_ms=now_ms,
        lines=lines,
        place=text("place"),
        partner=text("partner-code") or text("partner"),
        carrier=text("carrier"),
        container=text("container"),
        product=text("product"),
        lot=text("lot"),
        outputs=outputs,
        passed=text("passed") != "no",
        complete=text("complete") == "yes",
        celsius=text("celsius"),
    )


async def picture_of(form: FormData) -> bytes:
    """The picture that a form brings; b"" for none.

    Raises:
        Problem: It is too large.
    """
    found = form.get("photo")
    if isinstance(found, str) or found is None:
        return b""
    raw = await found.read(FILE_BYTES_MAX + 1)
    if len(raw) > FILE_BYTES_MAX:
        raise Problem(PHOTO)
    return raw


def _at(texts: list[str], index: int) -> str:
    return texts[index] if index < len(texts) else ""
