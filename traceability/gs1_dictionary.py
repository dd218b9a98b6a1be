# SPDX-License-Identifier: Apache-2.0
"""What GS1 says of each application identifier (AI): type, length, checks, and its place in a Digital Link URI.

A table and its reader, no judgement of values (`traceability.gs1` judges).  One line of the table is
`identifiers | flags | components | attributes`; `*` says that the length is predefined (no FNC1 separator follows),
`?` that the AI may stand in the query of a Digital Link URI; a component is a type (N digits, X the 82 characters,
Y the 39, Z base64url), a length and names of checks; brackets make it optional.

Source: the facts of the GS1 Barcode Syntax Dictionary as of 2026 (https://ref.gs1.org/tools/gs1-barcode-syntax-resource/).
"""

import functools
import re
from dataclasses import dataclass

_TABLE = """
00              | *? | N18,csum,keyoff1 | dlpkey
01              | *? | N14,csum,keyoff1 | ex=255,37 dlpkey=22,10,21|235
02              | *? | N14,csum,keyoff1 | ex=01,03 req=37
03              | *  | N14,csum,keyoff1 | ex=01,02,37
10              | ?  | X..20 | req=01,02,03,8006,8026
11,13,15,16     | *? | N6,yymmd0 | req=01,02,03,8006,8026
12              | *? | N6,yymmd0 | req=8020
17              | *? | N6,yymmd0 | req=01,02,03,255,8006,8026
20              | *? | N2 | req=01,02,8006,8026
21              |    | X..20 | req=01,03,8006 ex=235
22              |    | X..20 | req=01
235             |    | X..28 | req=01
240,241         | ?  | X..30 | req=01,02,8006,8026
242             | ?  | N..6 | req=01,02,8006,8026
243             | ?  | X..20 | req=01
250             | ?  | X..30 | req=01,8006 req=21
251             | ?  | X..30 | req=01,8006
253             | ?  | N13,csum,key [X..17] | dlpkey
254             |    | X..20 | req=414
255             | ?  | N13,csum,key [N..12] | dlpkey ex=01,02,415,8006,8020,8026
30              | ?  | N..8 | req=01,02
310n,311n,312n,313n,314n,315n,316n,320n,321n,322n,323n,324n,325n,326n,327n,328n,329n | *? | N6 | req=01,02 ex=self
350n,351n,352n,356n,357n,360n,361n,364n,365n,366n | *? | N6 | req=01,02 ex=self
330n,331n,332n,333n,334n,335n,336n,340n,341n,342n,343n,344n,345n,346n,347n,348n,349n | *? | N6 | req=00,01 ex=self
353n,354n,355n,362n,363n,367n,368n,369n | *? | N6 | req=00,01 ex=self
337n            | *? | N6 | req=01 ex=self
37              | ?  | N..8 | req=00 req=02,8026
3900-3909       | ?  | N..15 | req=255,8020 ex=390n,391n,394n,8111
3910-3919       | ?  | N3,iso4217 N..15 | req=8020 ex=391n
3920-3929       | ?  | N..15 | req=01 req=30,31nn,32nn,35nn,36nn ex=392n,393n
3930-3939       | ?  | N3,iso4217 N..15 | req=30,31nn,32nn,35nn,36nn ex=393n
3940-3943       | ?  | N4 | req=255 ex=394n,8111
3950-3955       | ?  | N6 | req=30,31nn,32nn,35nn,36nn ex=392n,393n,395n,8005
400             | ?  | X..30 |
401             | ?  | X..30,key | dlpkey
402             | ?  | N17,csum,key | dlpkey
403             | ?  | X..30 | req=00
410-413,416     | *? | N13,csum,key |
414             | *? | N13,csum,key | dlpkey=254|7040
415             | *? | N13,csum,key | req=8020 dlpkey=8020
417             | *? | N13,csum,key | dlpkey=7040
420             | ?  | X..20 | ex=421
421             | ?  | N3,iso3166 X..9 | ex=4307
422             | ?  | N3,iso3166 | req=01,02,8006,8026 ex=426
423,425         | ?  | N3,iso3166 [N3],iso3166 [N3],iso3166 [N3],iso3166 [N3],iso3166 | req=01,02 ex=426
424             | ?  | N3,iso3166 | req=01,02 ex=426
426             | ?  | N3,iso3166 | req=01,02
427             | ?  | X..3 | req=01,02 req=422
4300,4301,4310,4311,4320 | ? | X..35,pcenc | req=00
4302,4304-4306,4312,4314-4316 | ? | X..70,pcenc | req=00
4303            | ?  | X..70,pcenc | req=4302
4313            | ?  | X..70,pcenc | req=4312
4307,4317       | ?  | X2,iso3166alpha2 | req=00
4308,4319       | ?  | X..30 | req=00
4309            | ?  | N10,latitude N10,longitude | req=00
4318            | ?  | X..20 | req=00
4321-4323       | ?  | N1,yesno | req=00
4324,4325       | ?  | N6,yymmd0 N4,hhmi | req=00
4326            | ?  | N6,yymmdd | req=00
4330            | ?  | N6 [X1],hyphen | req=00 ex=4331
4331            | ?  | N6 [X1],hyphen | req=00 ex=4330
4332            | ?  | N6 [X1],hyphen | req=00 ex=4333
4333            | ?  | N6 [X1],hyphen | req=00 ex=4332
7001            | ?  | N13 | req=01,02,8006,8026
7002            | ?  | X..30 | req=01,02
7003            | ?  | N6,yymmdd N4,hhmi | req=01,02
7004            | ?  | N..4 | req=01 req=10
7005            | ?  | X..12 | req=01,02
7006            | ?  | N6,yymmdd | req=01,02
7007            | ?  | N6,yymmdd [N6],yymmdd | req=01,02
7008            | ?  | X..3 | req=01,02
7009            | ?  | X..10 | req=01,02
7010            | ?  | X..2 | req=01,02
7011            | ?  | N6,yymmdd [N4],hhmi | req=01,02
7020            | ?  | X..20 | req=01,8006 req=416
7021            | ?  | X..20 | req=01,8006
7022            | ?  | X..20 | req=7021
7023            | ?  | X..30,key |
7030-7039       | ?  | N3,iso3166999 X..27 | req=01,02
7040            |    | N1 X1 X1 X1,importeridx |
7041            |    | X..4,packagetype | req=00
710-716         | ?  | X..20 | req=01
7230-7239       | ?  | X2 X..28 | req=01,8004
7240            | ?  | X..20 | req=01,8006
7241            | ?  | N2,mediatype | req=8017,8018
7242            | ?  | X..25 | req=8017,8018
7250            | ?  | N8,yyyymmdd | req=8018 ex=7251
7251            | ?  | N8,yyyymmdd N4,hhmi | req=8018 ex=7250
7252            | ?  | N1,iso5218 | req=8018
7253,7254       | ?  | X..40,pcenc | req=8017,8018 ex=7256,7259
7255            | ?  | X..10 | req=8017,8018 ex=7256,7259
7256            | ?  | X..90,pcenc | req=8017,8018
7257            | ?  | X..70,pcenc | req=8018
7258            | ?  | X3,posinseqslash | req=8018+7259
7259            | ?  | X..40,pcenc | req=8018 ex=7256
8001            | ?  | N4,nonzero N5,nonzero N3,nonzero N1,winding N1 | req=01
8002            | ?  | X..20 |
8003            | ?  | N1,zero N13,csum,key [X..16] | dlpkey
8004            | ?  | X..30,key | dlpkey=7040
8005            | ?  | N6 | req=01,02
8006            | ?  | N14,csum,keyoff1 N4,pieceoftotal | ex=01,37 dlpkey=22,10,21
8007            | ?  | X..34,iban | req=415
8008            | ?  | N6,yymmdd N2,hh [N2],mi [N2],ss | req=01,02
8009            | ?  | X..50 | req=00,01
8010            | ?  | Y..30,key | dlpkey=8011
8011            |    | N..12,nozeroprefix | req=8010
8012            | ?  | X..20 | req=01,8006
8013            | ?  | X..25,csumalpha,key | dlpkey
8014            |    | X..25,csumalpha,key,hasnondigit | req=01
8017            | ?  | N18,csum,key | ex=8018 dlpkey=8019
8018            | ?  | N18,csum,key | ex=8017 dlpkey=8019
8019            |    | N..10 | req=8017,8018
8020            |    | X..25 | req=415
8026            | ?  | N14,csum,keyoff1 N4,pieceoftotal | req=37 ex=02,8006
8030            | ?  | Z..90 | req=00,01+21,253,255,8003,8004,8006+21,8010+8011,8017,8018
8110,8112       | ?  | X..70,coupon |
8111            | ?  | N4 | req=255
8200            |    | X..70 | req=01
90              | ?  | X..30 |
91-99           | ?  | X..90 |
"""

