import jakarta.mail.Message;
import jakarta.mail.Session;
import jakarta.mail.Transport;
import jakarta.mail.internet.InternetAddress;
import jakarta.mail.internet.MimeBodyPart;
import jakarta.mail.internet.MimeMessage;
import jakarta.mail.internet.MimeMultipart;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Properties;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Sends one message with Jakarta Mail; the properties file says what, where and as whom. */
public class Send {
    public static void main(String[] arguments) throws Exception {
        Properties options = new Properties();
        try (InputStream file = Files.newInputStream(Path.of(arguments[0]))) {
            options.load(new java.io.InputStreamReader(file, "UTF-8"));
        }
        options.put("mail.smtp.ssl.socketFactory", trusting(options.getProperty("ca")).getSocketFactory());
        Session session = Session.getInstance(options);
        MimeMessage message = compose(session, options);
        try (Transport transport = session.getTransport("smtp")) {
            // Jakarta Mail hands an access token over where a password stands.
            transport.connect(options.getProperty("user"), options.getProperty("secret"));
            transport.sendMessage(message, message.getAllRecipients());
        }
    }

    private static MimeMessage compose(Session session, Properties options) throws Exception {
        MimeBodyPart text = new MimeBodyPart();
        text.setText(Files.readString(Path.of(options.getProperty("text"))), "utf-8");
        MimeBodyPart attachment = new MimeBodyPart();
        attachment.attachFile(options.getProperty("attachment"));
        MimeMessage message = new MimeMessage(session);
        message.setFrom(new InternetAddress(options.getProperty("from")));
        message.setRecipient(Message.RecipientType.TO, new InternetAddress(options.getProperty("to")));
        message.setSubject(options.getProperty("subject"), "utf-8");
        message.setContent(new MimeMultipart(text, attachment));
        message.saveChanges();
        return message;
    }

    private static SSLContext trusting(String authority) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream file = Files.newInputStream(Path.of(authority))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
