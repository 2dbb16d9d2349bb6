# For a current Packer, once: packer init packer/plugins
# Packer 1.6.6 has these built in and rejects this block; that is why it lies in a folder of its own.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1.3"
    }
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = "~> 1.1"
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
      version = "~> 1.1"
    }
    parallels = {
      source  = "github.com/parallels/parallels"
      version = "~> 1.2"
    }
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "~> 1.1"
    }
    virtualbox = {
      source  = "github.com/hashicorp/virtualbox"
      version = "~> 1.1"
    }
    vmware = {
      source  = "github.com/hashicorp/vmware"
      version = "~> 1.1"
    }
  }
}
