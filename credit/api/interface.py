# SPDX-License-Identifier: Apache-2.0
"""`/v1/credit`: how organisations' own systems attest events, read what people let them read, and ask about grades.

Numbers of persons travel in bodies alone, never in an address, and no answer repeats one. Bodies hold enumerations,
days, digests and handles: there is no field that takes words about a person.
"""

from base64 import b64decode, b64encode
from datetime import date
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from chain.signing import Scheme, Signer
from credit.api import accesses, batches, consents
from credit.api.base import HANDLE_CHARACTERS, SCORECARD, CreditContext, credit_of, day_of
from credit.api.benefits import ask_benefit
from credit.api.clients import Client, find_client
from credit.api.consents import Proven
from credit.api.drawing import BATCH_EVENTS_MAX, REFERENCE_CHARACTERS_MAX, Wanted
from credit.api.grades import grade_credential, meets
from credit.api.problems import BEARER, NO_SCORECARD, REPORT, UNKNOWN_SUBJECT
from credit.api.reading import PURPOSES, StoredAccesses, notices_for
from credit.api.reports import make_report, report_for
from credit.api.subjects import NUMBER_CHARACTERS_MAX, look_up
from credit.api.tables import CreditBatch
from credit.scorecards import scorecard_key
from credit.slots import EVIDENCE_BYTES, Content
from service.problems import Problem

PREFIX: Final = "/v1/credit/"
SHOWN_PATH: Final = PREFIX + "benefits"
SHOWN_BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""A shown report of 4,096 events, 1.3 KB each, in base64; no other body is larger than a form."""
_SHOWN_CHARACTERS_MAX: Final = SHOWN_BODY_BYTES_MAX - 1024

_bearer = HTTPBearer(auto_error=False, description="The key of an organisation's system.")
Handle = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{HANDLE_CHARACTERS}}}$", description="The caller's handle")]
PurposeName = Literal["trust-approval", "deposit-waiver", "tender"]
assert set(PURPOSES) == set(PurposeName.__args__), "the interface names each purpose"  # type: ignore[attr-defined]  # a typing form


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NumberBody(_Body):
    """Whom the caller means."""

    number: Annotated[str, Field(min_length=4, max_length=NUMBER_CHARACTERS_MAX)]


class SubjectAnswer(BaseModel):
    """What the caller calls this subject from now on; other organisations' handles differ."""

    subject: str
    kind: str


class SignerBody(_Body):
    """The key that will sign."""

    scheme: Literal["ed25519", "p256"]
    public_key: Annotated[str, Field(pattern="^([0-9a-f]{64}|[0-9a-f]{66})$")]

    @property
    def signer(self) -> Signer:
        """As the ledger names it."""
        scheme = Scheme.ED25519 if self.scheme == "ed25519" else Scheme.P256
        return Signer(scheme, bytes.fromhex(self.public_key))


class EventBody(_Body):
    """One event. `evidence` is SHA-256 of a document with a salt of its own."""

    subject: Handle
    event_class: Annotated[int, Field(ge=1, le=65_535, alias="class")]
    severity: Literal["none", "minor", "general", "serious"] = "none"
    occurred: date
    document: date
    due: date | None = None
    evidence: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    reference: Annotated[str, Field(pattern=rf"^[A-Za-z0-9._/-]{{1,{REFERENCE_CHARACTERS_MAX}}}$")]


class BatchBody(_Body):
    """Events that one signature will cover."""

    signer: SignerBody
    events: Annotated[list[EventBody], Field(min_length=1, max_length=BATCH_EVENTS_MAX)]


class DrawnEvent(BaseModel):
    """Where an event will stand, and what opens its content for whoever attested it."""

    reference: str
    slot: str
    content: str
    content_salt: str


class PreparedBatch(BaseModel):
    """A batch that waits for its signature over `to_sign`; `operations` are what the header covers."""

    batch: str
    to_sign: str
    header: str
    operations: list[str]
    expires_ms: int
    events: list[DrawnEvent]


class SignatureBody(_Body):
    """The source's signature."""

    signature: Annotated[str, Field(pattern="^[0-9a-f]{128}$")]


class BatchAnswer(BaseModel):
    """What became of a batch. `receipt` proves it to anybody who has the genesis file."""

    batch: str
    state: Literal["prepared", "signed", "done", "refused", "expired"]
    count: int
    ledger_code: str
    receipt: str


class ReadBody(_Body):
    """Whose, and what for."""

    subject: Handle
    purpose: PurposeName


class ConsentShown(BaseModel):
    """The consent by which something was read, in hex; `receipt` (base64) proves its state on the ledger.

    `content` (`ConsentContent`) and `salt` open the commitment. Whoever reveals `party_proof` ends the consent.
    """

    content: str
    salt: str
    party_proof: str
    receipt: str


