# SPDX-License-Identifier: Apache-2.0
"""Settings of the gateway by which services send people notices; `service.settings` reads them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Who brings notices to people: a mail server, a gateway of text messages, or a folder for development."""

    smtp: str = field(default="", metadata={"why": "host:port of the mail server; empty: no mail is sent"})
    smtp_security: str = field(
        default="starttls", metadata={"why": "starttls | tls | none; none is taken for this machine alone"}
    )
    smtp_from: str = field(default="", metadata={"why": "who mails are from, such as notices@example.org"})
    smtp_user: str = field(default="", metadata={"why": "empty: the mail server asks for no login"})
    smtp_password_file: str = field(default="", metadata={"why": "holds the login's password; mode 0600"})
    webhook: str = field(
        default="", metadata={"why": "https://… of the gateway of text messages; empty: none are sent"}
    )
    webhook_key_file: str = field(
        default="", metadata={"why": "holds whsec_ and the base64 of 24 to 64 bytes that sign; mode 0600"}
    )
    ca_file: str = field(default="", metadata={"why": "certificates that both are signed by; empty: the system's"})
    folder: str = field(
        default="", metadata={"why": "for development: texts go there without addressees, and nobody is told"}
    )
    ordinary_per_day: int = field(
        default=6, metadata={"why": "of one kind to one person, what can wait; more waits for a day"}
    )
    urgent_per_day: int = field(default=40, metadata={"why": "of one kind to one person, of keys, cards and status"})
    keep_days: int = field(default=365, metadata={"why": "that somebody was told, and when; not what or where"})
