# SPDX-License-Identifier: Apache-2.0
"""Notices by mail, handed to a mail server over SMTP.

A message counts as delivered once the server answers for it; what becomes of it then is between mail servers. Each try
has the same Message-ID. `smtplib` blocks, so that each try has a thread.

Source: RFC 5321 (reply codes), RFC 3207 (STARTTLS), RFC 8314 (TLS from the start), RFC 3834 (Auto-Submitted).
"""

import asyncio
import re
import smtplib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from service.notices.providers import Message, NotTaken, Way

TIMEOUT_S: Final = 10.0
"""For each answer of the server."""
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,188}[A-Za-z0-9])?")


def is_address(text: str) -> bool:
    """Whether a text is a mail address as people write theirs: no quoted part, no comment, no address literal.

    Source: HTML Living Standard, "valid email address", whose deliberate restriction of RFC 5322 this follows.
    """
    return _ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in.

    Attributes:
        host: Its name; its certificate must be for it.
        port: 587 for "starttls", 465 for "tls", as a rule.
        security: "starttls", "tls", or "none" on this machine.
        sender: Who mails are from.
        user: "": no login.
        password: Of the login.
        ca_file: Certificates that its own is signed by; "": the system's.
    """

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password: str = ""
    ca_file: str = ""


class SmtpProvider:
    """Sends mail.

    Args:
        server: Where to.
    """

    name = "smtp"
    ways = frozenset({Way.MAIL})

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._tls = ssl.create_default_context(cafile=server.ca_file or None)

    async def send(self, message: Message) -> None:
        """See `Provider`."""
        if not is_address(message.channel):
            raise NotTaken("smtp.no-address", is_final=True)
        await asyncio.to_thread(self._send, message)

    async def close(self) -> None:
        """See `Provider`; no connection outlives a message."""

    def _send(self, message: Message) -> None:
        try:
            with self._connected() as server:
                server.send_message(self._mail(message), self._server.sender, [message.channel])
        except smtplib.SMTPRecipientsRefused as error:
            code = next((code for code, _ in error.recipients.values()), 0)
            raise NotTaken(f"smtp.{code}", is_final=code >= 500) from None
        except smtplib.SMTPAuthenticationError as error:  # ours to mend: the notice waits for it
            raise NotTaken(f"smtp.{error.smtp_code}", is_final=False) from None
        except smtplib.SMTPDataError as error:
            raise NotTaken(f"smtp.{error.smtp_code}", is_final=error.smtp_code >= 500) from None
        except smtplib.SMTPResponseException as error:
            raise NotTaken(f"smtp.{error.smtp_code}", is_final=False) from None
        except ssl.SSLError:
            raise NotTaken("smtp.tls", is_final=False) from None
        except (smtplib.SMTPException, OSError):
            raise NotTaken("smtp.unreachable", is_final=False) from None

    def _connected(self) -> smtplib.SMTP:
        own = self._server
        if own.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(own.host, own.port, timeout=TIMEOUT_S, context=self._tls)
        else:
            server = smtplib.SMTP(own.host, own.port, timeout=TIMEOUT_S)
        try:
            if own.security == "starttls":
                server.starttls(context=self._tls)  # raises where the server has none: nothing goes in the clear
            if own.user:
                server.login(own.user, own.password)
        except BaseException:
            server.close()
            raise
        return server

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"], mail["Subject"] = self._server.sender, message.channel, message.subject
        mail["Date"] = format_datetime(datetime.fromtimestamp(message.at_ms // 1000, UTC))
        mail["Message-ID"] = f"<{message.id}@{self._server.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail
