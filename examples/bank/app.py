# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a program by itself, no package
"""A bank's page on which somebody opens an account, by the wallet on their phone or by their card.

It asks for name and birth date under the bank's registered purpose, opens one account for each person (the pseudonym
tells them apart, also after a new phone or card), and keeps the signed answer as evidence.
"""

import html
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from zhixin_rp import Answer, CardChallenge, NotAnswered, Question, Refused, Verifier, person

PURPOSE = 101
"""Opening an account, as the bank is registered for it on the ledger."""
QUERY = person("family_name", "given_name", "birthdate")
OPEN_MAX = 1_000
"""Visitors who are opening an account at once; the oldest is forgotten for the next."""


@dataclass
class Bank:
    """The bank, in memory."""

    verifier: Verifier
    origin: str
    questions: dict[str, Question] = field(default_factory=dict)
    challenges: dict[str, CardChallenge] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)

    def open_account(self, answer: Answer) -> str:
        """The account of whoever answered; the same one if they have one already."""
        account = self.accounts.setdefault(answer.pseudonym, f"6222 {secrets.randbelow(10**12):012d}")
        self.evidence[account] = answer.token
        return account


def remember(kept: dict[str, Any], value: Any) -> str:
    """Keep something for a visitor; its key stands in their cookie."""
    if len(kept) >= OPEN_MAX:
        kept.pop(next(iter(kept)))
    key = secrets.token_urlsafe(24)
    kept[key] = value
    return key


def page(title: str, body: str, *, again: bool = False) -> HTMLResponse:
    """A page; `again`: it looks once more after two seconds."""
    refresh = '<meta http-equiv="refresh" content="2">' if again else ""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title></head>'
        f"<body><main><h1>{title}</h1>{body}</main></body></html>",
        headers={"cache-control": "no-store"},
    )


def make_app(bank: Bank, *, is_sandbox: bool = False) -> FastAPI:
    """The bank's web application."""
    app = FastAPI(openapi_url=None)

    @app.exception_handler(Refused)
    def refused(_request: Request, error: Exception) -> Response:
        return page("Not possible now", f"<p>{html.escape(str(error))}</p>")

    @app.get("/")
    def home() -> Response:
        return page(
            "Open an account",
            "<p>We ask for your name and birth date, by the Anti-Money Laundering Law, article 29.</p>"
            '<form method="post" action="/open"><button>With the wallet on my phone</button></form>',
        )

    @app.post("/open")
    def begin() -> Response:
        question = bank.verifier.ask(PURPOSE, QUERY)
        response = RedirectResponse("/open", 303)
        key = remember(bank.questions, question)
        response.set_cookie("visitor", key, httponly=True, samesite="lax", secure=bank.origin.startswith("https:"))
        return response

    @app.get("/open")
    def look(request: Request) -> Response:
        question = bank.questions.get(request.cookies.get("visitor", ""))
        if question is None:
            return RedirectResponse("/", 303)
        try:
            answer = bank.verifier.look(question)
        except NotAnswered:
            return page("Too late", '<p><a href="/">Begin again</a></p>')
        if answer is not None:
            return opened(bank, answer)
        trial = '<form method="post" action="/sandbox"><button>Answer as a made-up person</button></form>'
        return page(
            "Scan this with your wallet",
            f'<p><img src="{html.escape(question.qr)}" alt="QR code for your wallet"></p>'
            f'<p><a href="{html.escape(question.wallet_link)}">The wallet is on this device</a></p>'
            f"{trial if is_sandbox else ''}",
            again=True,
        )

    @app.post("/sandbox")
    def trial(request: Request) -> Response:
        question = bank.questions.get(request.cookies.get("visitor", ""))
        if question is not None:
            bank.verifier.answer_in_sandbox(question)
        return RedirectResponse("/open", 303)

    @app.post("/card/challenge")
    def challenge() -> Response:
        """For the page's script: what the card is to sign, through Web eID or the bank's own reader."""
        made = bank.verifier.challenge_card(PURPOSE, bank.origin, QUERY)
        key = remember(bank.challenges, made)
        return JSONResponse({"visitor": key, "challenge": made.challenge, "origin": made.origin})

    @app.post("/card/answer")
    def card(
        visitor: Annotated[str, Body()],
        token: Annotated[dict[str, Any], Body()],
        presented: Annotated[dict[str, str], Body()],
    ) -> Response:
        made = bank.challenges.pop(visitor, None)
        if made is None:
            return JSONResponse({"error": "begin again"}, 409)
        answer = bank.verifier.answer_card(made, token, presented)
        if not answer.held:
            return JSONResponse({"error": answer.failures[0]["code"]}, 403)
        return JSONResponse({"account": bank.open_account(answer)})

    return app


def opened(bank: Bank, answer: Answer) -> Response:
    """What the visitor is told in the end."""
    if not answer.held:
        reasons = "".join(f"<li>{html.escape(step['reason'])}</li>" for step in answer.failures)
        return page("We cannot open an account", f"<ul>{reasons}</ul>")
    claims = answer.claims["person"]
    name = html.escape(f"{claims['family_name']}{claims['given_name']}")
    account = bank.open_account(answer)
    return page("Your account is open", f"<p>{name}, your account is <b>{account}</b>.</p>")


def main() -> None:
    """Run it on this machine."""
    key = os.environ["VERIFIER_KEY"]
    verifier = Verifier(
        os.environ["VERIFIER_URL"],
        key=key,
        relying_party=os.environ["RELYING_PARTY"],
        root=Path(os.environ["VERIFIER_ROOT"]).read_bytes(),
    )
    with verifier:
        uvicorn.run(make_app(Bank(verifier, "http://localhost:9001"), is_sandbox=key.startswith("zxt_")), port=9001)


if __name__ == "__main__":
    main()
