# SPDX-License-Identifier: Apache-2.0
"""Part of the scene `identity`: a look that the law delays, counted in the city at once, in its person's list when due.

An authority of its own seals; the desk writes the entry when its day has come, which the scene sets instead of waiting
ninety days; the person's list is verified as their phone does, against the genesis file alone.
"""

from sqlalchemy import update
from starlette.concurrency import run_in_threadpool

from chain.errors import Refused
from chain.receipt import verify as verify_receipt
from chain.transaction import Operation
from cli.language import t
from cli.scenes.admitting import admit, code_of, office
from cli.scenes.identity_desk import SceneDesk
from cli.scenes.stage import Stage
from client.session import Session
from identity import access
from identity.access_rules import CITY_COUNT_KEY, SEALING_ROLE, load_seal_counts
from identity.api.accesses import lists, reading
from identity.api.desk import access_ticks
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.tables import DeskAccess
from identity.api.issuer.own_accesses import LedgerReceipts
from identity.api.issuer.publishing import LedgerSource
from identity.api.space import sealing
from identity.api.space.sealing import Sealing
from identity.pb import access_pb2
from identity.pb import identity_pb2 as pb


async def look_that_waits(stage: Stage, session: Session, desk: SceneDesk, person_id: str) -> None:
    """An officer looks for an investigation, and the person learns of it when they may.

    Raises:
        NotHeldError: A claim does not hold.
    """
    authority = office(session, "oversight-office", "执法监督办公室", "Oversight Office", SEALING_ROLE)
    await admit(stage, session, [authority])

    async def submit(operation: Operation) -> None:
        if code := await code_of(session, [authority.signer], operation):
            raise Refused("the ledger did not take it", code)

    sealer = Sealing(desk.store, authority.id, LedgerSource(lambda: session), submit, desk.context.now)
    await _written(desk)  # what was looked at so far
    before, told = await _counts(stage, session), await _list(stage, session, desk, person_id)
    await run_in_threadpool(_look, desk, person_id)
    await sealing.tick(sealer)
    await _written(desk)
    counts, shown = await _counts(stage, session), await _list(stage, session, desk, person_id)
    stage.hold(t("scene.identity.sealed"), counts.sealed == before.sealed + 1)
    is_silent = len(shown.accesses) == len(told.accesses) and shown.sealed == counts.sealed
    stage.hold(t("scene.identity.not-yet", count=len(shown.accesses), sealed=shown.sealed), is_silent)
    await run_in_threadpool(_let_tell, desk)
    await _written(desk)
    await sealing.tick(sealer)
    counts, shown = await _counts(stage, session), await _list(stage, session, desk, person_id)
    newest = shown.accesses[-1].content
    is_told = newest is not None and newest.reason == access_pb2.LOOK_UP_REASON_INVESTIGATION
    stage.hold(t("scene.identity.told-when-due"), is_told and len(shown.accesses) == len(told.accesses) + 1)
    stage.hold(t("scene.identity.joined"), (counts.sealed, counts.joined) == (before.sealed, before.joined + 1))


def _look(desk: SceneDesk, person_id: str) -> None:
    with desk.store.write() as writing:
        note_access(desk.context, writing, desk.clerk.officer, person_id, Reason.INVESTIGATION)


def _let_tell(desk: SceneDesk) -> None:
    """Let the day have come on which people are told."""
    with desk.store.write() as writing:
        hidden = DeskAccess.reason == Reason.INVESTIGATION
        writing.execute(update(DeskAccess).where(hidden).values(visible_after_ms=desk.context.now()))


async def _written(desk: SceneDesk) -> None:
    """Have all entries that may be written stand on the ledger."""
    while await access_ticks.tick(desk.context):
        pass


async def _counts(stage: Stage, session: Session) -> pb.SealCounts:
    """The city's figure, by a receipt."""
    state = await session.read(CITY_COUNT_KEY)
    proven = verify_receipt(state.receipt(), stage.network.home.genesis()).states[0]
    return load_seal_counts({proven.key: proven.value}.get)


async def _list(stage: Stage, session: Session, desk: SceneDesk, person_id: str) -> access.VerifiedAccesses:
    """The person's list as it is proven to them."""
    claim, own = await run_in_threadpool(_own_list, desk, person_id)
    receipt, _ = await LedgerReceipts(lambda: session).prove(own.state_keys())
    return access.verify(own.report(receipt), access.slot_of_claim(claim), stage.network.home.genesis())


def _own_list(desk: SceneDesk, person_id: str) -> tuple[str, access.AccessList]:
    with desk.store.write() as writing:
        claim = lists.own_claims(writing, desk.store, person_id, desk.context.now())["access_slot"]
    with desk.store.read() as asking:
        (own,) = reading.opened(asking, desk.store, person_id)
    return claim, own
