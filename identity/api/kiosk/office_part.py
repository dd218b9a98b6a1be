# SPDX-License-Identifier: Apache-2.0
"""The office behind kiosks over HTTP: a part of the desk's service, for registered kiosks alone.

Each request is signed with a device's key (`identity.api.accesses.signed_requests`); whether the device counts, the
ledger says, for each request anew. Nothing here is for browsers.
"""

from base64 import b64encode
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from chain.types import sha256
from identity.api.accesses.signed_requests import HEADER, Asked, NotSigned, check
from identity.api.desk.base import desk_of
from identity.api.kiosk.base import CardProof, OfficeAway, OfficeRefused, PhoneProof
from identity.api.kiosk.boxes import SEALED_CHARACTERS_MAX
from identity.api.kiosk.device import Device
from identity.api.kiosk.office import KioskDesk
from identity.api.kiosk.office_base import Bills
from identity.api.kiosk.office_client import PREFIX, holder_json
from identity.api.kiosk.office_people import Judge
from identity.api.kiosk.papers import Papers
from identity.api.kiosk.problems import AWAY, CODES, DEVICE, OFFICE_KINDS
from identity.liveness import EVIDENCE_BYTES_MAX
from service.app import Part
from service.idempotency import State
from service.problems import Problem

BODY_BYTES_MAX = SEALED_CHARACTERS_MAX + 4_096
_NONCE = b"zhixin/kiosk/nonce\x00"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)


class _Opening(_Body):
    """What every opening says: when, the office's nonce, and what a liveness method found."""

    time_ms: Annotated[int, Field(gt=0, lt=2**53)]
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{80}$")]
    evidence: Annotated[str, Field(pattern=r"^[ -~]*$", max_length=EVIDENCE_BYTES_MAX)] = ""


class OpeningBody(_Opening):
    """A card's proof."""

    guid: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class PhoneOpeningBody(_Opening):
    """A phone's answer."""

    answer: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=SEALED_CHARACTERS_MAX)]


class PaperBody(_Body):
    """Which paper; without a stream a certificate of the registration."""

    visit: Annotated[str, Field(pattern=r"^[0-9]{1,16}\.[0-9a-z-]{1,64}\.[0-9a-f]{64}$")]
    stream: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
    language: Literal["zh-CN", "en"]


class StatementBody(_Body):
    """A sealed statement."""

    stream: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    sealed: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=SEALED_CHARACTERS_MAX)]


class LostBody(_Body):
    """Somebody without a card."""

    number: Annotated[str, Field(pattern=r"^[0-9A-Z]{6,18}$")]
    phone: Annotated[str, Field(pattern=r"^[0-9]{5,15}$")]


async def _device(request: Request) -> Device:
    """The registered kiosk whose key signed this request, once and now.

    Raises:
        Problem: None did, or the ledger does not say.
    """
    body = await request.body()
    asked = Asked(request.headers.get("host", ""), request.method, request.url.path, body)
    desk = desk_of(request)
    try:
        proven = check(request.headers.get(HEADER, ""), asked, desk.now())
        found = await _office(request).device(proven.signer)
    except NotSigned:
        raise Problem(DEVICE) from None
    except OfficeAway:
        raise Problem(AWAY) from None
    if found is None:
        raise Problem(DEVICE)
    nonce = sha256(_NONCE + proven.nonce)
    if (await run_in_threadpool(desk.store.replays().begin, nonce, sha256(body))).state is not State.NEW:
        raise Problem(DEVICE)
    return found


def _office(request: Request) -> KioskDesk:
    found = request.app.state.kiosk_desk
    assert isinstance(found, KioskDesk), "the part has started"
    return found


_Office: TypeAlias = Annotated[KioskDesk, Depends(_office)]
_Device: TypeAlias = Annotated[Device, Depends(_device)]


def office_part(
    bills: Bills = lambda _person: (),
    judge: Judge | None = None,
    papers: Callable[[FastAPI], Papers] | None = None,
    methods: frozenset[str] = frozenset(),
) -> Part:
    """What the desk's service takes along, after the desk itself, to stand behind kiosks.

    Args:
        bills: What somebody has to confirm and pay.
        judge: Judges what phones answer; without it none opens a visit, and no large payment is taken.
        papers: Makes the printing shop once the service runs; None: papers carry no seal.
        methods: Names of liveness methods that count.
    """

    async def start(app: FastAPI) -> None:
        made = None if papers is None else papers(app)
        app.state.kiosk_desk = KioskDesk(lambda: app.state.desk, bills, judge, made, methods)

    return Part(
        "kiosk-office",
        [_router()],
        start=start,
        problems=OFFICE_KINDS,
        body_limits={f"{PREFIX}/": BODY_BYTES_MAX},
        machine_paths=[f"{PREFIX}/"],
    )


def _router() -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["kiosks"])

    @router.post("/key", operation_id="postKioskKey", summary="The key to which statements are sealed")
    async def key(office: _Office, _by: _Device) -> dict[str, str]:
        return {"key": office.box_key().hex()}

    @router.post("/challenges", operation_id="postKioskChallenge", summary="A nonce for one opening")
    async def challenge(office: _Office, by: _Device) -> dict[str, str]:
        return {"nonce": office.challenge(by).hex()}

    @router.post("/openings", operation_id="postKioskOpening", summary="Whose card is in a kiosk")
    async def opening(body: OpeningBody, office: _Office, by: _Device) -> dict[str, Any]:
        own = (bytes.fromhex(body.guid), body.time_ms, bytes.fromhex(body.nonce), bytes.fromhex(body.signature))
        try:
            return holder_json(await office.open(by, CardProof(*own, body.evidence.encode("ascii"))))
        except (OfficeRefused, OfficeAway) as error:
            raise _problem(error) from None

    @router.post("/phone-openings", operation_id="postKioskPhoneOpening", summary="Whose phone answered a kiosk's code")
    async def phone_opening(body: PhoneOpeningBody, office: _Office, by: _Device) -> dict[str, Any]:
        own = (body.time_ms, bytes.fromhex(body.nonce), body.answer)
        try:
            return holder_json(await office.open(by, PhoneProof(*own, body.evidence.encode("ascii"))))
        except (OfficeRefused, OfficeAway) as error:
            raise _problem(error) from None

    @router.post("/papers", operation_id="postKioskPaper", summary="A paper with the registrar's seal")
    async def paper(body: PaperBody, office: _Office, by: _Device) -> dict[str, str]:
        try:
            made = await office.paper(by, body.visit, bytes.fromhex(body.stream), body.language)
        except (OfficeRefused, OfficeAway) as error:
            raise _problem(error) from None
        return {"paper": b64encode(made).decode("ascii")}

    @router.post("/statements", operation_id="postKioskStatement", summary="A signed statement, to be filed once")
    async def statement(body: StatementBody, office: _Office, by: _Device) -> dict[str, str]:
        try:
            filed = await office.file(by, bytes.fromhex(body.stream), body.sealed)
        except (OfficeRefused, OfficeAway) as error:
            raise _problem(error) from None
        return {"organisation": filed.organisation, "reference": filed.reference}

    @router.post("/lost", operation_id="postKioskLost", summary="Stop the cards of somebody who has none with them")
    async def lost(body: LostBody, office: _Office, by: _Device) -> dict[str, int]:
        try:
            return {"stopped": await office.stop_lost(by, body.number, body.phone)}
        except (OfficeRefused, OfficeAway) as error:
            raise _problem(error) from None

    return router


def _problem(error: OfficeRefused | OfficeAway) -> Problem:
    return Problem(CODES[error.code] if isinstance(error, OfficeRefused) else AWAY)
