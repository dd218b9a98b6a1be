# SPDX-License-Identifier: Apache-2.0
"""Providers from a process's settings."""

import ipaddress
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from service.errors import ConfigError
from service.notice_settings import NoticeSettings
from service.notices.files import load_secret
from service.notices.folder import FolderProvider
from service.notices.providers import Provider
from service.notices.smtp import MailServer, SmtpProvider, is_address
from service.notices.webhook import WebhookProvider, parse_key
from service.settings import split_address

SECURITIES = ("starttls", "tls", "none")


def providers_of(settings: NoticeSettings) -> list[Provider]:
    """Who delivers; empty where nothing is set up, and everything waits.

    Raises:
        ConfigError: A setting that nobody can send by, or that would send in the clear.
    """
    try:
        ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError):
        raise ConfigError(f"notices.ca_file: {settings.ca_file} cannot be read as certificates (PEM)") from None
    found: list[Provider] = []
    if settings.smtp:
        found.append(SmtpProvider(_mail_server(settings)))
    if settings.webhook:
        _check_url(settings.webhook)
        key = parse_key(load_secret(settings.webhook_key_file, "notices.webhook_key_file"))
        found.append(WebhookProvider(settings.webhook, key, settings.ca_file))
    if settings.folder:
        found.append(FolderProvider(Path(settings.folder)))
    return found


def _mail_server(settings: NoticeSettings) -> MailServer:
    host, port = split_address(settings.smtp)
    if settings.smtp_security not in SECURITIES:
        raise ConfigError("notices.smtp_security is starttls, tls or none")
    if settings.smtp_security == "none" and not _is_this_machine(host):
        raise ConfigError(f"notices.smtp_security: mail to {host} would go in the clear; choose starttls or tls")
    if not is_address(settings.smtp_from):
        raise ConfigError("notices.smtp_from must be a mail address, such as notices@example.org")
    password = ""
    if settings.smtp_user:
        password = load_secret(settings.smtp_password_file, "notices.smtp_password_file")
    return MailServer(
        host, port, settings.smtp_security, settings.smtp_from, settings.smtp_user, password, settings.ca_file
    )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError("notices.webhook is no address; write https://host/path") from None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))
    if not host or not is_safe or "@" in parts.netloc or parts.fragment:
        raise ConfigError("notices.webhook must start with https:// and name no user; http is for this machine alone")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
