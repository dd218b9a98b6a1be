# SPDX-License-Identifier: Apache-2.0
"""What relying parties send and get, as the description of the interface has it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from identity.api.verifier.asking import LIFETIME_S, LIFETIME_S_MAX
from identity.api.verifier.cards import ALGORITHM, CERTIFICATE_BYTES_MAX
from identity.api.verifier.direct import POWERS, SCOPES, SIGNATURES_MAX
from identity.api.verifier.outbound import URL_CHARACTERS_MAX
from identity.api.verifier.transaction_data import (
    MATTER_CHARACTERS_MAX,
    PAYEE_CHARACTERS_MAX,
    REFERENCE_CHARACTERS_MAX,
    SUBJECT_CHARACTERS_MAX,
)
from identity.mandates import AMOUNT_FEN_MAX
from identity.offline_qr import TEXT_CHARACTERS_MAX

BASE64_CHARACTERS_MAX = CERTIFICATE_BYTES_MAX * 4 // 3 + 4
MS_MAX = 2**43
"""Far beyond any time of ours, and within what each reader of JSON keeps exactly."""

Nonce = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9._~-]{16,128}$",
        description="Yours; the answer repeats it. Without one, one is made.",
        examples=["n-0S6_WzA2Mj-5bZ1"],
    ),
]
Url = Annotated[str, Field(max_length=URL_CHARACTERS_MAX, examples=["https://bank.example/done"])]
Number = Annotated[int, Field(ge=1, le=65_535, description="The purpose's number on the ledger.", examples=[101])]
RecordId = Annotated[
    str, Field(pattern=r"^([0-9a-f]{32}|[0-9a-f]{64})$", examples=["00112233445566778899aabbccddeeff"])
]
Base64 = Annotated[str, Field(max_length=BASE64_CHARACTERS_MAX, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


class Body(BaseModel):
    """What is sent: nothing beside what is named, and no value in an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)


class NewPayment(Body):
    """A payment that the holder confirms with what they show; their wallet shows it in these words before they sign."""

    amount: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,11})\.[0-9]{2}$", examples=["128.00"])]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.", examples=["CNY"])]
    payee: Annotated[str, Field(min_length=1, max_length=PAYEE_CHARACTERS_MAX, examples=["禅城供水有限公司"])]
    reference: Annotated[str, Field(max_length=REFERENCE_CHARACTERS_MAX, examples=["2026-11 / 4711"])] = ""


class NewAct(Body):
    """What the holder does by answering; their wallet has words for each act, and shows them before they sign."""

    act: Literal["company", "stop-card", "stop-phone", "stop-seal"]
    subject: Annotated[
        str,
        Field(
            min_length=1,
            max_length=SUBJECT_CHARACTERS_MAX,
            description="The company's name; of a card, phone or seal, what is printed on it or shown for it.",
            examples=["禅城陶瓷有限公司"],
        ),
    ]
    number: Annotated[
        str, Field(max_length=18, description="The company's unified social credit code; company alone.")
    ] = ""
    matter: Annotated[
        str, Field(max_length=MATTER_CHARACTERS_MAX, description="What is signed for the company; company alone.")
    ] = ""
    amount: Annotated[str, Field(max_length=15, description="Up to which amount; company alone. Empty: none.")] = ""
    currency: Annotated[str, Field(max_length=3, description="ISO 4217, of that amount.")] = ""


class NewVerification(Body):
    """A question to a citizen's wallet."""

    purpose: Number
    query: Annotated[
        dict[str, Any],
        Field(
            description="DCQL (OpenID4VP 1.0, 6), format dc+sd-jwt; no more than the purpose allows.",
            examples=[
                {
                    "credentials": [
                        {
                            "id": "person",
                            "format": "dc+sd-jwt",
                            "meta": {"vct_values": ["urn:imi:cn-gd-fs-chancheng:natural-person:1"]},
                            "claims": [{"path": ["age_over_18"]}],
                        }
                    ]
                }
            ],
        ),
    ]
    nonce: Nonce | None = None
    flow: Annotated[
        Literal["cross-device", "same-device"],
        Field(description="same-device: the citizen comes back to return_url with a code that the result needs."),
    ] = "cross-device"
    response_mode: Literal["direct_post", "direct_post.jwt"] = "direct_post.jwt"
    return_url: Annotated[Url | None, Field(description="At an origin of yours that the operator knows.")] = None
    notify_url: Annotated[Url | None, Field(description="Where a signed notice is posted; likewise.")] = None
    payment: Annotated[NewPayment | None, Field(description="What the holder confirms by showing this.")] = None
    act: Annotated[NewAct | None, Field(description="What the holder does by showing this; not with payment.")] = None
    lifetime_s: Annotated[int, Field(ge=30, le=LIFETIME_S_MAX)] = LIFETIME_S


