# SPDX-License-Identifier: Apache-2.0
"""What is registered of a natural person, how it is written down, and what the ledger commits to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from enum import StrEnum

from identity.documents import NUMBER_KINDS, DocumentKind, NumberKind, tagged_number
from identity.liveness import proofing_level
from identity.pb import identity_pb2 as pb
from identity.person_data import canonical_data, data_commitment

ADULT_YEARS = 18
"""民法典, article 17: younger people act through a guardian."""
CHILD_YEARS = 14
"""个人信息保护法, article 31: younger people's data need a guardian's consent."""
GUARDIANS_MAX = 2
"""Both parents; more than two are recorded as mandates."""


class Sex(StrEnum):
    """As the document says."""

    FEMALE = "female"
    MALE = "male"
    UNSTATED = "unstated"


class Method(StrEnum):
    """How an officer came to know that the person is who they say."""

    CHIP = "document-chip"
    INSPECTED = "document-inspected"
    VOUCHED = "vouched"


METHODS: Mapping[Method, pb.ProofingMethod.ValueType] = {
    Method.CHIP: pb.PROOFING_METHOD_DOCUMENT_CHIP,
    Method.INSPECTED: pb.PROOFING_METHOD_DOCUMENT_INSPECTED,
    Method.VOUCHED: pb.PROOFING_METHOD_VOUCHED,
}


@dataclass(frozen=True, slots=True)
class Details:
    """A natural person as their documents say; dates are ISO, "" stands for what is not known.

    Attributes:
        country: Of a passport: the state that issued it, as ICAO Doc 9303 writes it.
        latin_name: As in the machine-readable zone, or how the person writes it.
        document_until: Last day of the document; "": it has none.
        guardians: Ids of the store's persons who act for a minor or ward.
        deceased_on: Day of death.
    """

    document: DocumentKind
    number: str
    name: str
    born: str
    sex: Sex = Sex.UNSTATED
    country: str = ""
    latin_name: str = ""
    address: str = ""
    phone: str = ""
    mail: str = ""
    document_until: str = ""
    method: Method = Method.INSPECTED
    guardians: Sequence[str] = field(default=())
    deceased_on: str = ""

    @property
    def number_kind(self) -> NumberKind:
        """In which space of numbers the uniqueness service is asked."""
        return NUMBER_KINDS[self.document]

    @property
    def tagged_number(self) -> str:
        """The number as the uniqueness service is asked with."""
        return tagged_number(self.document, self.number, self.country)

    @property
    def likeness(self) -> str:
        """What two entries of one person under two numbers have in common."""
        return f"{self.name} {self.born}"

    @property
    def proofing(self) -> pb.ProofingMethod.ValueType:
        """As the ledger names it."""
        return METHODS[self.method]

    @property
    def level(self) -> pb.AssuranceLevel.ValueType:
        """The highest assurance level that the way of proofing gives."""
        return proofing_level(self.proofing, None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Where notices go."""
        return tuple(channel for channel in (self.phone, self.mail) if channel)

    def age(self, today: date) -> int:
        """Whole years."""
        born = date.fromisoformat(self.born)
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day))

    def is_minor(self, today: date) -> bool:
        """Whether a guardian acts for them."""
        return self.age(today) < ADULT_YEARS

    def claims(self) -> dict[str, str]:
        """What the ledger commits to; guardians stand in mandates of their own.

        Without a mail address there is no such field: what was committed to before there were any still holds.
        """
        left_out = {"guardians"} if self.mail else {"guardians", "mail"}
        return {name: str(value) for name, value in asdict(self).items() if name not in left_out}

    def commitment(self, salt: bytes) -> bytes:
        """Salted commitment to all of it; 32 bytes."""
        return data_commitment(canonical_data(self.claims()), salt)

    def encode(self) -> str:
        """As it is sealed."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> "Details":
        """What `encode` wrote; of an older version it may lack fields, which then have their defaults."""
        values = json.loads(text)
        values["document"] = DocumentKind(values["document"])
        values["sex"], values["method"] = Sex(values["sex"]), Method(values["method"])
        values["guardians"] = tuple(values["guardians"])
        return cls(**values)
