package mail_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/mail"
)

func envelope() mail.Envelope {
	return mail.Envelope{From: "jobs@example.com", To: "jo@x.org", Data: []byte("Subject: a\r\n\r\n.\r\nb\r\n")}
}

func ready(context.Context) error { return nil }

// bounded is a context for what should take no time at all.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func verdict(err error) string {
	var e *mail.Error
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%s %s", [...]string{"temporary", "permanent", "unknown"}[e.Verdict], err)
}

func TestSend(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		script map[string]string
		want   string // of the verdict; its beginning
		broken bool
		mails  int // that the server had in full
		asked  bool
	}{
		"taken":                  {nil, "<nil>", false, 1, true},
		"sender refused":         {map[string]string{"MAIL": "550 no"}, "permanent MAIL FROM: 550 no", false, 0, false},
		"recipient, more lines":  {map[string]string{"RCPT": "550-5.1.1 no\r\n550 such user"}, "permanent RCPT TO: 550 5.1.1 no such user", false, 0, false},
		"recipient, for now":     {map[string]string{"RCPT": "451 4.7.1 greylisted"}, "temporary RCPT TO: 451 4.7.1 greylisted", false, 0, false},
		"recipient is elsewhere": {map[string]string{"RCPT": "251 will forward"}, "<nil>", false, 1, true},
		"closing":                {map[string]string{"RCPT": "421 shutting down"}, "temporary RCPT TO: 421 shutting down", true, 0, false},
		"gone":                   {map[string]string{"RCPT": hangUp}, "temporary RCPT TO: EOF", true, 0, false},
		"nonsense":               {map[string]string{"RCPT": "well"}, "temporary RCPT TO: ", true, 0, false},
		"control characters":     {map[string]string{"RCPT": "550 a\x00b\x1b[31m\xff"}, "permanent RCPT TO: 550 a\uFFFDb\uFFFD[31m\uFFFD", false, 0, false},
		"odd nonsense":           {map[string]string{"RCPT": "a\x00b\xff"}, "temporary RCPT TO: short response: \"a\\x00b\\xff\"", true, 0, false},
		"no data":                {map[string]string{"DATA": "554 no"}, "permanent DATA: 554 no", false, 0, false},
		"gone at data":           {map[string]string{"DATA": hangUp}, "temporary DATA: EOF", true, 0, false},
		"mail refused":           {map[string]string{".": "554 spam"}, "permanent end of the mail: 554 spam", false, 1, true},
		"mail refused for now":   {map[string]string{".": "452 full"}, "temporary end of the mail: 452 full", false, 1, true},
		"closing at the end":     {map[string]string{".": "421 bye"}, "temporary end of the mail: 421 bye", true, 1, true},
		"answer lost":            {map[string]string{".": hangUp}, "unknown end of the mail: the server took the mail, but its answer was lost: EOF", true, 1, true},
		"answer is nonsense":     {map[string]string{".": "hm"}, "unknown end of the mail: the server took the mail, but its answer was lost: ", true, 1, true},
		"too large":              {map[string]string{"EHLO": "250-hi\r\n250 SIZE 10"}, "permanent MAIL FROM: the mail has 20 bytes, and the server takes at most 10", false, 0, false},
		"essay":                  {map[string]string{"RCPT": "550 " + strings.Repeat("no ", 1000)}, "permanent RCPT TO: 550 no no", false, 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, at := startScripted(t, tt.script)
			session, err := mail.Dial(bounded(t), at)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			asked := false
			err = session.Send(bounded(t), envelope(), func(context.Context) error { asked = true; return nil })
			if got := verdict(err); !strings.HasPrefix(got, tt.want) || len(got) > 700 {
				t.Errorf("gives %s, want %s", got, tt.want)
			}
			_, mails := server.seen()
			if session.Broken() != tt.broken || mails != tt.mails || asked != tt.asked {
				t.Errorf("broken %t, mails %d, asked before %t; want %t, %d, %t", session.Broken(), mails, asked, tt.broken, tt.mails, tt.asked)
			}
		})
	}
}