_COMPONENT = re.compile(r"(\[?)([NXYZ])(\.\.)?(\d+)(\]?)((?:,[a-z0-9]+)*)")

DECIMAL_POINT_MAX = 5
"""A measure's last digit (`310n`) says how many decimals it has: 0 to 5."""


@dataclass(frozen=True, slots=True)
class Component:
    """A part of an AI's value.

    Attributes:
        kind: N (digits), X (82 characters), Y (39 characters) or Z (base64url).
        size_min: Characters, at least; 1 for a part of variable length.
        size_max: Characters, at most.
        optional: Whether the value may end before it.
        checks: Names of the checks that it must pass, in order.
    """

    kind: str
    size_min: int
    size_max: int
    optional: bool
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identifier:
    """What GS1 says of one application identifier.

    Attributes:
        ai: 2 to 4 digits.
        predefined_length: No separator follows it in an element string.
        attribute: May stand in the query of a Digital Link URI.
        components: Parts of its value, in order.
        requires: For each inner tuple, one of its groups of AIs (or patterns, `n` any digit) must accompany it.
        excludes: AIs or patterns that must not accompany it.
        qualifiers: For a primary key the allowed sequences of qualifiers in a path, each optional, in order; else None.
    """

    ai: str
    predefined_length: bool
    attribute: bool
    components: tuple[Component, ...]
    requires: tuple[tuple[str, ...], ...]
    excludes: tuple[str, ...]
    qualifiers: tuple[tuple[str, ...], ...] | None


