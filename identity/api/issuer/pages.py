# SPDX-License-Identifier: Apache-2.0
"""What wallets and verifiers ask of the issuer over HTTP; each answer as its protocol wants it.

Source: OpenID4VCI 1.0, 4 to 8 and 12; RFC 6749, 5; Token Status List draft-21, 8; RFC 9110, 8.8.3 (ETag).
"""

import gzip
import json
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from chain.errors import InvalidMessage, LedgerError
from chain.strict_json import Json, parse
from chain.types import sha256
from client.errors import TransportError
from identity.api.issuer import codes, lists, metadata, offers, own_accesses
from identity.api.issuer.codes import Asked
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.issuing import Issuer, answer_wallet, subjects_of
from identity.api.issuer.lists import TICK_S
from identity.api.issuer.offers import COPIES_MAX, GRANT
from identity.api.issuer.own_accesses import Prove, Shown
from identity.api.issuer.proofs import PROOF_CHARACTERS_MAX, make_nonce
from identity.api.issuer.publishing import Source
from identity.credentials import type_metadata
from identity.jose import JsonObject, encode_base64url
from identity.sd_jwt import TOKEN_CHARACTERS_MAX
from identity.standing import Reading, record_key
from identity.status_list import MEDIA_TYPE
from service import problems
from service.problems import Problem

MACHINE_PATH = "/oid4vci/"
"""Wallets are no browsers: no origin, no form token, no cookie."""
BODY_BYTES_MAX = COPIES_MAX * PROOF_CHARACTERS_MAX + TOKEN_CHARACTERS_MAX
"""A full batch of proofs, and a presentation."""
FORM_FIELDS_MAX = 10
"""A token request has three."""

Give: TypeAlias = Callable[[str, JsonObject], Awaitable[list[str]]]
"""Makes credentials for an access token and the body of the request that it came with; raises Denied alone."""

_FORM = "application/x-www-form-urlencoded"


def issuer_router(issuer: Issuer, source: Source, prove: Prove | None = None) -> APIRouter:
    """All endpoints of the issuer.

    Args:
        issuer: Of this service.
        source: The ledger, which is asked before anything is issued.
        prove: Makes receipts of states; None: nobody is shown their list of accesses.
    """
    router = APIRouter(tags=["issuer"])

    async def give(token: str, asked: JsonObject) -> list[str]:
        subjects = await run_in_threadpool(subjects_of, issuer, token)
        try:
            reading = await source.read(subjects)
        except (TransportError, LedgerError):
            raise Denied(Error.TEMPORARILY_UNAVAILABLE, "the ledger cannot be asked at this time") from None
        configuration = asked.get("credential_configuration_id")
        return await run_in_threadpool(answer_wallet, issuer, token, configuration, proofs_of(asked), reading)

    add_exchange(router, issuer, lambda: metadata.issuer_metadata(issuer.origin, COPIES_MAX), give)
    _describe(router)
    _give_codes(router, issuer, source)
    if prove is not None:
        _show_accesses(router, issuer, source, prove)
    _serve_lists(router, issuer)
    return router


def add_exchange(router: APIRouter, issuer: Issuer, describe: Callable[[], JsonObject], give: Give) -> None:
    """Add what wallets ask of any issuer: its metadata, offers, tokens, nonces, credentials.

    Args:
        router: Takes the endpoints.
        issuer: Of this service.
        describe: Makes the issuer's metadata.
        give: Issues.
    """
    _add_metadata(router, issuer, describe)
    _exchange(router, issuer, give)


def proofs_of(asked: JsonObject) -> list[Json]:
    """The proofs of a wallet's request, 1 to 30 of any content.

    Raises:
        Denied: None, more, or no list.
    """
    proofs = asked.get("proofs")
    listed = proofs.get("jwt") if isinstance(proofs, dict) and len(proofs) == 1 else None
    if not isinstance(listed, list) or not 1 <= len(listed) <= COPIES_MAX:
        raise Denied(Error.INVALID_PROOF, f"proofs.jwt holds 1 to {COPIES_MAX} proofs")
    return listed


