# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL keeps of a password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: scram_sha_256
short_description: What PostgreSQL keeps of a password
version_added: 0.1.0
author: The Goldsmith authors (!UNKNOWN)
description:
  - Turns a password into the verifier that PostgreSQL stores, so that the password itself is on no disk.
  - The salt is made from the name, so that the same password gives the same verifier on every machine and in every run.
  - A verifier is given back as it is.
options:
  _input:
    description: The password, of printable ASCII characters, or a verifier.
    type: str
    required: true
  name:
    description: The name of the role whose password it is.
    type: str
    required: true
  iterations:
    description: How often the password is hashed.
    type: int
    default: 4096
"""

EXAMPLES = r"""
- name: Show what the database keeps
  ansible.builtin.debug:
    msg: "{{ 'secret' | goldsmith.core.scram_sha_256(name='app') }}"
"""

RETURN = r"""
_value:
  description: The verifier, as in pg_authid.
  type: str
"""

VERIFIER = re.compile(r"SCRAM-SHA-256\$[0-9]+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}")


def scram_sha_256(password: str, name: str, iterations: int = 4096) -> str:
    """RFC 5803, as PostgreSQL writes it."""
    if VERIFIER.fullmatch(password):
        return str(password)
    if not password or not (password.isascii() and password.isprintable()):
        raise AnsibleFilterError(f"the password of {name} must be printable ASCII characters, or a verifier")
    salt = hashlib.sha256(f"goldsmith postgresql {name}".encode()).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """By name."""
        return {"scram_sha_256": scram_sha_256}
