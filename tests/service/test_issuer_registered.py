# SPDX-License-Identifier: Apache-2.0
"""What the desk registered becomes claims that the issuer finds confirmed; names and addresses are split, or whole."""

from datetime import date

import pytest
from issuer_rig import PERSON_KEY

from identity.api.desk.details import Details, Method
from identity.api.issuer.confirmed import NotConfirmed, check_confirmed
from identity.api.issuer.registered import offered, split_address, split_name
from identity.documents import DocumentKind
from identity.pb import identity_pb2 as pb

SALT = bytes(range(32))
TODAY = date(2025, 11, 22)


def details(**changes) -> Details:
    values = {
        "document": DocumentKind.RESIDENT_CARD,
        "number": "11010519491231002X",
        "name": "李小明",
        "born": "1949-12-31",
        "address": "广东省佛山市禅城区祖庙街道1号",
        "method": Method.CHIP,
    } | changes
    return Details(**values)


def record(registered: Details, level: pb.AssuranceLevel.ValueType | None = None) -> dict[bytes, bytes | None]:
    made = pb.PersonRecord(
        status=pb.PERSON_STATUS_ACTIVE,
        commitment=registered.commitment(SALT),
        assurance_level=registered.level if level is None else level,
    )
    return {PERSON_KEY: made.SerializeToString()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "欧阳修", "address": "北京市朝阳区某路1号"},
        {"name": "买买提·艾力", "address": "新疆维吾尔自治区喀什地区莎车县某乡"},
        {"name": "Anna Maria Smith", "address": "1 Main Street", "method": Method.VOUCHED},
        {"name": "Ng", "address": ""},
        {"address": " 广东省 佛山市 禅城区 某街 "},
    ],
)
def test_claims_of_whoever_the_desk_registered_are_found_confirmed(changes):
    registered = details(**changes)
    claims, opening = offered(
        registered, SALT, proofed_on=TODAY, office="禅城区行政服务中心", officer_role="clerk", as_of=TODAY
    )
    check_confirmed(claims, (PERSON_KEY,), opening, record(registered))
    with pytest.raises(NotConfirmed):
        check_confirmed(claims, (PERSON_KEY,), opening, record(details(name="别人")))


def test_level_that_officers_did_not_confirm_is_not_claimed():
    registered = details()
    claims, opening = offered(registered, SALT, proofed_on=TODAY, office="x", officer_role="clerk", as_of=TODAY)
    with pytest.raises(NotConfirmed, match="assurance level"):
        check_confirmed(claims, (PERSON_KEY,), opening, record(registered, pb.ASSURANCE_LEVEL_LOW))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("李明", ("李", "明")),
        ("欧阳修", ("欧阳", "修")),
        ("欧阳", ("欧", "阳")),
        ("司马相如", ("司马", "相如")),
        ("𠮷田", ("𠮷", "田")),
        ("Anna Maria Smith", ("Smith", "Anna Maria")),
        ("买买提·艾力", ("", "买买提·艾力")),
        ("阿卜杜热合曼江", ("", "阿卜杜热合曼江")),
    ],
)
def test_name_is_split_where_its_form_says_how(name, parts):
    assert split_name(name) == parts


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("广东省佛山市禅城区祖庙街道1号", ("广东省", "佛山市禅城区")),
        ("北京市朝阳区某路", ("北京市", "朝阳区")),
        ("浙江省杭州市西湖区灵隐街道", ("浙江省", "杭州市西湖区")),
        ("香港特别行政区中西区某道", ("香港特别行政区", "中西区")),
        ("1 Main Street", ("", "")),
        ("", ("", "")),
    ],
)
def test_address_is_split_at_province_city_and_district(address, parts):
    assert split_address(address) == parts
