# The interface of this template. Every variable may be set with -var, -var-file or PKR_VAR_<name>.

# What is built

variable "name" {
  type        = string
  default     = "web"
  description = "Name of the image. While building, Ansible knows the machine as '<name>-image'."
  validation {
    condition     = length(var.name) > 0 && regex_replace(var.name, "[^a-z0-9_.-]", "") == var.name
    error_message = "The name must be lower case letters, digits, dots, dashes or underscores, as in a Docker repository."
  }
}

variable "playbook" {
  type        = string
  default     = ""
  description = "Playbook file to run. Empty: playbooks/site.yml of this collection."
}

variable "groups" {
  type        = list(string)
  default     = []
  description = "Inventory groups that the machine is in while it is built, so that their group_vars apply."
}

variable "inventory" {
  type        = string
  default     = ""
  description = "Inventory that says what those groups are: a file or folder with group_vars beside it. Empty: none."
}

variable "inventory_directory" {
  type        = string
  default     = ""
  description = "What Ansible's inventory_dir says. Empty: the inventory, which must be a folder then."
}

variable "ansible_arguments" {
  type        = list(string)
  default     = []
  description = "More arguments for ansible-playbook, for instance [\"--extra-vars=@vars.json\"]."
}

variable "scripts_before" {
  type        = list(string)
  default     = []
  description = "Shell scripts that run in the machine before the roles. The role scripts is the better place."
}

variable "scripts_after" {
  type        = list(string)
  default     = []
  description = "Shell scripts that run in the machine after the roles, and so after it was sealed: what they leave stays."
}

variable "puppet_manifest" {
  type        = string
  default     = ""
  description = "Puppet manifest that Packer's puppet-masterless applies before the roles. Empty: none. The role puppet is the better place."
}

variable "puppet_modules" {
  type        = list(string)
  default     = []
  description = "Folders of modules for puppet_manifest."
}

variable "chef_run_list" {
  type        = list(string)
  default     = []
  description = "What Packer's chef-solo runs before the roles, for instance [\"recipe[web]\"]. Empty: nothing. The role chef is the better place."
}

variable "chef_cookbooks" {
  type        = list(string)
  default     = []
  description = "Folders of cookbooks for chef_run_list."
}

variable "build_id" {
  type        = string
  default     = "by-hand"
  description = "Label or tag org.goldsmith.build of the machine, so that a build that was killed can be found."
  validation {
    condition     = length(var.build_id) > 0 && regex_replace(var.build_id, "[^A-Za-z0-9_-]", "") == var.build_id
    error_message = "The build_id must be letters, digits, dashes or underscores."
  }
}

# Docker

variable "base_image" {
  type        = string
  default     = "goldsmith/base:debian-bookworm"
  description = "Docker image to start from, with systemd and Python. packer/base-image.sh makes one of any Debian image."
}

variable "repository" {
  type        = string
  default     = ""
  description = "Docker repository of the result. Empty: goldsmith/<name>."
}

variable "tags" {
  type        = list(string)
  default     = ["latest"]
  description = "Docker tags of the result."
}

variable "package_cache" {
  type        = string
  default     = "goldsmith-packages"
  description = "Docker volume that keeps Debian packages from one build to the next. Empty: none."
}

variable "wait_for_boot" {
  type        = bool
  default     = true
  description = "Wait until a container has booted before Ansible starts. False only where Ansible itself waits, as goldsmith build has it do."
}

variable "proxy_key" {
  type        = string
  default     = ""
  description = "Private key, beside its .pub, for the proxy that Packer sets up and nobody uses. Empty: Packer makes two, of RSA, which takes longer."
}

variable "changes" {
  type        = list(string)
  default     = []
  description = "More Dockerfile instructions for the image's configuration, for instance [\"EXPOSE 80\"]."
}

# Machines that are reached over SSH: all but docker

variable "ssh_private_key_file" {
  type        = string
  default     = ""
  description = "Private ed25519 key that opens the machine while it is built, with its public half in '<file>.pub'. Must be set for every target but docker."
  validation {
    condition     = var.ssh_private_key_file == "" ? true : try(split(" ", file("${var.ssh_private_key_file}.pub"))[0] == "ssh-ed25519", false)
    error_message = "The ssh_private_key_file must be an ed25519 key with its public half in a file '.pub' beside it."
  }
}

variable "architecture" {
  type        = string
  default     = "amd64"
  description = "Architecture of the machine, as Debian calls it: amd64 or arm64."
  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "The architecture must be amd64 or arm64."
  }
}

variable "output_directory" {
  type        = string
  default     = "artifacts/packer"
  description = "Folder for the machines that are files, each in a folder '<name>-<target>', which must not be there yet; and for the manifests of AMIs."
  validation {
    condition     = length(var.output_directory) > 0
    error_message = "The output_directory must not be empty."
  }
}

variable "cpus" {
  type        = number
  default     = 2
  description = "Virtual CPUs of the machine while it is built."
  validation {
    condition     = var.cpus >= 1 && floor(var.cpus) == var.cpus
    error_message = "The cpus must be a whole number from 1."
  }
}

