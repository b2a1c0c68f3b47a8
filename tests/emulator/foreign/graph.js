// Sends one message with Microsoft's own JavaScript libraries: msal-node gets the token, the Graph client sends.
const { readFileSync } = require('fs');
const { basename } = require('path');
const { ConfidentialClientApplication } = require('@azure/msal-node');
const { Client, FileUpload, LargeFileUploadTask } = require('@microsoft/microsoft-graph-client');

const options = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const application = new ConfidentialClientApplication({
  auth: {
    clientId: options.clientId,
    clientSecret: options.clientSecret,
    clientCertificate: options.clientCertificate,
    authority: options.authority,
    knownAuthorities: [new URL(options.authority).host],
  },
});

async function token() {
  const scopes = ['https://graph.microsoft.com/.default'];
  return (await application.acquireTokenByClientCredential({ scopes })).accessToken;
}

const graph = Client.init({
  baseUrl: new URL('/', options.graph).href,
  customHosts: new Set([new URL(options.graph).hostname]),
  authProvider: (done) => token().then((value) => done(null, value), (error) => done(error, null)),
});

const file = readFileSync(options.attachment);
const message = {
  subject: options.subject,
  body: { contentType: 'Text', content: readFileSync(options.text, 'utf8') },
  toRecipients: [{ emailAddress: { address: options.to } }],
};

const ways = {
  // One request with the attachment inside.
  async json() {
    const attachments = [{
      '@odata.type': '#microsoft.graph.fileAttachment',
      name: basename(options.attachment),
      contentType: 'application/pdf',
      contentBytes: file.toString('base64'),
    }];
    await graph.api(`/users/${options.from}/sendMail`).post({ message: { ...message, attachments } });
  },
  // The message ready-made, as an SMTP program would send it.
  async mime() {
    const ready = readFileSync(options.mime).toString('base64');
    await graph.api(`/users/${options.from}/sendMail`).header('Content-Type', 'text/plain').post(ready);
  },
  // A draft whose attachment comes by an upload session, in several pieces.
  async upload() {
    const draft = await graph.api(`/users/${options.from}/messages`).post(message);
    const path = `/users/${options.from}/messages/${draft.id}`;
    const session = await LargeFileUploadTask.createUploadSession(
      graph,
      `${path}/attachments/createUploadSession`,
      { AttachmentItem: { attachmentType: 'file', name: basename(options.attachment), size: file.length } },
    );
    const upload = new FileUpload(file, basename(options.attachment), file.length);
    await new LargeFileUploadTask(graph, upload, session, { rangeSize: 327680 }).upload();
    await graph.api(`${path}/send`).post({});
  },
};

ways[options.way]().then(
  () => console.log('sent'),
  (error) => { console.error(error.statusCode ?? '', error.code ?? '', error.message); process.exit(1); },
);
