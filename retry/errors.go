package retry

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Permanent marks err as one that a retry cannot fix. Do gives up at once, and so does a job, whatever its policy says,
// if its worker returns it: chunked workers by themselves, others on a client with a Plugin. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err, or anything it wraps, was marked by Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// After marks err with the time that a server asked to be left alone, as its Retry-After header does (see ParseAfter). It
// takes the place of the delay that the policy would have chosen, up to the policy's MaxDelay. After(nil, d) is nil; a d
// of zero or less is no hint and marks nothing.
func After(err error, d time.Duration) error {
	if err == nil || d <= 0 {
		return err
	}
	return &afterError{err, d}
}

// Hint returns the time that err, or the first thing it wraps, was marked with by After.
func Hint(err error) (time.Duration, bool) {
	var a *afterError
	if !errors.As(err, &a) {
		return 0, false
	}
	return a.after, true
}

type afterError struct {
	err   error
	after time.Duration
}

func (e *afterError) Error() string { return e.err.Error() }
func (e *afterError) Unwrap() error { return e.err }

// ParseAfter reads the value of a Retry-After header: whole seconds, or an HTTP date, which is taken relative to now. It
// returns false for a time that is not in the future and for anything else, so that the policy decides. A server whose
// clock differs is better served with its own Date header as now.
func ParseAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.Trim(header, " \t")
	if digits(header) {
		// What is too long for a Duration, or even for an integer, is as long as can be; the policy's MaxDelay bounds it.
		seconds, err := strconv.ParseInt(header, 10, 64)
		if err != nil || seconds > math.MaxInt64/int64(time.Second) {
			return math.MaxInt64, true
		}
		return time.Duration(seconds) * time.Second, seconds > 0
	}
	at, err := http.ParseTime(header)
	if err != nil || !at.After(now) {
		return 0, false
	}
	return at.Sub(now), true
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
