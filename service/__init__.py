# SPDX-License-Identifier: Apache-2.0
"""What all services share: HTTP ground, private store, sign-in, index, page shell."""
