locals {
  machine    = "${var.name}-image"
  playbook   = var.playbook == "" ? "${path.root}/../playbooks/site.yml" : var.playbook
  inventory  = var.inventory == "" ? [] : ["-i", var.inventory]
  directory  = abspath(var.inventory_directory == "" ? var.inventory : var.inventory_directory)
  repository = var.repository == "" ? "goldsmith/${var.name}" : var.repository

  # While a container is built: what is set, and where packages are kept that the next build need not fetch.
  wait_online   = "systemd-networkd-wait-online.service"
  dpkg_settings = "/etc/dpkg/dpkg.cfg.d/goldsmith-build"
  apt_settings  = "/etc/apt/apt.conf.d/zz-goldsmith-build"
  packages      = "/run/goldsmith-packages"
  package_cache = var.package_cache == "" ? [] : [
    "--mount", "type=volume,source=${var.package_cache},destination=${local.packages},volume-label=org.goldsmith.owner=cache",
  ]

  # Packages that an earlier build fetched, for the same distribution, are linked into a folder of this build's own, which
  # the roles may empty; before dpkg works, what was fetched anew is linked back. What a killed build left goes after a day.
  # What apt makes of its lists is theirs whose size and time are the same; what it makes of the packages that are
  # installed is this machine's only. Both are large, and need not be in a stage.
  use_package_cache = var.package_cache == "" ? [] : [
    "command -v apt-get >/dev/null || exit 0",
    ". /etc/os-release && cd ${local.packages} && all=$PWD/$ID-$VERSION_ID own=$PWD/build-${var.build_id}",
    "find . -maxdepth 1 -name 'build-*' -mmin +1440 -exec rm -r {} +",
    "mkdir -p $all $own && find $all -name '*.deb' -exec ln -t $own {} +",
    "cat >${local.apt_settings} <<END",
    "Dir::Cache::archives \"$own/\";",
    "Dir::Cache::srcpkgcache \"$all/srcpkgcache.bin\";",
    "Dir::Cache::pkgcache \"$own/pkgcache.bin\";",
    "DPkg::Pre-Invoke {\"ln -f $own/*.deb $all/ 2>/dev/null || :\";};",
    "END",
  ]

  # How Ansible reaches the machine, by the type of its source. A type that is not here is an error, not a guess.
  connection = {
    # Straight into the container, by community.docker.docker: the short name is the one that Mitogen knows, too.
    # Ansible's work files go to the tmpfs, not into the image.
    docker = [
      "ansible_connection=docker",
      "ansible_host={{ build `ID` }}",
      "ansible_user=root",
      "ansible_remote_tmp=/tmp/.ansible",
    ]
    qemu           = local.over_ssh
    virtualbox-iso = local.over_ssh
    virtualbox-ovf = local.over_ssh
    vmware-iso     = local.over_ssh
    vmware-vmx     = local.over_ssh
    parallels-iso  = local.over_ssh
    hyperv-iso     = local.over_ssh
    amazon-ebs     = local.over_ssh
    digitalocean   = local.over_ssh
  }

  # Of an AMI.
  collector = "${path.root}/../plugins/module_utils/collector"
  manifest  = "${var.output_directory}/${local.cloud_name}.manifest.json"
  tag_ami = "ansible-playbook '${path.root}/amazon.yml' --extra-vars '${jsonencode({
    ami_name     = local.cloud_name
    ami_manifest = abspath("${local.manifest}.part")
    ami_region   = var.amazon_region
    ami_endpoint = var.amazon_endpoint
  })}'"

  # The setting that is ANSIBLE_SSH_ARGS elsewhere: Packer fills ssh_extra_args itself. A new machine's host key is not
  # remembered, since the next build's machine has the same address and another key.
  over_ssh = [
    "ansible_connection=ssh",
    "ansible_host={{ .Host }}",
    "ansible_port={{ .Port }}",
    "ansible_user=root",
    "ansible_ssh_args='-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null'",
  ]
}

