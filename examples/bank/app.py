# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a program by itself, no package
"""A bank's page on which somebody opens an account and pays a bill, by the wallet on their phone or by their card.

It asks for name and birth date under the bank's registered purpose, opens one account for each person (the pseudonym
tells them apart, also after a new phone or card), and keeps the signed answer as evidence. A bill is paid once the
holder's own wallet showed amount and payee and its key confirmed them; nothing but the pseudonym is asked for.
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
from zhixin_rp import Answer, CardChallenge, NotAnswered, Payment, Question, Refused, Unreachable, Verifier, person

PURPOSE = 101
"""Opening an account, as the bank is registered for it on the ledger."""
QUERY = person("family_name", "given_name", "birthdate")
PAYER = person("age_over_18")
"""Of whoever pays; the pseudonym says whose account it is."""
BILL = Payment("128.00", "CNY", "禅城供水有限公司", "2026-11 / 4711")
OPEN_MAX = 1_000
"""Visitors who are opening an account at once; the oldest is forgotten for the next."""

CARD_SCRIPT = """
"use strict";
// Web eID's browser extension answers these messages; a reader of the bank's own may answer them, too, and adds in
// `presented` the credentials that the card holds. Without those a card says nothing about its holder.
const said = document.getElementById("said");
const SENTENCES = {
  "sign": ["Insert your card, and type its PIN.", "请插入卡片，并输入 PIN 码。"],
  "not-signed": ["The card did not sign.", "卡片未签名。"],
  "opened": ["Your account is $.", "您的账户是 $。"],
  "refused": ["Not possible with this card: $.", "无法用此卡办理：$。"],
  "verifier.no-cards": [
    "Cards do not work here: the verifier checks none. Use the wallet on your phone.",
    "此处不能使用卡片：核验服务不支持卡片。请使用手机钱包。",
  ],
  "unreachable": ["Not possible now. Try again later.", "暂时无法办理，请稍后再试。"],
};
function tell(name, value = "") {
  const spans = SENTENCES[name].map((sentence, at) => {
    const span = document.createElement("span");
    span.lang = ["en", "zh-CN"][at];
    span.textContent = sentence.replace("$", () => value);
    return span;
  });
  said.replaceChildren(spans[0], " ", spans[1]);
}
function refuse(code) {
  if (code in SENTENCES) tell(code);
  else tell("refused", code);
}
async function send(path, body) {
  const headers = { "content-type": "application/json" };
  try {
    return await (await fetch(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  } catch {
    return { error: "unreachable" };
  }
}
document.getElementById("card").addEventListener("click", async () => {
  const made = await send("/card/challenge", {});
  if (!made.challenge) {
    refuse(made.error);
    return;
  }
  window.addEventListener("message", async function heard(event) {
    const { action, presented, ...token } = event.data ?? {};
    if (event.source !== window || !["success", "failure"].some((end) => action === `web-eid:authenticate-${end}`)) {
      return;
    }
    window.removeEventListener("message", heard);
    if (action.endsWith("failure")) {
      tell("not-signed");
      return;
    }
    const answer = await send("/card/answer", { visitor: made.visitor, token, presented: presented ?? {} });
    if (answer.account) tell("opened", answer.account);
    else refuse(answer.error);
  });
  tell("sign");
  window.postMessage({ action: "web-eid:authenticate", challengeNonce: made.challenge }, window.location.origin);
});
"""
"""What the page does when somebody wants to use their card, and what it says of that, in two languages."""

ICON = (
    '<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=%27http://www.w3.org/2000/svg%27 viewBox=%270 0 16 16%27%3E'
    '%3Cpath d=%27M8 1 1 5v2h14V5zM2 8h2v5H2zm5 0h2v5H7zm5 0h2v5h-2zM1 14h14v1H1z%27/%3E%3C/svg%3E">'
)
"""In the page itself, so that browsers ask for none."""
STYLE = (
    "<style>body{font:1.1rem/1.5 sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem}"
    "button,input{font:inherit;min-height:44px;padding:0 1rem;margin:.25rem 0}img{max-width:100%}dt{color:#555}</style>"
)
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
class Bank:
    """The bank, in memory."""

    verifier: Verifier
    origin: str
    questions: dict[str, Question] = field(default_factory=dict)
    challenges: dict[str, CardChallenge] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    paid: dict[str, str] = field(default_factory=dict)

    def open_account(self, answer: Answer) -> str:
        """The account of whoever answered; the same one if they have one already."""
        account = self.accounts.setdefault(answer.pseudonym, f"6222 {secrets.randbelow(10**12):012d}")
        self.evidence[account] = answer.token
        return account

    def pay(self, answer: Answer) -> str:
        """Pay what an answer confirms from the account of whoever answered, each bill once; what to tell them."""
        account, payment = self.accounts.get(answer.pseudonym), answer.payment
        if account is None or payment is None:
            return "You have no account here."
        if self.paid.setdefault(payment.reference, answer.token) != answer.token:
            return "This bill was paid before."
        return f"{payment.amount} {payment.currency} went to {payment.payee} from {account}."


def remember(kept: dict[str, Any], value: Any) -> str:
    """Keep something for a visitor; its key stands in their cookie."""
    if len(kept) >= OPEN_MAX:
        kept.pop(next(iter(kept)))
    key = secrets.token_urlsafe(24)
    kept[key] = value
    return key


def page(title: str, body: str, *, again: bool = False, status: int = 200) -> HTMLResponse:
    """A page; `again`: it looks for itself whether there is more to show."""
    more = '<p><a href="">I have agreed, go on</a></p><script src="/again.js"></script>' if again else ""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"{ICON}{STYLE}</head>"
        f"<body><main><h1>{title}</h1>{body}{more}</main></body></html>",
        status,
        headers={"cache-control": "no-store"},
    )


def make_app(bank: Bank, *, is_sandbox: bool = False) -> FastAPI:
    """The bank's web application."""
    app = FastAPI(openapi_url=None)

    @app.exception_handler(Refused)
    @app.exception_handler(Unreachable)
    def refused(request: Request, error: Exception) -> Response:
        if request.url.path.startswith("/card/"):  # the page's script asks, which knows sentences by code
            return JSONResponse({"error": error.code if isinstance(error, Refused) else "unreachable"}, 503)
        return page("Not possible now", f"<p>{html.escape(str(error))}</p>", status=503)

    @app.get("/again.js")
    def again() -> Response:
        return Response(AGAIN_SCRIPT, media_type="text/javascript")

    @app.get("/")
    def home() -> Response:
        return page(
            "Open an account",
            "<p>We ask for your name and birth date, by the Anti-Money Laundering Law, article 29.</p>"
            '<form method="post" action="/open"><button>With the wallet on my phone</button></form>'
            '<p><button id="card" type="button">With my card</button></p><p id="said" role="status"></p>'
            f"<h2>Your bill</h2><p>{html.escape(BILL.payee)}: {BILL.amount} {BILL.currency}</p>"
            '<form method="post" action="/pay"><button>Pay with my wallet</button></form>'
            '<script src="/card.js"></script>',
        )

    @app.post("/open")
    def begin() -> Response:
        return asked(bank, bank.verifier.ask(PURPOSE, QUERY))

    @app.post("/pay")
    def pay() -> Response:
        return asked(bank, bank.verifier.ask(PURPOSE, PAYER, payment=BILL))

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
            return opened(bank, answer) if question.payment is None else paid(bank, answer)
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

    _add_card(app, bank)
    return app


def _add_card(app: FastAPI, bank: Bank) -> None:
    """What the page needs for a card."""

    @app.get("/card.js")
    def script() -> Response:
        return Response(CARD_SCRIPT, media_type="text/javascript")

    @app.post("/card/challenge")
    def challenge() -> Response:
        """For the page's script: what the card is to sign."""
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


def asked(bank: Bank, question: Question) -> Response:
    """Lead a visitor to the page on which their wallet finds a question."""
    response = RedirectResponse("/open", 303)
    key = remember(bank.questions, question)
    response.set_cookie("visitor", key, httponly=True, samesite="lax", secure=bank.origin.startswith("https:"))
    return response


def paid(bank: Bank, answer: Answer) -> Response:
    """What somebody who pays is told in the end."""
    if not answer.held:
        return page("Nothing was paid", reasons(answer))
    return page("Your bill", f"<p>{html.escape(bank.pay(answer))}</p>")


def reasons(answer: Answer) -> str:
    """Why an answer did not hold."""
    listed = "".join(f"<li>{html.escape(step['reason'])}</li>" for step in answer.failures)
    return f"<ul>{listed}</ul>"


def opened(bank: Bank, answer: Answer) -> Response:
    """What the visitor is told in the end."""
    if not answer.held:
        return page("We cannot open an account", reasons(answer))
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
