# SPDX-License-Identifier: Apache-2.0
"""The verifier: answers relying parties, with each check that was made, what was disclosed, and nothing else."""
