# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Have Debian packages installed or purged, and ask apt only if something is to be done
description:
  - Asks dpkg first, in one short command. If every package is as wanted, that is all.
  - Otherwise M(ansible.builtin.apt) does the work, without recommended packages.
  - Package lists are fetched before that if there are none or if they are older than an hour. This holds in check mode
    too, since nobody can say otherwise what would be installed. (M(ansible.builtin.apt) takes an emptied folder of
    lists for fresh lists, and never fetches in check mode. Both fail on a new machine made from a clean base.)
version_added: 0.1.0
author: The Goldsmith authors (!UNKNOWN)
options:
  name:
    description: The packages.
    type: list
    elements: str
    required: true
  state:
    description: Whether they are installed or purged.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Runs in check mode and says what would change. Package lists may be fetched.
    support: full
  diff_mode:
    description: Shows what apt would install and remove.
    support: full
"""

EXAMPLES = r"""
- name: Install a web server
  goldsmith.core.packages:
    name: [nginx]

- name: Purge what must not be here
  goldsmith.core.packages:
    name: [telnetd]
    state: absent
"""

RETURN = r"""
todo:
  description: The packages that were not as wanted.
  returned: always
  type: list
  elements: str
  sample: [nginx]
"""
