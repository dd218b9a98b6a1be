# SPDX-License-Identifier: Apache-2.0
"""The ways in which the services of food records refuse, beside those of the ledger and of every service.

What the REST binding of EPCIS 2.0 has a type for carries that type; the code says more exactly what it was.
"""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent / "messages")

NO_DIGITAL_LINK = ProblemKind("food.no-digital-link", 400)
NO_LINK = ProblemKind("food.no-link", 404)

BEARER = ProblemKind("food.bearer", 401, "epcisException:SecurityException")
NOT_YOURS = ProblemKind("food.not-yours", 403, "epcisException:SecurityException")
NO_SIGNER = ProblemKind("food.no-signer", 403, "epcisException:SecurityException")
INVALID_DOCUMENT = ProblemKind("food.invalid-document", 400, "epcisException:ValidationException")
REFUSED_EVENT = ProblemKind("food.refused-event", 422, "epcisException:ValidationException")
KNOWN_EVENT = ProblemKind("food.known-event", 409, "epcisException:ResourceAlreadyExistsException")
CAPTURE_LIMIT = ProblemKind("food.capture-limit", 413, "epcisException:CaptureLimitExceededException")
CAPTURES_WAITING = ProblemKind("food.captures-waiting", 429, "epcisException:ImplementationException")
STILL_RUNNING = ProblemKind("food.still-running", 503, "epcisException:ImplementationException")
NO_RESOURCE = ProblemKind("food.no-resource", 404, "epcisException:NoSuchResourceException")
PAGE_TOKEN = ProblemKind("food.page-token", 400, "epcisException:QueryParameterException")
GOODS_NEEDED = ProblemKind("food.goods-needed", 401, "epcisException:SecurityException")
QUERY = ProblemKind("food.query", 400, "epcisException:QueryParameterException")
QUERY_TOO_LARGE = ProblemKind("food.query-too-large", 413, "epcisException:QueryTooLargeException")
QUERY_TOO_COMPLEX = ProblemKind("food.query-too-complex", 413, "epcisException:QueryTooComplexException")
SUBSCRIPTION = ProblemKind("food.subscription", 400, "epcisException:SubscriptionControlsException")
NAME_TAKEN = ProblemKind("food.name-taken", 409, "epcisException:ResourceAlreadyExistsException")
TOO_MANY_SOCKETS = ProblemKind("food.too-many-sockets", 429, "epcisException:ImplementationException")
TOO_MANY_NAMES = ProblemKind("food.too-many-names", 409, "epcisException:ImplementationException")
NOT_ACCEPTABLE = ProblemKind("food.not-acceptable", 406, "epcisException:NotAcceptableException")
MEDIA_TYPE = ProblemKind("food.media-type", 415, "epcisException:UnsupportedMediaTypeException")

KINDS: tuple[ProblemKind, ...] = (
    NO_DIGITAL_LINK,
    NO_LINK,
    BEARER,
    NOT_YOURS,
    NO_SIGNER,
    INVALID_DOCUMENT,
    REFUSED_EVENT,
    KNOWN_EVENT,
    CAPTURE_LIMIT,
    CAPTURES_WAITING,
    STILL_RUNNING,
    NO_RESOURCE,
    PAGE_TOKEN,
    GOODS_NEEDED,
    QUERY,
    QUERY_TOO_LARGE,
    QUERY_TOO_COMPLEX,
    SUBSCRIPTION,
    NAME_TAKEN,
    TOO_MANY_SOCKETS,
    TOO_MANY_NAMES,
    NOT_ACCEPTABLE,
    MEDIA_TYPE,
)
