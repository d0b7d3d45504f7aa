package emailjob_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/workers/kind"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/emailjob"
	"github.com/tidemill/tidemill/internal/testdb"
)

func emailPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	return testdb.Pool(t, url)
}

// What cannot become a mail fails at once, without a word to the server.
func TestEmailCannotBeMade(t *testing.T) {
	t.Parallel()
	large := filepath.Join(t.TempDir(), "large.bin")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 26<<20); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		params map[string]any
		change func(*config.Job, *config.Mail)
		want   string
	}{
		"no such param": {map[string]any{}, nil, `jobs.welcome.to:1:2: executing "jobs.welcome.to" at <.email>: map has no entry for key "email"; the run has no param of that name`},
		"undeclared": {
			map[string]any{"email": "a@x.org", "nmae": "Jo"},
			func(j *config.Job, _ *config.Mail) {
				j.Params = []config.Param{{Name: "email", Type: config.TextParam}, {Name: "name", Type: config.TextParam}}
			},
			`param "nmae": job welcome has no such param; did you mean name?`,
		},
		"header in an address": {map[string]any{"email": "a@x.org\r\nBcc: all@x.org"}, nil, `jobs.welcome.to: "a@x.org\r\nBcc: all@x.org" has a line break, which a header cannot have`},
		"header in a subject":  {map[string]any{"email": "a@x.org", "name": "Jo\nX: y"}, nil, `jobs.welcome.subject: "Willkommen, Jo\nX: y ☀" has a line break, which a header cannot have`},
		"no address":           {map[string]any{"email": "jo"}, nil, `jobs.welcome.to: "jo" is no address: missing '@' or angle-addr; write it like jo@example.com or Jo <jo@example.com>`},
		"no recipient":         {map[string]any{"email": " "}, nil, "jobs.welcome.to: the mail has no recipient; its template gives no address"},
		"unknown template": {
			map[string]any{"email": "a@x.org"}, func(j *config.Job, _ *config.Mail) { j.Spec.(*emailjob.Config).Template = "hello" },
			`job welcome: template "hello": no directory of templates is configured; set mail.templates`,
		},
		"nothing to say": {
			map[string]any{"email": "a@x.org"}, func(j *config.Job, _ *config.Mail) { j.Spec.(*emailjob.Config).Text = "{{if false}}x{{end}}\n" },
			"job welcome: the mail is empty; its template gives no text",
		},
		"too much attached": {
			map[string]any{"email": "a@x.org"}, func(j *config.Job, _ *config.Mail) { j.Spec.(*emailjob.Config).Attach = []string{large} },
			"job welcome: attach: " + large + ": the attachments have more than 25 MiB together; put large files into storage and send a link",
		},
		"a folder attached": {
			map[string]any{"email": "a@x.org"}, func(j *config.Job, _ *config.Mail) { j.Spec.(*emailjob.Config).Attach = []string{filepath.Dir(large)} },
			"job welcome: attach: " + filepath.Dir(large) + " is no regular file",
		},
		"no sender": {
			map[string]any{"email": "a@x.org"}, func(_ *config.Job, m *config.Mail) { m.From = "" },
			"jobs.welcome.from: one sender is needed, and there are 0; set it there, or mail.from",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupEmail(t, tt.change)
			b.expect(t, b.startWith(t, tt.params), emailOutcome{Status: batch.Failed, Attempts: 1, Error: tt.want})
			b.expectDelivered(t)
		})
	}
}

// A file that is not there yet may come.
func TestEmailWaitsForItsAttachment(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "late.csv")
	b := setupEmail(t, func(j *config.Job, _ *config.Mail) { j.Spec.(*emailjob.Config).Attach = []string{file} })
	id := b.start(t, "a@x.org")
	if got := b.outcome(t, id); got.Attempts != 3 || got.Error != "job welcome: attach: no attachment: stat "+file+": no such file or directory" {
		t.Errorf("outcome is %+v", got)
	}
	if err := os.WriteFile(file, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.retry(t, id)
	b.expectAccepted(t, id, "a@x.org")
}

