# SPDX-License-Identifier: Apache-2.0
"""A network whose registrar and verifier write access entries, and whose authorities seal some.

org-r is a registrar, org-v a verifier, org-p and org-q may seal, org-a does none of it.
"""

import random
from collections.abc import Iterable

from identity.access import AccessList, make_batch, make_entry
from identity.access_content import encode_content
from identity.pb import access_pb2, identity_pb2
from tests.identity_rig import hidden
from tests.rig import Rig, genesis, organisation

WRITER, VERIFIER = "org-r:submit", "org-v:submit"
SEALER = "org-p:attest"
DAY_MS = 86_400_000


class AccessRig(Rig):
    """The network, with nothing written."""

    def __init__(self) -> None:
        super().__init__(
            genesis(
                [
                    organisation("org-a"),
                    organisation("org-p", roles=("sealing-authority",)),
                    organisation("org-q", roles=("sealing-authority",)),
                    organisation("org-r", roles=("registrar",)),
                    organisation("org-v", roles=("verifier",)),
                ],
                [("v0", "org-a")],
            )
        )

    @property
    def today(self) -> int:
        """Of the next block, in days since 1970-01-01."""
        return self.time_ms // DAY_MS


class Draws:
    """Random bytes that a seed gives."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self, size: int) -> bytes:
        return self.random.randbytes(size)


def entry(i: int, **changes: bytes) -> identity_pb2.AccessEntry:
    fields = {"slot": hidden(f"slot {i}"), "content": hidden(f"content {i}"), "next": hidden(f"next {i}")}
    return identity_pb2.AccessEntry(**{**fields, **changes})


def batch(*entries: identity_pb2.AccessEntry) -> identity_pb2.RecordAccesses:
    """Entries as they are, in order of their slots."""
    return identity_pb2.RecordAccesses(entries=sorted(entries, key=lambda one: one.slot))


def look_up(i: int = 0) -> bytes:
    """Content of an entry by an office."""
    content = access_pb2.AccessContent(
        kind=access_pb2.ACCESS_KIND_LOOK_UP,
        organisation="org-r",
        at_ms=1_800_000_000_000 + i,
        reason=access_pb2.LOOK_UP_REASON_COUNTER,
    )
    return encode_content(content)


def answer(i: int = 0) -> bytes:
    """Content of an entry by a verifier."""
    content = access_pb2.AccessContent(
        kind=access_pb2.ACCESS_KIND_ANSWER,
        organisation="bank",
        at_ms=1_800_000_000_000 + i,
        purpose=7,
        attributes=["natural-person/age_over_18", "natural-person/family_name"],
        evidence=hidden(f"evidence {i}"),
    )
    return encode_content(content)


def grown(one: AccessList, contents: Iterable[bytes], draw: Draws) -> tuple[AccessList, list[identity_pb2.AccessEntry]]:
    """A list with entries of these contents added, and the entries."""
    entries = []
    for content in contents:
        handed, salt = one.hand_out(draw), draw(32)
        entries.append(make_entry(handed.slot, handed.link, content, salt))
        one = one.took(handed, content, salt)
    return one, entries


def write(rig: Rig, entries: list[identity_pb2.AccessEntry], draw: Draws, writer: str = WRITER) -> None:
    """Have the ledger take entries in one batch."""
    assert rig.code(writer, make_batch(entries, draw)) == ""