class NewCardLogin(Body):
    """A challenge for a card's slot 9A."""

    purpose: Number
    origin: Annotated[Url, Field(description="Of the page that shows it, as browsers write it.")]
    query: Annotated[
        dict[str, Any] | None,
        Field(description="What a credential bound to the card is to disclose; null: the card alone."),
    ] = None
    nonce: Nonce | None = None
    lifetime_s: Annotated[int, Field(ge=30, le=LIFETIME_S_MAX)] = LIFETIME_S


class KeyOpening(Body):
    """Shows a card's key in its holder's registration on the ledger; the holder's data space has it."""

    registration: RecordId
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CardToken(Body):
    """What the browser got from the card; Web eID's token."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True, populate_by_name=True)

    certificate: Annotated[Base64, Field(alias="unverifiedCertificate", description="Of slot 9A, DER in base64.")]
    signature: Annotated[Base64, Field(description="r || s in base64.")]
    algorithm: Literal["ES256"] = ALGORITHM
    format: Annotated[str, Field(pattern=r"^web-eid:1(\.[0-9]{1,3})?$")] = "web-eid:1"
    app_version: Annotated[str | None, Field(alias="appVersion", max_length=256)] = None


class CardAnswer(Body):
    """A card's answer to its challenge."""

    token: CardToken
    presented: Annotated[
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=65_536)]] | None,
        Field(
            description="By id of the credential query, credentials bound to the card's key, their key binding made "
            "for the origin as audience and the challenge as nonce.",
            max_length=4,
        ),
    ] = None
    opening: KeyOpening | None = None


class DocumentSignature(Body):
    """A signature of slot 9C over a document."""

    document_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    certificate: Annotated[Base64, Field(description="Of slot 9C, DER in base64.")]
    signature: Annotated[Base64, Field(description="r || s, or DER, in base64.")]
    opening: KeyOpening | None = None


class SignatureCheck(Body):
    """Signatures to check, together."""

    purpose: Number
    nonce: Nonce | None = None
    signatures: Annotated[list[DocumentSignature], Field(min_length=1, max_length=SIGNATURES_MAX)]


class CodeCheck(Body):
    """An offline code, as it was scanned."""

    purpose: Number
    nonce: Nonce | None = None
    code: Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX)]


class MandateCheck(Body):
    """May she act in this, up to this amount?"""

    purpose: Number
    nonce: Nonce | None = None
    mandate: RecordId
    scope: Annotated[str, Field(json_schema_extra={"enum": sorted(set(SCOPES) - {"unspecified"})}, max_length=32)]
    power: Annotated[str, Field(json_schema_extra={"enum": sorted(set(POWERS) - {"unspecified"})}, max_length=32)]
    amount_fen: Annotated[int, Field(ge=0, le=AMOUNT_FEN_MAX)] = 0
    legal_person: Annotated[
        str | None, Field(pattern=r"^[0-9A-Z]{18}$", description="The company's unified social credit code.")
    ] = None


class AttestationCheck(Body):
    """How an attestation stood at a time."""

    purpose: Number
    nonce: Nonce | None = None
    issuer: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    attestation: RecordId
    at_ms: Annotated[int, Field(ge=0, le=MS_MAX)]
    height: Annotated[int, Field(ge=0, le=2**53, description="Of the last block at or before it; 0: the newest.")]


class VerificationMade(BaseModel):
    """A question that waits for an answer."""

    id: str
    nonce: str
    expires_ms: int
    wallet_link: Annotated[str, Field(description="For a QR code, or a link on the same device.")]
    qr: Annotated[str, Field(description="Path of the QR code as an SVG image.")]


class CardLoginMade(BaseModel):
    """A challenge that waits for a card."""

    id: str
    nonce: str
    challenge: str
    origin: str
    expires_ms: int


class VerificationShown(BaseModel):
    """How a question stands."""

    id: str
    state: Literal["open", "recording", "answered", "refused", "cancelled", "expired"]
    answer: Annotated[str | None, Field(description="The signed answer; keep it as evidence.")] = None
    report: Annotated[dict[str, Any] | None, Field(description="The same, opened.")] = None


class DirectAnswer(BaseModel):
    """An answer that was given at once."""

    answer: str
    report: dict[str, Any]
