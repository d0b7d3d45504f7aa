// Package retry holds one policy type for how often, and how far apart, something that failed is tried again: whole jobs
// (Policy.Next, Plugin) and single calls inside a job (Do).
package retry

import (
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// Backoff says how the delay grows with the number of failures.
type Backoff int

const (
	Exponential Backoff = iota // Delay · 2^(n-1)
	Linear                     // Delay · n
	Constant                   // Delay
)

// Policy says how often and when to try again. A zero field takes its default, so Policy{} is usable.
type Policy struct {
	MaxAttempts int           // tries in all, the first included; default 10
	Backoff     Backoff       // default Exponential
	Delay       time.Duration // before the second try; default 2s
	MaxDelay    time.Duration // upper bound of one delay, jitter included; default 1h
	Jitter      float64       // share of the delay, up to 1, by which it varies at random, either way; default 0.1, negative = none
}

// Defaults returns p with its zero fields filled.
func (p Policy) Defaults() Policy {
	if p.MaxAttempts <= 0 {
		p.MaxAttempts = 10
	}
	if p.Delay <= 0 {
		p.Delay = 2 * time.Second
	}
	if p.MaxDelay <= 0 {
		p.MaxDelay = time.Hour
	}
	if p.Jitter == 0 {
		p.Jitter = 0.1
	}
	return p
}

// After returns how long to wait after the given number of failures, counted from 1.
func (p Policy) After(failures int) time.Duration {
	p = p.Defaults()
	failures = max(failures, 1)

	delay := p.MaxDelay
	switch p.Backoff {
	case Linear:
		if p.Delay <= p.MaxDelay/time.Duration(failures) {
			delay = p.Delay * time.Duration(failures)
		}
	case Constant:
		delay = min(p.Delay, p.MaxDelay)
	default:
		// Compared before shifting: 2^n overflows long before anybody stops retrying.
		if failures <= 62 && p.Delay <= p.MaxDelay>>(failures-1) {
			delay = p.Delay << (failures - 1)
		}
	}
	if p.Jitter > 0 {
		delay += time.Duration((rand.Float64()*2 - 1) * min(p.Jitter, 1) * float64(delay))
	}
	return min(delay, p.MaxDelay)
}

// Wait returns how long to wait after the given number of failures, the last of which was err: what the server asked for,
// if err carries that (see After), but no longer than MaxDelay; otherwise After.
func (p Policy) Wait(failures int, err error) time.Duration {
	hint, _ := Hint(err)
	return p.wait(failures, hint)
}

func (p Policy) wait(failures int, hint time.Duration) time.Duration {
	if hint > 0 {
		return min(hint, p.Defaults().MaxDelay)
	}
	return p.After(failures)
}

// Next returns when a River job that has just failed is due again; use it as a worker's NextRetry:
//
//	func (*InvoiceWorker) NextRetry(j *river.Job[InvoiceArgs]) time.Time { return policy.Next(j.JobRow) }
//
// River tells NextRetry nothing about the error. On a client with a Plugin, Next follows what the plugin has found out: the
// policy that the job has of its own in place of p, and a delay asked for by After.
//
// MaxAttempts has no part in it: River takes that from the job's InsertOpts.
//
// The time is this machine's, or that of PluginOpts.Clock on a client with a Plugin that has one.
func (p Policy) Next(job *rivertype.JobRow) time.Time {
	return p.next(job.Attempt, readNote(job))
}

func (p Policy) next(attempt int, n note) time.Time {
	if n.Policy != nil {
		p = *n.Policy
	}
	return time.Now().Add(n.Ahead + p.wait(attempt, n.After))
}
