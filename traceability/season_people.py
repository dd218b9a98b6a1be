# SPDX-License-Identifier: Apache-2.0
"""Who and what there is in a generated season: farms, carriers, markets, plants and laboratories of Foshan, and goods.

Numbers are GS1 keys with right check digits under a made-up company prefix; companies' names are made up, and
smallholders have none. Everything follows from a place in a list, nothing from chance.
"""

from dataclasses import dataclass
from typing import Final

from chain.types import sha256
from traceability.gs1 import check_digit
from traceability.pb import traceability_pb2 as pb

FARMS: Final = 200
CARRIERS: Final = 20
MARKETS: Final = 50
PLANTS: Final = 12
LABORATORIES: Final = 3

PREFIX: Final = "6950001"
USCC: Final = "91110000600037341L"
"""One well-formed code for all made-up companies."""
DISTRICTS: Final = (
    ("440604", "禅城", "Chancheng"),
    ("440605", "南海", "Nanhai"),
    ("440606", "顺德", "Shunde"),
    ("440607", "三水", "Sanshui"),
    ("440608", "高明", "Gaoming"),
)
_FIRST = {"farm": 1000, "carrier": 2000, "market": 3000, "plant": 4000, "laboratory": 5000}
_PLACE_OFFSET: Final = 5000
"""A participant's place has its number and so much more."""


@dataclass(frozen=True, slots=True)
class Goods:
    """One product of a season.

    Attributes:
        kind: "vegetable", "fish", "jar" (by the piece, made of vegetables), or "bag" (vegetables, cut and packed).
        grams: Net, of one unit.
        limits: Degrees Celsius and minutes, where temperature counts.
        owner: GLN; empty: everybody's.
    """

    gtin: str
    kind: str
    name_zh: str
    name_en: str
    grams: int
    limits: tuple[int, int, int] | None
    owner: str = ""


def gln(number: int) -> str:
    """The GLN of a number below 100,000."""
    body = f"{PREFIX}{number:05}"
    return body + check_digit(body)


def gtin(number: int) -> str:
    """The GTIN of a number below 100,000."""
    body = f"0{PREFIX}{number:05}"
    return body + check_digit(body)


def sscc(number: int) -> str:
    """The SSCC of a number below 10^9."""
    body = f"0{PREFIX}{number:09}"
    return body + check_digit(body)


def party(kind: str, index: int) -> str:
    """The GLN of the index-th farm, carrier, market, plant or laboratory."""
    return gln(_FIRST[kind] + index)


def place(party_gln: str) -> str:
    """The GLN of a participant's one place."""
    return gln(int(party_gln[7:12]) + _PLACE_OFFSET)


def _vegetables() -> list[Goods]:
    names = (
        ("菜心", "Choy sum"),
        ("上海青", "Shanghai bok choy"),
        ("芥蓝", "Chinese kale"),
        ("通菜", "Water spinach"),
        ("番茄", "Tomato"),
        ("青瓜", "Cucumber"),
        ("茄子", "Aubergine"),
        ("豆角", "Yardlong bean"),
    )
    return [Goods(gtin(1 + n), "vegetable", zh, en, 1000, (0, 12, 90)) for n, (zh, en) in enumerate(names)]


def _fish() -> list[Goods]:
    names = (
        ("鲩鱼", "Grass carp"),
        ("罗非鱼", "Tilapia"),
        ("桂花鱼", "Mandarin fish"),
        ("基围虾", "Greasyback shrimp"),
    )
    return [Goods(gtin(20 + n), "fish", zh, en, 1000, (0, 4, 30)) for n, (zh, en) in enumerate(names)]


def _jars() -> list[Goods]:
    names = (("腌菜", "Pickled greens"), ("番茄酱", "Tomato paste"), ("菜干", "Dried greens"))
    return [
        Goods(gtin(100 + n), "jar", *names[n % len(names)], 250, None, owner=party("plant", n)) for n in range(PLANTS)
    ]


