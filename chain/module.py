# SPDX-License-Identifier: Apache-2.0
"""What a domain is to the executor: named operations, and rules as pure functions over a buffered state.

A module reads any key and writes only under its own `name/` and the prefixes granted to it. It refuses by raising
`Refused` with a code of its own, `name.what-is-wrong`; whatever it wrote in that transaction is dropped with it. Any
other exception is a fault of ours and stops the node.

A transaction counts only if at least one of its signers is known to the authority (the membership module). What the
other signers are (a holder, an officer, a trader whose key stands in no state) is for the module to judge.
Source: docs/protocol.md, sections 2 and 4.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from chain.checkpoint import Validator, ValidatorSet
from chain.errors import InvalidGenesis, Refused
from chain.genesis import Genesis
from chain.overlay import Overlay, ReadState
from chain.signing import Signer
from chain.types import STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, Height, Millis, Network, TransactionId

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """What a rule may know of the block that it executes in.

    Attributes:
        height: 0 at genesis.
        time_ms: The block's time; there is no other clock.
        validators: The set that serves the block's epoch. State may already name another one: the next epoch's.
    """

    network: Network
    height: Height
    time_ms: Millis
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class Context:
    """One operation's view of the ledger.

    Attributes:
        block: Facts of its block.
        transaction_id: SHA-256 of the transaction's header.
        signers: Who signed the transaction, sorted; the signatures are verified.
        operation_index: Its place in the transaction, 0-based.
        operation_count: How many operations the transaction has.
        prefixes: Under which it may write.
        overlay: State as the operations before it left it.
    """

    block: BlockFacts
    transaction_id: TransactionId
    signers: tuple[Signer, ...]
    operation_index: int
    operation_count: int
    prefixes: tuple[bytes, ...]
    overlay: Overlay

    def read(self, key: bytes) -> bytes | None:
        """The value under any key, or None."""
        return self.overlay.read(key)

    def write(self, key: bytes, value: bytes) -> None:
        """Set a key of the module's own.

        Raises:
            Refused: The key or the value is too long, or the value empty.
        """
        self._own(key)
        if not 1 <= len(value) <= STATE_VALUE_BYTES_MAX:
            raise Refused(f"a state value has 1 to {STATE_VALUE_BYTES_MAX} bytes, not {len(value)}", "state.value-size")
        self.overlay.put(key, value)

    def delete(self, key: bytes) -> None:
        """Make a key of the module's own absent."""
        self._own(key)
        self.overlay.put(key, None)

    def trial(self) -> "Context":
        """The same view over an overlay of its own: what is written there is dropped with it."""
        return Context(
            self.block,
            self.transaction_id,
            self.signers,
            self.operation_index,
            self.operation_count,
            self.prefixes,
            Overlay(self.overlay.read),
        )

    def _own(self, key: bytes) -> None:
        """Keep a module to its own keys.

        Raises:
            Refused: The key is too long.
        """
        assert key.startswith(self.prefixes), f"a module wrote {key!r}, which is not its own"
        if len(key) > STATE_KEY_BYTES_MAX:
            raise Refused(f"a state key has at most {STATE_KEY_BYTES_MAX} bytes, not {len(key)}", "state.key-size")


class Module(Protocol):
    """One domain's rules."""

    @property
    def name(self) -> str:
        """Names its operations (`name.Operation`), its state keys (`name/`) and its section of the genesis file."""
        ...

    @property
    def grants(self) -> tuple[str, ...]:
        """Prefixes outside `name/` that it alone writes, e.g. "status/"."""
        ...

    @property
    def operations(self) -> Mapping[str, type[Message]]:
        """Message classes by registered type, e.g. "identity.Attest"."""
        ...

    def genesis(self, genesis: Genesis, context: Context) -> None:
        """Write the first state, from the section of the module's name if the genesis file has one.

        Raises:
            InvalidGenesis: No network can start from that section.
        """
        ...

    def execute(self, context: Context, message: Message) -> None:
        """Execute one operation; `message` is of a registered class.

        Raises:
            Refused: A rule says no. The whole transaction fails with this code.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """One operation's message class, and what executes it; made by `rule`."""

    kind: type[Message]
    execute: Callable[[Context, Message], None]


