package emailjob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/internal/mail"
	"github.com/tidemill/tidemill/retry"
)

// delivery is one attempt to bring a mail to its recipients.
type delivery struct {
	claims  *claims
	key     int64
	earlier map[string]claim // what attempts before this one left
	job     *rivertype.JobRow
	server  mail.Server
	message *mail.Message
	data    []byte

	session *mail.Session // nil until the first recipient needs it, and after it broke
	result  emailResult
}

// run serves each recipient that does not have the mail. Its error is what kept it from continuing; what became of single
// recipients is in the result.
func (d *delivery) run(ctx context.Context, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not done within %s", timeout))
		defer cancel()
	}
	defer d.hangUp()
	var failed error
	for _, to := range d.message.Recipients() {
		seen := d.earlier[to]
		todo, err := d.recall(ctx, to, seen)
		if err != nil {
			return err
		}
		if !todo {
			continue
		}
		if failed != nil {
			d.defers(to, "not reached in this attempt")
			continue
		}
		failed = d.serve(ctx, to, seen)
	}
	return failed
}

func (d *delivery) hangUp() {
	if d.session != nil {
		d.session.Close()
		d.session = nil
	}
}

// recall takes over what is settled about a recipient, and reports whether there is anything left to do.
func (d *delivery) recall(ctx context.Context, to string, seen claim) (bool, error) {
	switch seen.state {
	case claimSent:
		d.result.Accepted = append(d.result.Accepted, to)
		return false, nil
	case claimRefused, claimUnknown, claimSending:
		if seen.waived(d.job) {
			return true, nil
		}
	default:
		return true, nil
	}
	if seen.state == claimRefused {
		d.result.Refused = append(d.result.Refused, emailProblem{to, seen.detail})
		return false, nil
	}
	if seen.state == claimSending {
		seen.detail = "an earlier attempt ended while it was sending"
		if _, err := d.claims.put(ctx, d.key, to, seen, d.next(claimUnknown, seen.detail)); err != nil {
			return false, err
		}
	}
	d.result.Unknown = append(d.result.Unknown, emailProblem{to, seen.detail})
	return false, nil
}

func (d *delivery) next(state, detail string) claim {
	return claim{run: d.job.ID, state: state, messageID: d.message.ID, detail: detail, firstAt: d.message.Date}
}

// serve offers the mail for one recipient and settles what comes of it. An error is one that the others would meet, too: no
// connection, no time left, no database.
func (d *delivery) serve(ctx context.Context, to string, seen claim) error {
	if d.session == nil {
		session, err := mail.Dial(ctx, d.server)
		if err != nil {
			d.defers(to, err.Error())
			return err
		}
		d.session = session
	}
	envelope := mail.Envelope{From: d.message.From.Address, To: to, Data: d.data}
	err := d.session.Send(ctx, envelope, func(ctx context.Context) (err error) {
		seen, err = d.claims.put(ctx, d.key, to, seen, d.next(claimSending, ""))
		return err
	})
	if d.session.Broken() {
		d.hangUp()
	}
	var refused *mail.Error
	switch {
	case err == nil:
		d.result.Accepted = append(d.result.Accepted, to)
		return d.settle(ctx, to, seen, claimSent, "")
	case !errors.As(err, &refused): // the claim could not be made, so nothing was sent
		d.defers(to, err.Error())
		return err
	case refused.Verdict == mail.Unknown:
		d.result.Unknown = append(d.result.Unknown, emailProblem{to, err.Error()})
		return d.settle(ctx, to, seen, claimUnknown, err.Error())
	case refused.Verdict == mail.Permanent:
		d.result.Refused = append(d.result.Refused, emailProblem{to, err.Error()})
		return d.settle(ctx, to, seen, claimRefused, err.Error())
	}
	d.defers(to, err.Error())
	settled := d.settle(ctx, to, seen, claimDeferred, err.Error())
	if ctx.Err() != nil {
		return errors.Join(err, settled)
	}
	return settled
}

func (d *delivery) settle(ctx context.Context, to string, seen claim, state, detail string) error {
	return d.claims.settle(ctx, d.key, to, seen, d.next(state, detail))
}

func (d *delivery) defers(to, reason string) {
	d.result.Deferred = append(d.result.Deferred, emailProblem{to, reason})
}

// verdict is what the attempt comes to. As long as somebody can still be served by trying again, it is tried again. It names
// those who may have the mail in any case: whoever retries the run by hand sends it to them again.
func (d *delivery) verdict(failed error) error {
	if failed != nil {
		if unknown := d.summary(maybe, d.result.Unknown); unknown != "" {
			failed = fmt.Errorf("%w; %s", failed, unknown)
		}
		failed = fmt.Errorf("send the mail: %w", failed)
		if mail.VerdictOf(failed) == mail.Permanent {
			return retry.Permanent(failed)
		}
		return failed
	}
	problems := []string{
		d.summary("not taken for now", d.result.Deferred), d.summary("refused", d.result.Refused), d.summary(maybe, d.result.Unknown),
	}
	problems = slices.DeleteFunc(problems, func(s string) bool { return s == "" })
	if len(problems) == 0 {
		return nil
	}
	text := strings.Join(problems, "; ")
	if all := len(d.message.Recipients()); all > 1 {
		text += fmt.Sprintf(" (%d of %d recipients have it)", len(d.result.Accepted), all)
	}
	if len(d.result.Deferred) > 0 {
		return errors.New(text)
	}
	if len(d.result.Unknown) > 0 {
		text += fmt.Sprintf("; to send it again: tidemill runs retry %d", d.job.ID)
	}
	return retry.Permanent(errors.New(text))
}

const maybe = "may or may not have been delivered"

// summary names the first few; it is empty for nobody.
func (d *delivery) summary(what string, list []emailProblem) string {
	const most = 5
	var b strings.Builder
	for i, p := range list[:min(len(list), most)] {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "mail to %s %s: %s", p.To, what, p.Reason)
	}
	if more := len(list) - most; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}
