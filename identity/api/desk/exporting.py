# SPDX-License-Identifier: Apache-2.0
"""All that the desk keeps of a person, as a document for that person.

Also what joins them to the ledger: the registration's id, salts and receipts, with which anybody can check offline that
the ledger commits to exactly these data, and what opens the person's lists of accesses there. Entries of looks that
concern an investigation appear once they may be seen; accesses have no numbers here, since a gap would tell of one.
"""

import base64
from typing import Any

from sqlalchemy import select

from identity.access import claim_of_slot
from identity.api.accesses.reading import opened
from identity.api.desk import compartments, images, persons
from identity.api.desk.base import DeskContext
from identity.api.desk.cases import receipt_of
from identity.api.desk.images import ImageKind
from identity.api.desk.notices import told_by_desk
from identity.api.desk.tables import DeskAccess, DeskCase, DeskStep

FORMAT = "zhixin-person-export/1"


def export(desk: DeskContext, organisation: str, person_id: str) -> dict[str, Any]:
    """A person's data as JSON. Who hands it out has called `require_reason` before.

    Raises:
        Problem: There is no such person here.
    """
    with desk.store.read() as session:
        found = persons.load_of(desk, session, organisation, person_id)
        details = found.details
        cases = session.scalars(select(DeskCase).where(DeskCase.person_id == person_id)).all()
        steps = session.scalars(select(DeskStep).where(DeskStep.person_id == person_id)).all()
        receipts = {step.id: receipt_of(desk, session, step) for step in steps}
        visible = (DeskAccess.person_id == person_id) & (DeskAccess.visible_after_ms <= desk.now())
        accesses = session.scalars(select(DeskAccess).where(visible).order_by(DeskAccess.number)).all()
        lists = opened(session, desk.store, person_id)
        compartment = compartments.load(desk, session, person_id)
        before = compartments.before(desk, session, person_id)
        pictures = {kind: images.load(desk, session, person_id, kind) for kind in ImageKind}
        return {
            "format": FORMAT,
            "made_ms": desk.now(),
            "state": found.state,
            "data": None if details is None else details.claims(),
            "ledger": {
                "registration": found.secrets.registration,
                "salt": found.secrets.salt,
                "commitment": "" if details is None else details.commitment(bytes.fromhex(found.secrets.salt)).hex(),
            },
            "cases": [
                {
                    "reference": case.reference,
                    "kind": case.kind,
                    "state": case.state,
                    "opened_ms": case.opened_ms,
                    "steps": [
                        {"step": step.step, "at_ms": step.at_ms, "receipt": _text(receipts[step.id])}
                        for step in steps
                        if step.case_id == case.id
                    ],
                }
                for case in cases
            ],
            "accesses": [
                {
                    "at_ms": entry.at_ms,
                    "organisation": entry.organisation,
                    "role": entry.role,
                    "reason": entry.reason,
                }
                for entry in accesses
            ],
            "access_lists": [
                {
                    "first_slot": claim_of_slot(one.first_slot),
                    "openings": [opening.SerializeToString(deterministic=True).hex() for opening in one.openings],
                }
                for one in lists
            ],
            "notices": [
                {"at_ms": one.at_ms, "kind": one.kind, "way": one.way, "state": one.state, "done_ms": one.done_ms}
                for one in told_by_desk(desk, session, person_id)
            ],
            "compartment": None if compartment is None else compartment.sealed.decode("utf-8"),
            "compartments_before": [
                {"kept_ms": one.kept_ms, "replaced_ms": one.replaced_ms, "size_bytes": one.size_bytes} for one in before
            ],
            "pictures": {kind: _text(content) for kind, content in pictures.items() if content is not None},
        }


def _text(content: bytes | None) -> str:
    return "" if content is None else base64.b64encode(content).decode()
