locals {
  # Without a key a target that needs one is refused before anything starts, with this as the file that is not there.
  key_file = var.ssh_private_key_file == "" ? "(set the variable ssh_private_key_file)" : var.ssh_private_key_file
  # Second word of 'ssh-ed25519 AAAA... comment'.
  key = try(split(" ", trimspace(file("${var.ssh_private_key_file}.pub")))[1], "")

  output   = "${var.output_directory}/${var.name}"
  ssh_wait = "60m" # the installer, or a first boot without hardware's help
  # Services that end in order would write what seal has taken out, and so would whoever notes the shutdown.
  shutdown     = "if [ -f /var/log/wtmp ]; then truncate --size=0 /var/log/wtmp && mount --bind /dev/null /var/log/wtmp; fi; systemctl poweroff --force"
  tags         = { "org.goldsmith.build" = var.build_id }
  cloud_name   = "${var.name}-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  http_folder  = "${path.root}/http"
  installer    = "auto=true priority=critical url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/debian.preseed hostname=debian domain= authorized_key=${local.key} ---"
  firmware_key = "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root=${base64encode("ssh-ed25519 ${local.key}\n")}"

  # root, and no account of the cloud's: the machine is to have the accounts of its definition, on every target alike.
  user_data = <<-EOT
    #cloud-config
    disable_root: false
    users:
      - name: root
        ssh_authorized_keys: [ssh-ed25519 ${local.key}]
  EOT

  # What differs between architectures. One that a target does not know is not in its list, and so is an error.
  boot_command = {
    amd64 = ["<esc><wait>", "/install.amd/vmlinuz initrd=/install.amd/initrd.gz ${local.installer}<enter>"]
    arm64 = [
      "c<wait>",
      "linux /install.a64/vmlinuz ${local.installer}<enter><wait5>",
      "initrd /install.a64/initrd.gz<enter><wait5>",
      "boot<enter>",
    ]
  }
  qemu = {
    amd64 = { binary = "qemu-system-x86_64", machine = "q35", arguments = [["-cpu", "max"]] }
    arm64 = {
      binary  = "qemu-system-aarch64"
      machine = "virt"
      # This machine has neither firmware nor keyboard nor screen, and the boot command needs them. It does not know
      # Packer's '-boot once=d'.
      arguments = [
        ["-cpu", "max"],
        ["-boot", "strict=off"],
        ["-bios", var.qemu_firmware],
        ["-device", "virtio-gpu-pci"],
        ["-device", "qemu-xhci"],
        ["-device", "usb-kbd"],
      ]
    }
  }
  vmware = {
    amd64 = { guest = "debian12-64", firmware = "bios" }
    arm64 = { guest = "arm-debian12-64", firmware = "efi" }
  }
  virtualbox_guest  = { amd64 = "Debian_64" }
  hyperv_generation = { amd64 = 1 } # the one with a BIOS, where the boot command is that of the others
  amazon_size       = { amd64 = "t3.small", arm64 = "t4g.small" }
  digitalocean_size = { amd64 = "s-1vcpu-2gb" }
}

source "docker" "image" {
  image  = var.base_image
  pull   = false
  commit = true

  # Under /run, which is a tmpfs here: the default would stay in the image as an empty folder, and systemd empties /tmp.
  container_dir = "/run/packer-files"

  # systemd is PID 1 while the roles run, as on a live host. With a control group namespace of its own it would take
  # the host's root group, which is mounted here, for its own.
  run_command = concat(local.package_cache, [
    "-d",
    "--stop-signal", "SIGRTMIN+3",
    "--label", "org.goldsmith.owner=build",
    "--label", "org.goldsmith.build=${var.build_id}",
    "--cap-add", "SYS_ADMIN",
    "--cap-add", "NET_ADMIN",
    "--security-opt", "seccomp=unconfined",
    "--security-opt", "apparmor=unconfined",
    "--cgroupns=host",
    "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs", "/run",
    "--tmpfs", "/tmp:exec",
    "-e", "container=docker",
    "{{ .Image }}",
    "/lib/systemd/systemd",
  ])

  changes = concat([
    "CMD [\"/lib/systemd/systemd\"]",
    "LABEL org.goldsmith.owner=image",
  ], var.changes)
}

source "qemu" "iso" {
  iso_url          = var.iso_url
  iso_checksum     = var.iso_checksum
  http_directory   = local.http_folder
  boot_wait        = "5s"
  boot_command     = local.boot_command[var.architecture]
  output_directory = "${local.output}-qemu"
  vm_name          = "${var.name}.qcow2"
  headless         = true

  qemu_binary  = local.qemu[var.architecture].binary
  machine_type = local.qemu[var.architecture].machine
  qemuargs     = local.qemu[var.architecture].arguments
  accelerator  = var.qemu_accelerator
  cpus         = var.cpus
  memory       = var.memory
  disk_size    = "${var.disk_size}M"
  disk_discard = "unmap"

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
  shutdown_command     = local.shutdown
}

