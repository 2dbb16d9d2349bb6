# A file, a user and a service, as in many a module.
class example (
  String $greeting = 'the default',
) {
  user { 'example':
    ensure => present,
    system => true,
    home   => '/nonexistent',
    shell  => '/usr/sbin/nologin',
  }

  file { '/etc/example':
    ensure => directory,
  }

  file { '/etc/example/greeting.conf':
    content => epp('example/greeting.conf.epp', { 'greeting' => $greeting }),
    owner   => 'root',
    group   => 'example',
    mode    => '0640',
    notify  => Service['example'],
  }

  file { '/etc/example/secret.digest':
    content => "${sha256($facts['example']['secret'])}\n",
  }

  file { '/etc/systemd/system/example.service':
    source => 'puppet:///modules/example/example.service',
    notify => Exec['read units again'],
  }

  exec { 'read units again':
    command     => '/usr/bin/systemctl daemon-reload',
    refreshonly => true,
  }

  service { 'example':
    ensure  => running,
    enable  => true,
    require => Exec['read units again'],
  }
}