func TestEmailWrongPassword(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, func(_ *config.Job, m *config.Mail) {
		m.URL = strings.Replace(startPostOffice(t, "sesame").url, "//", "//jo:open@", 1)
	})
	id := b.start(t, "a@x.org")
	const reason = "log in: 535 5.7.8 Authentication failed; check user and password in mail.url"
	b.expect(t, id, emailOutcome{Status: batch.Failed, Attempts: 1, Accepted: []string{}, Deferred: []string{"a@x.org: " + reason}, Error: "send the mail: " + reason})
}

func TestEmailNoServer(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, func(_ *config.Job, m *config.Mail) { m.URL = "smtp://127.0.0.1:1" })
	id := b.start(t, "a@x.org, b@x.org")
	const reason = "connect to smtp://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused"
	b.expect(t, id, emailOutcome{
		Status: batch.Failed, Attempts: 3, Accepted: []string{}, Error: "send the mail: " + reason,
		Deferred: []string{"a@x.org: " + reason, "b@x.org: not reached in this attempt"},
	})
	if got := b.states(t, id); len(got) != 0 {
		t.Errorf("claims without a server: %v", got)
	}
}

// A server that does not answer costs an attempt its timeout, and a cancelled run nothing.
func TestEmailSlowServer(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	asked := make(chan struct{}, 10)
	wait := func(string, int) error {
		asked <- struct{}{}
		<-stuck
		return smtpError(451, "sorry")
	}
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		b := setupEmail(t, func(j *config.Job, _ *config.Mail) { j.Spec.(*emailjob.Config).Timeout = 300 * time.Millisecond })
		b.post.fails(wait, nil)
		id := b.start(t, "a@x.org, b@x.org")
		const reason = "RCPT TO: not done within 300ms"
		b.expect(t, id, emailOutcome{
			Status: batch.Failed, Attempts: 3, Accepted: []string{}, Error: "send the mail: " + reason,
			Deferred: []string{"a@x.org: " + reason, "b@x.org: not reached in this attempt"},
		})
	})
	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		b := setupEmail(t, nil)
		b.post.fails(wait, nil)
		id := b.start(t, "a@x.org")
		<-asked
		if err := b.Ledger.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if got := b.outcome(t, id); got.Status != batch.Cancelled {
			t.Errorf("outcome is %+v", got)
		}
	})
	t.Cleanup(func() { close(stuck) })
}

// A run that takes the place of one whose River job is gone is about the same mail.
func TestEmailGoesOnAsANewRun(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	b.post.fails(only("b@x.org", 2, smtpError(550, "no")), nil)
	id := b.start(t, "a@x.org, b@x.org")
	last := id
	for range 2 {
		if got := b.outcome(t, last); got.Status != batch.Failed {
			t.Fatalf("outcome is %+v", got)
		}
		if _, err := b.Client.JobDelete(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		next := b.retry(t, last)
		if next == last {
			t.Fatal("the run continues as itself")
		}
		last = next
	}
	b.expect(t, last, emailOutcome{Status: batch.Succeeded, Attempts: 1, Accepted: []string{"a@x.org", "b@x.org"}})
	b.expectDelivered(t, "a@x.org", "b@x.org")
	if got := b.post.posted(); got[0].ID != got[1].ID {
		t.Errorf("the mails differ: %v", got)
	}
}

func TestNewEmailWorkerRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("x\n{{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, m := range map[string]config.Mail{
		"mail.url: neither smtp:// nor smtps://":  {},
		filepath.Join(dir, "a.txt") + ":2: ":      {URL: "smtp://localhost", Templates: dir},
		"no such file or directory":               {URL: "smtp://localhost", Templates: filepath.Join(dir, "none")},
		"mail.url: the port is not from 1 to 655": {URL: "smtp://localhost:0"},
	} {
		if _, err := emailjob.NewWorker(&kind.Deps{Config: &config.Config{Mail: m}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %s", err, want)
		}
	}
}

func TestCheckEmail(t *testing.T) {
	t.Parallel()
	jobs := []*config.Job{
		{Name: "a", Spec: &emailjob.Config{Text: "{{.x}}"}}, {Name: "b", Spec: &emailjob.Config{HTML: "<a href='{{if .x}}'{{end}}>"}},
		{Name: "c", Spec: &emailjob.Config{Template: "none"}}, {Name: "d"}, {Name: "e", Spec: &emailjob.Config{Text: "{{shout .x}}"}},
	}
	err := emailjob.CheckLive(config.Mail{URL: "http://x"}, jobs)
	for _, want := range []string{"mail.url: ", "jobs.b.html:1", `job c: template "none"`, `jobs.e.text:1: function "shout" not defined`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %s", err, want)
		}
	}
	if err := emailjob.CheckLive(config.Mail{URL: "smtp://x"}, jobs[:1]); err != nil {
		t.Error(err)
	}
}

