# SPDX-License-Identifier: Apache-2.0
"""Words of the traders' pages, each named as a literal: steps, what is signed, what is wrong, what a refusal means."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from service.language import LANGUAGES, Language, translate
from service.wording import clock, instant
from traceability.api.trader.balance import balance_of, kilograms
from traceability.api.trader.steps import Step, Wrong
from traceability.documents.names import Names, code_of
from traceability.items import Kind, kind_of
from traceability.pb import traceability_pb2 as pb
from traceability.products import MICRO

NamesIn = Callable[[Language], Names]


class StepWords(NamedTuple):
    """Keys of a step: its name, what it is for, what its act says, and its sign."""

    name: str
    about: str
    act: str
    icon: str


STEP_WORDS: Final[Mapping[Step, StepWords]] = {
    Step.HARVEST: StepWords("trade.harvest", "trade.harvest-about", "trade.act-harvest", "check"),
    Step.PACK: StepWords("trade.pack", "trade.pack-about", "trade.act-pack", "empty"),
    Step.SHIP: StepWords("trade.ship", "trade.ship-about", "trade.act-ship", "arrow-up"),
    Step.CARRY: StepWords("trade.carry", "trade.carry-about", "trade.act-carry", "clock"),
    Step.RECEIVE: StepWords("trade.receive", "trade.receive-about", "trade.act-receive", "arrow-down"),
    Step.UNPACK: StepWords("trade.unpack", "trade.unpack-about", "trade.act-unpack", "empty"),
    Step.MAKE: StepWords("trade.make", "trade.make-about", "trade.act-make", "check"),
    Step.SELL: StepWords("trade.sell", "trade.sell-about", "trade.act-sell", "card"),
    Step.DESTROY: StepWords("trade.destroy", "trade.destroy-about", "trade.act-destroy", "cross"),
    Step.TEST: StepWords("trade.test", "trade.test-about", "trade.act-test", "eye"),
}
WRONG_KEYS: Final[Mapping[Wrong, str]] = {
    Wrong.ITEM: "trade.wrong-item",
    Wrong.QUANTITY: "trade.wrong-quantity",
    Wrong.NO_LINES: "trade.wrong-no-lines",
    Wrong.NO_OUTPUTS: "trade.wrong-no-outputs",
    Wrong.BALANCE: "trade.wrong-balance",
    Wrong.TWICE: "trade.wrong-twice",
    Wrong.PARTNER: "trade.wrong-partner",
    Wrong.CARRIER: "trade.wrong-carrier",
    Wrong.CONTAINER: "trade.wrong-container",
    Wrong.PRODUCT: "trade.wrong-product",
    Wrong.LOT: "trade.wrong-lot",
    Wrong.TIME: "trade.wrong-time",
    Wrong.CELSIUS: "trade.wrong-celsius",
}
ROLE_KEYS: Final[Mapping[int, str]] = {
    pb.ROLE_FARM: "trade.role-farm",
    pb.ROLE_CARRIER: "trade.role-carrier",
    pb.ROLE_MARKET: "trade.role-market",
    pb.ROLE_LABORATORY: "trade.role-laboratory",
    pb.ROLE_PROCESSOR: "trade.role-processor",
    pb.ROLE_IMPORTER: "trade.role-importer",
}


class Refusal(NamedTuple):
    """What a refusal means, and what to do."""

    what: str
    todo: str


_BALANCE = Refusal("trade.refused-balance", "trade.refused-balance-todo")
_HANDS = Refusal("trade.refused-not-held", "trade.refused-not-held-todo")
_PARTY = Refusal("trade.refused-party", "trade.refused-party-todo")
_KEY = Refusal("trade.refused-key", "trade.refused-key-todo")
_ELSE = Refusal("trade.refused-else", "trade.refused-else-todo")
REFUSALS: Final[Mapping[str, Refusal]] = {
    "traceability.exceeds-balance": _BALANCE,
    "traceability.exceeds-input": _BALANCE,
    "traceability.too-much": _BALANCE,
    "traceability.not-held": _HANDS,
    "traceability.not-in-transit": _HANDS,
    "traceability.not-related": _HANDS,
    "traceability.contained": Refusal("trade.refused-contained", "trade.refused-contained-todo"),
    "traceability.not-contained": Refusal("trade.refused-not-contained", "trade.refused-not-contained-todo"),
    "traceability.not-empty": Refusal("trade.refused-not-empty", "trade.refused-not-empty-todo"),
    "traceability.recalled": Refusal("trade.refused-recalled", "trade.refused-recalled-todo"),
    "traceability.item-known": Refusal("trade.refused-known", "trade.refused-known-todo"),
    "traceability.lot-of-another": Refusal("trade.refused-known", "trade.refused-known-todo"),
    "traceability.item-ended": Refusal("trade.refused-ended", "trade.refused-ended-todo"),
    "traceability.unknown-item": Refusal("trade.refused-unknown", "trade.refused-unknown-todo"),
    "traceability.unknown-product": Refusal("trade.refused-product", "trade.refused-product-todo"),
    "traceability.product-of-another": Refusal("trade.refused-product", "trade.refused-product-todo"),
    "traceability.unknown-participant": _PARTY,
    "traceability.same-party": _PARTY,
    "traceability.participant-suspended": Refusal("trade.refused-suspended", "trade.refused-suspended-todo"),
    "traceability.wrong-role": Refusal("trade.refused-role", "trade.refused-role-todo"),
    "traceability.not-signed-by-actor": _KEY,
    "traceability.key-used": _KEY,
    "traceability.unknown-place": Refusal("trade.refused-place", "trade.refused-place-todo"),
    "traceability.place-closed": Refusal("trade.refused-place", "trade.refused-place-todo"),
    "traceability.event-known": Refusal("trade.refused-event-known", "trade.refused-event-known-todo"),
    "traceability.event-time": Refusal("trade.refused-time", "trade.refused-time-todo"),
    "transaction.expired": Refusal("trade.refused-expired", "trade.refused-expired-todo"),
}


def refusal_of(code: str) -> Refusal:
    """What a code means to a trader; codes that none should meet have one sentence for all."""
    return REFUSALS.get(code, _ELSE)


def goods_words(names: Names, lines: list[tuple[str, int]]) -> str:
    """Goods in a row: "12.5 kg Choy sum (L1)"."""
    is_chinese = names.language == "zh-CN"
    between, code, end = ("", "（{}）", "；") if is_chinese else (" ", " ({})", "; ")
    parts = []
    for item, quantity in lines:
        named = names.product(item) + code.format(code_of(item))
        if kind_of(item) is Kind.LOT:
            parts.append(names.amount(item, quantity) + between + named)
        else:
            parts.append(named if kind_of(item) is Kind.SERIAL else code_of(item))
    return end.join(parts)


def named_goods(step: Step, projection: pb.Projection) -> list[tuple[str, int]]:
    """The goods by which a record is known: what was made, else what it is about."""
    lines = projection.outputs if step is Step.MAKE else projection.lines
    return [(line.item, line.quantity) for line in lines]


def act_words(
    step: Step, projection: pb.Projection, names_in: NamesIn, agent: str, *, has_photo: bool, celsius: str
) -> Mapping[Language, list[str]]:
    """What a record does, in both languages, out of what goes on the ledger.

    Args:
        step: What was chosen.
        projection: What everybody will read.
        names_in: Names of all that it mentions, in a language.
        agent: GLN of who signs in the actor's name; empty: the actor.
        has_photo: Whether a picture belongs to it.
        celsius: A temperature that belongs to it, as it was entered; may be empty.
    """
    return {
        language: _sentences(language, step, projection, names_in(language), agent, has_photo, celsius)
        for language in LANGUAGES
    }


def _sentences(
    language: Language,
    step: Step,
    projection: pb.Projection,
    names: Names,
    agent: str,
    has_photo: bool,
    celsius: str,
) -> list[str]:
    def t(key: str, **parameters: object) -> str:
        return translate(language, key, **parameters)

    goods = goods_words(names, [(line.item, line.quantity) for line in projection.lines])
    container = code_of(projection.parent)
    made = goods_words(names, [(line.item, line.quantity) for line in projection.outputs])
    found = [t(STEP_WORDS[step].act, goods=goods or t("trade.everything"), container=container, made=made)]
    if step is Step.MAKE:
        found += _weighed(language, projection, names)
    other = projection.counterparty
    if other:
        party = f"{names.participant(other)} ({other})" if names.participant(other) != other else other
        found.append(t("trade.act-to", party=party) if step is Step.SHIP else t("trade.act-from", party=party))
    if projection.carrier:
        found.append(t("trade.act-carrier", party=names.participant(projection.carrier)))
    if step is Step.TEST:
        passed = projection.disposition == pb.DISPOSITION_CONFORMANT
        found.append(t("trade.act-passed") if passed else t("trade.act-failed"))
    if projection.complete:
        found.append(t("trade.act-complete"))
    if celsius:
        found.append(t("trade.act-celsius", celsius=celsius))
    at = clock(language, instant(projection.event_time_ms))
    if projection.place:
        found.append(t("trade.act-when-where", moment=at, place=names.place(projection.place)))
    else:
        found.append(t("trade.act-when", moment=at))
    own = f"{names.participant(projection.actor)} ({projection.actor})"
    if agent:
        found.append(t("trade.act-agent", party=own, agent=names.participant(agent)))
    else:
        found.append(t("trade.act-own", party=own))
    if has_photo:
        found.append(t("trade.act-photo"))
    found.append(t("trade.act-public"))
    return found


def _weighed(language: Language, projection: pb.Projection, names: Names) -> list[str]:
    """The balance of a processing, before anybody signs it."""
    found = balance_of(projection, names.products)
    if found is None:
        return [translate(language, "trade.act-balance-unknown")]
    masses = {"used": kilograms(found.used_ng), "made": kilograms(found.made_ng), "lost": kilograms(found.lost_ng)}
    if found.is_more:
        return [translate(language, "trade.act-balance-more", **masses)]
    return [translate(language, "trade.act-balance", **masses)]


def discrepancy_words(language: Language, names: Names, found: pb.Discrepancy) -> str:
    """One discrepancy of a receipt, in a sentence."""
    goods = f"{names.product(found.item)} ({code_of(found.item)})"
    if kind_of(found.item) is not Kind.LOT:
        return translate(language, "trade.discrepancy-object", goods=goods)
    if found.over:
        amount = names.amount(found.item, found.over or MICRO)
        return translate(language, "trade.discrepancy-over", goods=goods, amount=amount)
    return translate(language, "trade.discrepancy-short", goods=goods, amount=names.amount(found.item, found.short))
