# SPDX-License-Identifier: Apache-2.0
"""Recalls, withdrawals and their lifting: chosen, said in words, signed by an officer with their own passkey."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from google.protobuf.message import Message
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from chain.codec import encode
from chain.transaction import Operation
from service.language import LANGUAGES, Language, language_of, translate
from service.redirects import local_path
from service.sign_in.acts import State
from service.sign_in.sessions import Officer
from traceability.api.regulator import drills, queries
from traceability.api.regulator.ground import (
    PATH,
    Reader,
    Supervisor,
    acts_of,
    food_office,
    names_here,
    office_here,
    show,
)
from traceability.api.regulator.words import KIND_KEYS, REASON_KEYS, lift_words, recall_words
from traceability.api.trader.ground import names_of
from traceability.api.trader.steps import item_of
from traceability.documents.names import Names, code_of
from traceability.items import is_product
from traceability.pb import traceability_pb2 as pb
from traceability.recalls import ITEMS_MAX

RECALLS: Final = f"{PATH}/recalls"
SIGN: Final = f"{PATH}/sign"
RECALLED_MAX: Final = 256
"""Goods of one act: four operations, whose words and bytes an act holds. More are several acts."""
TEXT_CHARACTERS_MAX: Final = 40_000


def recall_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_list(router)
    _add_acts(router)
    return router


def items_in(text: str) -> tuple[list[str], list[str]]:
    """Goods, one on each line, as codes, links or products; and the lines that are none."""
    items: dict[str, None] = {}
    wrong: list[str] = []
    for line in text[:TEXT_CHARACTERS_MAX].splitlines():
        asked = line.strip()
        if not asked:
            continue
        product = asked if is_product(asked) else f"01/{asked}"
        found = item_of(asked) or (product if is_product(product) else "")
        if found:
            items[found] = None
        else:
            wrong.append(asked)
    return list(items), wrong


def _add_list(router: APIRouter) -> None:
    @router.get(RECALLS)
    async def recalls(request: Request, officer: Reader, item: str = "", drill: str = "") -> Response:
        items = [item] if item else []
        if drill:
            report, _ = await run_in_threadpool(drills.load, food_office(request).context, drill)
            items = list(report.lots)
        entered = {"items": "\n".join(items), "kind": str(pb.RECALL_KIND_RECALL), "reason": ""}
        return await run_in_threadpool(_page, request, officer, entered, {})

    @router.get(SIGN + "/{act_id}")
    def sign(act_id: str, request: Request, officer: Reader, back: str = RECALLS) -> Response:
        home = local_path(back, RECALLS)
        act = acts_of(request).find(office_here(request), officer, act_id)
        if act.state != State.PREPARED:
            return RedirectResponse(home if act.state == State.DONE else f"/acts/{act_id}", 303)
        sentences = act.words[language_of(request)]
        return show(request, officer, "regulator/sign.html", act=act, sentences=sentences, back=home)


def _page(request: Request, officer: Officer, entered: Mapping[str, str], errors: Mapping[str, str]) -> Response:
    with food_office(request).context.reading() as connection:
        standing = queries.recalls_of(connection)
        history = queries.recall_history(connection)
        named = [*standing, *history]
        names = names_here(request, connection, glns=[one.actor for one in named], items=[one.item for one in named])
    return show(
        request,
        officer,
        "regulator/recalls.html",
        status=422 if errors else 200,
        standing=standing,
        history=history,
        names=names,
        entered=entered,
        errors=errors,
        kind_keys=KIND_KEYS,
        reason_keys=REASON_KEYS,
        code_of=code_of,
        items_max=RECALLED_MAX,
    )


def _add_acts(router: APIRouter) -> None:
    @router.post(RECALLS)
    async def recall(request: Request, officer: Supervisor) -> Response:
        form = await request.form(max_files=0)
        language = language_of(request)
        items, errors = _items(form, language)
        kind, reason = _number(form, "kind", KIND_KEYS), _number(form, "reason", REASON_KEYS)
        if not kind:
            errors["kind"] = translate(language, "food-office.wrong-kind")
        if not reason:
            errors["reason"] = translate(language, "food-office.wrong-reason")
        if errors:
            entered = {name: _text(form, name) for name in ("items", "kind", "reason")}
            return await run_in_threadpool(_page, request, officer, entered, errors)
        messages = [
            pb.Recall(items=part, kind=pb.RecallKind.ValueType(kind), reason=pb.RecallReason.ValueType(reason))
            for part in _parts(items)
        ]

        def prepare() -> str:
            words = recall_words(kind, reason, items, _names(request, items))
            return _prepare(request, officer, messages, words)

        act_id = await run_in_threadpool(prepare)
        return RedirectResponse(f"{SIGN}/{act_id}?back={quote(RECALLS, safe='/')}", 303)

    @router.post(RECALLS + "/lift")
    async def lift(request: Request, officer: Supervisor) -> Response:
        form = await request.form(max_files=0)
        items, errors = _items(form, language_of(request))
        if errors:
            entered = {"items": _text(form, "items"), "kind": "", "reason": ""}
            return await run_in_threadpool(_page, request, officer, entered, errors)
        messages = [pb.LiftRecall(items=part) for part in _parts(items)]

        def prepare() -> str:
            return _prepare(request, officer, messages, lift_words(items, _names(request, items)))

        act_id = await run_in_threadpool(prepare)
        return RedirectResponse(f"{SIGN}/{act_id}?back={quote(RECALLS, safe='/')}", 303)


def _prepare(
    request: Request, officer: Officer, messages: Sequence[Message], words: Mapping[Language, Sequence[str]]
) -> str:
    """An act of some messages."""
    operations = [Operation.make(f"traceability.{one.DESCRIPTOR.name}", encode(one)) for one in messages]
    return acts_of(request).prepare(office_here(request), officer, operations, words)


def _names(request: Request, items: Sequence[str]) -> Callable[[Language], Names]:
    """Names of goods in both languages."""
    with food_office(request).context.reading() as connection:
        known = {language: names_of(connection, language, items=items) for language in LANGUAGES}
    return known.__getitem__


def _items(form: FormData, language: Language) -> tuple[list[str], dict[str, str]]:
    """Goods of a form, and what is wrong with them."""
    items, wrong = items_in(_text(form, "items"))
    if wrong:
        return items, {
            "items": translate(language, "food-office.wrong-items", items=", ".join(one[:60] for one in wrong[:3]))
        }
    if not 1 <= len(items) <= RECALLED_MAX:
        return items, {"items": translate(language, "food-office.wrong-count", most=RECALLED_MAX)}
    return items, {}


def _parts(items: Sequence[str]) -> list[Sequence[str]]:
    """As many at a time as one operation takes."""
    return [items[start : start + ITEMS_MAX] for start in range(0, len(items), ITEMS_MAX)]


def _number(form: FormData, name: str, known: Mapping[int, Any]) -> int:
    """A choice of a form; 0: none."""
    text = _text(form, name)
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 3 else 0
    return number if number in known else 0


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value[:TEXT_CHARACTERS_MAX] if isinstance(value, str) else ""