def rule(kind: type[M], execute: Callable[[Context, M], None]) -> Rule:
    """Bind a message class to what executes it.

    Args:
        kind: The operation's message class.
        execute: Raises `Refused` where a rule says no, and writes through the context otherwise.
    """

    def checked(context: Context, message: Message) -> None:
        assert isinstance(message, kind), f"{message.DESCRIPTOR.full_name} is not {kind.DESCRIPTOR.full_name}"
        execute(context, message)

    return Rule(kind, checked)


class Domain:
    """A module that is one rule for each operation, and that begins without state."""

    def __init__(self, name: str, rules: Sequence[Rule], grants: tuple[str, ...] = ()) -> None:
        """Name a domain and its rules.

        Args:
            name: Of operations and state keys.
            rules: One for each operation; operations are named after their message classes.
            grants: Prefixes outside `name/` that it alone writes.
        """
        self._name = name
        self._grants = grants
        self._rules = {f"{name}.{one.kind.DESCRIPTOR.name}": one for one in rules}
        self._operations = {operation: one.kind for operation, one in self._rules.items()}
        assert len(self._rules) == len(rules), f"two rules of {name} execute one operation"

    @property
    def name(self) -> str:
        """Of operations and state keys."""
        return self._name

    @property
    def grants(self) -> tuple[str, ...]:
        """Prefixes outside `name/` that it alone writes."""
        return self._grants

    @property
    def operations(self) -> Mapping[str, type[Message]]:
        """Message classes by registered type."""
        return self._operations

    def genesis(self, genesis: Genesis, context: Context) -> None:
        """There is nothing to begin with.

        Raises:
            InvalidGenesis: The genesis file has a section for it.
        """
        del context
        if genesis.sections.get(self._name):
            raise InvalidGenesis(f"sections.{self._name}: leave this section out; the module starts without state")

    def execute(self, context: Context, message: Message) -> None:
        """Execute one operation.

        Raises:
            Refused: A rule says no.
        """
        operation = f"{self._name}.{message.DESCRIPTOR.name}"
        assert operation in self._rules, f"{message.DESCRIPTOR.full_name} is not registered here"
        self._rules[operation].execute(context, message)


class Authority(Protocol):
    """Who may submit, and who validates; the membership module answers both from state."""

    @property
    def name(self) -> str:
        """Its answers depend on keys under `name/` and on the time alone."""
        ...

    def is_known(self, read: ReadState, signer: Signer, time_ms: Millis) -> bool:
        """Whether this signer's transactions count at this time."""
        ...

    def validator_set(self, read: ReadState) -> tuple[Validator, ...]:
        """Who serves the epoch that state names: the current one's until an operation changes it."""
        ...


class Registry:
    """The modules of a ledger, checked to have nothing in common."""

    __slots__ = ("_by_type", "_prefixes", "modules")

    def __init__(self, modules: Sequence[Module]) -> None:
        self.modules = tuple(sorted(modules, key=_by_name))
        self._by_type: dict[str, tuple[Module, type[Message]]] = {}
        self._prefixes: dict[str, tuple[bytes, ...]] = {}
        taken: list[str] = []
        for module in self.modules:
            prefixes = (f"{module.name}/", *module.grants)
            for prefix in prefixes:
                assert prefix.endswith("/"), f"the prefix {prefix!r} does not end a key's part"
                assert not any(prefix.startswith(t) or t.startswith(prefix) for t in taken), f"{prefix!r} is taken"
            taken.extend(prefixes)
            self._prefixes[module.name] = tuple(prefix.encode() for prefix in prefixes)
            for operation, kind in sorted(module.operations.items(), key=_by_type_name):
                assert operation.startswith(f"{module.name}."), f"{operation!r} is not named after its module"
                self._by_type[operation] = (module, kind)

    def lookup(self, operation_type: str) -> tuple[Module, type[Message]] | None:
        """The module and the message class of a registered type, or None."""
        return self._by_type.get(operation_type)

    def prefixes(self, module: Module) -> tuple[bytes, ...]:
        """Under which keys a module may write."""
        return self._prefixes[module.name]


def _by_name(module: Module) -> str:
    """Order of modules."""
    return module.name


def _by_type_name(item: tuple[str, type[Message]]) -> str:
    """Order of a module's operations."""
    return item[0]
