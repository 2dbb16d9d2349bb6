locals {
  machine    = "${var.name}-image"
  playbook   = var.playbook == "" ? "${path.root}/../playbooks/site.yml" : var.playbook
  inventory  = var.inventory == "" ? [] : ["-i", var.inventory]
  directory  = abspath(var.inventory_directory == "" ? var.inventory : var.inventory_directory)
  repository = var.repository == "" ? "goldsmith/${var.name}" : var.repository
}

build {
  sources = ["source.docker.image"]

  provisioner "ansible" {
    playbook_file = local.playbook
    host_alias    = local.machine
    groups        = var.groups
    user          = "root"
    use_proxy     = false

    # One line: the machine and its variables.
    # - Straight into the container. As a host variable, so that tasks delegated elsewhere keep their own connection.
    # - Ansible's work files go to the tmpfs, not into the image.
    # - inventory_dir would be the folder of Packer's temporary file.
    inventory_file_template = join(" ", [
      "{{ .HostAlias }}",
      "ansible_connection=community.docker.docker",
      "ansible_host=${build.ID}",
      "ansible_user=root",
      "ansible_remote_tmp=/tmp/.ansible",
      "ansible_python_interpreter=/usr/bin/python3",
      "inventory_dir='${local.directory}'\n",
    ])

    # The whole inventory is there for its variables; the limit keeps the run off every host in it.
    extra_arguments = concat(
      local.inventory,
      ["--limit", local.machine, "--extra-vars", "goldsmith_delivery=image"],
      var.ansible_arguments,
    )

    # One JSON object per failure, in Ansible's own format, whatever the user's ansible.cfg prefers to look at.
    ansible_env_vars = [
      "ANSIBLE_NOCOLOR=1",
      "ANSIBLE_STDOUT_CALLBACK=ansible.builtin.default",
      "ANSIBLE_CALLBACK_RESULT_FORMAT=json",
      "ANSIBLE_RETRY_FILES_ENABLED=0",
    ]
  }

  post-processor "docker-tag" {
    repository = local.repository
    tags       = var.tags
  }
}
