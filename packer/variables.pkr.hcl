# The interface of this template. Every variable may be set with -var, -var-file or PKR_VAR_<name>.

variable "name" {
  type        = string
  default     = "web"
  description = "Name of the image. While building, Ansible knows the machine as '<name>-image'."
  validation {
    condition     = length(var.name) > 0 && regex_replace(var.name, "[^a-z0-9_.-]", "") == var.name
    error_message = "The name must be lower case letters, digits, dots, dashes or underscores, as in a Docker repository."
  }
}

variable "base_image" {
  type        = string
  default     = "goldsmith/base:debian-bookworm"
  description = "Docker image to start from, with systemd and Python. packer/base-image.sh makes one of any Debian image."
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

variable "changes" {
  type        = list(string)
  default     = []
  description = "More Dockerfile instructions for the image's configuration, for instance [\"EXPOSE 80\"]."
}

variable "build_id" {
  type        = string
  default     = "by-hand"
  description = "Label org.goldsmith.build of the container, so that a build that was killed can be found."
}
