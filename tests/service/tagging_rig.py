# SPDX-License-Identifier: Apache-2.0
"""The uniqueness service over the ledger's real rules, without a network: registrars org-r and org-s, service org-u."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from store_rig import Rig

from chain.transaction import Operation, SignedTransaction
from client.answers import Failed, ProvenState, ProvenTransaction
from client.errors import TransportError
from identity import resident_number
from identity.api.tagging import registrars
from identity.api.tagging.client import LocalTagger
from identity.api.tagging.keys import TagKeys
from identity.api.tagging.registrars import Budget, Registrar
from identity.api.tagging.uniqueness import Uniqueness
from service.registrar_settings import UniquenessSettings
from service.settings import StoreSettings
from service.store import Store
from tests.identity_rig import IdentityRig
from tests.rig import Shell, signer, transaction

SIGNER = Shell(signer("org-u:attest"))


def number(sequence: int) -> str:
    """A citizen's number that could exist."""
    first = f"11010519491231{sequence % 999 + 1:03}"
    return first + resident_number.check_character(first)


@dataclass
class Ledger:
    """Executes what it is given at once."""

    rules: IdentityRig = field(default_factory=IdentityRig)
    sent: list[SignedTransaction] = field(default_factory=list)
    down: bool = False
    dies: bool = False
    before_submit: Any = None

    def sign(self, operations: Sequence[Operation], signers: Sequence[Any]) -> SignedTransaction:
        self.rules.salt += 1
        keys = [one.signer for one in signers]
        return transaction(list(operations), keys, self.rules.time_ms + 10_000, self.rules.salt)

    async def submit_one(self, sent: SignedTransaction) -> ProvenTransaction:
        if self.before_submit is not None:
            act, self.before_submit = self.before_submit, None
            act()
        if self.down:
            raise TransportError("no node answers")
        (code,) = self.rules.codes(sent)
        self.sent.append(sent)
        if self.dies:
            raise TransportError("the answer was lost")
        proven: Any = SimpleNamespace(failed=Failed(code, 0) if code else None)
        return proven  # type: ignore[no-any-return]  # as much of one as is looked at

    async def read_many(self, keys: Sequence[bytes]) -> list[ProvenState]:
        if self.down:
            raise TransportError("no node answers")
        found: Any = [SimpleNamespace(key=key, value=self.rules.state.get(key)) for key in keys]
        return found  # type: ignore[no-any-return]  # likewise


@dataclass
class Office:
    """A uniqueness service with two registrars."""

    rig: Rig
    ledger: Ledger
    store: Store
    stored: StoreSettings
    settings: UniquenessSettings
    keys: TagKeys
    service: Uniqueness
    r: Registrar
    s: Registrar
    r_key: str
    s_key: str

    def tagger(self, registrar: Registrar | None = None) -> LocalTagger:
        return LocalTagger(self.service, registrar or self.r)


def office(rig: Rig, *, token: str = "", per_minute: int = 1000, per_day: int = 10_000, **environment: str) -> Office:
    ledger, stored = Ledger(), rig.settings()
    store = rig.open(stored)
    settings = UniquenessSettings(keys=str(rig.folder / "tag-keys"), allow_plain=True, token=token)
    keys = TagKeys(settings, environment)
    keys.make(1)
    questions, moves = Budget("questions", per_minute, per_day), Budget("moves", per_day, per_day)
    service = Uniqueness(store, keys, lambda: ledger, SIGNER, questions, moves, rig.now)  # type: ignore[arg-type]  # a shell
    r, r_key = registrars.add(store, "org-r", rig.now())
    s, s_key = registrars.add(store, "org-s", rig.now())
    return Office(rig, ledger, store, stored, settings, keys, service, r, s, r_key, s_key)


def stolen(folder: Path, settings: UniquenessSettings) -> UniquenessSettings:
    """Settings for a copy of the keys' folder."""
    return replace(settings, keys=str(folder))
