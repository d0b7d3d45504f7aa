package emailjob_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// errLost makes a server that has taken a mail hang up in place of its answer.
var errLost = errors.New("the answer is lost")

// postOffice is an SMTP server that a test can make fail.
type postOffice struct {
	url      string
	password string // empty: nobody needs to log in

	mu    sync.Mutex
	rcpt  func(to string, time int) error // time counts the recipient's from 1
	data  func(to string, time int) error
	times map[string]int
	mails []postedMail // whose whole text the server had and did not refuse
}

// postedMail is a mail as one recipient has it.
type postedMail struct {
	To, ID, Date string
	Raw          string
}

func startPostOffice(t *testing.T, password string) *postOffice {
	t.Helper()
	p := &postOffice{password: password, times: map[string]int{}}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &postSession{postOffice: p, conn: c.Conn()}, nil
	}))
	server.AllowInsecureAuth = true
	server.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	p.url = "smtp://" + l.Addr().String()
	return p
}

// fails sets what becomes of recipients and mails from now on; nil is no failure.
func (p *postOffice) fails(rcpt, data func(to string, time int) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rcpt, p.data = rcpt, data
}

// delivered tells who has the mail, each as often as he has it, in the order of arrival.
func (p *postOffice) delivered() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, m := range p.mails {
		all = append(all, m.To)
	}
	return all
}

func (p *postOffice) posted() []postedMail {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]postedMail(nil), p.mails...)
}

// judge asks one of the failures about the recipient's next time.
func (p *postOffice) judge(step, to string, which func() func(string, int) error) error {
	p.mu.Lock()
	p.times[step+to]++
	time, fails := p.times[step+to], which()
	p.mu.Unlock()
	if fails == nil {
		return nil
	}
	return fails(to, time)
}

type postSession struct {
	*postOffice
	conn net.Conn
	in   bool
	to   string
}

var _ smtp.AuthSession = (*postSession)(nil)

func (s *postSession) AuthMechanisms() []string {
	if s.password == "" {
		return nil
	}
	return []string{"PLAIN"}
}

func (s *postSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, password string) error {
		if password != s.password {
			return smtp.ErrAuthFailed
		}
		s.in = true
		return nil
	}), nil
}

func (s *postSession) Mail(string, *smtp.MailOptions) error {
	if s.password != "" && !s.in {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *postSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return s.judge("rcpt ", to, func() func(string, int) error { return s.rcpt })
}

func (s *postSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // the mail is not complete
	}
	failed := s.judge("data ", s.to, func() func(string, int) error { return s.data })
	if failed != nil && !errors.Is(failed, errLost) {
		return failed
	}
	m, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.mails = append(s.mails, postedMail{To: s.to, ID: m.Header.Get("Message-Id"), Date: m.Header.Get("Date"), Raw: string(raw)})
	s.mu.Unlock()
	if failed != nil {
		_ = s.conn.Close()
	}
	return failed
}

func (s *postSession) Reset()        {}
func (s *postSession) Logout() error { return nil }

// only makes a failure of one recipient, at most so many times.
func only(recipient string, times int, err error) func(string, int) error {
	return func(to string, time int) error {
		if to == recipient && time <= times {
			return err
		}
		return nil
	}
}

func smtpError(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: text}
}

func (m postedMail) String() string { return fmt.Sprintf("%s %s %s", m.To, m.ID, m.Date) }
