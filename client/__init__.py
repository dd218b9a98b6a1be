# SPDX-License-Identifier: Apache-2.0
"""The verifying client: signs, submits, and accepts only answers that carry their proof."""
