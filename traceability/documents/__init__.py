# SPDX-License-Identifier: Apache-2.0
"""Documents that are made from events: what stands in them, as values; whoever prints them says how they look."""
