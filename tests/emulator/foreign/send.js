// Sends one message with nodemailer; the options file says what, where and as whom.
const { readFileSync } = require('fs');
const nodemailer = require('nodemailer');

const options = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const transport = nodemailer.createTransport({
  host: options.host,
  port: options.port,
  name: 'client.test',
  requireTLS: true,
  tls: { ca: readFileSync(options.ca) },
  auth: options.auth,
  authMethod: options.authMethod,
});
transport.sendMail({
  from: options.from,
  to: options.to,
  subject: options.subject,
  text: readFileSync(options.text, 'utf8'),
  attachments: [{ path: options.attachment }],
}).then(
  (info) => console.log(info.response),
  (error) => { console.error(error.message); process.exit(1); },
);
