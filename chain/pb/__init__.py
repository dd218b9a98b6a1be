# SPDX-License-Identifier: Apache-2.0
"""Generated from `proto/chain/pb/`; `make proto` renews it."""