build {
  sources = [
    "source.docker.image",
    "source.qemu.iso",
    "source.qemu.disk",
    "source.virtualbox-iso.image",
    "source.virtualbox-ovf.image",
    "source.vmware-iso.image",
    "source.vmware-vmx.image",
    "source.parallels-iso.image",
    "source.hyperv-iso.image",
    "source.amazon-ebs.image",
    "source.digitalocean.image",
  ]

  # What the last step needs is missed now, and not after the roles.
  provisioner "shell-local" {
    only   = ["amazon-ebs.image"]
    inline = ["${local.tag_ami} --check"]
  }

  # A cloud's first boot may still be at work with packages and accounts. 2: done, with warnings.
  # The only condition on a name that can be wrong without harm: a container would find no cloud-init and go on.
  provisioner "shell" {
    except           = ["docker.image"]
    inline           = ["if command -v cloud-init >/dev/null; then cloud-init status --wait; fi"]
    valid_exit_codes = [0, 2]
  }

  # A container takes orders before it has started, and what was kept of an earlier build has services that start with
  # it. If the machine is lost, so is the build: dpkg need not wait for the disk. A disk's network is not there, and what
  # waits for it would do so for two minutes; in /run, which is in no image.
  # One order to Docker: Packer's shell provisioner gives six, to bring a script, to run it and to take it away.
  provisioner "shell-local" {
    only = ["docker.image"]
    inline = concat([
      "docker exec --interactive '${build.ID}' sh -e <<'ORDERS'",
      "until [ -S /run/systemd/private ]; do sleep 0.1; done",
      "if systemctl --quiet is-enabled ${local.wait_online}; then",
      "  mkdir -p /run/systemd/system/${local.wait_online}.d",
      "  printf '[Service]\\nExecStart=\\nExecStart=true\\n' >/run/systemd/system/${local.wait_online}.d/build.conf",
      "  systemctl daemon-reload; systemctl stop ${local.wait_online} || :",
      "fi 2>/dev/null",
      var.wait_for_boot ? "systemctl is-system-running --wait || :" : "",
      "mkdir -p ${dirname(local.dpkg_settings)} && echo force-unsafe-io >${local.dpkg_settings}",
    ], local.use_package_cache, ["ORDERS"])
  }

  # /var/tmp: a container's /tmp is a tmpfs, into which Docker copies nothing.
  dynamic "provisioner" {
    for_each = length(var.scripts_before) > 0 ? [var.scripts_before] : []
    labels   = ["shell"]
    content {
      scripts       = provisioner.value
      remote_folder = "/var/tmp"
    }
  }

  # Puppet and Chef as Packer has them, for the way to the roles puppet and chef. Their programs must be in the machine;
  # a current Packer wants their plugins only if they are asked for. Not in /tmp, for the same reason.
  dynamic "provisioner" {
    for_each = var.puppet_manifest == "" ? [] : [var.puppet_manifest]
    labels   = ["puppet-masterless"]
    content {
      manifest_file           = provisioner.value
      module_paths            = var.puppet_modules
      prevent_sudo            = true
      staging_directory       = "/var/tmp/packer-puppet"
      clean_staging_directory = true
    }
  }
  dynamic "provisioner" {
    for_each = length(var.chef_run_list) > 0 ? [var.chef_run_list] : []
    labels   = ["chef-solo"]
    content {
      run_list          = provisioner.value
      cookbook_paths    = var.chef_cookbooks
      skip_install      = true
      prevent_sudo      = true
      staging_directory = "/var/tmp/packer-chef"
    }
  }
  # Packer cleans up after Puppet by itself, and not after Chef.
  dynamic "provisioner" {
    for_each = length(var.chef_run_list) > 0 ? ["rm -r /var/tmp/packer-chef"] : []
    labels   = ["shell"]
    content {
      inline        = [provisioner.value]
      remote_folder = "/var/tmp"
    }
  }

  provisioner "ansible" {
    playbook_file = local.playbook
    host_alias    = local.machine
    groups        = var.groups
    user          = "root"
    use_proxy     = false

    # Packer asks for it twice, which takes as long as starting a container: if it is missing, that is told soon enough.
    skip_version_check = source.type == "docker"

    # Where a container is the machine, Packer sets up its proxy all the same, which nobody uses.
    ssh_host_key_file       = var.proxy_key
    ssh_authorized_key_file = var.proxy_key == "" ? "" : "${var.proxy_key}.pub"

    # One line: the machine and its variables.
    # - As host variables, so that tasks delegated elsewhere keep their own connection.
    # - inventory_dir would be the folder of Packer's temporary file.
    inventory_file_template = join(" ", concat(
      ["{{ .HostAlias }}"],
      local.connection[source.type],
      ["ansible_python_interpreter=/usr/bin/python3", "inventory_dir='${local.directory}'\n"],
    ))

    # The whole inventory is there for its variables; the limit keeps the run off every host in it.
    extra_arguments = concat(
      local.inventory,
      ["--limit", local.machine, "--extra-vars", "goldsmith_delivery=image"],
      var.ansible_arguments,
    )

    # One JSON object per failure, in Ansible's own format, whatever the user's ansible.cfg prefers to look at.
    ansible_env_vars = [
      "ANSIBLE_HOST_KEY_CHECKING=False", # as Packer has it where it makes the proxy's keys
      "ANSIBLE_NOCOLOR=1",
      "ANSIBLE_PIPELINING=1",
      "ANSIBLE_STDOUT_CALLBACK=ansible.builtin.default",
      "ANSIBLE_CALLBACK_RESULT_FORMAT=json",
      "ANSIBLE_RETRY_FILES_ENABLED=0",
    ]
  }

  dynamic "provisioner" {
    for_each = length(var.scripts_after) > 0 ? [var.scripts_after] : []
    labels   = ["shell"]
    content {
      scripts       = provisioner.value
      remote_folder = "/var/tmp"
    }
  }

  provisioner "shell-local" {
    only = ["docker.image"]
    inline = [
      "docker exec '${build.ID}' rm -rf ${local.dpkg_settings} ${local.apt_settings} ${local.packages}/build-${var.build_id}",
    ]
  }

  # The manifest of what becomes an AMI, over Packer's own connection: the key is out of the machine by now. /run is in
  # no image, and runs no programs.
  provisioner "file" {
    only        = ["amazon-ebs.image"]
    source      = local.collector
    destination = "/run"
  }
  provisioner "shell" {
    only            = ["amazon-ebs.image"]
    remote_folder   = "/run"
    execute_command = "sh {{ .Path }}"
    inline          = ["cd /run && python3 -m collector.command >manifest.json"]
  }
  provisioner "file" {
    only        = ["amazon-ebs.image"]
    direction   = "download"
    source      = "/run/manifest.json"
    destination = "${local.manifest}.part"
  }

  # The first post-processor of its AMI: if it fails, Packer takes the AMI back.
  post-processor "shell-local" {
    only = ["amazon-ebs.image"]
    inline = [
      "trap \"rm -f '${local.manifest}.part'\" EXIT",
      local.tag_ami,
      "mv '${local.manifest}.part' '${local.manifest}'",
    ]
  }

  post-processor "docker-tag" {
    only       = ["docker.image"]
    repository = local.repository
    tags       = var.tags
  }
}
