# SPDX-License-Identifier: Apache-2.0
"""What credit's service does, in the scene `credit`: who may read, who looked, and who is told of a change.

The registrar's service runs here with a private store of its own; a reader's and the person's side are computed from
bytes and the genesis file alone.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool

from chain import receipt
from chain.types import sha256
from cli.language import t
from cli.scenes.admitting import Office, code_of
from cli.scenes.identity_desk import SceneDesk
from cli.scenes.stage import Stage
from client.session import Session
from credit import report
from credit.api import accesses, batches, consents
from credit.api.base import DAY_MS, MINUTE_MS, CreditContext
from credit.api.drawing import Wanted
from credit.api.ledger import FollowedLedger
from credit.api.notices import FetchedNotices
from credit.api.reading import notices_for
from credit.api.registered import CLAIMS, attribute
from credit.api.reports import make_report, report_for
from credit.api.requests import dispute, event_of
from credit.api.settling import keep_correction, settle
from credit.api.slot_index import SlotIndex
from credit.api.subjects import Kind, add_subject, send_open
from credit.pb import credit_pb2 as pb
from credit.slots import SALT_BYTES as CONTENT_SALT_BYTES
from credit.slots import Content, content_commitment
from identity import access
from identity.commitments import SALT_BYTES, holder_commitment
from identity.consents import counts, load_consent
from identity.officers import registrar_digest
from identity.pb import identity_pb2
from identity.registrations import load_person, person_key, proposal_digest
from identity.relying_rules import relying_proposal_key
from service.problems import Problem
from service.settings import StoreSettings
from service.store import open_store
from service.store.audit import SYSTEM
from service.store.engine import make_engine

NAME: Final = "欧阳慧敏"
NUMBER: Final = "440608199203147725"
PURPOSE: Final = "tender"


@dataclass(slots=True)
class _Act:
    """What this act has in its hands."""

    stage: Stage
    session: Session
    context: CreditContext
    market: Office
    reader: Office
    subject: str = ""
    event: str = ""


async def enrol(desk: SceneDesk, session: Session) -> list[str]:
    """Have two officers enrol somebody; the codes of the three steps, "" for each that was taken."""
    registration = secrets.token_bytes(16)
    tag = identity_pb2.RegisterTag(
        key_version=1,
        tag=secrets.token_bytes(32),
        registrar=registrar_digest(desk.organisation),
        holder=holder_commitment(registration, secrets.token_bytes(SALT_BYTES)),
    )
    proposed = identity_pb2.Enrol(
        id=registration,
        change=identity_pb2.Change(
            commitment=sha256(secrets.token_bytes(32)),
            assurance_level=identity_pb2.ASSURANCE_LEVEL_HIGH,
            proofing_method=identity_pb2.PROOFING_METHOD_DOCUMENT_INSPECTED,
        ),
    )
    steps = [await desk.code(desk.uniqueness, tag), await desk.code(desk.clerk.signer, proposed)]
    key = person_key(registration)
    record = load_person({key: (await session.read(key)).value}.get, registration)
    assert record is not None, "it was just proposed"
    confirm = identity_pb2.Confirm(id=registration, digest=proposal_digest(record.proposal))
    return [*steps, await desk.code(desk.approver.signer, confirm)]


async def register_reader(desk: SceneDesk, session: Session, organisation: str) -> list[str]:
    """Have two officers register what an organisation may ask people for; the codes of the two steps."""
    asked = identity_pb2.RelyingPurpose(
        number=1,
        name_zh="公共招标",
        name_en="Public tender",
        legal_basis="招标投标法第26条",
        attributes=[attribute(PURPOSE, claim) for claim in CLAIMS],
        needs_consent=True,
        per_second_max=10,
    )
    now_ms = int(time.time() * 1_000)
    terms = identity_pb2.RelyingTerms(purposes=[asked], valid_from_ms=now_ms - DAY_MS, valid_to_ms=now_ms + DAY_MS)
    proposed = identity_pb2.ProposeRelyingParty(organisation=organisation, terms=terms)
    steps = [await desk.code(desk.clerk.signer, proposed)]
    raw = (await session.read(relying_proposal_key(organisation))).value
    assert raw is not None, "it was just proposed"
    confirm = identity_pb2.ConfirmRelyingParty(organisation=organisation, digest=sha256(raw))
    return [*steps, await desk.code(desk.approver.signer, confirm)]


async def play(
    stage: Stage, session: Session, desk: SceneDesk, market: Office, reader: Office, penalty: int, honour: int
) -> None:
    """Play it.

    Args:
        stage: The scene's.
        session: The client.
        desk: The registrar's.
        market: A source that may attest penalties.
        reader: Who reads with consent.
        penalty: Class of a penalty.
        honour: A class that `market` has no right to.

    Raises:
        NotHeldError: A claim does not hold.
    """
    stage.personal |= {NAME, NUMBER}
    folder = stage.folder / "service"
    folder.mkdir(mode=0o700)
    store = open_store(StoreSettings(folder=str(folder / "data"), keys=str(folder / "keys"), allow_plain=True), {})
    engine = make_engine(StoreSettings(url=f"sqlite:///{folder / 'index.sqlite'}"))
    genesis = stage.network.home.genesis()
    ledger = FollowedLedger(genesis, stage.network.home.endpoints(genesis), engine)
    await ledger.start()
    try:
        context = CreditContext(
            store, SlotIndex(engine), ledger, desk.service, None, "", FetchedNotices(), lambda: int(time.time() * 1_000)
        )
        act = _Act(stage, session, context, market, reader)
        stage.hold(t("scene.credit.enrolled"), await enrol(desk, session) == ["", "", ""])
        stage.hold(t("scene.credit.registered"), await register_reader(desk, session, reader.id) == ["", ""])
        await ledger.follow((await session.checkpoint()).height)
        await _attest(act, penalty, honour)
        await _read(act)
        await _correct(act)
    finally:
        await ledger.stop()
        store.close()


async def _attest(act: _Act, penalty: int, honour: int) -> None:
    """A source's system records; what it has no right to is refused before anybody signs."""
    context, day = act.context, act.context.today
    act.subject = add_subject(context, SYSTEM, Kind.PERSON, NUMBER, NAME)
    assert await send_open(context, act.subject) == "", "the person was just enrolled"
    signer = act.market.signer
    code = ""
    try:
        wrong = Wanted(act.subject, honour, Content("none", day - 2, day - 1), "scene-0")
        await batches.prepare(context, SYSTEM, act.market.id, [wrong], signer.signer)
    except Problem as problem:
        code = problem.kind.code
    act.stage.hold(t("scene.credit.service-rights", code=code), code == "credit.rights")
    wanted = [Wanted(act.subject, penalty, Content("serious", day - 2, day - 1), "scene-1")]
    made = await batches.prepare(context, SYSTEM, act.market.id, wanted, signer.signer)
    done = await batches.send(context, act.market.id, made.drawn.batch_id, signer.sign(made.to_sign))
    act.stage.hold(t("scene.credit.service-recorded"), done.state == "done" and done.receipt)


