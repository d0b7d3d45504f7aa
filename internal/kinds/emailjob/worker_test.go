package emailjob_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/emailjob"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

type emailBundle struct {
	*testengine.Engine
	post *postOffice
	job  *config.Job
}

// setupEmail starts a worker for one job, welcome, and a server that takes its mail.
func setupEmail(t *testing.T, change func(*config.Job, *config.Mail)) *emailBundle {
	t.Helper()
	b := &emailBundle{post: startPostOffice(t, "")}
	b.job = &config.Job{Name: "welcome", Kind: "email", Spec: &emailjob.Config{
		To: []string{"{{.email}}"}, Subject: "Willkommen, {{.name}} ☀", Text: "Hello {{.name}}, this is run {{run}} of {{job}}.\n", Timeout: time.Minute,
	}}
	settings := config.Mail{URL: b.post.url, From: "Jobs <jobs@example.com>"}
	if change != nil {
		change(b.job, &settings)
	}
	retries := retry.NewPlugin(retry.PluginOpts{Default: retry.Policy{Backoff: retry.Constant, Delay: time.Millisecond, Jitter: -1}})
	url := testengine.URL(t)
	b.Engine = testengine.Start(t, url, func(w *river.Workers) {}, func(c *river.Config) {
		c.Plugins = append(c.Plugins, retries)
		c.RetryPolicy = retries
		c.Workers = river.NewWorkers()
		river.AddWorker(c.Workers, b.worker(t, url, settings))
	})
	return b
}

