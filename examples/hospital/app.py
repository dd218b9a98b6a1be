# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a program by itself, no package
"""A hospital's counter: scans the code that a patient shows, and asks their wallet for what the code does not say.

A code works without the patient's connection and tells a few claims. How old the status behind it is, the counter
shows: whether that is good enough is the hospital's decision, within what its purpose allows.
"""

import html
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from zhixin_rp import Answer, NotAnswered, Question, Refused, Unreachable, Verifier, person

REGISTRATION, EMERGENCY = 201, 202
"""Registering a patient; and the purpose for emergencies, which is answered also while the ledger is down."""
QUERY = person("family_name", "given_name", "birthdate", "address")
WAITING_MAX = 100
"""Patients at one counter."""

WORDS = {
    "again": ["I have agreed, go on", "我已同意，继续"],
    "failed": ["Not possible now", "暂时无法办理"],
    "failed-about": ["Nothing happened. Try again later.", "什么也没有发生。请稍后再试。"],
    "failed-details": ["For whoever runs this page", "供网站管理人员查看"],
    "next": ["Next patient", "下一位患者"],
    "counter": ["Counter", "挂号窗口"],
    "code": ["Scan the patient's code", "扫描患者出示的码"],
    "check": ["Check", "核验"],
    "ask": ["Ask the patient's wallet", "询问患者的钱包"],
    "emergency": ["Emergency", "急诊"],
    "not-answered": ["Not answered", "没有作答"],
    "scan": ["Have the patient scan this", "请患者扫码"],
    "scan-picture": ["QR code for the patient's wallet", "供患者的钱包扫描的二维码"],
    "patient": ["Patient", "患者"],
    "refused": ["Do not rely on this", "请勿采信"],
    "yes": ["yes", "是"],
    "no": ["no", "否"],
    "status-age": ["Status known as of $ s ago.", "所知状态为 $ 秒前。"],
    "status-unknown": ["The status was not known.", "状态未知。"],
    "verifier.not-answered": [
        "What we asked for was not shown, or is not as it must be: $.",
        "所要求的内容没有出示，或不符合要求：$。",
    ],
    "verifier.status-stale": [
        "Nobody knows at the moment whether the credential still counts.",
        "目前无法得知凭证是否仍然有效。",
    ],
    "verifier.status-unreachable": [
        "Nobody knows at the moment whether the credential still counts.",
        "目前无法得知凭证是否仍然有效。",
    ],
    "identity.credential-revoked": ["The credential was revoked.", "凭证已吊销。"],
    "identity.credential-suspended": ["The credential is suspended.", "凭证已暂停。"],
    "identity.qr-seen": ["This code was shown here before; each is good once.", "此码已在此出示过；每个码限用一次。"],
    "identity.qr-malformed": ["This is no code of a wallet.", "这不是钱包的码。"],
    "identity.token-expired": ["It is no longer valid.", "已过有效期。"],
    "wallet.access_denied": ["The holder did not agree.", "持有人没有同意。"],
    "other": ["A check failed ($).", "有一项核验未通过（$）。"],
    "claim.family_name": ["family name", "姓"],
    "claim.given_name": ["given name", "名"],
    "claim.birthdate": ["birth date", "出生日期"],
    "claim.age_over_18": ["18 or older", "年满十八岁"],
    "claim.address": ["residence", "居住地"],
}
"""What people read: English, Chinese."""
STYLE = (
    "<style>body{font:1.1rem/1.5 sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem}"
    "button,input{font:inherit;min-height:44px;padding:0 1rem;margin:.25rem 0}img{max-width:100%}dt{color:#555}</style>"
)
ICON = (
    '<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=%27http://www.w3.org/2000/svg%27 viewBox=%270 0 16 16%27%3E'
    '%3Cpath d=%27M6 1h4v5h5v4h-5v5H6v-5H1V6h5z%27/%3E%3C/svg%3E">'
)
"""In the page itself, so that browsers ask for none."""
AGAIN_SCRIPT = """
"use strict";
// Looks every two seconds whether there is an answer, and shows it. Without scripts the link below does.
setInterval(async () => {
  const page = await (await fetch(window.location.href)).text();
  if (!page.includes("/again.js")) window.location.reload();
}, 2000);
"""
"""What a page does while somebody's wallet is asked. A page that reloads itself would take screen readers back to its
beginning each time."""


@dataclass
class Counter:
    """One counter, in memory."""

    verifier: Verifier
    waiting: dict[str, Question] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)


def language_of(request: Request) -> str:
    """Which of the two the browser wishes first; English where it says neither."""
    for wish in request.headers.get("accept-language", "").lower().split(","):
        if wish.strip()[:2] in {"zh", "en"}:
            return "zh-CN" if wish.strip()[:2] == "zh" else "en"
    return "en"


def say(request: Request, name: str, *values: str) -> str:
    """A sentence in the reader's language, as HTML; values take the places of $, one after the other."""
    parts = WORDS[name][language_of(request) == "zh-CN"].split("$")
    assert len(parts) == len(values) + 1, name
    return html.escape(parts[0]) + "".join(
        html.escape(value + part) for value, part in zip(values, parts[1:], strict=True)
    )


