# SPDX-License-Identifier: Apache-2.0
"""Districts by their code, as a shopper knows them: names, and roughly where they lie.

Places on the ledger have a district and no coordinates. Listed are Foshan and its neighbours by district, Guangdong by
city, the rest of the country by province; a code that is not listed is named by what stands above it.
Source: GB/T 2260; coordinates are those of the seats, rounded to a tenth of a degree (WGS 84).
"""

import math
from typing import Final, NamedTuple

from service.language import Language


class District(NamedTuple):
    """One district, city or province.

    Attributes:
        lon: Degrees east.
        lat: Degrees north.
    """

    zh: str
    en: str
    lon: float
    lat: float


_LISTED: Final = {
    "440604": District("佛山禅城", "Chancheng, Foshan", 113.1, 23.0),
    "440605": District("佛山南海", "Nanhai, Foshan", 113.1, 23.1),
    "440606": District("佛山顺德", "Shunde, Foshan", 113.3, 22.8),
    "440607": District("佛山三水", "Sanshui, Foshan", 112.9, 23.2),
    "440608": District("佛山高明", "Gaoming, Foshan", 112.9, 22.9),
    "440100": District("广州", "Guangzhou", 113.3, 23.1),
    "440200": District("韶关", "Shaoguan", 113.6, 24.8),
    "440300": District("深圳", "Shenzhen", 114.1, 22.5),
    "440400": District("珠海", "Zhuhai", 113.6, 22.3),
    "440500": District("汕头", "Shantou", 116.7, 23.4),
    "440600": District("佛山", "Foshan", 113.1, 23.0),
    "440700": District("江门", "Jiangmen", 113.1, 22.6),
    "440800": District("湛江", "Zhanjiang", 110.4, 21.3),
    "440900": District("茂名", "Maoming", 110.9, 21.7),
    "441200": District("肇庆", "Zhaoqing", 112.5, 23.0),
    "441300": District("惠州", "Huizhou", 114.4, 23.1),
    "441400": District("梅州", "Meizhou", 116.1, 24.3),
    "441500": District("汕尾", "Shanwei", 115.4, 22.8),
    "441600": District("河源", "Heyuan", 114.7, 23.7),
    "441700": District("阳江", "Yangjiang", 112.0, 21.9),
    "441800": District("清远", "Qingyuan", 113.1, 23.7),
    "441900": District("东莞", "Dongguan", 113.7, 23.0),
    "442000": District("中山", "Zhongshan", 113.4, 22.5),
    "445100": District("潮州", "Chaozhou", 116.6, 23.7),
    "445200": District("揭阳", "Jieyang", 116.4, 23.5),
    "445300": District("云浮", "Yunfu", 112.0, 22.9),
    "110000": District("北京", "Beijing", 116.4, 39.9),
    "120000": District("天津", "Tianjin", 117.2, 39.1),
    "130000": District("河北", "Hebei", 114.5, 38.0),
    "140000": District("山西", "Shanxi", 112.6, 37.9),
    "150000": District("内蒙古", "Inner Mongolia", 111.7, 40.8),
    "210000": District("辽宁", "Liaoning", 123.4, 41.8),
    "220000": District("吉林", "Jilin", 125.3, 43.9),
    "230000": District("黑龙江", "Heilongjiang", 126.6, 45.8),
    "310000": District("上海", "Shanghai", 121.5, 31.2),
    "320000": District("江苏", "Jiangsu", 118.8, 32.1),
    "330000": District("浙江", "Zhejiang", 120.2, 30.3),
    "340000": District("安徽", "Anhui", 117.3, 31.9),
    "350000": District("福建", "Fujian", 119.3, 26.1),
    "360000": District("江西", "Jiangxi", 115.9, 28.7),
    "370000": District("山东", "Shandong", 117.0, 36.7),
    "410000": District("河南", "Henan", 113.6, 34.8),
    "420000": District("湖北", "Hubei", 114.3, 30.6),
    "430000": District("湖南", "Hunan", 113.0, 28.2),
    "440000": District("广东", "Guangdong", 113.3, 23.1),
    "450000": District("广西", "Guangxi", 108.3, 22.8),
    "460000": District("海南", "Hainan", 110.3, 20.0),
    "500000": District("重庆", "Chongqing", 106.6, 29.6),
    "510000": District("四川", "Sichuan", 104.1, 30.7),
    "520000": District("贵州", "Guizhou", 106.7, 26.6),
    "530000": District("云南", "Yunnan", 102.7, 25.0),
    "540000": District("西藏", "Tibet", 91.1, 29.7),
    "610000": District("陕西", "Shaanxi", 108.9, 34.3),
    "620000": District("甘肃", "Gansu", 103.8, 36.1),
    "630000": District("青海", "Qinghai", 101.8, 36.6),
    "640000": District("宁夏", "Ningxia", 106.3, 38.5),
    "650000": District("新疆", "Xinjiang", 87.6, 43.8),
    "710000": District("台湾", "Taiwan", 121.5, 25.0),
    "810000": District("香港", "Hong Kong", 114.2, 22.3),
    "820000": District("澳门", "Macao", 113.5, 22.2),
}
OFFERED: Final = tuple(code for code in _LISTED if code != "440600")
"""What a shopper may choose from, the nearest first."""
_EARTH_KM: Final = 6_371.0


def district_of(code: str) -> District | None:
    """What a code stands for, or what stands above it; None: nothing that is known."""
    for known in (code, code[:4] + "00", code[:2] + "0000"):
        if known in _LISTED:
            return _LISTED[known]
    return None


def district_name(language: Language, code: str) -> str:
    """A district's name; its code where nothing is known of it."""
    found = district_of(code)
    if found is None:
        return code
    return found.zh if language == "zh-CN" else found.en


def distance_km(one: str, other: str) -> float | None:
    """How far two districts lie apart, as the crow flies; None where one of them is not known."""
    a, b = district_of(one), district_of(other)
    if a is None or b is None:
        return None
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    half = math.sin((lat_b - lat_a) / 2) ** 2
    half += math.cos(lat_a) * math.cos(lat_b) * math.sin(math.radians(b.lon - a.lon) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(half))
