# SPDX-License-Identifier: Apache-2.0
"""Which web address a prefix or a word of an EPCIS document stands for, without ever fetching anything.

The two addresses of GS1's own context are known by heart; a context of the document's own is read where it stands. What
a context at some other address defines cannot be known here, so words that might come from it are let through.
Source: JSON-LD 1.1, section 3.1 and 4.1; EPCIS 2.0, section 10.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

CONTEXTS: Final = frozenset(
    {
        "https://ref.gs1.org/standards/epcis/epcis-context.jsonld",
        "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
        "https://ref.gs1.org/standards/epcis/2.0.1/epcis-context.jsonld",
        "https://gs1.github.io/EPCIS/epcis-context.jsonld",
    }
)
"""Addresses of the EPCIS 2.0 context: current, versioned, and where it stood before ratification."""

_ALIKE: Final = re.compile(r"https?://\S+/epcis-context[^/?#]*\.jsonld")
"""What a copy of it or a later version is called."""

EPCIS: Final = "https://ref.gs1.org/epcis/"
"""What precedes the standard's own names in their web addresses."""

STANDARD_PREFIXES: Final[Mapping[str, str]] = {
    "epcis": EPCIS,
    "cbv": "https://ref.gs1.org/cbv/",
    "gs1": "https://gs1.org/voc/",
    "cbvmda": "urn:epcglobal:cbv:mda:",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dcterms": "http://purl.org/dc/terms/",
}
"""Prefixes that GS1's context defines."""

CONTEXT_PARTS_MAX: Final = 64
"""Contexts in one list; published documents have up to five."""


@dataclass(frozen=True, slots=True)
class Context:
    """Prefixes and words in force at one place of a document.

    Attributes:
        standard: GS1's context is among them.
        terms: Prefix or word to web address.
        declared: Those that the document itself defines.
        open: A context at an unknown address is among them, so other words may be defined.
        alike: One of these is called as GS1's context is: a copy, or a later version.
    """

    standard: bool = False
    terms: Mapping[str, str] = field(default_factory=lambda: dict(STANDARD_PREFIXES))
    declared: frozenset[str] = frozenset()
    open: bool = False
    alike: bool = False

    def extended(self, value: object) -> "Context":
        """This context and what an `@context` further in adds; parts of a wrong type are passed over."""
        parts = value if isinstance(value, list) else [value]
        standard, opened, alike = self.standard, self.open, self.alike
        terms, declared = dict(self.terms), set(self.declared)
        for part in parts[:CONTEXT_PARTS_MAX]:
            if isinstance(part, str):
                standard = standard or part in CONTEXTS
                opened = opened or part not in CONTEXTS
                alike = alike or _ALIKE.fullmatch(part) is not None
            elif isinstance(part, Mapping):
                for name, definition in part.items():
                    address = definition.get("@id") if isinstance(definition, Mapping) else definition
                    if isinstance(name, str) and isinstance(address, str) and not name.startswith("@"):
                        terms[name] = address
                        declared.add(name)
        return Context(standard, terms, frozenset(declared), opened, alike)

    def split(self, name: str) -> tuple[str, str] | None:
        """A member's name as (namespace, local name); None when it belongs to no namespace known here."""
        prefix, colon, local = name.partition(":")
        if colon and prefix in self.terms:
            return self.terms[prefix], local
        if not colon and name in self.declared:
            return self.terms[name], ""
        return None

    def expand(self, text: str) -> str:
        """A compact address such as `gs1:Temperature` in full; any other text as it is."""
        prefix, colon, local = text.partition(":")
        if colon and prefix in self.terms and not local.startswith("//"):
            return self.terms[prefix] + local
        return text

    def is_extension(self, name: str) -> bool:
        """Whether a member may be an extension: it has a namespace, or a context not known here may give it one."""
        prefix, colon, local = name.partition(":")
        return bool(colon and prefix and local) or name in self.declared or self.open
