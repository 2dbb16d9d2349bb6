source "docker" "image" {
  image  = var.base_image
  pull   = false
  commit = true

  # Under /tmp, which is a tmpfs here: the default would stay in the image as an empty folder.
  container_dir = "/tmp/packer-files"

  # systemd is PID 1 while the roles run, as on a live host. With a control group namespace of its own it would take
  # the host's root group, which is mounted here, for its own.
  run_command = [
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
  ]

  changes = concat([
    "CMD [\"/lib/systemd/systemd\"]",
    "LABEL org.goldsmith.owner=image",
  ], var.changes)
}
