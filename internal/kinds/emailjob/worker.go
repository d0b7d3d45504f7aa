package emailjob

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/mail"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of mails.
const RiverKind = "tidemill.email"

// Args are the arguments of a mail.
type Args struct{ kind.Args }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Worker sends a mail from a template over SMTP.
//
// Each recipient gets the mail in a transaction of its own with the server, with the same headers for all, so that one who
// is refused costs the others nothing and a retry sends only to those who do not have it. What keeps it so is a claim in the
// database for each recipient, committed before the server has the mail, and settled when it has answered:
//
//   - taken: that recipient is never sent this run's mail again;
//   - refused for good (5xx): not tried again, and the run fails when the others are served;
//   - refused for now (4xx), or not reached: the attempt fails, and is repeated by the job's retry policy;
//   - unknown: the server had all of the mail and its answer was lost, or this process died while sending. The mail may or
//     may not arrive, so it is not sent again by itself. The run fails and says so.
//
// A person who retries such a failed run wants the mail sent: then those that were refused or unknown are tried again. A
// repeated mail carries the same Message-ID and Date, by which receivers can tell that they have it.
type Worker struct {
	river.WorkerDefaults[Args]

	deps      *kind.Deps
	claims    *claims
	server    mail.Server
	templates *mail.Templates
}

// NewWorker reads mail.url and parses the templates; its error names what is wrong there, with file and line.
func NewWorker(deps *kind.Deps) (*Worker, error) {
	deps = deps.WithDefaults()
	w := &Worker{deps: deps, claims: &claims{pool: deps.Pool, schema: deps.Schema}}
	var err error
	if w.server, err = mail.ParseServer(deps.Config.Mail.URL); err != nil {
		return nil, fmt.Errorf("mail.url: %w", err)
	}
	if w.templates, err = mail.Load(deps.Config.Mail.Templates); err != nil {
		return nil, err
	}
	return w, nil
}

// emailMargin is what River leaves an attempt beyond its own timeout, for a late answer and for writing down what became of it.
const emailMargin = mail.Grace + 2*settleTimeout + 5*time.Second

// Timeout is the definition's with a margin; the worker keeps the definition's itself.
func (w *Worker) Timeout(job *river.Job[Args]) time.Duration {
	def, ok := w.deps.Jobs(job.Args.Job)
	if !ok || def.Kind != kindName || def.Spec.(*Config).Timeout <= 0 {
		return 0
	}
	return def.Spec.(*Config).Timeout + emailMargin
}

// emailResult is what people see of an attempt, recipients of earlier attempts included.
type emailResult struct {
	MessageID string         `json:"message_id"`
	Accepted  []string       `json:"accepted"`
	Refused   []emailProblem `json:"refused,omitempty"`
	Unknown   []emailProblem `json:"unknown,omitempty"`
	Deferred  []emailProblem `json:"deferred,omitempty"`
}

type emailProblem struct {
	To     string `json:"to"`
	Reason string `json:"reason"`
}

// Work makes one attempt.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	def, err := w.deps.Jobs.Find(job.Args.Job, kindName)
	if err != nil {
		return err
	}
	key, earlier, err := w.claims.load(ctx, job.ID)
	if err != nil {
		return err
	}
	err = w.attempt(ctx, job, def, key, earlier)
	if err == nil || !lastAttempt(ctx, job.JobRow, err) {
		return err
	}
	return errors.Join(err, w.claims.end(ctx, key, job.JobRow))
}

func (w *Worker) attempt(ctx context.Context, job *river.Job[Args], def *config.Job, key int64, earlier map[string]claim) error {
	message, err := w.compose(job, def, earlier)
	if err != nil {
		return err
	}
	data, err := message.Encode()
	if err != nil {
		return retry.Permanent(fmt.Errorf("job %s: %w", def.Name, err))
	}
	d := &delivery{
		claims: w.claims, key: key, earlier: earlier, job: job.JobRow, server: w.server, message: message, data: data,
		result: emailResult{MessageID: message.ID, Accepted: []string{}},
	}
	failed := d.run(ctx, def.Spec.(*Config).Timeout)
	if err := river.RecordOutput(ctx, d.result); err != nil {
		w.deps.Logger.WarnContext(ctx, "record the result of a mail", "run_id", job.ID, "error", err)
	}
	return d.verdict(failed)
}

// lastAttempt reports whether no further attempt follows by itself.
func lastAttempt(ctx context.Context, job *rivertype.JobRow, err error) bool {
	return retry.IsPermanent(err) || job.Attempt >= job.MaxAttempts || errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely)
}

// compose renders the mail of a run; what it cannot render now it cannot render later.
func (w *Worker) compose(job *river.Job[Args], def *config.Job, earlier map[string]claim) (*mail.Message, error) {
	due := job.Args.Due(job.JobRow, w.deps.Location)
	params, err := def.ResolveParams(job.Args.Params, due)
	if err != nil {
		return nil, retry.Permanent(err)
	}
	about := mail.About{Job: def.Name, Run: job.ID, Due: due}
	c := composer{def: def, mail: w.deps.Config.Mail, templates: w.templates, data: mail.Data(params), about: about}
	message, err := c.compose()
	if err != nil {
		if errors.Is(err, errAttachment) { // the file may be on its way
			return nil, err
		}
		return nil, retry.Permanent(err)
	}
	created := job.CreatedAt.UTC().Format(time.RFC3339Nano)
	message.ID = messageID(message.From.Address, strconv.FormatInt(job.ID, 10), def.Name, created)
	message.Date = w.deps.Clock.Now().In(w.deps.Location)
	for _, c := range earlier {
		message.ID = c.messageID
		if c.firstAt.Before(message.Date) {
			message.Date = c.firstAt.In(w.deps.Location)
		}
	}
	return message, nil
}
