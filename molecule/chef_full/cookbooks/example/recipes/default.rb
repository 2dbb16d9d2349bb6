file '/etc/example' do
  content "an example\n"
end