def _add_metadata(router: APIRouter, issuer: Issuer, describe: Callable[[], JsonObject]) -> None:
    @router.get(
        "/.well-known/openid-credential-issuer", operation_id="getIssuerMetadata", summary="What is issued, and where"
    )
    async def issuer_metadata() -> Response:
        return _public(describe())

    @router.get(
        "/.well-known/oauth-authorization-server", operation_id="getServerMetadata", summary="Where tokens are given"
    )
    async def server_metadata() -> Response:
        return _public(metadata.server_metadata(issuer.origin))

    @router.get("/.well-known/jwt-vc-issuer", operation_id="getIssuerKeys", summary="Keys of credentials and lists")
    async def keys() -> Response:
        return _public(metadata.key_metadata(issuer.origin, issuer.keys.jwks(issuer.now_s)))


def _describe(router: APIRouter) -> None:
    @router.get("/types/{name}", operation_id="getCredentialType", summary="What a type of credential says")
    async def described(name: str) -> Response:
        if name not in metadata.NAMES:
            raise Problem(problems.NOT_FOUND)
        return _public(type_metadata(metadata.NAMES[name]))


def _exchange(router: APIRouter, issuer: Issuer, give: Give) -> None:
    @router.get("/oid4vci/offers/{token}", operation_id="getOffer", summary="What is offered under an address")
    def offer(token: str) -> Response:
        with issuer.store.read() as session:
            document = offers.offer_document(session, issuer.store, token, issuer.origin, issuer.now_ms())
        if document is None:
            raise Problem(problems.NOT_FOUND)
        return _private(document)

    @router.post("/oid4vci/token", operation_id="postToken", summary="Exchange a code and its digits for a token")
    async def token(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(_answered, lambda: _token(issuer, request, body))

    @router.post("/oid4vci/nonce", operation_id="postNonce", summary="A fresh nonce for proofs")
    async def nonce() -> Response:
        return _private({"c_nonce": make_nonce(issuer.store.secret("issuer/nonce"), issuer.now_ms())})

    @router.post("/oid4vci/credential", operation_id="postCredential", summary="Credentials for proven keys")
    async def credential(request: Request) -> Response:
        body = await request.body()
        try:
            token = _bearer(request)
            issued = await give(token, await run_in_threadpool(_object, body))
        except Denied as denied:
            return _refused(denied)
        return _private({"credentials": [{"credential": one} for one in issued]})


def _give_codes(router: APIRouter, issuer: Issuer, source: Source) -> None:
    @router.post("/oid4vci/codes", operation_id="postCodes", summary="Tokens for offline codes, for proven keys")
    async def given(request: Request) -> Response:
        body = await request.body()
        try:
            asked = await run_in_threadpool(_asked_codes, issuer, body)
            reading = await source.read([record_key(subject) for subject in asked.subjects])
        except Denied as denied:
            return _refused(denied)
        except (TransportError, LedgerError):
            return _refused(Denied(Error.TEMPORARILY_UNAVAILABLE, "the ledger cannot be asked at this time"))
        return await run_in_threadpool(_answered, lambda: _codes(issuer, asked, reading))


def _show_accesses(router: APIRouter, issuer: Issuer, source: Source, prove: Prove) -> None:
    @router.post("/oid4vci/accesses", operation_id="postAccesses", summary="Who looked at the holder's data, proven")
    async def accesses(request: Request) -> Response:
        body = await request.body()
        try:
            shown = await run_in_threadpool(_asked_accesses, issuer, body)
            report = await own_accesses.report(issuer, shown, source, prove)
        except Denied as denied:
            return _refused(denied)
        except (TransportError, LedgerError):
            return _refused(Denied(Error.TEMPORARILY_UNAVAILABLE, "the ledger cannot be asked at this time"))
        return _private({"report": encode_base64url(report)})


def _serve_lists(router: APIRouter, issuer: Issuer) -> None:
    @router.get("/status/{name}", operation_id="getStatusList", summary="Which credentials count no longer")
    def status(name: str, request: Request) -> Response:
        if "time" in request.query_params:
            raise Problem(problems.NOT_FOUND)  # lists of the past are not kept
        with issuer.store.read() as session:
            found = lists.list_named(session, name)
            if found is None:
                raise Problem(problems.NOT_FOUND)
            token, issued_s = found.token, found.issued_s
        return _list_response(request, token, issued_s, issuer.now_s)


def _list_response(request: Request, token: str, issued_s: int, now_s: int) -> Response:
    left_s = max(1, issued_s + TICK_S - now_s)
    headers = {
        "cache-control": f"public, max-age={left_s}, must-revalidate",
        "etag": f'"{sha256(token.encode()).hex()[:32]}"',
        "vary": "accept-encoding",
    }
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = token.encode("ascii")
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = gzip.compress(body, 6, mtime=0), "gzip"
    return Response(body, media_type=MEDIA_TYPE, headers=headers)


def _token(issuer: Issuer, request: Request, body: bytes) -> JsonObject:
    fields = _form(request, body)
    if fields.get("grant_type") != GRANT:
        raise Denied(Error.UNSUPPORTED_GRANT_TYPE, "the pre-authorized code is the only grant here")
    code, tx_code = fields.get("pre-authorized_code"), fields.get("tx_code")
    if not code or not tx_code:
        raise Denied(Error.INVALID_REQUEST, "pre-authorized_code and tx_code are needed")
    with issuer.store.write() as session:
        token = offers.redeem(session, issuer.store, code, tx_code, issuer.now_ms())
    if token is None:  # committed: the try counts
        raise Denied(Error.INVALID_GRANT, "the digits are not those of the offer")
    return {"access_token": token, "token_type": "Bearer", "expires_in": offers.TOKEN_MS // 1000}


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Denied(Error.INVALID_TOKEN, "an access token is needed")
    return token


def _asked_codes(issuer: Issuer, body: bytes) -> Asked:
    asked = _object(body)
    return codes.check_request(issuer, asked.get("presentation"), proofs_of(asked))


def _asked_accesses(issuer: Issuer, body: bytes) -> Shown:
    asked = _object(body)
    return own_accesses.check_request(issuer, asked.get("presentation"), asked.get("nonce"))


def _codes(issuer: Issuer, asked: Asked, reading: Reading) -> JsonObject:
    tokens: list[Json] = [encode_base64url(token) for token in codes.answer(issuer, asked, reading)]
    return {"tokens": tokens, "expires_in": codes.LIFETIME_S}


def _object(body: bytes) -> JsonObject:
    try:
        asked = parse(body, size_max=BODY_BYTES_MAX, depth_max=6)
    except InvalidMessage:
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "the request is no JSON") from None
    if not isinstance(asked, dict):
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "the request is no JSON object")
    return asked


def _form(request: Request, body: bytes) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Denied(Error.INVALID_REQUEST, f"the request is {_FORM}")
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise Denied(Error.INVALID_REQUEST, "the form cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Denied(Error.INVALID_REQUEST, "a field is there twice")
    return fields


def _answered(act: Callable[[], JsonObject]) -> Response:
    """An answer, or what the protocol says instead."""
    try:
        return _private(act())
    except Denied as denied:
        return _refused(denied)


def _refused(denied: Denied) -> Response:
    response = _private({"error": denied.error, "error_description": denied.description}, denied.status)
    if denied.error is Error.INVALID_TOKEN:
        response.headers["www-authenticate"] = 'Bearer error="invalid_token"'
    if denied.error is Error.TEMPORARILY_UNAVAILABLE:
        response.headers["retry-after"] = str(TICK_S)
    return response


def _private(document: JsonObject, status: int = 200) -> Response:
    return _json(document, status, "no-store")


def _public(document: JsonObject) -> Response:
    return _json(document, 200, "public, max-age=300")


def _json(document: JsonObject, status: int, cache: str) -> Response:
    body = json.dumps(document, ensure_ascii=False).encode()
    return Response(body, status, {"cache-control": cache}, "application/json")
