# SPDX-License-Identifier: Apache-2.0
"""What people take away on paper or as a file: certificates and receipts as PDF, with proofs that a phone checks."""

from pathlib import Path

from service.language import add_messages

add_messages(Path(__file__).parent / "messages")
