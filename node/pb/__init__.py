# SPDX-License-Identifier: Apache-2.0
"""Generated from `proto/node/pb/`; `make proto` renews it."""