async def _read(act: _Act) -> None:
    """Nothing is read without a consent that counts; the look stands in the person's own list."""
    context, stage, genesis = act.context, act.stage, act.context.ledger.genesis
    code = ""
    try:
        await report_for(context, act.subject, act.reader.id, PURPOSE)
    except Problem as problem:
        code = problem.kind.code
    stage.hold(t("scene.credit.service-no-consent", code=code), code == "credit.consent")
    await consents.give(context, act.subject, act.reader.id, PURPOSE, 30)
    found = await report_for(context, act.subject, act.reader.id, PURPOSE)
    verified = report.verify(found.report.raw, genesis, allow_withheld=True)
    stage.hold(t("scene.credit.service-report", count=len(verified.entries)), len(verified.entries) == 1)
    proven = receipt.verify(found.consent.receipt, genesis)
    states = {one.key: one.value for one in proven.states}
    record = load_consent(states.get, found.consent.kept.commitment)
    stage.hold(t("scene.credit.service-consent"), counts(record, proven.checkpoint.time_ms))
    (mine,) = await accesses.reports(context, act.subject)
    looks = access.verify(mine.report, mine.first_slot, genesis).accesses
    readers = [look.content.organisation for look in looks if look.content is not None]
    stage.hold(t("scene.credit.service-look"), readers == [act.reader.id])
    (act.event,) = found.report.event_ids


async def _correct(act: _Act) -> None:
    """The person objects, the source corrects, the score follows, and whoever had read it is told."""
    context, stage = act.context, act.stage
    before = (await make_report(context, act.subject)).score.points
    await dispute(context, act.subject, act.event, "It was a small thing")
    frozen = (await make_report(context, act.subject)).score
    stage.hold(t("scene.credit.frozen", points=frozen.points), frozen.frozen == 1 and frozen.points > before)
    content, salt = Content("minor", context.today - 2, context.today - 1), secrets.token_bytes(CONTENT_SALT_BYTES)
    slot = await run_in_threadpool(_keep_correction, act, content, salt)  # before its source signs, as the desk does
    answer = pb.AnswerEvent(slot=slot, status=pb.EVENT_STATUS_CORRECTED, content=content_commitment(content, salt))
    taken = await code_of(act.session, [act.market.signer], answer)
    await context.ledger.follow((await act.session.checkpoint()).height)
    settle(context)
    corrected = (await make_report(context, act.subject)).score
    is_better = taken == "" and before < corrected.points < frozen.points
    stage.hold(t("scene.credit.service-corrected", before=before, points=corrected.points), is_better)
    told = [notice.status for notice in notices_for(context, act.reader.id)]
    stage.hold(t("scene.credit.service-told"), told == ["corrected"])


def _keep_correction(act: _Act, content: Content, salt: bytes) -> bytes:
    """Keep what an event is to say; its slot."""
    context = act.context
    with context.store.write() as session:
        row, event = event_of(context, session, act.subject, act.event)
        keep_correction(
            context, session, row, event.with_content(content.encode(), salt), context.now() + 10 * MINUTE_MS
        )
    return event.slot
