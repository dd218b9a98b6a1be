# SPDX-License-Identifier: Apache-2.0
"""What becomes of a trader's records: read and signed, listed, explained where the ledger refused, labelled.

Here, too, are acts beside events: whom a participant lets sign in its name.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from chain.codec import encode
from chain.transaction import Operation
from service.language import LANGUAGES, Language, language_of, translate
from service.problems import Problem
from service.redirects import local_path
from service.sign_in.access import Require
from service.sign_in.acts import State
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer
from service.wording import day, instant
from traceability.api.labels import Label, label_sheet, label_svg
from traceability.api.trader import notices, recording
from traceability.api.trader.ground import (
    PATH,
    Here,
    Present,
    TradeOfficer,
    acts_of,
    desk_of,
    names_of,
    office_here,
    show,
)
from traceability.api.trader.pages import SIGN_PATH, signing_of
from traceability.api.trader.problems import UNKNOWN
from traceability.api.trader.recording import OVER, Record
from traceability.api.trader.standing import read_state
from traceability.api.trader.steps import Step, party_of
from traceability.api.trader.words import STEP_WORDS, discrepancy_words, goods_words, named_goods, refusal_of
from traceability.documents.names import CHINA, Names, code_of
from traceability.events import event_key, load_event
from traceability.participants import AGENTS_MAX
from traceability.pb import traceability_pb2 as pb

RECORDS: Final = f"{PATH}/records"
ACT: Final = f"{PATH}/act"
LABELS_ON_SHEET: Final = 21

Signer = Annotated[Officer, Depends(Require(Permission.TRADE))]
Text = Annotated[str, Form(max_length=400)]


def record_router() -> APIRouter:
    """The routes of records, notices and agents."""
    router = APIRouter(include_in_schema=False)
    _add_signing(router)
    _add_records(router)
    _add_labels(router)
    _add_agents(router)
    return router


def _add_signing(router: APIRouter) -> None:
    @router.get(SIGN_PATH + "/{record_id}")
    def sign(record_id: str, request: Request, officer: TradeOfficer) -> Response:
        found = recording.find(desk_of(request), officer, record_id)
        if found.state != State.PREPARED:
            return RedirectResponse(f"{RECORDS}/{record_id}", 303)
        return _sign_page(request, officer, found.act_id, f"{RECORDS}/{record_id}")

    @router.get(ACT + "/{act_id}")
    def sign_act(act_id: str, request: Request, officer: TradeOfficer, back: str = PATH) -> Response:
        home = local_path(back, PATH)
        act = acts_of(request).find(office_here(request), officer, act_id)
        if act.state != State.PREPARED:
            return RedirectResponse(home if act.state == State.DONE else f"/acts/{act_id}", 303)
        return _sign_page(request, officer, act_id, home)


def _sign_page(request: Request, officer: Officer, act_id: str, back: str) -> Response:
    """An act in words, with the button that asks for the passkey."""
    act = acts_of(request).find(office_here(request), officer, act_id)
    sentences = act.words[language_of(request)]
    return show(request, officer, "trade/sign.html", act=act, sentences=sentences, back=back)


def _add_records(router: APIRouter) -> None:
    @router.get(RECORDS)
    def records(request: Request, officer: TradeOfficer) -> Response:
        desk = desk_of(request)
        found = recording.listed(desk, officer)
        names = _names(request, found)
        words = {one.id: goods_words(names, named_goods(one.step, one.projection)) for one in found}
        return show(
            request, officer, "trade/records.html", records=found, words=words, step_words=STEP_WORDS, names=names
        )

    @router.get(RECORDS + "/{record_id}")
    async def record(record_id: str, request: Request, officer: TradeOfficer) -> Response:
        desk, language = desk_of(request), language_of(request)
        found = await run_in_threadpool(recording.find, desk, officer, record_id)
        differences: list[str] = []
        if found.state == State.DONE and found.step is Step.RECEIVE:
            state = await read_state(desk.reads, [event_key(found.event)])
            stands = load_event(state.get, found.event)
            names = await run_in_threadpool(_names, request, [found])
            if stands is not None:
                differences = [discrepancy_words(language, names, one) for one in stands.discrepancies]
        act = None
        if found.state != OVER:
            act = await run_in_threadpool(acts_of(request).find, office_here(request), officer, found.act_id)
        item = _new_lot(found)
        return show(
            request,
            officer,
            "trade/record.html",
            record=found,
            step_words=STEP_WORDS,
            sentences=() if act is None else act.words[language],
            differences=differences,
            refusal=refusal_of(found.code),
            uri=f"{desk.context.origin}/{item}" if item else "",
            is_over=found.state == OVER,
        )

    @router.post(RECORDS + "/{record_id}/again")
    def again(record_id: str, request: Request, present: Here) -> Response:
        recording.prepare_again(signing_of(request, present), record_id)
        return RedirectResponse(f"{SIGN_PATH}/{record_id}", 303)

    @router.get(RECORDS + "/{record_id}/photo")
    def photo(record_id: str, request: Request, officer: TradeOfficer) -> Response:
        content = recording.picture(desk_of(request), officer, record_id)
        if not content:
            raise Problem(UNKNOWN)
        return Response(content, media_type="image/jpeg", headers={"cache-control": "private, no-store"})

    @router.post(PATH + "/notices/{notice_id}/acknowledge")
    def acknowledge(notice_id: str, request: Request, present: Here) -> Response:
        notices.acknowledge(desk_of(request), present.officer, present.trader, notice_id)
        return RedirectResponse(PATH, 303)


def _names(request: Request, records: Sequence[Record]) -> Names:
    """Names of what some records mention."""
    with desk_of(request).context.reading() as connection:
        return names_of(
            connection,
            language_of(request),
            glns=[gln for one in records for gln in (one.actor, one.projection.counterparty)],
            items=[line.item for one in records for line in (*one.projection.lines, *one.projection.outputs)],
        )


def _add_labels(router: APIRouter) -> None:
    @router.get(RECORDS + "/{record_id}/label.svg")
    def label(record_id: str, request: Request, officer: TradeOfficer) -> Response:
        uri, _ = _labelled(request, officer, record_id)
        return Response(label_svg(uri), media_type="image/svg+xml", headers={"cache-control": "private, no-store"})

    @router.get(RECORDS + "/{record_id}/labels.pdf")
    def labels(record_id: str, request: Request, officer: TradeOfficer) -> Response:
        uri, found = _labelled(request, officer, record_id)
        language = language_of(request)
        names = _names(request, [found])
        item = _new_lot(found)
        when = day(language, instant(found.projection.event_time_ms), CHINA)
        one = Label(uri, names.product(item), (code_of(item), when))
        made_at = datetime.fromtimestamp(desk_of(request).context.now() / 1000, UTC)
        content = label_sheet(translate(language, "trade.labels"), [one] * LABELS_ON_SHEET, language, made_at)
        headers = {"content-disposition": f'attachment; filename="labels-{record_id[:8]}.pdf"'}
        return Response(content, media_type="application/pdf", headers=headers)


def _labelled(request: Request, officer: Officer, record_id: str) -> tuple[str, Record]:
    """The link that a new lot's labels carry.

    Raises:
        Problem: It made no lot that stands on the ledger.
    """
    desk = desk_of(request)
    found = recording.find(desk, officer, record_id)
    item = _new_lot(found)
    if not item or found.state != State.DONE:
        raise Problem(UNKNOWN)
    return f"{desk.context.origin}/{item}", found


def _new_lot(record: Record) -> str:
    """The lot that a harvest or a processing made, the first of several; empty: none."""
    lines = {Step.HARVEST: record.projection.lines, Step.MAKE: record.projection.outputs}.get(record.step)
    return lines[0].item if lines else ""


# ---------------------------------------------------------------- agents


def _add_agents(router: APIRouter) -> None:
    async def page(request: Request, present: Present, errors: Mapping[str, str], entered: str = "") -> Response:
        own = present.trader.own
        desk, language = desk_of(request), language_of(request)

        def read() -> Names:
            with desk.context.reading() as connection:
                return names_of(connection, language, glns=[own.gln, *own.agents, *present.trader.principals])

        names = await run_in_threadpool(read)
        return show(
            request,
            present.officer,
            "trade/agents.html",
            status=422 if errors else 200,
            own=own,
            principals=present.trader.principals,
            names=names,
            errors=errors,
            entered=entered,
        )

    @router.get(PATH + "/agents")
    async def agents(request: Request, present: Here) -> Response:
        return await page(request, present, {})

    @router.post(PATH + "/agents")
    async def change(
        request: Request, present: Here, add: Text = "", remove: Annotated[str, Form(max_length=13)] = ""
    ) -> Response:
        own, language = present.trader.own, language_of(request)
        added = party_of(add)
        wanted = sorted(({*own.agents} | ({added} if added else set())) - {remove})
        if (add and not added) or added == own.gln:
            return await page(request, present, {"add": translate(language, "trade.wrong-partner")}, add)
        if len(wanted) > AGENTS_MAX:
            return await page(request, present, {"add": translate(language, "trade.wrong-agents")}, add)
        if wanted == list(own.agents):
            return RedirectResponse(f"{PATH}/agents", 303)
        operation = Operation.make("traceability.SetAgents", encode(pb.SetAgents(participant=own.gln, agents=wanted)))
        words = await run_in_threadpool(_agent_words, request, wanted)
        act_id = await run_in_threadpool(
            acts_of(request).prepare, office_here(request), present.officer, [operation], words
        )
        return RedirectResponse(f"{ACT}/{act_id}?back={quote(PATH + '/agents', safe='/')}", 303)


def _agent_words(request: Request, agents: Sequence[str]) -> dict[Language, list[str]]:
    """What naming agents does, in both languages."""
    found: dict[Language, list[str]] = {}
    with desk_of(request).context.reading() as connection:
        for language in LANGUAGES:
            names = names_of(connection, language, glns=agents)
            listed = ("、" if language == "zh-CN" else ", ").join(f"{names.participant(gln)} ({gln})" for gln in agents)
            first = translate(language, "trade.act-agents", agents=listed) if agents else ""
            found[language] = [
                first or translate(language, "trade.act-no-agents"),
                translate(language, "trade.act-agents-about"),
            ]
    return found
