node 'web' {
  include example
}

node default {
  fail('puppet_node did not arrive')
}
