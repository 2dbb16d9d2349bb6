#!/usr/bin/python
# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module goldsmith.core.package_lock."""

# ruff: noqa: E402 - Ansible wants the documentation before everything else

from __future__ import annotations

DOCUMENTATION = r"""
module: package_lock
short_description: Hold a system to the package versions of a lock file while a definition runs
description:
  - Pins the Debian packages of a lock file, as C(goldsmith build) writes it, so that whatever apt installs next is of
    these versions. Packages that are installed in other versions are moved to the locked ones, also down.
  - It fails before anything is changed if a version is neither installed nor to be had, and names all such.
  - The pins are taken away again with O(state=absent). They come and go within one run, and so don't count as a change;
    packages that are moved do.
version_added: 0.2.0
author: The Goldsmith authors (!UNKNOWN)
extends_documentation_fragment: goldsmith.core.attributes
attributes:
  check_mode:
    description: Checks whether all versions can be had, and says what would be moved. Package lists may be fetched.
    support: full
  diff_mode:
    support: none
  platform:
    support: full
    platforms: debian
options:
  lock:
    description: The text of the lock file. Lines that are not of Debian packages are passed over.
    type: str
  state:
    description: Whether the packages are pinned.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - root
"""

EXAMPLES = r"""
- name: Hold this machine to the lock
  goldsmith.core.package_lock:
    lock: "{{ lookup('ansible.builtin.file', 'locks/web.docker.lock') }}"

- name: Let it go
  goldsmith.core.package_lock:
    state: absent
"""

RETURN = r"""
moved:
  description: The packages that were there in another version, with the version that they have now.
  returned: success
  type: list
  elements: str
  sample: ["openssl:amd64 3.0.15-1~deb12u1"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.goldsmith.core.plugins.module_utils import package_lock


def main():
    module = AnsibleModule(
        argument_spec={
            "lock": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["lock"])],
        supports_check_mode=True,
    )
    moved = []
    try:
        if module.params["state"] == "present":
            moved = (package_lock.check if module.check_mode else package_lock.lock)(module.params["lock"])
        elif not module.check_mode:
            package_lock.unlock()
    except (package_lock.LockError, OSError) as problem:
        module.fail_json(msg=str(problem))
    names = ["%s %s" % (package_lock.qualified(name, arch), version) for name, arch, version in moved]
    module.exit_json(changed=bool(moved), moved=names)


if __name__ == "__main__":
    main()