VEGETABLES: Final = tuple(_vegetables())
FISH: Final = tuple(_fish())
JARS: Final = tuple(_jars())
BAG: Final = Goods(gtin(50), "bag", "净菜（500 克）", "Cut vegetables, 500 g", 500, (0, 8, 60))
GOODS: Final = (*VEGETABLES, *FISH, *JARS, BAG)


def participants() -> list[pb.RecordParticipant]:
    """Everybody, as a regulator records them: three farms in four are smallholders, without a name."""
    found: list[pb.RecordParticipant] = []
    for index in range(FARMS):
        number = party("farm", index)
        if index % 4:
            hidden = sha256(b"season smallholder %d" % index)
            found.append(
                pb.RecordParticipant(
                    gln=number, kind=pb.PARTICIPANT_KIND_SMALLHOLDER, roles=[pb.ROLE_FARM], commitment=hidden
                )
            )
        else:
            found.append(_company(number, [pb.ROLE_FARM], f"第{index + 1}号农场", f"Farm {index + 1}"))
    for kind, count, role, zh, en in (
        ("carrier", CARRIERS, pb.ROLE_CARRIER, "冷链运输", "Cold haulage"),
        ("market", MARKETS, pb.ROLE_MARKET, "街市", "Market"),
        ("plant", PLANTS, pb.ROLE_PROCESSOR, "食品厂", "Food plant"),
        ("laboratory", LABORATORIES, pb.ROLE_LABORATORY, "检测中心", "Laboratory"),
    ):
        found += [_company(party(kind, n), [role], f"{zh}{n + 1}", f"{en} {n + 1}") for n in range(count)]
    return found


def _company(number: str, roles: list[pb.Role.ValueType], zh: str, en: str) -> pb.RecordParticipant:
    return pb.RecordParticipant(
        gln=number, kind=pb.PARTICIPANT_KIND_COMPANY, roles=roles, name_zh=zh, name_en=en, uscc=USCC
    )


def places() -> list[pb.RecordPlace]:
    """One place for each participant; a smallholder's has a district and nothing else."""
    kinds = {
        pb.ROLE_FARM: pb.PLACE_KIND_FARM,
        pb.ROLE_CARRIER: pb.PLACE_KIND_VEHICLE,
        pb.ROLE_MARKET: pb.PLACE_KIND_MARKET,
        pb.ROLE_PROCESSOR: pb.PLACE_KIND_PLANT,
        pb.ROLE_LABORATORY: pb.PLACE_KIND_LABORATORY,
    }
    found: list[pb.RecordPlace] = []
    for index, who in enumerate(participants()):
        code, zh, en = DISTRICTS[index % len(DISTRICTS)]
        is_named = who.kind == pb.PARTICIPANT_KIND_COMPANY
        found.append(
            pb.RecordPlace(
                gln=place(who.gln),
                owner=who.gln,
                kind=kinds[who.roles[0]],
                district=code,
                name_zh=f"{zh}{who.name_zh}" if is_named else "",
                name_en=f"{who.name_en}, {en}" if is_named else "",
            )
        )
    return found


def products() -> list[pb.RecordProduct]:
    """Everything that is traded."""
    found: list[pb.RecordProduct] = []
    for goods in GOODS:
        product = pb.RecordProduct(
            gtin=goods.gtin,
            owner=goods.owner,
            unit=pb.UNIT_KILOGRAM if goods.kind in ("vegetable", "fish") else pb.UNIT_PIECE,
            mass_mg=goods.grams * 1000,
            name_zh=goods.name_zh,
            name_en=goods.name_en,
        )
        if goods.limits is not None:
            low, high, minutes = goods.limits
            product.temperature.min_millicelsius = low * 1000
            product.temperature.max_millicelsius = high * 1000
            product.temperature.minutes_max = minutes
        found.append(product)
    return found
