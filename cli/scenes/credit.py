# SPDX-License-Identifier: Apache-2.0
"""The scene `credit`: sources attest, a person is scored, objects, is corrected, repaired; a report leaves nothing out.

The scene plays the registrar that keeps the log, two sources and the person; then the registrar's service with its
store (`credit_service`). What a reader of the report sees is computed from its bytes and the genesis file alone.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from chain.codec import encode
from chain.errors import LedgerError
from chain.receipt import make
from chain.strict_json import Json, canonical
from cli import acting
from cli.language import LANGUAGES, catalogue, t
from cli.scenes import credit_service
from cli.scenes.admitting import Office, admit, code_of, office
from cli.scenes.identity_desk import SceneDesk, open_desk
from cli.scenes.stage import Stage
from client.session import Session
from credit import report
from credit.catalogue import AUTHORITY_ROLE, class_head_key
from credit.events import load_event, slot_key
from credit.keeper import Draft, Kept
from credit.pb import credit_pb2 as pb
from credit.report import DAY_MS, VerifiedReport
from credit.scorecards import scorecard_head_key
from credit.slots import Content

PENALTY, PLEDGE, HONOUR = 101, 201, 301
RECORD_EVENT: Final = "credit.RecordEvent"
SCORECARD: Final[dict[str, Json]] = {
    "base": 600,
    "min": 0,
    "max": 1_000,
    "grades": [["A", 720], ["B", 640], ["C", 500], ["D", 0]],
    "dimensions": [{"number": 1, "min": -300, "max": 0}, {"number": 2, "min": -50, "max": 200}],
    "open_pledges_max": 20,
    "classes": [
        {
            "class": PENALTY,
            "dimension": 1,
            "points": {"minor": -20, "general": -60, "serious": -160},
            "decay": [[0, 100], [365, 50]],
        },
        {
            "class": PLEDGE,
            "dimension": 2,
            "points": {"open": 15, "kept": 40, "broken": -30},
            "decay": [[0, 100]],
        },
        {"class": HONOUR, "dimension": 2, "points": {"none": 70}, "decay": [[0, 100], [1_096, 0]]},
    ],
}


@dataclass(slots=True)
class Play:
    """What the scene has in its hands.

    Attributes:
        log: The person's, as the registrar keeps it.
        today: In days since 1970-01-01.
    """

    stage: Stage
    session: Session
    desk: SceneDesk
    authority: Office
    market: Office
    charity: Office
    log: Kept
    today: int

    async def send(self, draft: Draft, source: Office) -> str:
        """Record an event, signed by its source and by the registrar; the code of the rule that refused, or ""."""
        return await code_of(self.session, [source.signer, self.desk.service], draft.message)

    async def record(self, number: int, severity: str, source: Office) -> bool:
        """Draw a slot, record an event in it, keep its opening."""
        draft = self.log.draft(number, 1, Content(severity, self.today - 3, self.today - 1))
        done = await self.send(draft, source) == ""
        if done:
            self.log = self.log.took(draft)
        return done

    async def report(self) -> bytes:
        """The whole log with its proof, at the newest checkpoint."""
        opened = self.log.opened
        states = await self.session.read_many([slot_key(slot) for slot in opened.slots])
        values = {state.key: state.value for state in states}
        events = [load_event(values.get, slot) for slot in opened.slots[:-1]]
        keys = report.keys_of(opened, [event for event in events if event is not None], (1, 1))
        states = await self.session.read_many(keys)
        certification = states[0].certification
        proof = make([], [state.proof for state in states], certification.certified, certification.closings)
        return report.make(opened, proof, (1, 1))

    def read(self, raw: bytes) -> VerifiedReport:
        """What a relying party learns from a report, with the genesis file alone."""
        return report.verify(raw, self.stage.network.home.genesis())


async def play(stage: Stage) -> None:
    """Play it.

    Raises:
        NotHeldError: A claim does not hold.
    """
    async with stage.network.home.session() as session:
        desk = await open_desk(stage, session)
        try:
            now = (await session.checkpoint()).time_ms // DAY_MS
            played = Play(stage, session, desk, *_offices(session), Kept.begin(), now)
            with stage.step(t("scene.credit.offices")):
                await _found(played)
            with stage.step(t("scene.credit.log")):
                await _open(played)
            with stage.step(t("scene.credit.attest")):
                await _attest(played)
            with stage.step(t("scene.credit.report")):
                first = await _report(played)
            with stage.step(t("scene.credit.dispute")):
                await _dispute(played, first)
            with stage.step(t("scene.credit.repair")):
                await _repair(played)
            with stage.step(t("scene.credit.service")):
                await credit_service.play(stage, session, desk, played.market, played.charity, PENALTY, HONOUR)
            with stage.step(t("scene.credit.apart")):
                await _apart(played)
        finally:
            desk.close()


def summary(stage: Stage) -> list[str]:
    """What happened, in both languages."""
    lines = []
    for language in LANGUAGES:
        lines += ["", catalogue(language).say("scene.credit.summary", **stage.facts)]
    return lines


def _offices(session: Session) -> tuple[Office, Office, Office]:
    return (
        office(session, "credit-office", "信用办公室", "Credit Office", AUTHORITY_ROLE),
        office(session, "market-supervision", "市场监督管理局", "Market Supervision"),
        office(session, "volunteers", "志愿者联合会", "Volunteers' Association"),
    )


async def _found(played: Play) -> None:
    """The members admit an authority and two sources; the authority says what may be recorded and how it counts."""
    session, stage = played.session, played.stage
    await admit(stage, session, [played.authority, played.market, played.charity])
    if (await session.read(class_head_key(PENALTY))).value is None:
        classes = [_penalty(), _good(PLEDGE, pb.KIND_PLEDGE, "信用承诺"), _good(HONOUR, pb.KIND_RECORD, "志愿服务")]
        grants = [
            pb.GrantSource(organisation=played.market.id, classes=[PENALTY, PLEDGE]),
            pb.GrantSource(organisation=played.charity.id, classes=[HONOUR]),
        ]
        code = await code_of(session, [played.authority.signer], *classes, *grants)
        stage.hold(t("scene.credit.catalogue", count=len(classes)), code == "")
    if (await session.read(scorecard_head_key(1))).value is None:
        scorecard = pb.PutScorecard(scorecard=1, version=1, document=canonical(SCORECARD))
        stage.hold(t("scene.credit.scorecard"), await code_of(session, [played.authority.signer], scorecard) == "")


def _penalty() -> pb.PutClass:
    message = pb.PutClass(
        version=1,
        kind=pb.KIND_RECORD,
        polarity=pb.POLARITY_NEGATIVE,
        severity=pb.SEVERITY_SERIOUS,
        dimension=1,
        name_zh="行政处罚",
        name_en="Administrative penalty",
        legal_basis="行政处罚法",
        publication_days_min=365,
        publication_days_max=1_096,
        effects=[pb.EFFECT_PUBLICATION],
    )
    setattr(message, "class", PENALTY)
    return message


def _good(number: int, kind: pb.Kind.ValueType, name: str) -> pb.PutClass:
    message = pb.PutClass(
        version=1,
        kind=kind,
        polarity=pb.POLARITY_POSITIVE,
        severity=pb.SEVERITY_NONE,
        dimension=2,
        name_zh=name,
        legal_basis="广东省社会信用条例",
        effects=[pb.EFFECT_BENEFIT],
    )
    setattr(message, "class", number)
    return message


async def _open(played: Play) -> None:
    """A person is enrolled by two officers, which gives the registrar the right to one log."""
    stage, desk = played.stage, played.desk
    stage.hold(t("scene.credit.enrolled"), await credit_service.enrol(desk, played.session) == ["", "", ""])
    opened = await desk.code(desk.service, pb.OpenLog(log=played.log.log))
    stage.hold(t("scene.credit.opened"), opened == "")
    refused = ""
    for _ in range(32):  # as many as registrations that other scenes left without a log, and then one too many
        refused = await desk.code(desk.service, pb.OpenLog(log=Kept.begin().log))
        if refused:
            break
    stage.hold(t("scene.credit.one-log", code=refused), refused == "credit.second-log")


async def _attest(played: Play) -> None:
    """Sources record what they may, and only that."""
    stage, log = played.stage, played.log
    stage.hold(t("scene.credit.honoured"), await played.record(HONOUR, "none", played.charity))
    stage.hold(t("scene.credit.pledged"), await played.record(PLEDGE, "none", played.market))
    stage.hold(t("scene.credit.penalised"), await played.record(PENALTY, "serious", played.market))
    draft = played.log.draft(PENALTY, 1, Content("serious", played.today, played.today))
    refused = await played.send(draft, played.charity)
    stage.hold(t("scene.credit.no-rights", code=refused), refused == "credit.not-source")
    refused = await code_of(played.session, [played.market.signer], draft.message)
    stage.hold(t("scene.credit.no-keeper", code=refused), refused == "credit.no-keeper")
    again = log.draft(HONOUR, 1, Content("none", played.today, played.today))
    refused = await played.send(again, played.charity)
    stage.hold(t("scene.credit.slot-once", code=refused), refused == "credit.slot-taken")


async def _report(played: Play) -> bytes:
    """A report is verified with the genesis file alone, scored, and cannot be shortened."""
    stage = played.stage
    raw = await played.report()
    found = played.read(raw)
    score = found.score()
    stage.hold(t("scene.credit.complete", count=len(found.entries)), len(found.entries) == 3)
    stage.hold(
        t("scene.credit.scored", points=score.points, grade=score.grade),
        (score.points, score.grade) == (600 - 160 + 70 + 15, "C"),
    )
    path = stage.folder / "credit.report"
    acting.write_file(path, raw)
    message = pb.Report.FromString(raw)
    del message.openings[-1]
    stage.hold(
        t("scene.credit.shortened"), _refusal(played, encode(message)) in {"receipt.incomplete", "receipt.invalid"}
    )
    altered = bytearray(raw)
    altered[secrets.randbelow(len(altered))] ^= 1
    stage.hold(t("scene.credit.altered"), _refusal(played, bytes(altered)) != "")
    stage.facts |= {"report": str(path), "first": score.points, "first_grade": score.grade}
    return raw


async def _dispute(played: Play, first: bytes) -> None:
    """The person objects; the event is frozen; its source finds that it was less severe and corrects it."""
    stage, session = played.stage, played.session
    objection, after = played.log.objection(2)
    stage.hold(t("scene.credit.objected"), await code_of(session, [played.desk.service], objection) == "")
    played.log = after
    frozen = played.read(await played.report()).score()
    stage.hold(t("scene.credit.frozen", points=frozen.points), (frozen.points, frozen.frozen) == (685, 1))
    content = Content("minor", played.today - 3, played.today - 1)
    correction, after = played.log.correction(2, content)
    refused = await code_of(session, [played.charity.signer], correction)
    stage.hold(t("scene.credit.other-source", code=refused), refused == "credit.other-source")
    stage.hold(t("scene.credit.corrected"), await code_of(session, [played.market.signer], correction) == "")
    played.log = after
    corrected = played.read(await played.report()).score()
    stage.hold(
        t("scene.credit.rescored", points=corrected.points, grade=corrected.grade),
        (corrected.points, corrected.grade) == (665, "B"),
    )
    old = played.read(first)
    stage.hold(t("scene.credit.old-report"), old.score().points == stage.facts["first"])


async def _repair(played: Play) -> None:
    """The duty is fulfilled: the source repairs the event, which then counts nothing and cannot be disputed."""
    stage, session = played.stage, played.session
    repaired = pb.AnswerEvent(slot=played.log.opened.slots[2], status=pb.EVENT_STATUS_REPAIRED)
    kept = pb.AnswerEvent(slot=played.log.opened.slots[1], status=pb.EVENT_STATUS_KEPT)
    code = await code_of(session, [played.market.signer], repaired, kept)
    stage.hold(t("scene.credit.repaired"), code == "")
    objection, _ = played.log.objection(2)
    refused = await code_of(session, [played.desk.service], objection)
    stage.hold(t("scene.credit.no-dispute", code=refused), refused == "credit.final")
    score = played.read(await played.report()).score()
    stage.hold(
        t("scene.credit.restored", points=score.points, grade=score.grade), (score.points, score.grade) == (710, "B")
    )
    stage.facts |= {"last": score.points, "last_grade": score.grade}


async def _apart(played: Play) -> None:
    """Read every block: no value stands in two events, so nobody can tell which belong together."""
    target = (await played.session.checkpoint()).height
    slots_of: dict[bytes, set[bytes]] = {}
    async for block in played.session.blocks():
        for transaction in block.transactions:
            for one in transaction.operations:
                if one.type == RECORD_EVENT:
                    event = pb.RecordEvent.FromString(one.body)
                    for value in (event.slot, event.content, event.next, event.objection):
                        slots_of.setdefault(value, set()).add(event.slot)
        if block.block.height >= target:
            break
    is_apart = len(slots_of) > len(played.log.opened.openings) and all(len(slots) == 1 for slots in slots_of.values())
    played.stage.hold(t("scene.credit.unlinked", count=len(slots_of)), is_apart)


def _refusal(played: Play, raw: bytes) -> str:
    """With which code a report is refused; "" if it is not."""
    try:
        played.read(raw)
    except LedgerError as error:
        return error.code
    return ""
