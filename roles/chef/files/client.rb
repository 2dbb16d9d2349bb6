# Everything that Chef keeps is sent to the folder that this file lies in, which is removed after the run.
folder = File.dirname(File.expand_path(__FILE__))
repo = File.join(folder, "repo")
Dir.mkdir(repo) unless Dir.exist?(repo)

local_mode true
chef_repo_path repo
cookbook_path Dir[File.join(folder, "cookbooks", "*")].sort + Dir[File.join(repo, "cookbooks")]
cache_path File.join(folder, "cache")
file_cache_path ENV["CHEF_CACHE"] || File.join(folder, "cache")
file_backup_path File.join(folder, "backup")
lockfile File.join(folder, "chef-client.lock")
pid_file File.join(folder, "chef-client.pid")
