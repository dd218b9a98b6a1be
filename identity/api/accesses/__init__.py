# SPDX-License-Identifier: Apache-2.0
"""People's lists of accesses, as the registrar keeps them: where each begins, its free slot, what opens its entries."""
