# SPDX-License-Identifier: Apache-2.0
"""Whatever is done with goods in whatever order, mass is conserved, goods have one place, and refusals leave no trace.

Two lots of 100 kg are declared, each of which may give 102. Random steps by random traders, many of them wrong, split,
mix, pack, ship, cut, put into pieces and sell. After each step the books are added up by code that shares nothing with
the rules but the records' form, and what was sold is compared with what was declared.
"""

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rig import code_of
from tests.trace_rig import (
    BAG,
    CABBAGE,
    CUT,
    JAR,
    MICRO,
    SERVICE,
    TRADERS,
    TraceRig,
    crate,
    gtin,
    kg,
    lot,
    serial,
    sscc,
)
from traceability import custody
from traceability.pb import traceability_pb2 as pb
from traceability.portions import Portion

ROOT = Path(__file__).resolve().parents[2]
WHO = ("farm", "market", "plant", "shop", "coop", "carrier")
MASS_MG = {CABBAGE: MICRO, CUT: MICRO, BAG: 500_000, JAR: 250_000}
DECLARED_NG = 2 * kg(100) * MICRO
GRANTED_NG = DECLARED_NG // 50
NAMES = {number: name for name, (number, _) in TRADERS.items()}
KINDS = ("ship", "receive", "cancel", "pack", "unpack", "transform", "sell", "destroy", "inspect")

step = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, len(WHO) - 1),
    st.integers(0, len(WHO) - 1),
    st.integers(0, 11),
    st.integers(0, 11),
    st.one_of(st.integers(1, kg(110)), st.sampled_from([1, kg(10), kg(50), kg(100), kg(102), kg(110)])),
    st.booleans(),
)
Step = tuple[str, int, int, int, int, int, bool]


