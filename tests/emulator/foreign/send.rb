# Sends one message with Ruby's mail library; the options file says what, where and as whom.
require 'json'
require 'mail'

options = JSON.parse(File.read(ARGV[0]))
mail = Mail.new(charset: 'UTF-8') do
  from options['from']
  to options['to']
  subject options['subject']
  text_part do
    content_type 'text/plain; charset=UTF-8'
    # Left alone, the library doubles a line's only dot, and writes line ends out in quoted-printable.
    content_transfer_encoding 'base64'
    body [File.read(options['text'])].pack('m')
  end
  add_file options['attachment']
end
mail.delivery_method(
  :smtp,
  address: options['host'],
  port: options['port'],
  domain: 'client.test',
  enable_starttls: true,
  ca_file: options['ca'],
  openssl_verify_mode: 'peer',
  authentication: :login,
  user_name: options['user'],
  password: options['password']
)
begin
  mail.deliver!
rescue Net::SMTPError, Net::ProtocolError => error
  warn error.message
  exit 1
end