// A session serves the next recipient after one that was refused.
func TestSendGoesOn(t *testing.T) {
	t.Parallel()
	server, at := startScripted(t, map[string]string{"MAIL": "550 no"})
	session, err := mail.Dial(bounded(t), at)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := session.Send(bounded(t), envelope(), ready); mail.VerdictOf(err) != mail.Permanent {
			t.Errorf("gives %v", err)
		}
	}
	session.Close()
	lines, _ := server.seen()
	want := []string{"MAIL FROM:<jobs@example.com>", "RSET", "MAIL FROM:<jobs@example.com>", "RSET", "QUIT"}
	if diff := cmp.Diff(want, lines[1:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What fails before the mail is sent leaves the server without it.
func TestSendStopsBeforeTheMail(t *testing.T) {
	t.Parallel()
	server, at := startScripted(t, nil)
	session, err := mail.Dial(bounded(t), at)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	failed := errors.New("no claim")
	if err := session.Send(bounded(t), envelope(), func(context.Context) error { return failed }); !errors.Is(err, failed) || !session.Broken() {
		t.Errorf("gives %v, broken %t", err, session.Broken())
	}
	if _, mails := server.seen(); mails != 0 {
		t.Errorf("the server has %d mails", mails)
	}
}

// An end of the context that comes before the mail is one thing, and one after it another.
func TestSendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	stop := errors.New("told to stop")
	tests := map[string]struct{ verb, want string }{
		"at the recipient":  {"RCPT", "temporary RCPT TO: told to stop"},
		"after the mail":    {".", "unknown end of the mail: the server took the mail, but its answer was lost: "},
		"at the connection": {"", "temporary connect to "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, at := startScripted(t, map[string]string{tt.verb: silent})
			ctx, cancel := context.WithCancelCause(bounded(t))
			if tt.verb == "" {
				time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
				if _, err := mail.Dial(ctx, at); !strings.HasPrefix(verdict(err), tt.want) || !errors.Is(err, stop) {
					t.Errorf("gives %s", verdict(err))
				}
				return
			}
			session, err := mail.Dial(ctx, at)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
			began := time.Now()
			err = session.Send(ctx, envelope(), ready)
			if !strings.HasPrefix(verdict(err), tt.want) {
				t.Errorf("gives %s, want %s", verdict(err), tt.want)
			}
			if took := time.Since(began); tt.verb == "." && took < mail.Grace || took > mail.Grace+10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestDialAndLogIn(t *testing.T) {
	t.Parallel()
	users := map[string]string{"jo": "sesame"}
	tests := map[string]struct {
		mechanisms []string
		tls        bool // the server offers STARTTLS
		implicit   bool
		mode       mail.TLSMode
		trust      bool
		password   string
		want       string
	}{
		"STARTTLS":                  {[]string{"PLAIN"}, true, false, mail.StartTLS, true, "sesame", "<nil>"},
		"LOGIN":                     {[]string{"LOGIN"}, true, false, mail.StartTLS, true, "sesame", "<nil>"},
		"TLS":                       {[]string{"PLAIN"}, true, true, mail.ImplicitTLS, true, "sesame", "<nil>"},
		"opportunistic, offered":    {[]string{"PLAIN"}, true, false, mail.Opportunistic, true, "sesame", "<nil>"},
		"opportunistic, not":        {[]string{"PLAIN"}, false, false, mail.Opportunistic, false, "sesame", "permanent log in: the server offers no way to log in that this program knows (PLAIN) and that hides the password; check mail.url"},
		"none":                      {[]string{"PLAIN"}, false, false, mail.NoTLS, false, "sesame", "<nil>"},
		"wrong password":            {[]string{"PLAIN"}, true, false, mail.StartTLS, true, "open", "permanent log in: 535 5.7.8 Authentication failed; check user and password in mail.url"},
		"wrong password with LOGIN": {[]string{"LOGIN"}, true, false, mail.StartTLS, true, "open", "permanent log in: 535 5.7.8 Authentication failed; check user and password in mail.url"},
		"no STARTTLS":               {[]string{"PLAIN"}, false, false, mail.StartTLS, false, "sesame", "permanent STARTTLS with smtp://ADDRESS: the server does not offer it; if the network is private, add ?tls=none to mail.url"},
		"not trusted":               {[]string{"PLAIN"}, true, false, mail.StartTLS, false, "sesame", "temporary STARTTLS with smtp://ADDRESS: tls: failed to verify certificate: x509: certificate signed by unknown authority; if the server has a private certificate authority, add ?ca=FILE to mail.url"},
		"not trusted, TLS":          {[]string{"PLAIN"}, true, true, mail.ImplicitTLS, false, "sesame", "temporary connect to smtps://ADDRESS: tls: failed to verify certificate: x509: certificate signed by unknown authority; if the server has a private certificate authority, add ?ca=FILE to mail.url"},
		"unknown mechanism":         {[]string{"GSSAPI"}, true, false, mail.StartTLS, true, "sesame", "permanent log in: the server offers no way to log in that this program knows (GSSAPI); check mail.url"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, file := authority(t)
			if !tt.tls {
				config = nil
			}
			box := &inbox{users: users, mechanisms: tt.mechanisms}
			at := startInbox(t, box, config, tt.implicit)
			at.TLS, at.User, at.Password = tt.mode, "jo", tt.password
			if tt.trust {
				at.CA = file
			}
			session, err := mail.Dial(bounded(t), at)
			if err == nil {
				err = session.Send(bounded(t), envelope(), ready)
				session.Close()
			}
			want := strings.ReplaceAll(tt.want, "ADDRESS", fmt.Sprintf("%s:%d", at.Host, at.Port))
			if got := verdict(err); got != want {
				t.Errorf("gives %s, want %s", got, want)
			}
			if err == nil && (len(box.mails) != 1 || box.mails[0] != string(envelope().Data)) {
				t.Errorf("the server has %q", box.mails)
			}
			if err != nil && strings.Contains(err.Error(), "sesame") {
				t.Errorf("the password shows: %v", err)
			}
		})
	}
}

func TestDialFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		script map[string]string
		change func(*mail.Server)
		want   string
	}{
		"nobody there":  {nil, func(s *mail.Server) { s.Port = 1 }, "temporary connect to smtp://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused"},
		"busy":          {map[string]string{"": "554 no service"}, nil, "temporary connect to smtp://ADDRESS: 554 no service"},
		"hangs up":      {map[string]string{"": hangUp}, nil, "temporary connect to smtp://ADDRESS: EOF"},
		"no hello":      {map[string]string{"EHLO": "421 no"}, nil, "temporary connect to smtp://ADDRESS: 421 no"},
		"no login":      {nil, func(s *mail.Server) { s.User = "jo" }, "permanent log in: the server offers no way to log in that this program knows (none) and that hides the password; check mail.url"},
		"login for now": {map[string]string{"EHLO": "250-hi\r\n250 AUTH PLAIN", "AUTH": "454 later"}, func(s *mail.Server) { s.User = "jo" }, "temporary log in: 454 later"},
		"no authority":  {nil, func(s *mail.Server) { s.CA = "/nowhere/ca.pem" }, "permanent connect to smtp://ADDRESS: read the certificate authority: open /nowhere/ca.pem: no such file or directory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, at := startScripted(t, tt.script)
			if tt.change != nil {
				tt.change(&at)
			}
			_, err := mail.Dial(bounded(t), at)
			if got, want := verdict(err), strings.ReplaceAll(tt.want, "ADDRESS", fmt.Sprintf("%s:%d", at.Host, at.Port)); got != want {
				t.Errorf("gives %s, want %s", got, want)
			}
		})
	}
}

func TestSendBeyondASCII(t *testing.T) {
	t.Parallel()
	wide := envelope()
	wide.To = "jö@x.org"

	server, at := startScripted(t, map[string]string{"EHLO": "250-hi\r\n250 SMTPUTF8"})
	session, err := mail.Dial(bounded(t), at)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []mail.Envelope{wide, envelope()} {
		if err := session.Send(bounded(t), e, ready); err != nil {
			t.Error(err)
		}
	}
	session.Close()
	lines, _ := server.seen()
	want := []string{"MAIL FROM:<jobs@example.com> SMTPUTF8", "RCPT TO:<jö@x.org>", "DATA", ".", "MAIL FROM:<jobs@example.com>", "RCPT TO:<jo@x.org>", "DATA", ".", "QUIT"}
	if diff := cmp.Diff(want, lines[1:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	_, at = startScripted(t, nil)
	if session, err = mail.Dial(bounded(t), at); err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	const refusal = "permanent MAIL FROM: the mail server takes no address with letters beyond ASCII (SMTPUTF8); write a domain in its xn-- form"
	if err := session.Send(bounded(t), wide, ready); verdict(err) != refusal || session.Broken() {
		t.Errorf("gives %s, broken %t", verdict(err), session.Broken())
	}
}
