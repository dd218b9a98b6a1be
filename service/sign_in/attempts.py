# SPDX-License-Identifier: Apache-2.0
"""How often an address may try to sign in or to use a link: beside what each request passes anyway."""

import time

from starlette.requests import Request

from service.problems import Problem
from service.rates import Buckets, caller_of
from service.sign_in import kinds

TRIES_BURST = 60
"""An office whose people begin at the same minute behind one address, each with two requests and a mistake."""
TRIES_PER_SECOND = 1
CALLERS_MAX = 65_536


class Attempts:
    """A dependency: takes one of an address's tries, or ends the request."""

    def __init__(self, burst: int = TRIES_BURST) -> None:
        self._buckets = Buckets(TRIES_PER_SECOND, burst, CALLERS_MAX)

    def __call__(self, request: Request) -> None:
        """Count one try."""
        caller = caller_of(request.client.host if request.client else "")
        wait = self._buckets.take(caller, time.monotonic_ns() // 1_000_000)
        if wait:
            raise Problem(kinds.SLOW_DOWN, {"seconds": wait}, headers={"Retry-After": str(wait)})
