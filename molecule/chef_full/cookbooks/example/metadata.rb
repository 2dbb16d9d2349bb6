name 'example'
version '1.0.0'
