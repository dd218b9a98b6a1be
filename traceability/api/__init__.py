# SPDX-License-Identifier: Apache-2.0
"""The services of traceability: capture and query, resolver, pages of shoppers, traders and regulators."""
