# SPDX-License-Identifier: Apache-2.0
"""`zhixin card seal` and `zhixin card open`: a private compartment, sealed for a card and a wallet, opened by the card.

Sealing takes public keys alone; the content never reaches whoever keeps the compartment.
"""

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cli.cards import FileOption, ReaderOption, ask_pin, card_in
from cli.errors import InputError
from cli.home import read_file
from cli.language import t
from cli.output import emit
from identity.cards.authority import load_certificate
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.compartment import CONTENT_BYTES_MAX, SEALED_BYTES_MAX, keys_of, seal, unseal
from identity.jose import key_of_jwk, load_object
from service.store.files import replace_private

JWK_BYTES_MAX = 4_096

ContentArgument = Annotated[Path, typer.Argument(metavar="FILE", help=t("card.option.content"))]
SealedArgument = Annotated[Path, typer.Argument(metavar="SEALED", help=t("card.option.sealed"))]
WalletOption = Annotated[Path, typer.Option("--wallet", metavar="JWK", help=t("card.option.wallet"))]
OutOption = Annotated[Path, typer.Option("--out", help=t("card.option.out"))]


def seal_file(
    content: ContentArgument, wallet: WalletOption, out: OutOption, reader: ReaderOption = "", file: FileOption = None
) -> None:
    """Seal a file for the card in the reader and for a wallet's key; each opens it alone."""
    _check_new(out)
    wallet_key = key_of_jwk(load_object(read_file(wallet, JWK_BYTES_MAX), "the wallet's key"), "the wallet's key")
    text = read_file(content, CONTENT_BYTES_MAX)
    with card_in(reader, file) as card:
        card_key = _key_of(Piv(card))
    if card_key == wallet_key:
        raise InputError("card.same-key", t("card.same-key"))
    sealed = seal(text, card_key, wallet_key)
    replace_private(out, sealed)
    names = keys_of(sealed)
    emit({"out": str(out), "keys": list(names)}, t("card.sealed", path=out), *names)


def open_sealed(sealed: SealedArgument, out: OutOption, reader: ReaderOption = "", file: FileOption = None) -> None:
    """Open what was sealed for the card in the reader; its holder enters the PIN."""
    _check_new(out)
    raw = read_file(sealed, SEALED_BYTES_MAX)
    keys_of(raw)  # before anybody is asked for a PIN
    pin = ask_pin()
    with card_in(reader, file) as card:
        piv = Piv(card)
        card_key = _key_of(piv)
        piv.verify_pin(pin)
        content = unseal(raw, card_key, lambda other: piv.agree(Slot.KEY_MANAGEMENT, other))
    replace_private(out, content)
    emit({"out": str(out), "bytes": len(content)}, t("card.opened", path=out))


def _key_of(piv: Piv) -> bytes:
    """The public key of a card's slot 9D; 33 bytes.

    Raises:
        InputError: The card has none.
    """
    piv.select()
    raw = piv.certificate(Slot.KEY_MANAGEMENT)
    if raw is None:
        raise InputError("card.no-key", t("card.no-key"))
    key = load_certificate(raw).public_key()
    assert isinstance(key, EllipticCurvePublicKey), "certificates of cards have keys of P-256"
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def _check_new(out: Path) -> None:
    """See that nothing is written over.

    Raises:
        InputError: The file is there.
    """
    if out.exists():
        raise InputError("card.out-exists", t("card.out-exists", path=out))
