// Sends one message with Go's gomail; the options file says what, where and as whom.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/smtp"
	"os"

	mail "gopkg.in/mail.v2"
)

type options struct {
	Host, CA, User, Password, Token, From, To, Subject, Text, Attachment string
	Port                                                                 int
}

// bearer is what net/smtp wants of a mechanism that it does not know itself.
type bearer struct{ user, token string }

func (b bearer) Start(server *smtp.ServerInfo) (string, []byte, error) {
	return "XOAUTH2", []byte("user=" + b.user + "\x01auth=Bearer " + b.token + "\x01\x01"), nil
}

func (b bearer) Next(challenge []byte, more bool) ([]byte, error) {
	if more {
		// A challenge carries an error; an empty answer lets the server say it.
		return []byte{}, nil
	}
	return nil, nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compose(o options) *mail.Message {
	text, err := os.ReadFile(o.Text)
	check(err)
	message := mail.NewMessage()
	message.SetHeader("From", o.From)
	message.SetHeader("To", o.To)
	message.SetHeader("Subject", o.Subject)
	message.SetBody("text/plain", string(text))
	message.Attach(o.Attachment)
	return message
}

func main() {
	file, err := os.ReadFile(os.Args[1])
	check(err)
	var o options
	check(json.Unmarshal(file, &o))
	authority, err := os.ReadFile(o.CA)
	check(err)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	dialer := mail.NewDialer(o.Host, o.Port, o.User, o.Password)
	dialer.LocalName = "client.test"
	dialer.StartTLSPolicy = mail.MandatoryStartTLS
	dialer.TLSConfig = &tls.Config{RootCAs: trusted, ServerName: o.Host}
	if o.Token != "" {
		dialer.Auth = bearer{o.User, o.Token}
	}
	check(dialer.DialAndSend(compose(o)))
}