variable "memory" {
  type        = number
  default     = 2048
  description = "Memory of the machine while it is built, in MiB."
  validation {
    condition     = var.memory >= 512 && floor(var.memory) == var.memory
    error_message = "The memory must be a whole number of MiB from 512, which Debian's installer needs."
  }
}

variable "disk_size" {
  type        = number
  default     = 8192
  description = "Size of the machine's disk, in MiB."
  validation {
    condition     = var.disk_size >= 4096 && floor(var.disk_size) == var.disk_size
    error_message = "The disk_size must be a whole number of MiB from 4096."
  }
}

# Where machines start from

variable "iso_url" {
  type        = string
  default     = ""
  description = "Debian's installer (netinst), as URL or file. Must be set for the targets that start from an ISO."
}

variable "iso_checksum" {
  type        = string
  default     = ""
  description = "Checksum of the installer: 'sha256:<digest>', or 'file:<URL of a file of checksums>'."
  validation {
    condition     = var.iso_checksum == "" || regex_replace(var.iso_checksum, "^(sha256|sha512|file):.+", "") == ""
    error_message = "The iso_checksum must begin with 'sha256:', 'sha512:' or 'file:'."
  }
}

variable "disk_url" {
  type        = string
  default     = ""
  description = "Disk image for qemu.disk, as URL or file, with systemd, sshd, Python and DHCP. root's key reaches it as a systemd credential."
}

variable "disk_checksum" {
  type        = string
  default     = ""
  description = "Checksum of the disk image: 'sha256:<digest>', or 'file:<URL of a file of checksums>'."
  validation {
    condition     = var.disk_checksum == "" || regex_replace(var.disk_checksum, "^(sha256|sha512|file):.+", "") == ""
    error_message = "The disk_checksum must begin with 'sha256:', 'sha512:' or 'file:'."
  }
}

variable "virtualbox_source" {
  type        = string
  default     = ""
  description = "Machine for virtualbox-ovf, an .ovf or .ova file, which lets root in with the key."
  validation {
    condition     = var.virtualbox_source == "" || regex_replace(var.virtualbox_source, "^.+\\.(ovf|ova)$", "") == ""
    error_message = "The virtualbox_source must be an .ovf or .ova file."
  }
}

variable "vmware_source" {
  type        = string
  default     = ""
  description = "Machine for vmware-vmx, a .vmx file, which lets root in with the key."
  validation {
    condition     = var.vmware_source == "" || regex_replace(var.vmware_source, "^.+\\.vmx$", "") == ""
    error_message = "The vmware_source must be a .vmx file."
  }
}

# QEMU

variable "qemu_accelerator" {
  type        = string
  default     = ""
  description = "What QEMU runs the machine with: kvm, hvf, whpx, xen or tcg (none). Empty: kvm if Packer finds it, else tcg."
  validation {
    condition     = contains(["", "kvm", "hvf", "whpx", "xen", "tcg"], var.qemu_accelerator)
    error_message = "The qemu_accelerator must be kvm, hvf, whpx, xen, tcg or empty."
  }
}

variable "qemu_firmware" {
  type        = string
  default     = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
  description = "UEFI for arm64 machines, which have no firmware of their own. The default is in Debian's package qemu-efi-aarch64."
  validation {
    condition     = length(var.qemu_firmware) > 0
    error_message = "The qemu_firmware must not be empty."
  }
}

# Clouds. Their credentials are no variables: Packer takes them from where each cloud's own tools have them.

variable "amazon_region" {
  type        = string
  default     = "eu-central-1"
  description = "Region in which the AMI is made."
  validation {
    condition     = length(var.amazon_region) > 0 && regex_replace(var.amazon_region, "[^a-z0-9-]", "") == var.amazon_region
    error_message = "The amazon_region must be lower case letters, digits and dashes."
  }
}

variable "amazon_image" {
  type        = string
  default     = "debian-12-amd64-*"
  description = "Name of the AMI to start from, among those that Debian owns; * stands for anything, and the newest is taken."
  validation {
    condition     = length(var.amazon_image) > 0
    error_message = "The amazon_image must not be empty."
  }
}

variable "amazon_endpoint" {
  type        = string
  default     = ""
  description = "URL of the EC2 API where it is not Amazon's public one: an endpoint within a VPC, or a service that speaks the same API. Empty: Amazon's of that region."
  validation {
    condition     = var.amazon_endpoint == "" || regex_replace(var.amazon_endpoint, "^https?://[^/].*$", "") == ""
    error_message = "The amazon_endpoint must begin with https:// or http://."
  }
}

variable "digitalocean_region" {
  type        = string
  default     = "fra1"
  description = "Region in which the snapshot is made."
  validation {
    condition     = length(var.digitalocean_region) > 0 && regex_replace(var.digitalocean_region, "[^a-z0-9]", "") == var.digitalocean_region
    error_message = "The digitalocean_region must be lower case letters and digits."
  }
}

variable "digitalocean_image" {
  type        = string
  default     = ""
  description = "Image to start from, by DigitalOcean's name (slug). Must be set for digitalocean."
}
