# SPDX-License-Identifier: Apache-2.0
"""What a side's code does once it is shown: it accepts or ends a mandate, in nobody's name."""

from dataclasses import dataclass

from sqlalchemy import or_, select

from chain.transaction import Operation
from identity.api.desk import legal_problems as kinds
from identity.api.desk.base import DeskContext
from identity.api.desk.legal_tables import Mandate
from identity.api.desk.mandate_codes import CodeUse, WrongCode, read
from identity.api.desk.mandates import content_of, digest_of, operation_of
from identity.commitments import anchor_of
from identity.pb import identity_pb2 as pb
from service.problems import Problem


@dataclass(frozen=True, slots=True)
class Revealed:
    """What a side's code does.

    Attributes:
        row_id: Which mandate.
        operation: What goes on the ledger, in nobody's name: the code itself is the authority.
        use: Accept or end.
    """

    row_id: str
    operation: Operation
    use: CodeUse


def reveal(desk: DeskContext, organisation: str, code: str, wants: CodeUse) -> Revealed:
    """Find the mandate of a code and say what revealing it does.

    A side that declines ends what it has not accepted, with the code that ends.

    Raises:
        Problem: It is no code, not for what is wanted, or of no mandate of this desk.
    """
    try:
        use, proof = read(code)
    except WrongCode:
        raise Problem(kinds.CODE) from None
    if use is not wants:
        raise Problem(kinds.CODE)
    anchor = anchor_of(proof) if use is CodeUse.ACCEPT else anchor_of(anchor_of(proof))
    with desk.store.read() as session:
        digest = digest_of(desk, "side", anchor)
        either = or_(Mandate.principal_side == digest, Mandate.agent_side == digest)
        row = session.scalar(select(Mandate).where(Mandate.organisation == organisation, either))
        if row is None:
            raise Problem(kinds.CODE)
        content = content_of(desk, session, row)
        side = pb.SIDE_PRINCIPAL if row.principal_side == digest else pb.SIDE_AGENT
    mandate = bytes.fromhex(content.id)
    if wants is CodeUse.ACCEPT:
        return Revealed(row.id, operation_of(pb.AcceptMandate(id=mandate, side=side, proof=proof)), wants)
    return Revealed(row.id, operation_of(pb.EndMandate(id=mandate, proof=proof)), wants)
