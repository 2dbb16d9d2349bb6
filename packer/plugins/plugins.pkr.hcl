# For a current Packer, once: packer init packer/plugins
# Packer 1.6.6 has these built in and rejects this block; that is why it lies in a folder of its own.
packer {
  required_plugins {
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = "~> 1.1"
    }
    docker = {
      source  = "github.com/hashicorp/docker"
      version = "~> 1.1"
    }
  }
}
