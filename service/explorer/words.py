# SPDX-License-Identifier: Apache-2.0
"""Operations in words that a citizen understands: a table from type to describer, handed in from above.

Domains bring their own describers where services are put together; here stand those of `membership` alone.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from chain.codec import decode
from chain.errors import InvalidMessage
from chain.types import TRANSACTION_BYTES_MAX
from membership.pb import membership_pb2 as pb
from service.language import Language, translate

Describe: TypeAlias = Callable[[Language, bytes | None], str]
"""What an operation says: of its body, or of its type alone where the body is not at hand."""
Describers: TypeAlias = Mapping[str, Describe]
"""By type of operation."""

SEPARATORS: Mapping[Language, str] = {"zh-CN": "、", "en": ", "}
"""Between the items of a list."""


def describe(describers: Describers, language: Language, kind: str, body: bytes | None) -> str:
    """One operation in one sentence; never raises, whatever the body holds.

    Args:
        describers: The table.
        language: Whose words.
        kind: The operation's type.
        body: Its bytes; None: they are not at hand.
    """
    found = describers.get(kind)
    if found is None:
        return translate(language, "explorer.operation-unknown", kind=kind)
    try:
        return found(language, body)
    except InvalidMessage:
        return found(language, None)


def plain(key: str) -> Describe:
    """A describer that says the same of every body."""

    def say(language: Language, _body: bytes | None) -> str:
        return translate(language, key)

    return say


_ACTS: Mapping[str, str] = {
    "add_organisation": "explorer.act-add-organisation",
    "alter_organisation": "explorer.act-alter-organisation",
    "suspend_organisation": "explorer.act-suspend-organisation",
    "reinstate_organisation": "explorer.act-reinstate-organisation",
    "grant_role": "explorer.act-grant-role",
    "revoke_role": "explorer.act-revoke-role",
    "add_key": "explorer.act-add-key",
    "revoke_key": "explorer.act-revoke-key",
    "add_validator": "explorer.act-add-validator",
    "remove_validator": "explorer.act-remove-validator",
    "replace_validator": "explorer.act-replace-validator",
    "set_parameter": "explorer.act-set-parameter",
}


def _propose(language: Language, body: bytes | None) -> str:
    if body is None:
        return translate(language, "explorer.propose")
    proposal = decode(pb.Propose, body, TRANSACTION_BYTES_MAX)
    acts = [translate(language, _ACTS[name]) for act in proposal.acts if (name := act.WhichOneof("act")) is not None]
    listed = SEPARATORS[language].join(dict.fromkeys(acts))
    return (
        translate(language, "explorer.propose-acts", acts=listed) if acts else translate(language, "explorer.propose")
    )


_ANCHORS: Mapping[int, str] = {
    pb.ANCHOR_KIND_AUDIT: "explorer.anchor-audit",
    pb.ANCHOR_KIND_STATUS_LIST: "explorer.anchor-status-list",
    pb.ANCHOR_KIND_WEB_BUNDLE: "explorer.anchor-web-bundle",
}


def _anchor(language: Language, body: bytes | None) -> str:
    if body is None:
        return translate(language, "explorer.anchor")
    return translate(language, _ANCHORS.get(decode(pb.Anchor, body, TRANSACTION_BYTES_MAX).kind, "explorer.anchor"))


MEMBERSHIP: Describers = {
    "membership.Propose": _propose,
    "membership.Approve": plain("explorer.approve"),
    "membership.Withdraw": plain("explorer.withdraw"),
    "membership.AddKey": plain("explorer.add-key"),
    "membership.RevokeKey": plain("explorer.revoke-key"),
    "membership.SetEndpoint": plain("explorer.set-endpoint"),
    "membership.ReportEvidence": plain("explorer.report-evidence"),
    "membership.Anchor": _anchor,
}
