# SPDX-License-Identifier: Apache-2.0
"""The phone wallet: a page that keeps a person's credentials on their device. The service learns nothing of them."""

from pathlib import Path

from service.language import add_messages
from service.pages import add_templates

add_templates(Path(__file__).parent / "templates")
add_messages(Path(__file__).parent / "messages")
