# SPDX-License-Identifier: Apache-2.0
"""The explorer for programs, under /v1: the same data as its pages. Problems are documents, reads need no account."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from chain import receipt_text
from chain.errors import Refused
from chain.signing import Scheme
from service.explorer import queries
from service.explorer.part import Explorer
from service.explorer.problems import ABSENT, TOO_LONG
from service.explorer.pulse import health, now_ms
from service.explorer.queries import LEAF_MAX, PAGE_SIZE, PAGE_SIZE_MAX, Filter
from service.explorer.receipt_codes import TooManyParts, codes_svg
from service.explorer.references import block_reference, identifier
from service.explorer.words import describe
from service.language import LANGUAGES
from service.pages import address_with
from service.problems import Problem
from service.turns import Turns

VERSION_CHARACTERS_MAX = 40
"""Of what a node calls its version: it may say what it likes."""
RECEIPT_TYPES = {"binary": "application/octet-stream", "json": "application/json", "compact": "text/plain"}
RECEIPT_ENDINGS = {"binary": "receipt", "json": "json", "compact": "txt"}
IMMUTABLE = {"cache-control": "public, max-age=3600"}
DRAWINGS_WAITING_MAX = 16
"""A QR code takes a processor for a tenth of a second: one at a time."""
OPERATIONS_MAX = 1 << 16
"""Above every index of an operation in a transaction."""


class BlockModel(BaseModel):
    """A certified block."""

    height: int
    id: str
    epoch: int
    view: int
    time_ms: int
    first_leaf: int
    transactions: int
    operations: int


class TransactionModel(BaseModel):
    """A transaction's place and outcome; `failure` is empty where it took effect."""

    id: str
    leaf_index: int
    height: int
    time_ms: int
    operations: int
    first_type: str
    signers: list[str]
    organisations: list[str]
    failure: str


class OperationModel(BaseModel):
    """One operation; body and words are there only while a node gives the proven transaction."""

    type: str
    body: str | None
    words: dict[str, str]


class TransactionDetailModel(TransactionModel):
    """A transaction with its operations."""

    content: list[OperationModel]


class OrganisationModel(BaseModel):
    """An organisation as it stands in the proven state."""

    id: str
    name_zh: str
    name_en: str
    roles: list[str]
    is_active: bool
    proven_at_height: int


class ReportModel(BaseModel):
    """What one node says of itself: its word alone."""

    address: str
    organisation: str
    answers: bool
    lied: bool
    epoch: int | None
    view: int | None
    certified_height: int | None
    executed_height: int | None
    version: str | None


class NetworkModel(BaseModel):
    """How the network does."""

    network: str
    name: str
    validators: int
    validators_answering: int
    validators_needed: int
    is_recording: bool
    last_certified_ms: int
    indexed_height: int
    indexed_ms: int
    transactions: int
    nodes: list[ReportModel]


class BeatModel(BaseModel):
    """One block as it came to this service."""

    height: int
    time_ms: int
    transactions: int
    latency_ms: int


class LiveModel(BaseModel):
    """The newest blocks, oldest first."""

    answering: int
    validators: int
    is_recording: bool
    indexed_height: int
    last_certified_ms: int
    transactions: int
    beats: list[BeatModel]


Size = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="At most so many")]
Before = Annotated[int | None, Query(ge=0, lt=LEAF_MAX, description="Only what stands before this place")]


def api_router(explorer: Explorer) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["explorer"])
    _add_network(router, explorer)
    _add_ledger(router, explorer)
    _add_receipts(router, explorer)
    return router


