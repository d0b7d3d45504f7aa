package tidemill

import (
	"io"
	"log"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
)

// mailbox is an SMTP session that takes every mail.
type mailbox struct{ mails chan<- string }

func (mailbox) Mail(string, *smtp.MailOptions) error { return nil }
func (mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mailbox) Reset()                               {}
func (mailbox) Logout() error                        { return nil }

func (m mailbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.mails <- string(text)
	return nil
}

func startMailbox(t *testing.T) (url string, mails <-chan string) {
	t.Helper()
	taken := make(chan string, 10)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailbox{taken}, nil }))
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
	return "smtp://" + l.Addr().String(), taken
}

// A mail that follows a failure says which run of which job failed, and why: in its subject and its text.
func TestThenFailureIsToldByMail(t *testing.T) {
	t.Parallel()
	url, mails := startMailbox(t)
	app := setup(t, `
mail: {url: "`+url+`", from: jobs@example.com}
jobs:
  bad: {kind: verdict, args: {fail: true}, retry: {max_attempts: 1}, then: {failure: [tell]}}
  tell:
    kind: email
    to: ops@example.com
    subject: "{{.job}} failed"
    text: "Run {{.run}} of {{.job}}: {{.error}}"
`)
	river.AddWorker(app.Workers, &verdictWorker{})
	work(t, app)
	bad, err := app.Start(t.Context(), "bad", nil)
	if err != nil {
		t.Fatal(err)
	}
	waitStatus(t, app, bad.ID, batch.Failed)
	select {
	case mail := <-mails:
		number := must(ask[string](t, app, `SELECT $1::bigint::text`, bad.ID))
		for _, want := range []string{"Subject: bad failed\r\n", "Run " + number + " of bad: as it was told"} {
			if !strings.Contains(mail, want) {
				t.Errorf("the mail lacks %q:\n%s", want, mail)
			}
		}
	case <-time.After(time.Minute):
		t.Fatal("no mail came")
	}
}
