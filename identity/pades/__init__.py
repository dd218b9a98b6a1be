# SPDX-License-Identifier: Apache-2.0
"""PDF documents signed with a card or an organisation's seal (PAdES), time stamps, and the check of both offline."""
