package kind

import (
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/retry"
)

// RetryPolicy turns the configuration's retry into a policy.
func RetryPolicy(r config.Retry) retry.Policy {
	p := retry.Policy{MaxAttempts: r.MaxAttempts, Delay: r.Delay, MaxDelay: r.MaxDelay, Jitter: r.Jitter}
	switch r.Backoff {
	case config.Linear:
		p.Backoff = retry.Linear
	case config.Constant:
		p.Backoff = retry.Constant
	}
	if r.Jitter == 0 {
		p.Jitter = -1 // none, where the policy's zero means its default
	}
	return p
}
