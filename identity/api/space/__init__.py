# SPDX-License-Identifier: Apache-2.0
"""The personal data space: what a registrar keeps of somebody, for that person, who acts by a key of their own."""

from pathlib import Path

from service.language import add_messages
from service.pages import add_templates

add_templates(Path(__file__).parent / "templates")
add_messages(Path(__file__).parent / "messages")
