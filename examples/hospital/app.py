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


def page(title: str, body: str, *, again: bool = False) -> HTMLResponse:
    """A page; `again`: it looks for itself whether there is more to show."""
    more = '<p><a href="">I have agreed, go on</a></p><script src="/again.js"></script>' if again else ""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"{ICON}{STYLE}</head>"
        f"<body><main><h1>{title}</h1>{body}{more}</main></body></html>",
        headers={"cache-control": "no-store"},
    )


def make_app(counter: Counter) -> FastAPI:
    """The counter's web application."""
    app = FastAPI(openapi_url=None)

    @app.exception_handler(Refused)
    @app.exception_handler(Unreachable)
    def refused(_request: Request, error: Exception) -> Response:
        return page("Not possible now", f'<p>{html.escape(str(error))}</p><p><a href="/">Next patient</a></p>')

    @app.get("/again.js")
    def again() -> Response:
        return Response(AGAIN_SCRIPT, media_type="text/javascript")

    @app.get("/")
    def home() -> Response:
        return page(
            "Counter",
            '<form method="post" action="/code"><label>Scan the patient\'s code '
            '<input name="code" autofocus autocomplete="off" maxlength="2000"></label><button>Check</button></form>'
            '<form method="post" action="/ask"><button>Ask the patient\'s wallet</button></form>'
            '<form method="post" action="/ask?emergency=1"><button>Emergency</button></form>',
        )

    @app.post("/code")
    def code(code: Annotated[str, Form(max_length=2_000)]) -> Response:
        return told(counter, counter.verifier.check_code(REGISTRATION, code.strip()), "code")

    @app.post("/ask")
    def ask(*, emergency: bool = False) -> Response:
        question = counter.verifier.ask(EMERGENCY if emergency else REGISTRATION, QUERY)
        if len(counter.waiting) >= WAITING_MAX:
            counter.waiting.pop(next(iter(counter.waiting)))
        counter.waiting[question.id] = question
        return RedirectResponse(f"/patients/{question.id}", 303)

    @app.get("/patients/{identifier}")
    def look(identifier: str) -> Response:
        question = counter.waiting.get(identifier)
        if question is None:
            return RedirectResponse("/", 303)
        try:
            answer = counter.verifier.look(question)
        except NotAnswered:
            return page("Not answered", '<p><a href="/">Next patient</a></p>')
        if answer is None:
            image = f'<img src="{html.escape(question.qr)}" alt="QR code for the patient\'s wallet">'
            return page("Have the patient scan this", f"<p>{image}</p>", again=True)
        return told(counter, answer, "person")

    return app


def told(counter: Counter, answer: Answer, name: str) -> Response:
    """What the counter shows."""
    counter.evidence[answer.content["jti"]] = answer.token
    if not answer.held:
        reasons = "".join(f"<li>{html.escape(step['reason'])}</li>" for step in answer.failures)
        return page("Do not rely on this", f'<ul>{reasons}</ul><p><a href="/">Next patient</a></p>')
    claims = "".join(
        f"<dt>{html.escape(key)}</dt><dd>{html.escape(written(value))}</dd>"
        for key, value in answer.claims[name].items()
    )
    ages = [status["age_s"] for status in answer.content["statuses"]]
    age = f"<p>Status known as of {max(ages)} s ago.</p>" if ages else "<p>The status was not known.</p>"
    return page("Patient", f'<dl>{claims}</dl>{age}<p><a href="/">Next patient</a></p>')


def written(value: object) -> str:
    """A claim as people read it."""
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)


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
