# SPDX-License-Identifier: Apache-2.0
"""What a holder types or chooses at a kiosk, read and bounded: fields of a statement, or what is wrong."""

import re
from collections.abc import Mapping
from typing import Final

from identity.api.kiosk.agent import Kiosk
from identity.api.kiosk.session import Visit
from identity.api.kiosk.statements import Kind

DISTRICTS: Final[Mapping[str, str]] = {
    "zumiao": "kiosk.district.zumiao",
    "shiwan": "kiosk.district.shiwan",
    "zhangcha": "kiosk.district.zhangcha",
    "nanzhuang": "kiosk.district.nanzhuang",
}
"""Sub-districts of Chancheng: which a holder chooses, so that nobody types characters at a kiosk."""

_PLATE: Final = re.compile(r"[0-9]{6,24}")
"""The digits on a house's plate."""
_ROOM: Final = re.compile(r"[0-9]{0,5}")
NUMBER: Final = re.compile(r"[0-9]{17}[0-9X]|[0-9A-Z]{6,15}")
PHONE: Final = re.compile(r"[0-9]{5,15}")


def read_fields(kiosk: Kiosk, visit: Visit, given: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str] | str:
    """Fields of what was chosen, as they will be signed.

    Args:
        kiosk: Where.
        visit: Whose; what they chose says which fields.
        given: The form.
        names: What sub-districts are called in the screen's language.

    Returns:
        The fields, or the key of the words that say what is wrong.
    """
    chosen = given.get("chosen", "")
    match visit.kind:
        case Kind.ADDRESS:
            return _address(given, names)
        case Kind.PAYMENT:
            bill = kiosk.bill(visit, chosen)
            if bill is None:
                return "kiosk.form.choose"
            return {
                "reference": bill.reference,
                "payee": bill.payee,
                "purpose": bill.purpose,
                "amount_fen": str(bill.amount_fen),
            }
        case Kind.STOP:
            ways = () if visit.holder is None else visit.holder.ways
            way = next((one for one in ways if one.id == chosen and not one.is_stopped), None)
            if way is None:
                return "kiosk.form.choose"
            return {"way": way.way.value, "id": way.id, "reference": way.reference}
        case _:
            return kiosk.company_fields(visit, chosen) or "kiosk.form.choose"


def _address(given: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str] | str:
    district = names.get(given.get("district", ""))
    if district is None:
        return "kiosk.form.district"
    plate, room = given.get("plate", ""), given.get("room", "")
    if not _PLATE.fullmatch(plate):
        return "kiosk.form.plate"
    if not _ROOM.fullmatch(room):
        return "kiosk.form.room"
    return {"district": district, "plate": plate, "room": room}
