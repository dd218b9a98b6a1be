# SPDX-License-Identifier: Apache-2.0
"""A wallet's side of OpenID4VP: it fetches what it is asked, and posts what it presents; both once, in time.

What can't be read is refused and uses nothing up; what can be read is the answer, good or bad. Wallets are told by the
codes that their protocol names.

Source: OpenID4VP 1.0, 5.10 (request_uri_method post), 8.2 (direct_post), 8.3.1 (direct_post.jwt), 8.5 (errors).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool

from chain.strict_json import Json
from identity.api.verifier import clients
from identity.api.verifier.asking import CARD, DIRECT_POST, Asked
from identity.api.verifier.checking import check_presentations
from identity.api.verifier.findings import Finding, Report, Step
from identity.api.verifier.registered import NotRegistered, Purpose
from identity.api.verifier.request_objects import (
    RESPONSE_CHARACTERS_MAX,
    client_id,
    decrypt,
    request_object,
    sign_request,
)
from identity.api.verifier.verifier import Question, Verifier
from identity.credential_check import Outcome
from identity.jose import InvalidToken, JsonObject, load_object
from identity.sd_jwt import Binding

TOKEN_CHARACTERS_MAX: Final = 64
WALLET_NONCE_CHARACTERS_MAX: Final = 512
ERROR_CHARACTERS_MAX: Final = 64


class WalletDenied(Exception):
    """A wallet's request is refused.

    Attributes:
        error: The protocol's code.
        description: For whoever builds wallets; English, ASCII, nothing that was sent.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a wallet posted.

    Attributes:
        presented: By id of the credential query.
        error: The wallet declined, with this code; "": it did not.
        raw: As it is kept.
    """

    presented: Mapping[str, str]
    error: str
    raw: Json


def request_address(verifier: Verifier, token: str) -> str:
    """Where a wallet fetches what it is asked."""
    return f"{verifier.origin}/oid4vp/requests/{token}"


def response_address(verifier: Verifier, token: str) -> str:
    """Where it posts what it presents."""
    return f"{verifier.origin}/oid4vp/responses/{token}"


async def fetched(verifier: Verifier, token: str, wallet_nonce: str | None) -> str:
    """The signed request behind an address.

    Raises:
        WalletDenied: There is none, or no longer.
    """
    question = await _open_question(verifier, token)
    if wallet_nonce is not None and not 1 <= len(wallet_nonce) <= WALLET_NONCE_CHARACTERS_MAX:
        raise WalletDenied("invalid_request", "wallet_nonce is too long")
    _, purpose = await _asker(verifier, question)
    key = verifier.key()
    claims = request_object(
        question.asked,
        purpose,
        key,
        response_uri=response_address(verifier, token),
        state=question.id,
        now_s=verifier.now_s,
        expires_s=question.expires_ms // 1000,
    )
    return sign_request(claims, key, wallet_nonce)


async def respond(verifier: Verifier, token: str, form: Mapping[str, str]) -> str:
    """Take what a wallet posted.

    Args:
        verifier: The service.
        token: Of the address.
        form: `response`, or `vp_token`, or `error`; each once.

    Returns:
        Where the wallet sends its user; "": nowhere.

    Raises:
        WalletDenied: There is no such question, it is over, or what came can't be read.
        Problem: Somebody answered before, or entries can't be written.
        TransportError: Nobody answers for the ledger; nothing was used up.
    """
    question = await _open_question(verifier, token)
    opened = _opened(question.asked, form, question.id)
    client, purpose = await _asker(verifier, question)
    report = await _report(verifier, question, client, purpose, opened)
    code = (await verifier.conclude(question, client, purpose, report, opened.raw)).code
    url = question.asked.return_url
    if not code or not url:
        return url
    return f"{url}{'&' if '?' in url else '?'}response_code={quote(code, safe='')}"


async def _report(
    verifier: Verifier, question: Question, client: clients.Client, purpose: Purpose, opened: _Opened
) -> Report:
    if opened.error:
        reason = "the holder or the wallet declined"
        return Report((Finding(Step.WALLET, Outcome.FAILED, "", f"wallet.{_plain(opened.error)}", reason),))
    binding = Binding(client_id(verifier.key()), question.asked.wallet_nonce)
    judge = verifier.realm_of(client).judge
    return await check_presentations(
        judge,
        question.asked.parsed,
        purpose,
        opened.presented,
        binding,
        verifier.now_s,
        transaction=question.asked.transaction,
    )


async def _open_question(verifier: Verifier, token: str) -> Question:
    question = None
    if len(token) <= TOKEN_CHARACTERS_MAX:
        question = await run_in_threadpool(verifier.kept.by_token, token)
    if question is None or question.asked.kind == CARD or not verifier.kept.is_open(question):
        raise WalletDenied("invalid_request", "there is no such request, or it is over")
    return question


async def _asker(verifier: Verifier, question: Question) -> tuple[clients.Client, Purpose]:
    """Who asks, if they still may."""
    client = await run_in_threadpool(clients.by_id, verifier.store, question.client_id)
    directory = None if client is None else verifier.realm_of(client).directory
    if client is None or directory is None:
        raise WalletDenied("invalid_request", "who asked is no client any more")
    try:
        return client, await directory.purpose(client.relying_party, question.asked.purpose)
    except NotRegistered:
        raise WalletDenied("invalid_request", "who asked is no relying party any more") from None


def _opened(asked: Asked, form: Mapping[str, str], state: str) -> _Opened:
    """Read what was posted.

    Raises:
        WalletDenied: It is not what this request asked for, or can't be read.
    """
    try:
        if "response" in form:
            content = decrypt(asked, form["response"])
        elif asked.response_mode == DIRECT_POST or "error" in form:
            content = dict(form)
            if "vp_token" in form:
                content["vp_token"] = load_object(
                    form["vp_token"].encode(), "vp_token", size_max=RESPONSE_CHARACTERS_MAX
                )
        else:
            raise WalletDenied("invalid_request", "the response must be encrypted")
    except InvalidToken as error:
        raise WalletDenied("invalid_request", error.reason.encode("ascii", "replace").decode()) from None
    if content.get("state", state) != state:
        raise WalletDenied("invalid_request", "state is another request's")
    declined = content.get("error")
    if isinstance(declined, str) and declined:
        return _Opened({}, declined, {"error": declined[:ERROR_CHARACTERS_MAX]})
    return _Opened(_presented(asked, content), "", {"vp_token": content.get("vp_token")})


def _presented(asked: Asked, content: JsonObject) -> dict[str, str]:
    token = content.get("vp_token")
    known = {one.id for one in asked.parsed.credentials}
    if not isinstance(token, dict) or not token or not token.keys() <= known:
        raise WalletDenied("invalid_request", "vp_token names the credentials that were asked for, by their ids")
    found: dict[str, str] = {}
    for name, listed in token.items():
        if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], str):
            raise WalletDenied("invalid_request", "vp_token has one presentation, a text, for each credential")
        found[name] = listed[0]
    return found


def _plain(error: str) -> str:
    """A wallet's code as it stands in a report: letters, figures and lines."""
    kept = "".join(one if one.isascii() and one.isalnum() else "-" for one in error[:ERROR_CHARACTERS_MAX])
    return kept.lower() or "error"
