# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: role_variables
short_description: Refuse variables that carry a role's prefix and that the role does not know
description:
  - A misspelt variable is silence in plain Ansible. The role keeps its default and nobody is told.
  - This action runs inside a role and reads the role's own C(meta/argument_specs.yml). Every variable that begins with
    the role's name and an underscore must be an argument there. If one is not, the action fails and names the nearest.
  - Names that begin with one or two underscores belong to the role itself and are not looked at.
  - A variable that belongs to another role of the play with a longer name is left alone. With roles C(nginx) and
    C(nginx_exporter) in one play, C(nginx_exporter_port) is none of C(nginx)'s business.
  - It runs on the controller and never connects to the host.
version_added: 0.1.0
author: The Goldsmith authors (!UNKNOWN)
options:
  ignore:
    description:
      - Variables that carry the prefix by chance and mean something else.
    type: list
    elements: str
    default: []
  moved:
    description:
      - Names that an earlier release of the role knew, each with what to use instead. The complaint says so.
    type: dict
    default: {}
    version_added: 0.2.0
attributes:
  check_mode:
    description: Runs in check mode and changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Refuse misspelt variables
  goldsmith.core.role_variables:

- name: Refuse misspelt variables, but let another tool's variable pass
  goldsmith.core.role_variables:
    ignore:
      - nginx_ingress_class

- name: Refuse misspelt variables, and say what became of an old one
  goldsmith.core.role_variables:
    moved:
      os_journald: logging_journal_settings of the role logging
"""

RETURN = r"""
known:
  description: The arguments of the role.
  returned: always
  type: list
  elements: str
  sample: [nginx_settings, nginx_sites]
"""