class ReportAnswer(BaseModel):
    """A report as bytes of `credit.pb.Report`, complete; events outside the purpose keep back their content."""

    access: str
    consent: ConsentShown
    report: str
    events: int
    withheld: int
    checkpoint_ms: int
    claim: str


class CheckAnswer(BaseModel):
    """Whether the purpose's grade is met; the credential proves it and shows nothing else. It is empty if not met.

    It names its subject by the caller's handle, and no key: what is the same at two callers would join their people.
    """

    access: str
    consent: ConsentShown
    met: bool
    at_least: str
    credential: str


class BenefitBody(ReadBody):
    """A benefit asked for, with the report that its holder signed for the caller."""

    shown: Annotated[str, Field(max_length=_SHOWN_CHARACTERS_MAX, description="Bytes of ShownReport, base64")]
    nonce: Annotated[str, Field(pattern="^([0-9a-f]{2}){16,64}$", description="What the caller gave the holder")]


class BenefitAnswer(BaseModel):
    """A benefit's request; an officer decides it. `lost` are classes that took most, with the points they took."""

    request: str
    grade: str
    met: bool
    lost: list[tuple[int, int]]


class NoticeAnswer(BaseModel):
    """Something that a report showed is no longer so."""

    id: str
    report: str
    slot: str
    status: str


class ScorecardAnswer(BaseModel):
    """The scorecard in use. `receipt` proves it."""

    number: int
    version: int
    document: str
    receipt: str


CLAIM_KEY: Final = "credit-page.claim"
CLAIM: Final = "Nothing recorded in this log up to this checkpoint is left out."
"""What a report proves, in these words; not that a source recorded all that it knew."""


async def _caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Client:
    if credentials is None:
        raise Problem(BEARER, headers={"WWW-Authenticate": "Bearer"})
    return await run_in_threadpool(find_client, credit_of(request), credentials.credentials)


Caller = Annotated[Client, Depends(_caller)]
Context = Annotated[CreditContext, Depends(credit_of)]


def interface_router() -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["credit"], prefix=PREFIX.rstrip("/"))
    _add_attesting(router)
    _add_reading(router)
    return router


def _add_attesting(router: APIRouter) -> None:
    @router.post("/subjects", operation_id="findSubject", summary="The caller's handle of a person or company")
    async def subject(asked: NumberBody, context: Context, client: Caller) -> SubjectAnswer:
        may_attest = bool(await run_in_threadpool(context.index.rights, client.organisation))

        def find() -> tuple[str, str]:
            with context.store.read() as session:
                try:
                    row = look_up(context, session, client.organisation, asked.number)
                except Problem as problem:
                    if may_attest or problem.kind is not UNKNOWN_SUBJECT:
                        raise
                    return "", ""  # the same answer in the same way as for somebody who did not consent
                return row.id, row.kind

        subject_id, kind = await run_in_threadpool(find)
        if not may_attest:
            try:
                await consents.check(context, subject_id, client.organisation)
            except Problem:
                if subject_id:  # counted like somebody who is not here
                    context.misses.add(client.organisation)
                raise Problem(UNKNOWN_SUBJECT) from None

        def note() -> None:
            with context.store.write() as session:
                StoredAccesses(context).note_handle(session, subject_id, client.organisation)

        await run_in_threadpool(note)
        return SubjectAnswer(subject=context.handle_of(client.organisation, subject_id), kind=kind)

    @router.post("/events", operation_id="prepareEvents", summary="Draw slots for events to be signed", status_code=201)
    async def events(body: BatchBody, context: Context, client: Caller) -> PreparedBatch:
        wanted = [_wanted(context, client.organisation, one) for one in body.events]
        made = await batches.prepare(context, client.id, client.organisation, wanted, body.signer.signer)
        drawn = [
            DrawnEvent(
                reference=one.reference,
                slot=event.slot.hex(),
                content=event.opening.content.hex(),
                content_salt=event.opening.content_salt.hex(),
            )
            for one, event in zip(body.events, made.drawn.events, strict=True)
        ]
        return PreparedBatch(
            batch=made.drawn.batch_id,
            to_sign=b64encode(made.to_sign).decode(),
            header=b64encode(made.header).decode(),
            operations=[b64encode(one.raw).decode() for one in made.drawn.operations],
            expires_ms=made.expires_ms,
            events=drawn,
        )

    @router.post("/events/{batch}/signature", operation_id="signEvents", summary="Sign a batch and record it")
    async def sign(batch: str, body: SignatureBody, context: Context, client: Caller) -> BatchAnswer:
        return _batch(await batches.send(context, client.organisation, batch, bytes.fromhex(body.signature)))

    @router.get("/events/{batch}", operation_id="getEvents", summary="What became of a batch")
    async def read(batch: str, context: Context, client: Caller) -> BatchAnswer:
        return _batch(await run_in_threadpool(batches.load_batch, context, client.organisation, batch))

    @router.get("/notices", operation_id="listNotices", summary="What changed in reports that the caller received")
    async def notices(context: Context, client: Caller) -> list[NoticeAnswer]:
        found = await run_in_threadpool(notices_for, context, client.organisation)
        return [NoticeAnswer(id=one.id, report=one.report, slot=one.slot, status=one.status) for one in found]