class Books:
    """One history and its own account of it."""

    def __init__(self) -> None:
        self.rig = TraceRig()
        self.lots = [self.rig.harvested(100, lot("A")), self.rig.harvested(100, lot("B"), "farm-2")]
        self.rig.delivered(lot("B"), 50, "farm-2", "market")
        self.rig.delivered(lot("B"), 50, "farm-2", "plant")
        self.objects = [sscc(0), sscc(1), crate(0), crate(1)]
        self.made = 0
        self.sold_ng = 0
        self.codes: Counter[str] = Counter()

    # ------------------------------------------------------------ drawing

    def lot_at(self, number: int) -> str:
        return self.lots[number % len(self.lots)]

    def object_at(self, number: int) -> str:
        return self.objects[number % len(self.objects)]

    def lines(self, number: int, quantity: int, is_object: bool) -> dict[str, int]:
        return {self.object_at(number): 0} if is_object else {self.lot_at(number): quantity}

    def outputs(self, number: int, quantity: int, is_object: bool) -> dict[str, int]:
        self.made += 1
        if is_object:
            return {serial(f"{self.made}-{n}", (BAG, JAR)[number % 2]): 0 for n in range(1 + number % 4)}
        product = (CUT, BAG, JAR)[number % 3]
        return {lot(f"M{self.made}", product): quantity * MICRO // MASS_MG[product] or 1}

    def do(self, drawn: Step) -> str:
        """Try one step and check everything."""
        kind, who, whom, first, second, quantity, flag = drawn
        actor, other = WHO[who], WHO[whom]
        fields: dict[str, object] = {}
        goods = self.lines(first, quantity, is_object=flag)
        made: dict[str, int] = {}
        on_their_way = [key.decode().split("/")[2:] for key in sorted(self.rig.state) if b"/transit/" in key]
        if kind in ("receive", "cancel") and on_their_way and second % 3:
            *path, shipper, receiver = on_their_way[first % len(on_their_way)]
            goods = {"/".join(path): quantity}
            actor, other = [NAMES[one] for one in ((receiver, shipper) if kind == "receive" else (shipper, receiver))]
        if kind in ("ship", "receive", "cancel"):
            fields = {"counterparty": TRADERS[other][0], "lines": goods, "complete": kind == "receive" and second == 0}
        elif kind in ("pack", "unpack"):
            fields = {"parent": self.object_at(second), "lines": goods if kind == "pack" or second % 2 else {}}
        elif kind == "transform":
            made = self.outputs(second, quantity * (100 + second - 5) // 100, is_object=flag)
            goods = self.lines(first, quantity, is_object=second == 11)
            fields = {"lines": goods, "outputs": made}
        else:
            fields = {"lines": goods}
        message = self.rig.event(actor, kind, **fields)
        before = dict(self.rig.state)
        code = self.rig.code([SERVICE, actor], message)
        self.codes[code] += 1
        if code:
            assert self.rig.state == before, "a refused event left a trace"
            return code
        self.check_custody(before, message.projection, kind, TRADERS[actor][0])
        for item in made:
            (self.lots if "/10/" in item else self.objects).append(item)
        if kind in ("sell", "destroy"):
            self.sold_ng += sum(mass_of(item, amount or MICRO) for item, amount in goods.items())
        return ""

    # ------------------------------------------------------------ adding up

    def check(self) -> None:
        """Mass as a whole, each lot's own books, and one place for each object."""
        parts: Counter[str] = Counter()
        present = 0
        inside: Counter[str] = Counter()
        for key, value in self.rig.state.items():
            name = key.decode()
            if name.startswith(("traceability/holding/", "traceability/transit/")):
                record = pb.PortionRecord.FromString(value)
                item = "/".join(name.split("/")[2:6])
                parts[item] += record.quantity + record.slack
            elif name.startswith("traceability/object/"):
                thing = pb.ObjectRecord.FromString(value)
                item = name.removeprefix("traceability/object/")
                if "/21/" in item and not thing.ended:
                    present += mass_of(item, MICRO)
            elif name.startswith("traceability/contents/"):
                item = name.removeprefix("traceability/contents/")
                held = pb.ContentsRecord.FromString(value).contents
                assert len(held) == self.rig.object_record(item).lines
                for content in held:
                    if "/10/" in content.item:
                        parts[content.item] += content.quantity + content.slack
                    else:
                        inside[content.item] += 1
                        child = self.rig.object_record(content.item)
                        assert child.parent == item
        present += sum(mass_of(item, amount) for item, amount in parts.items())
        assert present + self.sold_ng <= DECLARED_NG + GRANTED_NG, "goods came out of nothing"
        assert all(count == 1 for count in inside.values()), "a child in two parents"
        for item in self.lots:
            record = self.rig.lot_record(item)
            assert parts[item] + record.left <= record.entered + record.granted

    def check_custody(self, before: dict[bytes, bytes], projection: pb.Projection, kind: str, actor: str) -> None:
        """What was shipped, packed, used or sold was at hand before."""
        if kind in ("receive", "cancel", "unpack", "inspect"):
            return
        for line in projection.lines:
            if line.quantity:
                held = of(before, f"holding/{line.item}/{actor}", pb.PortionRecord())
                assert held.quantity + held.slack >= line.quantity
            else:
                thing = of(before, f"object/{line.item}", pb.ObjectRecord())
                assert (thing.holder, thing.to, thing.parent, thing.ended) == (actor, "", "", False)

    def sell_out(self) -> None:
        """Everybody unpacks, takes in and sells all that they can, in ever smaller amounts."""
        for who in WHO:
            for item in self.objects:
                self.rig.does(who, "unpack", parent=item)
                if "/21/" in item and not self.rig.does(who, "sell", lines={item: 0}):
                    self.sold_ng += mass_of(item, MICRO)
        for item in self.lots:
            for who in WHO:
                for other in WHO:
                    most = self.rig.transit(item, other, who).most
                    if most:
                        self.rig.does(who, "receive", counterparty=TRADERS[other][0], lines={item: most})
                for quantity in (kg(110), kg(10), kg(1), 1000, 1):
                    while not self.rig.does(who, "sell", lines={item: quantity}):
                        self.sold_ng += mass_of(item, quantity)


def of(state: dict[bytes, bytes], name: str, record: Message):  # type: ignore[no-untyped-def]  # any record
    record.ParseFromString(state.get(f"traceability/{name}".encode(), b""))
    return record


def mass_of(item: str, quantity: int) -> int:
    """Nanograms."""
    return quantity * MASS_MG[item[3:17]]


@given(st.lists(step, min_size=5, max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_history_conserves_mass_and_keeps_one_place_for_everything(steps: list[Step]) -> None:
    books = Books()
    for drawn in steps:
        if not books.do(drawn):
            books.check()


@given(st.lists(step, max_size=25))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_of_two_lots_of_100_kg_no_path_sells_more_than_204(steps: list[Step]) -> None:
    books = Books()
    for drawn in steps:
        books.do(drawn)
    books.sell_out()
    books.check()
    assert books.sold_ng <= DECLARED_NG + GRANTED_NG


@pytest.mark.parametrize("hops", [1, 7, 40])
@pytest.mark.parametrize("way", ["ship", "cut", "pack", "split and mix"])
def test_110_kg_out_of_a_lot_of_100_are_refused_whichever_way_it_goes(way: str, hops: int) -> None:
    """Each hop claims what the scale may show in excess, again and again."""
    rig = TraceRig()
    holder, other, item, claimed = "coop", "market", rig.harvested(100, who="coop"), kg(100)
    for hop in range(hops):
        more = claimed * 102 // 100
        for amount in (more, kg(102), claimed):  # the first that the rules let through
            if _hop(rig, way, hop, holder, other, item, amount) == "":
                claimed = amount
                break
        if way == "ship":
            holder, other = other, holder
        elif way == "cut":
            item = lot(f"C{hop}", CUT)
    assert kg(100) <= claimed <= kg(102)
    assert rig.does(holder, "sell", lines={item: kg(110)}) == "traceability.exceeds-balance"
    assert rig.does(holder, "sell", lines={item: claimed}) == ""
    assert rig.does(holder, "sell", lines={item: kg(102) - claimed + 1}) in (
        "traceability.exceeds-balance",
        "traceability.not-held",
    )


def _hop(rig: TraceRig, way: str, hop: int, holder: str, other: str, item: str, amount: int) -> str:
    """One step there and, for packing and mixing, back."""
    if way == "ship":
        code = rig.does(holder, "ship", counterparty=TRADERS[other][0], lines={item: amount})
        return code or rig.does(other, "receive", counterparty=TRADERS[holder][0], lines={item: amount})
    if way == "cut":
        return rig.does(holder, "transform", lines={item: amount}, outputs={lot(f"C{hop}", CUT): amount})
    if way == "pack":
        code = rig.does(holder, "pack", parent=sscc(hop), lines={item: amount})
        return code or rig.does(holder, "unpack", parent=sscc(hop), lines={item: amount})
    half = amount // 2
    for part, name in ((half, sscc(2 * hop)), (amount - half, sscc(2 * hop + 1))):
        code = rig.does(holder, "pack", parent=name, lines={item: part})
        if code:
            rig.does(holder, "unpack", parent=sscc(2 * hop))
            return code
    return rig.does(holder, "unpack", parent=sscc(2 * hop)) or rig.does(holder, "unpack", parent=sscc(2 * hop + 1))


def scripted(number: int) -> list[Step]:
    """Steps that do not depend on this process."""
    drawn: list[Step] = []
    for index in range(120):
        d = hashlib.sha256(b"%d %d" % (number, index)).digest()
        quantity = (1, kg(5), kg(20), kg(50), kg(51), kg(102))[d[5] % 6]
        drawn.append((KINDS[d[0] % len(KINDS)], d[1] % 6, d[2] % 6, d[3] % 12, d[4] % 12, quantity, d[6] % 3 == 0))
    return drawn


def digest_of(numbers: range) -> str:
    """Everything that these histories leave, as one hash."""
    total = hashlib.sha256()
    for number in numbers:
        books = Books()
        for drawn in scripted(number):
            total.update(books.do(drawn).encode() + b"/")
        for key, value in sorted(books.rig.state.items()):
            total.update(key + value)
    return total.hexdigest()


def test_histories_reach_what_they_are_to_test() -> None:
    seen: Counter[str] = Counter()
    kinds = 0
    for number in range(12):
        books = Books()
        for drawn in scripted(number):
            kinds |= (not books.do(drawn)) << KINDS.index(drawn[0])
            books.check()
        seen.update(books.codes)
    assert seen[""] >= 100, seen
    assert kinds == (1 << len(KINDS)) - 1, "each kind of step succeeds somewhere"
    for code in ("exceeds-balance", "not-held", "wrong-role", "not-in-transit"):
        assert seen[f"traceability.{code}"], code


@pytest.mark.parametrize("hash_seed", ["1", "31337"])
def test_history_is_the_same_under_another_hash_seed(hash_seed: str) -> None:
    """This process has a seed of its own, so three are compared."""
    code = "from tests.properties.test_traceability_histories import digest_of; print(digest_of(range(2)))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": hash_seed, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert other.stdout.strip() == digest_of(range(2))


def test_planted_tolerance_for_each_hop_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The books notice rules that grant tolerance again whenever something is received."""
    real = custody.load_transit
    monkeypatch.setattr(
        custody,
        "load_transit",
        lambda *where: Portion((found := real(*where)).quantity, found.slack + found.quantity // 50),
    )
    books = Books()
    with pytest.raises(AssertionError, match=r"came out of nothing|record\.left"):
        _send_to_and_fro(books)


def _send_to_and_fro(books: Books) -> None:
    """A lot goes six times from one to the other, each time as much as there is."""
    for index in range(6):
        holder, other = ("farm", "coop") if index % 2 == 0 else ("coop", "farm")
        ends = {"counterparty": TRADERS[other][0]}, {"counterparty": TRADERS[holder][0]}
        most = books.rig.holding(lot("A"), holder).most
        assert books.rig.does(holder, "ship", **ends[0], lines={lot("A"): most}) == ""
        most = custody.load_transit(books.rig.state.get, lot("A"), TRADERS[holder][0], TRADERS[other][0]).most
        assert books.rig.does(other, "receive", **ends[1], lines={lot("A"): most}) == ""
        books.check()


WORLD = Books()
"""Only looked at: `execute` keeps nothing."""
ITEMS = (
    lot("A"),
    lot("N"),
    lot("Z", "0" * 14),
    serial(1),
    serial(1, CABBAGE),
    sscc(0),
    sscc(7),
    crate(0),
    "",
    "01/x",
    "é",
)
NUMBERS = (0, 1, 2, 3, 99, 2**31 - 1)
any_line = st.builds(
    lambda item, quantity: pb.Line(item=item, quantity=quantity),
    st.sampled_from(ITEMS),
    st.sampled_from([0, 1, kg(1), 10**12, 2**64 - 1]),
)
any_fields = st.fixed_dictionaries(
    {},
    optional={
        "id": st.binary(max_size=33),
        "actor": st.sampled_from(["", "x", *NAMES]),
        "type": st.sampled_from(NUMBERS),
        "action": st.sampled_from(NUMBERS),
        "step": st.sampled_from(NUMBERS),
        "disposition": st.sampled_from(NUMBERS),
        "event_time_ms": st.sampled_from([0, 1, 2**64 - 1]),
        "offset_minutes": st.sampled_from([-(2**31), 0, 2**31 - 1]),
        "place": st.sampled_from(["", "x", *NAMES]),
        "counterparty": st.sampled_from(["", "x", *NAMES]),
        "carrier": st.sampled_from(["", "x", *NAMES]),
        "parent": st.sampled_from(ITEMS),
        "process": st.sampled_from([b"", b"x", bytes(32)]),
        "complete": st.booleans(),
    },
)


@given(st.sampled_from(KINDS), any_fields, st.lists(any_line, max_size=4), st.lists(any_line, max_size=3))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_projection_takes_effect_or_is_refused_with_a_code(
    kind: str, fields: dict[str, object], lines: list[pb.Line], outputs: list[pb.Line]
) -> None:
    message = WORLD.rig.event("farm", kind, counterparty=TRADERS["market"][0])
    for name, value in fields.items():
        setattr(message.projection, name, value)
    message.projection.lines.extend(lines)
    message.projection.outputs.extend(outputs)
    names = ["farm", "market", "plant", "coop", "carrier", "lab", "shop", "farm-2"]
    outcome = WORLD.rig.execute(WORLD.rig.sign([SERVICE, *names], message))
    (code,) = [code_of(entry) for entry in outcome.entries]
    assert code == "" or code.startswith("traceability.")


def test_numbers_of_the_rig_are_numbers_of_products() -> None:
    assert {gtin(n) for n in (1, 3, 4, 5)} == {*MASS_MG}
