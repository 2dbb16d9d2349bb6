# For a current Packer, once: packer init packer/plugins
# Packer 1.6.6 has these built in and rejects this block; that is why it lies in a folder of its own.
# Each pin starts with the oldest release that the template was tried with: tools/packer/go.mod.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1.8"
    }
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = "~> 1.0, >= 1.0.3"
    }
    digitalocean = {
      source  = "github.com/digitalocean/digitalocean"
      version = "~> 1.4"
    }
    docker = {
      source  = "github.com/hashicorp/docker"
      version = "~> 1.1"
    }
    hyperv = {
      source  = "github.com/hashicorp/hyperv"
      version = "~> 1.0, >= 1.0.4"
    }
    parallels = {
      source  = "github.com/parallels/parallels"
      version = "~> 1.0, >= 1.0.3"
    }
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "~> 1.0, >= 1.0.9"
    }
    virtualbox = {
      source  = "github.com/hashicorp/virtualbox"
      version = "~> 1.0, >= 1.0.4"
    }
    vmware = {
      source  = "github.com/hashicorp/vmware"
      version = "~> 1.2"
    }
  }
}