func TestPreviewEmail(t *testing.T) {
	t.Parallel()
	def := &config.Job{Name: "welcome", Params: []config.Param{{Name: "email", Type: config.TextParam}, {Name: "day", Type: config.DateParam, Default: json.RawMessage(`"scheduled_for"`)}}}
	def.Spec = &emailjob.Config{To: []string{"{{.email}}"}, CC: []string{"Boss <boss@x.org>"}, Subject: "News of {{.day}}", Text: `{{date "Monday" .day}} {{date "15:04 -0700" due}}`}
	due := time.Date(2026, 1, 31, 9, 0, 0, 0, time.FixedZone("JST", 9*3600))
	got, err := emailjob.PreviewMail(def, config.Mail{From: "jobs@x.org"}, json.RawMessage(`{"email": "jo@x.org"}`), due)
	if err != nil {
		t.Fatal(err)
	}
	eml := string(got.EML)
	got.EML = nil
	want := &kind.MailPreview{
		From: "<jobs@x.org>", To: []string{"<jo@x.org>"}, CC: []string{`"Boss" <boss@x.org>`}, Subject: "News of 2026-01-31", Text: "Saturday 09:00 +0900",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(eml, "Date: Sat, 31 Jan 2026 09:00:00 +0900\r\n") {
		t.Errorf("the mail is %s", eml)
	}
	var param *config.ParamError
	if _, err := emailjob.PreviewMail(def, config.Mail{From: "jobs@x.org"}, nil, due); !errors.As(err, &param) || param.Param != "email" {
		t.Errorf("error is %v", err)
	}
}

func TestSendTestEmail(t *testing.T) {
	t.Parallel()
	post := startPostOffice(t, "sesame")
	url := func(password string) config.Mail {
		return config.Mail{URL: strings.Replace(post.url, "//", "//jo:"+password+"@", 1), From: "jobs@x.org"}
	}
	id, server, err := emailjob.SendTest(t.Context(), url("sesame"), "Jo <jo@X.org>")
	if err != nil || server != post.url || len(post.posted()) != 1 || post.posted()[0].ID != "<"+id+">" || post.posted()[0].To != "jo@x.org" {
		t.Errorf("gives %s, %s, %v; posted %v", id, server, err, post.posted())
	}
	if _, _, err := emailjob.SendTest(t.Context(), url("open"), "jo@x.org"); err == nil || err.Error() != "log in: 535 5.7.8 Authentication failed; check user and password in mail.url" {
		t.Errorf("error is %v", err)
	}
	if _, _, err := emailjob.SendTest(t.Context(), url("sesame"), "a@b.c, d@e.f"); err == nil || err.Error() != "one address is needed" {
		t.Errorf("error is %v", err)
	}
}

// A failover that lost some of the log gives the numbers of the lost runs out again. The new run of a number is another mail,
// and nothing of the old one keeps it from going out.
func TestEmailOfANumberGivenOutAgain(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	first := b.start(t, "jo@example.com")
	b.expectAccepted(t, first, "jo@example.com")
	for _, lost := range []string{
		`DELETE FROM tidemill.message_claim`, `DELETE FROM tidemill.run`, `DELETE FROM tidemill.river_job`,
		`SELECT setval(pg_get_serial_sequence('tidemill.river_job', 'id'), 1, false)`,
	} {
		if _, err := b.Pool.Exec(t.Context(), lost); err != nil {
			t.Fatalf("%s: %v", lost, err)
		}
	}
	again := b.start(t, "jo@example.com")
	if again != first {
		t.Fatalf("the run is %d, and was to be %d again", again, first)
	}
	b.expectAccepted(t, again, "jo@example.com")
	posted := b.post.posted()
	if len(posted) != 2 || posted[0].ID == posted[1].ID {
		t.Errorf("delivered: %v; want two mails with two ids", posted)
	}
}
