# SPDX-License-Identifier: Apache-2.0
"""What the verifier's parts hand one another: on what verifications rest, a question, how it was taken."""

import json
from dataclasses import dataclass, field

from identity.api.verifier.asking import Asked
from identity.api.verifier.checking import Judge
from identity.api.verifier.registered import Access, Directory, Recorder
from identity.jose import JsonObject


@dataclass(frozen=True, slots=True)
class Realm:
    """What real people's verifications rest on, or a sandbox's.

    Attributes:
        directory: Relying parties; None: nothing may be asked.
        recorder: Access entries; None: nothing that discloses data may be answered.
        judge: Whose credentials count.
        needs_entries: Whether answers wait for entries; not in a sandbox, whose people are made up.
    """

    directory: Directory | None
    recorder: Recorder | None
    judge: Judge
    needs_entries: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """A verification as it stands in the store.

    Attributes:
        id: Its own.
        client_id: Whose.
        asked: What.
        state: See `tables`.
        created_ms: Unix time in ms.
        expires_ms: Until when it can be answered.
    """

    id: str
    client_id: str
    asked: Asked
    state: str
    created_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Made:
    """A new question: its row, and the address that leads to it."""

    question: Question
    token: str


@dataclass(frozen=True, slots=True)
class Concluded:
    """How an answer was taken.

    Attributes:
        code: What a citizen on the same device brings back to the page; "" in another flow.
        answer: The signed answer; "" while it waits for its entry.
        claims: What the signed answer says.
    """

    code: str
    answer: str = ""
    claims: JsonObject = field(default_factory=dict)


def access_text(access: Access) -> str:
    """An entry that is due, for the store."""
    return json.dumps(
        {name: getattr(access, name) for name in access.__slots__} | {"attributes": list(access.attributes)}
    )


def read_access(text: str) -> Access:
    """What `access_text` wrote."""
    value = json.loads(text)
    value.pop("opening", None)
    return Access(**{**value, "attributes": tuple(value["attributes"])})