def _add_network(router: APIRouter, explorer: Explorer) -> None:
    @router.get("/network", operation_id="getNetwork", summary="How the network does")
    async def network() -> NetworkModel:
        reports = await explorer.reports.get()
        found = health(reports, explorer.ledger.session.trust.validator_count, explorer.watched.last_ms, now_ms())
        _, transactions, _ = await run_in_threadpool(explorer.explored.totals)
        genesis = explorer.network.genesis
        return NetworkModel(
            network=genesis.network.hex(),
            name=genesis.name,
            validators=found.validators,
            validators_answering=found.answering,
            validators_needed=found.needed,
            is_recording=found.is_recording,
            last_certified_ms=found.last_ms,
            indexed_height=explorer.index.height(),
            indexed_ms=explorer.index.indexed_ms(),
            transactions=transactions,
            nodes=[
                ReportModel(
                    address=report.address,
                    organisation=explorer.ledger.organisation_at.get(report.address, ""),
                    answers=report.status is not None,
                    lied=bool(report.lie),
                    epoch=None if report.status is None else report.status.epoch,
                    view=None if report.status is None else report.status.view,
                    certified_height=None if report.status is None else report.status.certified_height,
                    executed_height=None if report.status is None else report.status.executed_height,
                    version=None if report.status is None else report.status.version[:VERSION_CHARACTERS_MAX],
                )
                for report in reports
            ],
        )

    @router.get("/network/live", operation_id="getNetworkLive", summary="The newest blocks as they came")
    async def live() -> LiveModel:
        reports = await explorer.reports.get()
        found = health(reports, explorer.ledger.session.trust.validator_count, explorer.watched.last_ms, now_ms())
        _, transactions, _ = await run_in_threadpool(explorer.explored.totals)
        beats = [
            BeatModel(height=b.height, time_ms=b.time_ms, transactions=b.transactions, latency_ms=b.latency_ms)
            for b in explorer.watched.beats
        ]
        return LiveModel(
            answering=found.answering,
            validators=found.validators,
            is_recording=found.is_recording,
            indexed_height=explorer.index.height(),
            last_certified_ms=found.last_ms,
            transactions=transactions,
            beats=beats,
        )

    @router.get(
        "/genesis",
        operation_id="getGenesis",
        summary="The network's genesis file, byte for byte",
        response_class=Response,
        responses={200: {"content": {"application/json": {}}}},
    )
    async def genesis() -> Response:
        return Response(explorer.network.raw, media_type="application/json", headers=IMMUTABLE)


def _add_ledger(router: APIRouter, explorer: Explorer) -> None:
    @router.get("/blocks", operation_id="listBlocks", summary="Blocks, newest first")
    async def blocks(before: Before = None, size: Size = PAGE_SIZE) -> list[BlockModel]:
        rows = await run_in_threadpool(explorer.explored.blocks, before, size)
        return [block_model(row) for row in rows[:size]]

    @router.get("/blocks/{reference}", operation_id="getBlock", summary="A block by height or id")
    async def block(reference: str) -> BlockModel:
        row = await run_in_threadpool(explorer.explored.block, block_reference(reference))
        if row is None:
            raise Problem(ABSENT)
        return block_model(row)

    @router.get(
        "/transactions",
        operation_id="listTransactions",
        summary="Transactions, newest first; the header Link leads to older ones, also from an empty page",
    )
    async def transactions(
        request: Request,
        response: Response,
        before: Before = None,
        size: Size = PAGE_SIZE,
        kind: Annotated[str | None, Query(max_length=128, description="A type of operation")] = None,
        organisation: Annotated[str | None, Query(max_length=64, description="Whose key signed")] = None,
        failed: Annotated[bool | None, Query(description="Only refused ones, or only others")] = None,
    ) -> list[TransactionModel]:
        wanted = Filter(kind, organisation, failed)
        page = await run_in_threadpool(explorer.explored.transactions, wanted, before=before, size=size)
        if page.before is not None:
            response.headers["link"] = f'<{address_with(request, before=page.before)}>; rel="next"'
        return [TransactionModel(**_fields(row)) for row in page.rows]

    @router.get("/transactions/{transaction_id}", operation_id="getTransaction", summary="A transaction by id")
    async def transaction(transaction_id: str) -> TransactionDetailModel:
        row = await run_in_threadpool(explorer.explored.transaction, identifier(transaction_id))
        if row is None:
            raise Problem(ABSENT)
        proven = await explorer.ledger.operations(row.id)
        content = []
        for item in proven:
            operation = item.inclusion.operation
            words: dict[str, str] = {
                name: describe(explorer.describers, name, operation.type, operation.body) for name in LANGUAGES
            }
            content.append(OperationModel(type=operation.type, body=operation.body.hex(), words=words))
        return TransactionDetailModel(**_fields(row), content=content)

    @router.get("/organisations", operation_id="listOrganisations", summary="Organisations, from proven state")
    async def organisations() -> list[OrganisationModel]:
        found = await explorer.ledger.organisations()
        return [
            OrganisationModel(
                id=one.id,
                name_zh=one.name_zh,
                name_en=one.name_en,
                roles=list(one.roles),
                is_active=one.is_active,
                proven_at_height=found.height,
            )
            for one in found.by_id.values()
        ]