func (b *emailBundle) worker(t *testing.T, url string, settings config.Mail) *emailjob.Worker {
	t.Helper()
	w, err := emailjob.NewWorker(&kind.Deps{
		Jobs:     func(name string) (*config.Job, bool) { return b.job, name == b.job.Name },
		Location: time.UTC, Config: &config.Config{Mail: settings}, Pool: emailPool(t, url), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (b *emailBundle) args(params map[string]any) emailjob.Args {
	all := map[string]any{"name": "Jo"}
	maps.Copy(all, params)
	raw, _ := json.Marshal(all)
	return emailjob.Args{Args: kind.Args{Job: "welcome", Params: raw}}
}

// start begins a run with a mail to those addresses, of three attempts at most.
func (b *emailBundle) start(t *testing.T, to string) int64 {
	t.Helper()
	return b.startWith(t, map[string]any{"email": to})
}

func (b *emailBundle) startWith(t *testing.T, params map[string]any) int64 {
	t.Helper()
	started, err := b.Ledger.Start(t.Context(), b.args(params), batch.StartOpts{Job: "welcome", Insert: &river.InsertOpts{MaxAttempts: 3}})
	if err != nil {
		t.Fatal(err)
	}
	return started.ID
}

func (b *emailBundle) retry(t *testing.T, id int64) int64 {
	t.Helper()
	retried, err := b.Ledger.Retry(t.Context(), id, batch.RetryOpts{Insert: &river.InsertOpts{MaxAttempts: 3}})
	if err != nil {
		t.Fatal(err)
	}
	return retried
}

type emailOutcome struct {
	Status   batch.Status
	Attempts int
	Error    string
	Accepted []string
	Refused  []string
	Unknown  []string
	Deferred []string
}

type emailProblem struct{ To, Reason string }

// outcome waits for the end of a run and says what came of it.
func (b *emailBundle) outcome(t *testing.T, id int64) emailOutcome {
	t.Helper()
	info := b.WaitStatus(t, id, batch.Succeeded, batch.Failed, batch.Cancelled)
	row, err := b.Client.JobGet(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	out := emailOutcome{Status: info.Status, Attempts: row.Attempt}
	if info.Error != nil {
		out.Error = *info.Error
	}
	if row.Output() == nil {
		return out
	}
	var result struct {
		Accepted                   []string
		Refused, Unknown, Deferred []emailProblem
	}
	if err := json.Unmarshal(row.Output(), &result); err != nil {
		t.Fatal(err)
	}
	out.Accepted = result.Accepted
	for _, list := range []struct {
		from []emailProblem
		to   *[]string
	}{{result.Refused, &out.Refused}, {result.Unknown, &out.Unknown}, {result.Deferred, &out.Deferred}} {
		for _, p := range list.from {
			*list.to = append(*list.to, p.To+": "+p.Reason)
		}
	}
	return out
}

func (b *emailBundle) expect(t *testing.T, id int64, want emailOutcome) {
	t.Helper()
	if diff := cmp.Diff(want, b.outcome(t, id)); diff != "" {
		t.Errorf("outcome of run %d (-want +got):\n%s", id, diff)
	}
}

func (b *emailBundle) expectDelivered(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, b.post.delivered()); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

// states are the claims of a run, by recipient.
func (b *emailBundle) states(t *testing.T, id int64) map[string]string {
	t.Helper()
	rows, err := b.Pool.Query(t.Context(), `SELECT recipient, state FROM tidemill.message_claim WHERE key = $1`, fmt.Sprint(id))
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	var to, state string
	if _, err := pgx.ForEachRow(rows, []any{&to, &state}, func() error { states[to] = state; return nil }); err != nil {
		t.Fatal(err)
	}
	return states
}

const (
	mailLost  = "end of the mail: the server took the mail, but its answer was lost: EOF"
	mailAgain = "; to send it again: tidemill runs retry 1"
)

func TestEmail(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.csv")
	if err := os.WriteFile(file, []byte("a,b\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := setupEmail(t, func(j *config.Job, _ *config.Mail) {
		j.Spec.(*emailjob.Config).CC, j.Spec.(*emailjob.Config).BCC = []string{"cc@x.org, A@x.org"}, []string{"{{if .name}}hidden@x.org{{end}}"}
		j.Spec.(*emailjob.Config).Attach, j.Spec.(*emailjob.Config).HTML = []string{file}, "<b>{{.name}}</b>"
	})
	id := b.startWith(t, map[string]any{"email": "Jo <jo@X.org>", "name": "<Jö>"})
	b.expect(t, id, emailOutcome{Status: batch.Succeeded, Attempts: 1, Accepted: []string{"jo@x.org", "cc@x.org", "A@x.org", "hidden@x.org"}})
	b.expectDelivered(t, "jo@x.org", "cc@x.org", "A@x.org", "hidden@x.org")
	first := b.post.posted()[0]
	for _, m := range b.post.posted() {
		if m.Raw != first.Raw {
			t.Errorf("%s has another mail:\n%s", m.To, m.Raw)
		}
	}
	for _, want := range []string{
		"To: \"Jo\" <jo@X.org>\r\n", "Cc: <cc@x.org>, <A@x.org>\r\n", "Subject: =?UTF-8?q?Willkommen,_<J=C3=B6>_=E2=98=80?=\r\n",
		"From: \"Jobs\" <jobs@example.com>\r\n", "this is run 1 of welcome.", "<b>&lt;J=C3=B6&gt;</b>", `filename="report.csv"`, "YSxiDQo=",
	} {
		if !strings.Contains(first.Raw, want) {
			t.Errorf("the mail lacks %q:\n%s", want, first.Raw)
		}
	}
	if strings.Contains(first.Raw, "hidden") {
		t.Error("the BCC shows")
	}
}

// One who is refused costs the others nothing, and a person's retry serves only him.
func TestEmailRefused(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	b.post.fails(only("b@x.org", 1, smtpError(550, "no such user")), only("c@x.org", 1, smtpError(554, "spam")))
	id := b.start(t, "a@x.org, b@x.org, c@x.org, d@x.org")
	b.expect(t, id, emailOutcome{
		Status: batch.Failed, Attempts: 1, Accepted: []string{"a@x.org", "d@x.org"},
		Error:   "mail to b@x.org refused: RCPT TO: 550 no such user; mail to c@x.org refused: end of the mail: 554 spam (2 of 4 recipients have it)",
		Refused: []string{"b@x.org: RCPT TO: 550 no such user", "c@x.org: end of the mail: 554 spam"},
	})
	b.expectDelivered(t, "a@x.org", "d@x.org")
	b.retry(t, id)
	b.expect(t, id, emailOutcome{Status: batch.Succeeded, Attempts: 2, Accepted: []string{"a@x.org", "b@x.org", "c@x.org", "d@x.org"}})
	b.expectDelivered(t, "a@x.org", "d@x.org", "b@x.org", "c@x.org")
}

// Who is deferred is tried again; who has the mail is not, and who was refused is not either.
func TestEmailDeferred(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	b.post.fails(func(to string, time int) error {
		switch {
		case to == "b@x.org" && time == 1:
			return smtpError(451, "greylisted")
		case to == "c@x.org":
			return smtpError(550, "no")
		}
		return nil
	}, only("a@x.org", 1, smtpError(452, "full")))
	id := b.start(t, "a@x.org, b@x.org, c@x.org, d@x.org")
	b.expect(t, id, emailOutcome{
		Status: batch.Failed, Attempts: 2, Accepted: []string{"a@x.org", "b@x.org", "d@x.org"},
		Error: "mail to c@x.org refused: RCPT TO: 550 no (3 of 4 recipients have it)", Refused: []string{"c@x.org: RCPT TO: 550 no"},
	})
	b.expectDelivered(t, "d@x.org", "a@x.org", "b@x.org")
	ids := map[string]bool{}
	for _, m := range b.post.posted() {
		ids[m.ID+m.Date] = true
	}
	if len(ids) != 1 {
		t.Errorf("the mails differ: %v", b.post.posted())
	}
}

func TestEmailNeverTaken(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	b.post.fails(only("b@x.org", 99, smtpError(451, "later")), nil)
	id := b.start(t, "a@x.org, b@x.org")
	b.expect(t, id, emailOutcome{
		Status: batch.Failed, Attempts: 3, Accepted: []string{"a@x.org"}, Deferred: []string{"b@x.org: RCPT TO: 451 later"},
		Error: "mail to b@x.org not taken for now: RCPT TO: 451 later (1 of 2 recipients have it)",
	})
	b.expectDelivered(t, "a@x.org")
}

// A mail whose answer is mailLost is not sent again until a person says so, however often others need another try.
func TestEmailAnswerLost(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	b.post.fails(only("b@x.org", 1, smtpError(451, "greylisted")), only("a@x.org", 1, errLost))
	id := b.start(t, "a@x.org, b@x.org")
	b.expect(t, id, emailOutcome{
		Status: batch.Failed, Attempts: 2, Accepted: []string{"b@x.org"}, Unknown: []string{"a@x.org: " + mailLost},
		Error: "mail to a@x.org may or may not have been delivered: " + mailLost + " (1 of 2 recipients have it)" + mailAgain,
	})
	b.expectDelivered(t, "a@x.org", "b@x.org")

	// By hand, and even then only once: the second repeat is mailLost as well.
	b.post.fails(nil, only("a@x.org", 2, errLost))
	b.retry(t, id)
	if got := b.outcome(t, id); got.Status != batch.Failed || got.Attempts != 3 {
		t.Errorf("outcome is %+v", got)
	}
	b.expectDelivered(t, "a@x.org", "b@x.org", "a@x.org")
	b.retry(t, id)
	b.expect(t, id, emailOutcome{Status: batch.Succeeded, Attempts: 4, Accepted: []string{"a@x.org", "b@x.org"}})
	b.expectDelivered(t, "a@x.org", "b@x.org", "a@x.org", "a@x.org")
	posted := b.post.posted()
	for _, m := range posted {
		if m.ID != posted[0].ID || m.Date != posted[0].Date || m.Raw != posted[0].Raw {
			t.Errorf("a repeat is another mail: %s, and %s", m, posted[0])
		}
	}
}

// Whoever reads why a run failed learns of those who may have the mail, whatever else went wrong.
func TestEmailAnswerLostAmongOthers(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	b.post.fails(only("b@x.org", 99, smtpError(451, "later")), only("a@x.org", 1, errLost))
	id := b.start(t, "a@x.org, b@x.org")
	const unknown = "mail to a@x.org may or may not have been delivered: " + mailLost
	b.expect(t, id, emailOutcome{
		Status: batch.Failed, Attempts: 3, Accepted: []string{}, Unknown: []string{"a@x.org: " + mailLost}, Deferred: []string{"b@x.org: RCPT TO: 451 later"},
		Error: "mail to b@x.org not taken for now: RCPT TO: 451 later; " + unknown + " (0 of 2 recipients have it)",
	})
	b.expectDelivered(t, "a@x.org")

	b.post.fails(nil, nil)
	b.retry(t, id)
	b.expectAccepted(t, id, "a@x.org", "b@x.org")
	b.expectDelivered(t, "a@x.org", "a@x.org", "b@x.org")
}

// A process that dies while it sends leaves a claim that says so. Rescue gives the attempt back, so its number says nothing.
func TestEmailCrash(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	var id int64
	err := pgx.BeginFunc(t.Context(), b.Pool, func(tx pgx.Tx) error {
		started, err := b.Ledger.StartTx(t.Context(), tx, b.args(map[string]any{"email": "a@x.org, b@x.org"}), batch.StartOpts{Job: "welcome", Insert: &river.InsertOpts{MaxAttempts: 3}})
		if err != nil {
			return err
		}
		id = started.ID
		_, err = tx.Exec(t.Context(), `INSERT INTO tidemill.message_claim (key, recipient, run, state, tries, message_id, first_at)
			VALUES ($1::bigint::text, 'a@x.org', $1, 'sending', 1, 'old@example.com', '2026-01-31 09:00Z')`, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const reason = "an earlier attempt ended while it was sending"
	b.expect(t, id, emailOutcome{
		Status: batch.Failed, Attempts: 1, Accepted: []string{"b@x.org"}, Unknown: []string{"a@x.org: " + reason},
		Error: "mail to a@x.org may or may not have been delivered: " + reason + " (1 of 2 recipients have it)" + mailAgain,
	})
	b.expectDelivered(t, "b@x.org")
	b.retry(t, id)
	b.expect(t, id, emailOutcome{Status: batch.Succeeded, Attempts: 2, Accepted: []string{"a@x.org", "b@x.org"}})
	for _, m := range b.post.posted() {
		if m.ID != "<old@example.com>" || m.Date != "Sat, 31 Jan 2026 09:00:00 +0000" {
			t.Errorf("a repeat is another mail: %s", m)
		}
	}
}

// A process that was only frozen thaws while a second attempt has its job: the mail is there once, and known to be there.
func TestEmailFrozen(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	sending, thaw := make(chan struct{}), make(chan struct{})
	b.post.fails(nil, func(_ string, time int) error {
		if time == 1 {
			close(sending)
			<-thaw
		}
		return nil
	})
	id := b.start(t, "a@x.org")
	<-sending
	if _, err := b.Pool.Exec(t.Context(), `UPDATE tidemill.river_job SET state = 'available' WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	b.WaitStatus(t, id, batch.Failed)
	if diff := cmp.Diff(map[string]string{"a@x.org": "unknown"}, b.states(t, id)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	close(thaw)
	until(t, func() bool { return b.states(t, id)["a@x.org"] == "sent" })
	b.retry(t, id)
	b.expectAccepted(t, id, "a@x.org")
	b.expectDelivered(t, "a@x.org")
}

func (b *emailBundle) expectAccepted(t *testing.T, id int64, want ...string) {
	t.Helper()
	got := b.outcome(t, id)
	if got.Status != batch.Succeeded || !cmp.Equal(want, got.Accepted) {
		t.Errorf("outcome is %+v", got)
	}
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it does not come to that")
		}
	}
}

// What the server said is written down even if the database needs a moment.
func TestEmailSettles(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	b.post.fails(nil, func(string, int) error {
		_, err := b.Pool.Exec(context.Background(), `ALTER TABLE tidemill.message_claim RENAME TO away`)
		time.AfterFunc(500*time.Millisecond, func() {
			_, _ = b.Pool.Exec(context.Background(), `ALTER TABLE tidemill.away RENAME TO message_claim`)
		})
		return err
	})
	id := b.start(t, "a@x.org")
	b.expect(t, id, emailOutcome{Status: batch.Succeeded, Attempts: 1, Accepted: []string{"a@x.org"}})
	b.expectDelivered(t, "a@x.org")
}

// Without a claim nothing is sent.
func TestEmailClaimsFirst(t *testing.T) {
	t.Parallel()
	b := setupEmail(t, nil)
	b.post.fails(func(string, int) error {
		_, err := b.Pool.Exec(context.Background(), `ALTER TABLE tidemill.message_claim ADD CHECK (state <> 'sending') NOT VALID`)
		return err
	}, nil)
	id := b.start(t, "a@x.org")
	got := b.outcome(t, id)
	if got.Status != batch.Failed || got.Attempts != 3 || !strings.Contains(got.Error, "note that the mail to a@x.org is sending: ") {
		t.Errorf("outcome is %+v", got)
	}
	b.expectDelivered(t)
}
