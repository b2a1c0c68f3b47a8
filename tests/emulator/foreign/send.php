<?php
// Sends one message with PHPMailer; the options file says what, where and as whom.
use PHPMailer\PHPMailer\{Exception, OAuthTokenProvider, PHPMailer, SMTP};

$options = json_decode(file_get_contents($argv[1]), true);
foreach (['Exception', 'SMTP', 'OAuthTokenProvider', 'PHPMailer'] as $class) {
    require "{$options['library']}/$class.php";
}

class GivenToken implements OAuthTokenProvider
{
    public function __construct(private string $user, private string $token)
    {
    }

    public function getOauth64()
    {
        return base64_encode("user={$this->user}\1auth=Bearer {$this->token}\1\1");
    }
}

$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->SMTPDebug = SMTP::DEBUG_SERVER;
$mail->Debugoutput = 'echo';
$mail->Host = $options['host'];
$mail->Port = $options['port'];
$mail->Hostname = 'client.test';
$mail->SMTPSecure = PHPMailer::ENCRYPTION_STARTTLS;
$mail->SMTPOptions = ['ssl' => ['cafile' => $options['ca']]];
$mail->SMTPAuth = true;
if ($options['token']) {
    $mail->AuthType = 'XOAUTH2';
    $mail->setOAuth(new GivenToken($options['user'], $options['token']));
} else {
    $mail->AuthType = 'LOGIN';
    $mail->Username = $options['user'];
    $mail->Password = $options['password'];
}
$mail->CharSet = PHPMailer::CHARSET_UTF8;
try {
    $mail->setFrom($options['from']);
    $mail->addAddress($options['to']);
    $mail->Subject = $options['subject'];
    $mail->Body = file_get_contents($options['text']);
    $mail->addAttachment($options['attachment']);
    $mail->send();
} catch (Exception $error) {
    echo $error->getMessage();
    exit(1);
}
