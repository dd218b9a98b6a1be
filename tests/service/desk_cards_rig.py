# SPDX-License-Identifier: Apache-2.0
"""The desk's work on cards, companies and mandates, without a browser: a store, and the ledger's real rules."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from store_rig import Rig

from chain.transaction import Operation, SignedTransaction
from chain.types import Network
from client.answers import ProvenTransaction
from identity.api.desk.base import DeskContext, Proven
from identity.api.desk.part import DESK_SITE
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from service.settings import RetentionSettings
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer
from service.store import new_id
from tests.identity_rig import IdentityRig
from tests.rig import NETWORK

ORGANISATION = "org-r"
KEYS = {Role.CLERK: "ann@p256", Role.APPROVER: "bob@webauthn"}
"""Whose key on the ledger an officer of a role has."""


@dataclass
class RulesLedger:
    """The rules of the ledger, executed at once."""

    rules: IdentityRig
    network: Network = NETWORK

    async def read(self, keys: Sequence[bytes]) -> Proven:
        return Proven({key: self.rules.state.get(key) for key in keys}, self.rules.time_ms)

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        raise AssertionError("tests sign by `CardsRig.act`")


@dataclass
class CardsRig:
    """A desk and its officers."""

    rig: Rig
    rules: IdentityRig = field(default_factory=IdentityRig)

    def __post_init__(self) -> None:
        self.rig.clock_ms = self.rules.time_ms
        self.store = self.rig.open(self.rig.settings())
        self.desk = DeskContext(
            self.store, DESK_SITE, RulesLedger(self.rules), None, None, RetentionSettings(), lambda: self.rig.clock_ms
        )
        self.clerk, self.approver, self.supervisor = (
            self.officer(role) for role in (Role.CLERK, Role.APPROVER, Role.SUPERVISOR)
        )

    def officer(self, role: Role) -> Officer:
        ids = [new_id() for _ in range(4)]
        return Officer(ids[0], ids[1], role.title(), role, ORGANISATION, ids[2], ids[3], self.rig.clock_ms, b"b" * 32)

    def person(self, name: str = "陈小明", number: str = "11010519491231002X") -> str:
        """Somebody registered, on the ledger too; the id in the store."""
        registration = self.rules.enrolled(person=secrets.token_bytes(16))
        people = self.store.people
        with self.store.write() as session:
            person_id = people.add(session)
            row = DeskPerson(
                person_id=person_id,
                organisation=ORGANISATION,
                state=PersonState.ACTIVE,
                created_ms=self.rig.clock_ms,
                changed_ms=self.rig.clock_ms,
            )
            people.seal(session, row, DeskPerson.name, name)
            people.seal(session, row, DeskPerson.number, number)
            people.seal(session, row, DeskPerson.secrets, json.dumps({"registration": registration.hex()}))
        return person_id

    def act(self, signer: Role | str, operations: Sequence[Operation]) -> str:
        """Have somebody sign operations; "" or the code of the rule that refused."""
        name = KEYS[signer] if isinstance(signer, Role) else signer
        return self.rules.code(name, *operations)