def page(request: Request, title: str, body: str, *, again: bool = False) -> HTMLResponse:
    """A page in the reader's language; `again`: it looks for itself whether there is more to show."""
    more = f'<p><a href="">{say(request, "again")}</a></p><script src="/again.js"></script>' if again else ""
    title = say(request, title)
    return HTMLResponse(
        f'<!doctype html><html lang="{language_of(request)}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"{ICON}{STYLE}</head>"
        f"<body><main><h1>{title}</h1>{body}{more}</main></body></html>",
        headers={"cache-control": "no-store", "vary": "accept-language"},
    )


def make_app(counter: Counter) -> FastAPI:
    """The counter's web application."""
    app = FastAPI(openapi_url=None)

    @app.exception_handler(Refused)
    @app.exception_handler(Unreachable)
    def refused(request: Request, error: Exception) -> Response:
        details = f"<details><summary>{say(request, 'failed-details')}</summary>{html.escape(str(error))}</details>"
        return page(request, "failed", f"<p>{say(request, 'failed-about')}</p>{details}{next_patient(request)}")

    @app.get("/again.js")
    def again() -> Response:
        return Response(AGAIN_SCRIPT, media_type="text/javascript")

    @app.get("/")
    def home(request: Request) -> Response:
        return page(
            request,
            "counter",
            f'<form method="post" action="/code"><label>{say(request, "code")} '
            '<input name="code" autofocus autocomplete="off" maxlength="2000"></label>'
            f"<button>{say(request, 'check')}</button></form>"
            f'<form method="post" action="/ask"><button>{say(request, "ask")}</button></form>'
            f'<form method="post" action="/ask?emergency=1"><button>{say(request, "emergency")}</button></form>',
        )

    @app.post("/code")
    def code(request: Request, code: Annotated[str, Form(max_length=2_000)]) -> Response:
        return told(request, counter, counter.verifier.check_code(REGISTRATION, code.strip()), "code")

    @app.post("/ask")
    def ask(*, emergency: bool = False) -> Response:
        question = counter.verifier.ask(EMERGENCY if emergency else REGISTRATION, QUERY)
        if len(counter.waiting) >= WAITING_MAX:
            counter.waiting.pop(next(iter(counter.waiting)))
        counter.waiting[question.id] = question
        return RedirectResponse(f"/patients/{question.id}", 303)

    @app.get("/patients/{identifier}")
    def look(request: Request, identifier: str) -> Response:
        question = counter.waiting.get(identifier)
        if question is None:
            return RedirectResponse("/", 303)
        try:
            answer = counter.verifier.look(question)
        except NotAnswered:
            return page(request, "not-answered", next_patient(request))
        if answer is None:
            image = f'<img src="{html.escape(question.qr)}" alt="{say(request, "scan-picture")}">'
            return page(request, "scan", f"<p>{image}</p>", again=True)
        return told(request, counter, answer, "person")

    return app


def next_patient(request: Request) -> str:
    """The way on."""
    return f'<p><a href="/">{say(request, "next")}</a></p>'


def told(request: Request, counter: Counter, answer: Answer, name: str) -> Response:
    """What the counter shows."""
    counter.evidence[answer.content["jti"]] = answer.token
    if not answer.held:
        return page(request, "refused", reasons(request, answer) + next_patient(request))
    claims = "".join(
        f"<dt>{say(request, f'claim.{key}') if f'claim.{key}' in WORDS else html.escape(key)}</dt>"
        f"<dd>{written(request, value)}</dd>"
        for key, value in answer.claims[name].items()
    )
    ages = [status["age_s"] for status in answer.content["statuses"]]
    age = say(request, "status-age", str(max(ages))) if ages else say(request, "status-unknown")
    return page(request, "patient", f"<dl>{claims}</dl><p>{age}</p>{next_patient(request)}")


def reasons(request: Request, answer: Answer) -> str:
    """Why an answer did not hold, in the reader's language."""
    listed = []
    for step in answer.failures:
        code = step["code"]
        if code == "verifier.not-answered":
            claims = [
                say(request, f"claim.{one}") if f"claim.{one}" in WORDS else one for one in step.get("claims", [])
            ]
            listed.append(say(request, code, ", ".join(claims)) if claims else say(request, "other", code))
        else:
            listed.append(say(request, code) if code in WORDS else say(request, "other", code))
    return f"<ul>{''.join(f'<li>{one}</li>' for one in listed)}</ul>"


def written(request: Request, value: object) -> str:
    """A claim as people read it, as HTML."""
    if isinstance(value, bool):
        return say(request, "yes" if value else "no")
    return html.escape(" ".join(map(str, value.values())) if isinstance(value, dict) else str(value))


def main() -> None:
    """Run it on this machine."""
    verifier = Verifier(
        os.environ["VERIFIER_URL"],
        key=os.environ["VERIFIER_KEY"],
        relying_party=os.environ["RELYING_PARTY"],
        root=Path(os.environ["VERIFIER_ROOT"]).read_bytes(),
    )
    with verifier:
        uvicorn.run(make_app(Counter(verifier)), port=9002)


if __name__ == "__main__":
    main()
