# SPDX-License-Identifier: Apache-2.0
"""The services of credit: its desks, its interface for other systems, the pages of those whom it is about."""
