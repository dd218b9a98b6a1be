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
  "over": ["Too late. Begin again.", "已超时，请重新开始。"],
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

WORDS = {
    "again": ["I have agreed, go on", "我已同意，继续"],
    "failed": ["Not possible now", "暂时无法办理"],
    "failed-about": ["Nothing happened. Try again later.", "什么也没有发生。请稍后再试。"],
    "failed-details": ["For whoever runs this page", "供网站管理人员查看"],
    "open": ["Open an account", "开立账户"],
    "open-about": [
        "We ask for your name and birth date, by the Anti-Money Laundering Law, article 29.",
        "依据《反洗钱法》第二十九条，我们询问您的姓名和出生日期。",
    ],
    "by-wallet": ["With the wallet on my phone", "用手机钱包"],
    "by-card": ["With my card", "用我的卡"],
    "bill": ["Your bill", "您的账单"],
    "bill-line": ["$: $ $", "$：$ $"],
    "pay": ["Pay with my wallet", "用钱包付款"],
    "scan": ["Scan this with your wallet", "请用您的钱包扫码"],
    "scan-picture": ["QR code for your wallet", "供您的钱包扫描的二维码"],
    "this-device": ["The wallet is on this device", "钱包就在这台设备上"],
    "made-up": ["Answer as a made-up person", "以虚构人物作答"],
    "late": ["Too late", "已超时"],
    "begin": ["Begin again", "重新开始"],
    "opened": ["Your account is open", "账户已开立"],
    "opened-about": ["$, your account is $.", "$，您的账户是 $。"],
    "not-opened": ["We cannot open an account", "无法开立账户"],
    "not-paid": ["Nothing was paid", "没有付款"],
    "no-account": ["You have no account here.", "您在此没有账户。"],
    "paid-before": ["This bill was paid before.", "此账单此前已付。"],
    "paid": ["$ $ went to $ from $.", "$ $ 已付给$，付款账户 $。"],
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

    def pay(self, answer: Answer) -> tuple[str, ...]:
        """Pay what an answer confirms from the account of whoever answered, each bill once; what to say of it."""
        account, payment = self.accounts.get(answer.pseudonym), answer.payment
        if account is None or payment is None:
            return ("no-account",)
        if self.paid.setdefault(payment.reference, answer.token) != answer.token:
            return ("paid-before",)
        return ("paid", payment.amount, payment.currency, payment.payee, account)


def remember(kept: dict[str, Any], value: Any) -> str:
    """Keep something for a visitor; its key stands in their cookie."""
    if len(kept) >= OPEN_MAX:
        kept.pop(next(iter(kept)))
    key = secrets.token_urlsafe(24)
    kept[key] = value
    return key


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


def page(request: Request, title: str, body: str, *, again: bool = False, status: int = 200) -> HTMLResponse:
    """A page in the reader's language; `again`: it looks for itself whether there is more to show."""
    more = f'<p><a href="">{say(request, "again")}</a></p><script src="/again.js"></script>' if again else ""
    title = say(request, title)
    return HTMLResponse(
        f'<!doctype html><html lang="{language_of(request)}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"{ICON}{STYLE}</head>"
        f"<body><main><h1>{title}</h1>{body}{more}</main></body></html>",
        status,
        headers={"cache-control": "no-store", "vary": "accept-language"},
    )


def make_app(bank: Bank, *, is_sandbox: bool = False) -> FastAPI:
    """The bank's web application."""
    app = FastAPI(openapi_url=None)

    @app.exception_handler(Refused)
    @app.exception_handler(Unreachable)
    def refused(request: Request, error: Exception) -> Response:
        if request.url.path.startswith("/card/"):  # the page's script asks, which knows sentences by code
            return JSONResponse({"error": error.code if isinstance(error, Refused) else "unreachable"}, 503)
        details = f"<details><summary>{say(request, 'failed-details')}</summary>{html.escape(str(error))}</details>"
        return page(request, "failed", f"<p>{say(request, 'failed-about')}</p>{details}", status=503)

    @app.get("/again.js")
    def again() -> Response:
        return Response(AGAIN_SCRIPT, media_type="text/javascript")

    @app.get("/")
    def home(request: Request) -> Response:
        bill = say(request, "bill-line", BILL.payee, BILL.amount, BILL.currency)
        return page(
            request,
            "open",
            f"<p>{say(request, 'open-about')}</p>"
            f'<form method="post" action="/open"><button>{say(request, "by-wallet")}</button></form>'
            f'<p><button id="card" type="button">{say(request, "by-card")}</button></p><p id="said" role="status"></p>'
            f"<h2>{say(request, 'bill')}</h2><p>{bill}</p>"
            f'<form method="post" action="/pay"><button>{say(request, "pay")}</button></form>'
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
            return page(request, "late", f'<p><a href="/">{say(request, "begin")}</a></p>')
        if answer is not None:
            return opened(request, bank, answer) if question.payment is None else paid(request, bank, answer)
        trial = f'<form method="post" action="/sandbox"><button>{say(request, "made-up")}</button></form>'
        return page(
            request,
            "scan",
            f'<p><img src="{html.escape(question.qr)}" alt="{say(request, "scan-picture")}"></p>'
            f'<p><a href="{html.escape(question.wallet_link)}">{say(request, "this-device")}</a></p>'
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
            return JSONResponse({"error": "over"}, 409)
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


def paid(request: Request, bank: Bank, answer: Answer) -> Response:
    """What somebody who pays is told in the end."""
    if not answer.held:
        return page(request, "not-paid", reasons(request, answer))
    return page(request, "bill", f"<p>{say(request, *bank.pay(answer))}</p>")


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


def opened(request: Request, bank: Bank, answer: Answer) -> Response:
    """What the visitor is told in the end."""
    if not answer.held:
        return page(request, "not-opened", reasons(request, answer))
    claims = answer.claims["person"]
    account = bank.open_account(answer)
    told = say(request, "opened-about", f"{claims['family_name']}{claims['given_name']}", account)
    return page(request, "opened", f"<p>{told.replace(account, f'<b>{account}</b>')}</p>")


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
