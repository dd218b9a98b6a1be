# SPDX-License-Identifier: Apache-2.0
"""Lists of accesses over HTTP: verifiers ask for the free slot, and tell what they wrote there.

Who asks knows where the list begins, from the person's credential, and signs with a key of an organisation that may
write accesses (`writers`); anybody else would learn of each new entry in it for as long as the list goes on. Nothing
here reads a list.
"""

import contextlib
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from identity.access_content import CONTENT_BYTES_MAX
from identity.api.accesses import lists
from identity.api.accesses.lists import Exhausted, Read, TellPerson, UnknownList
from identity.api.accesses.writers import Writers
from service import problems
from service.app import Part
from service.problems import Problem
from service.store import Store
from service.store.replays import unix_ms

PREFIX = "/access-lists/"
BODY_BYTES_MAX = 3 * CONTENT_BYTES_MAX
Slot = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Asked(BaseModel):
    """Of which list."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)

    access_slot: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$", description="As the credential says it.")]


class HandedOut(BaseModel):
    """A free slot, and the commitment to the one after."""

    slot: Slot
    link: Slot


class Told(Asked):
    """What was written."""

    slot: Slot
    content: Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$", max_length=2 * CONTENT_BYTES_MAX)]
    salt: Slot


def accesses_part(
    store: Store, read: Callable[[], Read], tell_person: TellPerson, now_ms: Callable[[], int] = unix_ms
) -> Part:
    """What a registrar's service takes along that keeps lists of accesses.

    Args:
        store: Of the registrar, where people are.
        read: Reads the ledger, once the service runs.
        tell_person: Tells somebody that an answer about them was recorded.
        now_ms: Unix time in ms.
    """
    writers = Writers(store, read, now_ms)
    router = APIRouter(tags=["accesses"], prefix="/access-lists", dependencies=[Depends(writers.check)])

    @router.post("/slots", operation_id="postSlot", summary="The free slot of a list")
    async def slot(body: Asked) -> HandedOut:
        try:
            handed = await lists.hand_out(store, read(), body.access_slot)
        except (UnknownList, Exhausted):
            raise Problem(problems.NOT_FOUND) from None
        return HandedOut(slot=handed.slot.hex(), link=handed.link.hex())

    @router.post("/entries", operation_id="postEntry", summary="What an entry says", status_code=204)
    async def entry(body: Told) -> Response:
        content, salt, taken = bytes.fromhex(body.content), bytes.fromhex(body.salt), bytes.fromhex(body.slot)
        try:
            with contextlib.suppress(Exhausted):  # what stands in a list that is full or broken is told like any other
                await lists.hand_out(store, read(), body.access_slot)  # catches up with what stands on the ledger
            await lists.tell(store, read(), taken, content, salt, tell_person)
        except UnknownList:
            raise Problem(problems.NOT_FOUND) from None
        return Response(status_code=204)

    return Part("accesses", [router], body_limits={PREFIX: BODY_BYTES_MAX}, machine_paths=[PREFIX])
