# SPDX-License-Identifier: Apache-2.0
"""Alembic's environment of the private store."""