def _expand(names: str) -> list[str]:
    """`11,13`, `4304-4306` and `310n` as single AIs."""
    result: list[str] = []
    for name in names.split(","):
        low, _, high = name.partition("-")
        if high:
            result += [str(number) for number in range(int(low), int(high) + 1)]
        elif name.endswith("n"):
            result += [f"{name[:-1]}{digit}" for digit in range(DECIMAL_POINT_MAX + 1)]
        else:
            result.append(name)
    return result


def _component(text: str) -> Component:
    """One part, e.g. `[N..12],nozeroprefix`."""
    match = _COMPONENT.fullmatch(text)
    assert match is not None, text
    bracket, kind, variable, size, _, checks = match.groups()
    size_max = int(size)
    return Component(kind, 1 if variable else size_max, size_max, bool(bracket), tuple(checks.split(",")[1:]))


def _read(line: str) -> list[Identifier]:
    """One line of the table as identifiers."""
    names, flags, components, attributes = (part.strip() for part in line.split("|", 3))
    requires: list[tuple[str, ...]] = []
    excludes: tuple[str, ...] = ()
    qualifiers: tuple[tuple[str, ...], ...] | None = None
    for attribute in attributes.split():
        name, _, value = attribute.partition("=")
        if name == "req":
            requires.append(tuple(value.split(",")))
        elif name == "ex":
            excludes = tuple(value.split(","))
        else:
            qualifiers = tuple(tuple(part.split(",")) for part in value.split("|")) if value else ((),)
    parts = tuple(_component(part) for part in components.split())
    return [
        Identifier(
            ai,
            "*" in flags,
            "?" in flags,
            parts,
            tuple(requires),
            (f"{ai[:3]}n",) if excludes == ("self",) else excludes,
            qualifiers,
        )
        for ai in _expand(names)
    ]


@functools.cache
def identifiers() -> dict[str, Identifier]:
    """Every AI that is assigned, by its digits."""
    return {entry.ai: entry for line in _TABLE.strip().splitlines() for entry in _read(line)}


def matches(ai: str, pattern: str) -> bool:
    """Whether an AI is what a `req` or `ex` names: itself, or a pattern in which `n` is any digit."""
    return len(ai) == len(pattern) and all(
        expected in ("n", digit) for digit, expected in zip(ai, pattern, strict=True)
    )
