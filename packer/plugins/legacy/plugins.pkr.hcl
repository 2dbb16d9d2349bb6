# For a current Packer, once, and only for who uses puppet_manifest or chef_run_list: packer init packer/plugins/legacy
# Their makers no longer work on them.
packer {
  required_plugins {
    chef = {
      source  = "github.com/hashicorp/chef"
      version = "~> 1.0"
    }
    puppet = {
      source  = "github.com/hashicorp/puppet"
      version = "~> 1.0"
    }
  }
}
