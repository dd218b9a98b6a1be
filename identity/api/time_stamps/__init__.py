# SPDX-License-Identifier: Apache-2.0
"""Time stamps over HTTP: an authority that answers whoever asks, and whoever asks one far away."""
