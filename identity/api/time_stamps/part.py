# SPDX-License-Identifier: Apache-2.0
"""An authority of time stamps as a part of a service: requests of RFC 3161 are posted to it, and anybody may ask.

It is told a digest and nothing else, keeps nothing, and signs each stamp anew; so what has to be bounded is how often
its key is used. A request that it does not grant is answered in the protocol's own form, with the reason.

Source: RFC 3161, 3.4 (time stamps over HTTP).
"""

import time
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from identity.pades.time_stamps import REQUEST_BYTES_MAX, TimeStampAuthority
from service import problems
from service.app import Part
from service.forgery import media_type
from service.problems import Problem
from service.rates import Buckets, caller_of

PATH: Final = "/time-stamps"
CERTIFICATE_PATH: Final = "/time-stamps/stamps.pem"
QUERY_TYPE: Final = "application/timestamp-query"
REPLY_TYPE: Final = "application/timestamp-reply"
PER_SECOND: Final = 5
"""For one address; a document needs two, and a counter signs some in a minute."""
BURST: Final = 20
"""At once: ten documents."""
CALLERS_MAX: Final = 4_096
"""Addresses whose rate is remembered."""


def time_stamps_part(
    authority: TimeStampAuthority,
    now_s: Callable[[], float] = time.time,
    clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
) -> Part:
    """What a service takes along that stamps digests for whoever asks.

    Args:
        authority: Its key and certificate.
        now_s: Seconds since 1970; kept right by the operator.
        clock_ms: Never goes back; for rates.
    """
    rates = Buckets(PER_SECOND, BURST, CALLERS_MAX)
    certificate = authority.certificate.public_bytes(Encoding.PEM)
    router = APIRouter(tags=["time stamps"])

    @router.post(
        PATH,
        operation_id="postTimeStamp",
        summary="A time stamp for a digest (RFC 3161)",
        response_class=Response,
        responses={200: {"content": {REPLY_TYPE: {}}, "description": "Granted or refused; DER"}},
        openapi_extra={
            "requestBody": {"required": True, "content": {QUERY_TYPE: {"schema": {"type": "string", "maxLength": 512}}}}
        },
    )
    async def stamp(request: Request) -> Response:
        if media_type(request.headers) != QUERY_TYPE:
            raise Problem(problems.MEDIA)
        wait_s = rates.take(caller_of(request.client.host if request.client else ""), clock_ms())
        if wait_s:
            raise Problem(problems.RATE, {"seconds": wait_s}, headers={"Retry-After": str(wait_s)})
        answer = await run_in_threadpool(authority.respond, await request.body(), now_s())
        return Response(answer, media_type=REPLY_TYPE)

    @router.get(
        CERTIFICATE_PATH,
        operation_id="getTimeStampCertificate",
        summary="The authority's certificate; compare it with one that came by another way",
        response_class=Response,
        responses={200: {"content": {"application/x-pem-file": {}}, "description": "PEM"}},
    )
    async def pinned() -> Response:
        headers = {"cache-control": "public, max-age=3600"}
        return Response(certificate, media_type="application/x-pem-file", headers=headers)

    return Part("time-stamps", [router], body_limits={PATH: REQUEST_BYTES_MAX}, machine_paths=[PATH])
