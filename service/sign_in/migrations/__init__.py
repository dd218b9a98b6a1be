# SPDX-License-Identifier: Apache-2.0
"""Migrations of sign-in's tables, a branch of their own."""