def _add_receipts(router: APIRouter, explorer: Explorer) -> None:
    drawing = Turns(1, DRAWINGS_WAITING_MAX)

    async def fetch(transaction_id: str, operation: int) -> bytes:
        try:
            raw = await explorer.ledger.receipt(identifier(transaction_id), operation)
        except Refused:
            raise Problem(ABSENT) from None
        if raw is None:
            raise Problem(ABSENT)
        return raw

    @router.get(
        "/transactions/{transaction_id}/operations/{operation}/receipt",
        operation_id="getReceipt",
        summary="The receipt of one operation, which anybody can check offline",
        response_class=Response,
        responses={200: {"content": {media: {} for media in RECEIPT_TYPES.values()}}},
    )
    async def receipt(
        transaction_id: str,
        operation: Annotated[int, Path(ge=0, lt=OPERATIONS_MAX, description="Which operation, from 0")],
        form: Annotated[Literal["binary", "json", "compact"], Query(description="How it is written")] = "binary",
    ) -> Response:
        raw = await fetch(transaction_id, operation)
        written = {
            "binary": lambda: raw,
            "json": lambda: receipt_text.to_json(raw).encode(),
            "compact": lambda: compact_text(raw).encode(),
        }[form]()
        name = f"{transaction_id[:16]}-{operation}.{RECEIPT_ENDINGS[form]}"
        headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-cache"}
        return Response(written, media_type=RECEIPT_TYPES[form], headers=headers)

    @router.get(
        "/transactions/{transaction_id}/operations/{operation}/receipt.svg",
        operation_id="getReceiptImage",
        summary="The same receipt as a QR code, or as several where one can't hold it",
        response_class=Response,
        responses={200: {"content": {"image/svg+xml": {}}}},
    )
    async def image(
        transaction_id: str,
        operation: Annotated[int, Path(ge=0, lt=OPERATIONS_MAX, description="Which operation, from 0")],
    ) -> Response:
        raw = await fetch(transaction_id, operation)
        async with drawing.turn():
            drawn = await run_in_threadpool(qr_svg, raw)
        return Response(drawn, media_type="image/svg+xml", headers={"cache-control": "no-cache"})


def qr_svg(receipt: bytes) -> bytes:
    """A receipt's compact text as QR codes: one, or several that belong together.

    Raises:
        Problem: It is too long for them.
    """
    try:
        return codes_svg(compact_text(receipt))
    except TooManyParts:
        raise Problem(TOO_LONG) from None


def compact_text(receipt: bytes) -> str:
    """A receipt's compact text.

    Raises:
        Problem: It is too long for one.
    """
    if len(receipt) > receipt_text.COMPACT_BYTES_MAX:
        raise Problem(TOO_LONG)
    return receipt_text.to_compact(receipt)


def block_model(row: queries.BlockRow) -> BlockModel:
    """A block as programs see it."""
    return BlockModel(
        height=row.height,
        id=row.id.hex(),
        epoch=row.epoch,
        view=row.view,
        time_ms=row.time_ms,
        first_leaf=row.first_leaf,
        transactions=row.transactions,
        operations=row.operations,
    )


def signer_text(signer: bytes) -> str:
    """A signer as people and programs read it: `ed25519:<hex>`."""
    return f"{Scheme(signer[0]).name.lower().replace('_', '-')}:{signer[1:].hex()}"


def _fields(row: queries.TransactionRow) -> dict[str, Any]:
    return {
        "id": row.id.hex(),
        "leaf_index": row.leaf_index,
        "height": row.height,
        "time_ms": row.time_ms,
        "operations": row.operations,
        "first_type": row.first_type,
        "signers": [signer_text(signer) for signer in row.signers],
        "organisations": list(row.organisations),
        "failure": row.failure,
    }
