# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this collection's modules state about themselves."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes that modules share; each says how far it supports them."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Runs in check mode and says what would change, without changing it.
  diff_mode:
    description: Shows what changed, or would change, when run with C(--diff).
  platform:
    description: The systems on which it runs.
"""

    # For modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Runs in check mode and says what would change, without changing it.
    support: full
  diff_mode:
    description: Shows what changed, or would change, when run with C(--diff).
    support: none
"""
