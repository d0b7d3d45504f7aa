package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

const (
	// stepTimeout bounds each step without progress, whatever the context allows; RFC 5321 asks for that many minutes.
	stepTimeout = 5 * time.Minute
	dialTimeout = 30 * time.Second
	quitTimeout = 2 * time.Second
	// Grace is how long Send waits for the answer to a complete mail after its context has ended: an answer that is only
	// late would otherwise become one that is lost.
	Grace = 5 * time.Second
)

// Session is a connection to an SMTP server that has said hello and logged in. It is for one goroutine.
type Session struct {
	client *smtp.Client
	conn   net.Conn // below any TLS
	broken bool
}

// Dial connects and logs in. The error is an *Error.
func Dial(ctx context.Context, server Server) (*Session, error) {
	config, err := tlsConfig(server)
	if err != nil {
		return nil, &Error{Verdict: Permanent, Phase: "connect to " + server.String(), Message: err.Error(), Err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, fmt.Errorf("no answer within %s", dialTimeout))
	defer cancel()
	s := &Session{}
	if err := s.open(ctx, server, config); err != nil {
		if s.conn != nil {
			_ = s.conn.Close()
		}
		return nil, s.because(ctx, err)
	}
	return s, nil
}

func tlsConfig(server Server) (*tls.Config, error) {
	config := &tls.Config{ServerName: server.Host, MinVersion: tls.VersionTLS12}
	if server.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(server.CA)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the certificate authority: %s has no certificate in PEM form", server.CA)
	}
	return config, nil
}

func (s *Session) open(ctx context.Context, server Server, config *tls.Config) *Error {
	phase := "connect to " + server.String()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server.address())
	if err != nil {
		return replyError(phase, err)
	}
	s.conn = conn
	defer s.bound(ctx, 0)()
	if server.TLS == ImplicitTLS {
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return tlsError(phase, err)
		}
		conn = encrypted
	}
	if s.client, err = smtp.NewClient(conn, server.Host); err == nil {
		err = s.client.Hello(localName(server))
	}
	if err != nil {
		e := replyError(phase, err)
		e.Verdict = Temporary // a server that takes nobody at the moment has not judged the mail
		return e
	}
	encrypted, failed := s.encrypt(server, config)
	if failed != nil {
		return failed
	}
	return s.logIn(server, encrypted)
}

func localName(server Server) string {
	if server.EHLO != "" {
		return server.EHLO
	}
	name, err := os.Hostname()
	if err != nil || !hostname(name) {
		return "localhost"
	}
	return name
}

func (s *Session) encrypt(server Server, config *tls.Config) (bool, *Error) {
	switch server.TLS {
	case ImplicitTLS:
		return true, nil
	case NoTLS:
		return false, nil
	}
	phase := "STARTTLS with " + server.String()
	if offered, _ := s.client.Extension("STARTTLS"); !offered {
		if server.TLS == Opportunistic {
			return false, nil
		}
		return false, &Error{Verdict: Permanent, Phase: phase, Message: "the server does not offer it", Hint: "if the network is private, add ?tls=none to mail.url"}
	}
	if err := s.client.StartTLS(config); err != nil {
		return false, tlsError(phase, err)
	}
	return true, nil
}

// tlsError may be fixed without us, by a new certificate for example, so it is temporary.
func tlsError(phase string, err error) *Error {
	e := replyError(phase, err)
	e.Verdict = Temporary
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		e.Hint = "if the server has a private certificate authority, add ?ca=FILE to mail.url"
	}
	return e
}

func (s *Session) logIn(server Server, encrypted bool) *Error {
	if server.User == "" {
		return nil
	}
	const phase, hint = "log in", "check user and password in mail.url"
	_, offered := s.client.Extension("AUTH")
	auth := mechanism(server, strings.Fields(strings.ToUpper(offered)), encrypted)
	if auth == nil {
		why := "the server offers no way to log in that this program knows (" + cmp.Or(offered, "none") + ")"
		if !encrypted {
			why += " and that hides the password"
		}
		return &Error{Verdict: Permanent, Phase: phase, Message: why, Hint: "check mail.url"}
	}
	if err := s.client.Auth(auth); err != nil {
		e := replyError(phase, err)
		if e.Verdict == Permanent {
			e.Hint = hint
		}
		return e
	}
	return nil
}

// mechanism is the best of those offered. The password itself is shown to the network only if the URL says so, by having no
// TLS at all.
func mechanism(server Server, offered []string, encrypted bool) smtp.Auth {
	clear := encrypted || server.TLS == NoTLS
	has := func(name string) bool { return slices.Contains(offered, name) }
	switch {
	case has("SCRAM-SHA-256"):
		return smtp.ScramSHA256Auth(server.User, server.Password)
	case has("SCRAM-SHA-1"):
		return smtp.ScramSHA1Auth(server.User, server.Password)
	case has("CRAM-MD5") && !encrypted:
		return smtp.CRAMMD5Auth(server.User, server.Password)
	case has("PLAIN") && clear:
		return smtp.PlainAuth("", server.User, server.Password, server.Host, true)
	case has("LOGIN") && clear:
		return smtp.LoginAuth(server.User, server.Password, server.Host, true)
	case has("CRAM-MD5"):
		return smtp.CRAMMD5Auth(server.User, server.Password)
	}
	return nil
}

