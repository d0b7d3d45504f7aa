package httpjob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// RiverKind is the River kind of jobs of kind http.
const RiverKind = "tidemill.http"

// Args are the arguments of a request.
type Args struct{ kind.Args }

// Kind is RiverKind.
func (Args) Kind() string { return RiverKind }

// Worker sends a request to a program of the user's.
//
// An answer of 2xx is success, 410 ends the job, everything else is tried again: the same id, a new signature, and after a
// Retry-After of 429 or 503. A request may arrive more than once, for its answer can be lost; its id tells. See
// docs/HTTP_JOBS.md.
type Worker struct {
	river.WorkerDefaults[Args]

	deps      *kind.Deps
	transport http.RoundTripper
}

// NewWorker returns the worker. A nil transport is our own, which bounds connections and headers, and uses TLS 1.2 or later and the
// proxy of the environment.
func NewWorker(deps *kind.Deps, transport http.RoundTripper) *Worker {
	if transport == nil {
		transport = httpTransport()
	}
	return &Worker{deps: deps.WithDefaults(), transport: transport}
}

// httpMargin is by how much River's timeout is the longer one: ours says what was missing.
const httpMargin = 10 * time.Second

// Timeout is the definition's, and a margin.
func (w *Worker) Timeout(job *river.Job[Args]) time.Duration {
	def, ok := w.deps.Jobs(job.Args.Job)
	if !ok || def.Kind != kindName {
		return 0 // River's default; Work has little to do
	}
	return def.Spec.(*Config).Timeout + httpMargin
}

// Work sends the request once, and records the answer.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	def, err := w.deps.Jobs.Find(job.Args.Job, kindName)
	if err != nil {
		return err
	}
	call, err := w.prepare(job, def)
	if err != nil {
		return fmt.Errorf("job %s: %w", def.Name, err)
	}

	started := time.Now()
	result := httpResult{Attempt: job.Attempt}
	err = call.redactError(call.do(ctx, &result))
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("%s: %w", call, ctx.Err()) // nobody's failure: River gives the attempt back, or has cancelled the job
	}
	result.DurationMS = time.Since(started).Milliseconds()
	if recordErr := river.RecordOutput(ctx, result); recordErr != nil {
		// The request is done; to do it again for the sake of its record would be worse.
		w.deps.Logger.WarnContext(ctx, "answer was not recorded", "job", def.Name, "run_id", job.ID, "error", recordErr)
	}
	return err
}

// do sends the request and puts what came of it into result.
func (c *httpCall) do(ctx context.Context, result *httpResult) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.send(ctx)
	if resp != nil {
		result.Status = resp.StatusCode
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()

	// A failure shows the beginning of its answer, even if none of it is to be kept.
	ok := resp.StatusCode/100 == 2
	limit := c.maxResponse
	if !ok {
		limit = max(limit, excerptBytes)
	}
	body, more, readErr := readAtMost(resp.Body, limit)
	read := len(body)
	body = c.redact(body, more || readErr != nil)
	result.keep(body, more || readErr != nil, c.maxResponse, resp.Header.Get("Content-Type"))
	if readErr != nil && ctx.Err() == nil && ok {
		// The other side has died, or something between. Whether its work was done, nobody knows.
		return fmt.Errorf("%s: answers %s, but breaks off: %w", c, statusWords(resp.StatusCode), plainError(readErr))
	}
	if readErr != nil {
		result.Note = "the answer broke off"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			result.Note = fmt.Sprintf("the answer's body did not end within %s", c.timeout)
		}
	}
	if more {
		drain(resp, read, cancel)
	}
	if ok {
		return nil
	}
	return c.refusal(resp, body)
}

// refusal is the error for an answer that is not 2xx.
func (c *httpCall) refusal(resp *http.Response, body []byte) error {
	if resp.StatusCode == http.StatusGone {
		return retry.Permanent(fmt.Errorf("%s: the endpoint says gone (410)", c))
	}
	err := fmt.Errorf("%s: %s", c, statusWords(resp.StatusCode))
	if text := excerpt(body); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return err
	}
	now := c.clock.Now()
	if date, dateErr := http.ParseTime(resp.Header.Get("Date")); dateErr == nil {
		now = date // its own clock, which may differ from ours
	}
	if wait, ok := retry.ParseAfter(resp.Header.Get("Retry-After"), now); ok {
		return retry.After(err, wait)
	}
	return err
}
