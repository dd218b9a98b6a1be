# SPDX-License-Identifier: Apache-2.0
"""The key-encryption key in a PKCS#11 token: the store's keys open where the token is, and nowhere else."""

from collections.abc import Mapping
from dataclasses import replace

from service.errors import TokenError
from service.pkcs11 import KeyAddress, WrappingKey, make_key, open_key, parse_uri
from service.pkcs11_token import open_token
from service.store.key_encryption import TOKEN_PREFIX

_VERSION = b"\x02"
"""Says in what is wrapped that a token did it; files' keys write 1."""


class TokenKey:
    """A key-encryption key that stays in its token.

    Args:
        key: Its id tells it from others.
    """

    def __init__(self, key: WrappingKey) -> None:
        assert key.address.id, "a key that wraps something is known by its id"
        self.name = f"{TOKEN_PREFIX}{key.address.id.hex()}"
        self._key = key

    def wrap(self, key: bytes, where: bytes) -> bytes:
        """Encrypt a key for one place.

        Raises:
            TokenError: The token failed.
        """
        return _VERSION + self._key.encrypt(key, where)

    def unwrap(self, wrapped: bytes, where: bytes) -> bytes:
        """Open what `wrap` made.

        Raises:
            TokenError: Another key wrapped it, for another place, it was changed, or the token failed.
        """
        if wrapped[:1] != _VERSION:
            raise TokenError(f"a key was not wrapped by {self._key.address}; was it changed?")
        return self._key.decrypt(wrapped[1:], where)


def make_token_key(uri: str, environment: Mapping[str, str]) -> TokenKey:
    """A key-encryption key for what comes: a new one, or the one that the URI names by its id.

    Raises:
        KeyFileError: The token does not open, has no such key, or makes none.
    """
    address = parse_uri(uri)
    find = open_key if address.id else make_key
    return TokenKey(find(WrappingKey, address, environment))


def load_token_key(uri: str, name: str, environment: Mapping[str, str]) -> TokenKey:
    """The key of a name, in the token of the URI.

    Raises:
        KeyFileError: No token is set, it does not open, or has no such key.
    """
    return TokenKey(open_key(WrappingKey, _address(uri, name), environment))


def destroy_token_key(uri: str, name: str, environment: Mapping[str, str]) -> None:
    """Delete the key of a name from the token of the URI; one that is gone already is fine.

    Raises:
        KeyFileError: No token is set, it does not open, or keeps the key.
    """
    address = _address(uri, name)
    open_token(address, environment).destroy(address, WrappingKey.kind)


def _address(uri: str, name: str) -> KeyAddress:
    """Where the key of a name is; whatever label it had when it was made."""
    if not uri:
        raise TokenError(
            f"the keys are wrapped by {name}, which is in a token: set store.wrapping_key to its pkcs11: URI"
        )
    return replace(parse_uri(uri), label="", id=bytes.fromhex(name.removeprefix(TOKEN_PREFIX)))
