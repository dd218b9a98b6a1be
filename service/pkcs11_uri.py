# SPDX-License-Identifier: Apache-2.0
"""Where a key lies in a PKCS#11 token, as a URI that says where the PIN is and never what it is.

Source: RFC 7512.
"""

from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes

from service.errors import TokenError

SCHEME = "pkcs11:"
PIN_VARIABLE = "ZHIXIN_PKCS11_PIN"
URI_CHARACTERS_MAX = 2048
"""Paths and labels are far shorter."""
_PATH = frozenset({"token", "object", "id"})
_QUERY = frozenset({"module-path", "pin-source"})


@dataclass(frozen=True, slots=True)
class KeyAddress:
    """Where a key lies.

    Attributes:
        module: Path of the token's PKCS#11 module.
        token: The token's label.
        label: The key's label; empty: not looked at.
        id: The key's CKA_ID; empty: not looked at.
        pin_file: Holds the PIN; empty: the environment does.
    """

    module: str
    token: str
    label: str
    id: bytes
    pin_file: str

    def __str__(self) -> str:
        name = repr(self.label) if self.label else f"with id {self.id.hex()}"
        return f"key {name} in token {self.token!r}"


def parse_uri(text: str) -> KeyAddress:
    """Read a `pkcs11:` URI. Its text is in no error: somebody may have written a PIN into it.

    Raises:
        TokenError: It is no such URI, or lacks what is needed.
    """
    example = "write pkcs11:token=LABEL;object=KEY?module-path=/path/to/module.so&pin-source=file:/path/to/pin"
    if not text.startswith(SCHEME) or len(text) > URI_CHARACTERS_MAX:
        raise TokenError(f"this is no pkcs11: URI; {example}")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    found: dict[str, str] = {}
    for known, part in [(_PATH, part) for part in path.split(";")] + [(_QUERY, part) for part in query.split("&")]:
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise TokenError(f"a PIN does not stand in a pkcs11: URI; name a file by pin-source, or set {PIN_VARIABLE}")
        if not part:
            continue
        if name not in known or not equals or not value or name in found:
            raise TokenError(f"a pkcs11: URI has an attribute that is unknown here, empty, or there twice; {example}")
        found[name] = value
    missing = sorted({"token", "module-path"} - found.keys())
    if missing:
        raise TokenError(f"a pkcs11: URI lacks {' and '.join(missing)}; {example}")
    source = unquote(found.get("pin-source", ""))
    return KeyAddress(
        module=unquote(found["module-path"]),
        token=unquote(found["token"]),
        label=unquote(found.get("object", "")),
        id=unquote_to_bytes(found.get("id", "")),
        pin_file=source.removeprefix("file://").removeprefix("file:"),
    )