source "qemu" "disk" {
  disk_image       = true
  iso_url          = var.disk_url
  iso_checksum     = var.disk_checksum
  boot_wait        = "1s"
  output_directory = "${local.output}-qemu"
  vm_name          = "${var.name}.qcow2"
  headless         = true

  qemu_binary  = local.qemu[var.architecture].binary
  machine_type = local.qemu[var.architecture].machine
  qemuargs     = concat(local.qemu[var.architecture].arguments, [["-smbios", local.firmware_key]])
  accelerator  = var.qemu_accelerator
  cpus         = var.cpus
  memory       = var.memory
  disk_size    = "${var.disk_size}M"
  disk_discard = "unmap"

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
  shutdown_command     = local.shutdown
}

source "virtualbox-iso" "image" {
  guest_os_type        = local.virtualbox_guest[var.architecture]
  iso_url              = var.iso_url
  iso_checksum         = var.iso_checksum
  http_directory       = local.http_folder
  boot_wait            = "5s"
  boot_command         = local.boot_command[var.architecture]
  output_directory     = "${local.output}-virtualbox"
  vm_name              = var.name
  headless             = true
  guest_additions_mode = "disable"

  cpus                 = var.cpus
  memory               = var.memory
  disk_size            = var.disk_size
  hard_drive_interface = "sata"
  hard_drive_discard   = true

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
  shutdown_command     = local.shutdown
}

source "virtualbox-ovf" "image" {
  source_path          = var.virtualbox_source
  output_directory     = "${local.output}-virtualbox"
  vm_name              = var.name
  headless             = true
  guest_additions_mode = "disable"

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
  shutdown_command     = local.shutdown
}

source "vmware-iso" "image" {
  guest_os_type    = local.vmware[var.architecture].guest
  vmx_data         = { firmware = local.vmware[var.architecture].firmware, "usb_xhci.present" = "TRUE" }
  version          = 20 # the first that knows Debian 12 on both architectures
  iso_url          = var.iso_url
  iso_checksum     = var.iso_checksum
  http_directory   = local.http_folder
  boot_wait        = "5s"
  boot_command     = local.boot_command[var.architecture]
  output_directory = "${local.output}-vmware"
  vm_name          = var.name
  headless         = true

  cpus                 = var.cpus
  memory               = var.memory
  disk_size            = var.disk_size
  disk_adapter_type    = "nvme"
  network_adapter_type = "vmxnet3"

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
  shutdown_command     = local.shutdown
}

source "vmware-vmx" "image" {
  source_path      = var.vmware_source
  output_directory = "${local.output}-vmware"
  vm_name          = var.name
  headless         = true

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
  shutdown_command     = local.shutdown
}

source "parallels-iso" "image" {
  guest_os_type        = "debian"
  iso_url              = var.iso_url
  iso_checksum         = var.iso_checksum
  http_directory       = local.http_folder
  boot_wait            = "5s"
  boot_command         = local.boot_command[var.architecture]
  output_directory     = "${local.output}-parallels"
  vm_name              = var.name
  parallels_tools_mode = "disable"

  cpus      = var.cpus
  memory    = var.memory
  disk_size = var.disk_size

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
  shutdown_command     = local.shutdown
}

source "hyperv-iso" "image" {
  generation       = local.hyperv_generation[var.architecture]
  iso_url          = var.iso_url
  iso_checksum     = var.iso_checksum
  http_directory   = local.http_folder
  boot_wait        = "5s"
  boot_command     = local.boot_command[var.architecture]
  output_directory = "${local.output}-hyperv"
  vm_name          = var.name
  headless         = true
  switch_name      = "Default Switch" # Windows' own, with a way out

  cpus      = var.cpus
  memory    = var.memory
  disk_size = var.disk_size

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
  shutdown_command     = local.shutdown
}

source "amazon-ebs" "image" {
  region        = var.amazon_region
  instance_type = local.amazon_size[var.architecture]
  user_data     = local.user_data
  ami_name      = local.cloud_name
  run_tags      = local.tags
  tags          = merge(local.tags, { Name = var.name })

  # Where the API is another one, Amazon's list of regions and its service for checking credentials may be out of reach.
  custom_endpoint_ec2        = var.amazon_endpoint
  skip_region_validation     = var.amazon_endpoint != ""
  skip_credential_validation = var.amazon_endpoint != ""

  source_ami_filter {
    owners      = ["136693071363"] # Debian
    filters     = { name = var.amazon_image, virtualization-type = "hvm", root-device-type = "ebs" }
    most_recent = true
  }

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
}

source "digitalocean" "image" {
  region        = var.digitalocean_region
  image         = var.digitalocean_image
  size          = local.digitalocean_size[var.architecture]
  user_data     = local.user_data
  snapshot_name = local.cloud_name
  tags          = ["goldsmith-build-${var.build_id}"]

  ssh_username         = "root"
  ssh_private_key_file = local.key_file
  ssh_timeout          = local.ssh_wait
}