// Envelope is a mail for one recipient.
type Envelope struct {
	From, To string // plain addresses
	Data     []byte // see Message.Encode
}

// Send hands one mail over for one recipient. When the server is ready for the mail itself, and before any of it is sent, it
// calls before; if that fails, nothing is sent, the session is broken, and Send returns that error as it is.
//
// Any other error is an *Error. Nil means that the server took the mail.
func (s *Session) Send(ctx context.Context, mail Envelope, before func(context.Context) error) error {
	w, refused := s.offer(ctx, mail)
	if refused != nil {
		s.reset(ctx, refused)
		return s.because(ctx, refused)
	}
	if err := before(ctx); err != nil {
		s.breakOff()
		return err
	}
	return s.transmit(ctx, w, mail.Data)
}

// offer goes as far as the server's word that it awaits the mail.
func (s *Session) offer(ctx context.Context, mail Envelope) (io.WriteCloser, *Error) {
	defer s.bound(ctx, 0)()
	if err := s.extend(mail); err != nil {
		return nil, err
	}
	if err := s.client.Mail(envelopeAddress(mail.From)); err != nil {
		return nil, replyError("MAIL FROM", err)
	}
	if err := s.client.Rcpt(envelopeAddress(mail.To)); err != nil {
		return nil, replyError("RCPT TO", err)
	}
	w, err := s.client.Data()
	if err != nil {
		return nil, replyError("DATA", err)
	}
	return w, nil
}

// extend sees to what the mail needs beyond plain SMTP.
func (s *Session) extend(mail Envelope) *Error {
	wide := !ascii(mail.From + mail.To)
	if offered, _ := s.client.Extension("SMTPUTF8"); wide && !offered {
		return &Error{
			Verdict: Permanent, Phase: "MAIL FROM", Message: "the mail server takes no address with letters beyond ASCII (SMTPUTF8)",
			Hint: "write a domain in its xn-- form",
		}
	}
	s.client.SkipSMTPUTF8(!wide) // else each hop to come would need it for nothing
	_, limit := s.client.Extension("SIZE")
	if most, err := strconv.ParseInt(limit, 10, 64); err == nil && most > 0 && int64(len(mail.Data)) > most {
		return &Error{Verdict: Permanent, Phase: "MAIL FROM", Message: fmt.Sprintf("the mail has %d bytes, and the server takes at most %d", len(mail.Data), most)}
	}
	return nil
}

// transmit sends the mail. Until its last line, the dot, the server must throw away what it has when the connection ends;
// after it, only the answer tells.
func (s *Session) transmit(ctx context.Context, w io.WriteCloser, data []byte) error {
	release := s.bound(ctx, 0)
	_, err := w.Write(data)
	if err == nil {
		// All but the dot leaves the buffer here, so that a mail whose sending failed is one that was not sent.
		err = s.client.Text.W.Flush()
	}
	release()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.breakOff()
		return s.because(ctx, replyError("send the mail", err))
	}
	defer s.bound(ctx, Grace)()
	if err = w.Close(); err == nil {
		return nil
	}
	e := replyError("end of the mail", err)
	if e.Code == 0 {
		e.Verdict = Unknown
		e.Message = "the server took the mail, but its answer was lost: " + e.Message
		s.breakOff()
		return e
	}
	s.broken = s.broken || e.Code == closing
	return e
}

// reset makes the session ready for the next recipient after one that was refused.
func (s *Session) reset(ctx context.Context, after *Error) {
	if after.Code == 0 && after.Verdict != Permanent || after.Code == closing {
		s.breakOff()
		return
	}
	defer s.bound(ctx, 0)()
	if err := s.client.Reset(); err != nil {
		s.breakOff()
	}
}

// Broken tells that the session cannot send any more.
func (s *Session) Broken() bool { return s.broken }

func (s *Session) breakOff() {
	s.broken = true
	_ = s.conn.Close()
}

// Close takes leave, without waiting long for an answer.
func (s *Session) Close() {
	if !s.broken {
		_ = s.conn.SetDeadline(time.Now().Add(quitTimeout))
		_ = s.client.Quit()
	}
	_ = s.conn.Close()
}

// bound ends reads and writes when ctx has ended and grace has passed, and each step at its timeout. The function that it
// returns must be called before the next bound, whose deadline this one's end would otherwise overtake.
func (s *Session) bound(ctx context.Context, grace time.Duration) func() {
	_ = s.conn.SetDeadline(time.Now().Add(stepTimeout))
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = s.conn.SetDeadline(time.Now().Add(grace))
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

// because puts the end of ctx in the place of the deadline that it set.
func (s *Session) because(ctx context.Context, e *Error) error {
	if e.Code == 0 && e.Verdict == Temporary && ctx.Err() != nil {
		e.Message, e.Err = context.Cause(ctx).Error(), errors.Join(ctx.Err(), context.Cause(ctx))
	}
	return e
}