def _add_reading(router: APIRouter) -> None:
    @router.get("/scorecard", operation_id="getScorecard", summary="The scorecard in use, with its proof")
    async def scorecard(context: Context) -> ScorecardAnswer:
        found = await run_in_threadpool(context.index.scorecard, SCORECARD)
        if found is None:
            raise Problem(NO_SCORECARD)
        proof = await context.ledger.prove([scorecard_key(SCORECARD, found[0])])
        return ScorecardAnswer(
            number=SCORECARD,
            version=found[0],
            document=found[1].decode("ascii"),
            receipt=b64encode(proof.receipt).decode(),
        )

    @router.post("/reports", operation_id="makeReport", summary="A report that its subject consented to")
    async def report(body: ReadBody, context: Context, client: Caller) -> ReportAnswer:
        subject_id = context.subject_of(client.organisation, body.subject)
        found = await report_for(context, subject_id, client.organisation, body.purpose)
        made, entries = found.report, found.report.verified.entries
        return ReportAnswer(
            access=found.access,
            consent=_shown_consent(found.consent),
            report=b64encode(made.raw).decode(),
            events=len(entries),
            withheld=sum(entry.content is None for entry in entries),
            checkpoint_ms=made.verified.checkpoint.time_ms,
            claim=CLAIM,
        )

    @router.post("/checks", operation_id="checkGrade", summary="Whether a purpose's grade is met, and nothing else")
    async def check(body: ReadBody, context: Context, client: Caller) -> CheckAnswer:
        subject_id = context.subject_of(client.organisation, body.subject)

        organisation = client.organisation
        await consents.check(context, subject_id, organisation, body.purpose, "grade")
        made = await make_report(context, subject_id)

        def note() -> str:
            with context.store.write() as session:
                return StoredAccesses(context).note(session, subject_id, organisation, body.purpose, "grade", {})

        access = await run_in_threadpool(note)
        await accesses.entered(context, access)
        consent = await consents.check(context, subject_id, organisation, body.purpose, "grade")  # it may have ended
        least, met = PURPOSES[body.purpose].least, meets(made, body.purpose)
        credential = grade_credential(context, made, least, body.subject) if met else ""
        return CheckAnswer(
            access=access, consent=_shown_consent(consent), met=met, at_least=least, credential=credential
        )

    @router.post(
        "/benefits", operation_id="askBenefit", summary="Ask for a benefit with a shown report", status_code=201
    )
    async def benefit(body: BenefitBody, context: Context, client: Caller) -> BenefitAnswer:
        subject_id = context.subject_of(client.organisation, body.subject)
        try:
            shown = b64decode(body.shown, validate=True)
        except ValueError:
            raise Problem(REPORT) from None
        nonce = bytes.fromhex(body.nonce)
        asked = await run_in_threadpool(
            ask_benefit, context, client.organisation, subject_id, body.purpose, shown, nonce
        )
        return BenefitAnswer(request=asked.request_id, grade=asked.grade, met=asked.met, lost=list(asked.lost))


def _shown_consent(proven: Proven) -> ConsentShown:
    kept = proven.kept
    return ConsentShown(
        content=kept.content.hex(),
        salt=kept.salt.hex(),
        party_proof=kept.party.hex(),
        receipt=b64encode(proven.receipt).decode(),
    )


def _wanted(context: CreditContext, organisation: str, body: EventBody) -> Wanted:
    content = Content(
        body.severity,
        day_of(body.occurred),
        day_of(body.document),
        0 if body.due is None else day_of(body.due),
        bytes(EVIDENCE_BYTES) if body.evidence is None else bytes.fromhex(body.evidence),
    )
    return Wanted(context.subject_of(organisation, body.subject), body.event_class, content, body.reference)


def _batch(row: CreditBatch) -> BatchAnswer:
    return BatchAnswer(
        batch=row.id,
        state=row.state,  # type: ignore[arg-type]  # one of those; the table has a string
        count=row.count,
        ledger_code=row.code,
        receipt=b64encode(row.receipt).decode(),
    )
