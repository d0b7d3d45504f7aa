package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/periodic"
)

// longestWait is the longest that a caller may wait for the outcome.
const longestWait = 10 * time.Minute

// triggered is the answer to a trigger.
type triggered struct {
	Run      int64        `json:"run"`
	Schedule string       `json:"schedule"`
	Status   batch.Status `json:"status"`
	Error    *string      `json:"error,omitempty"`
}

// cron starts the job of a schedule: 202 with the run, or with ?wait=30s 200 when it has succeeded and 500 when it has
// failed by then. Asked again within a minute it answers with the same run, unless that has failed or was cancelled.
func (s *server) cron(w http.ResponseWriter, r *http.Request) {
	switch {
	case len(s.secrets) == 0:
		s.problem(w, http.StatusNotFound, "")
		return
	case !s.authorized(r):
		w.Header().Set("WWW-Authenticate", "Bearer")
		s.problem(w, http.StatusUnauthorized, "")
		return
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		s.problem(w, http.StatusMethodNotAllowed, "")
		return
	}
	wait, err := waitOf(r)
	if err == nil {
		err = noBody(r)
	}
	if err != nil {
		s.problem(w, http.StatusBadRequest, err.Error())
		return
	}
	name := r.PathValue("schedule")
	id, err := s.opts.Schedules.Trigger(r.Context(), name, "cron")
	if errors.Is(err, periodic.ErrNoSchedule) {
		s.problem(w, http.StatusNotFound, fmt.Sprintf("there is no schedule %q", name))
		return
	}
	if err != nil {
		s.opts.Logger.ErrorContext(r.Context(), "trigger a schedule", "schedule", name, "error", err)
		s.problem(w, http.StatusInternalServerError, "the schedule could not be triggered; the server's log says why")
		return
	}
	s.opts.Logger.InfoContext(r.Context(), "schedule triggered", "schedule", name, "run_id", id)
	info := s.outcome(w, r, id, wait)
	answer := triggered{Run: id, Schedule: name, Status: batch.Enqueued}
	code := http.StatusAccepted
	if info != nil {
		answer.Status, answer.Error = info.Status, info.Error
	}
	switch {
	case info == nil || wait == 0:
	case info.Status == batch.Succeeded, info.Status == batch.SucceededWithRejects:
		code = http.StatusOK
	case info.Status.Final():
		code = http.StatusInternalServerError
	}
	writeJSON(w, code, "application/json", answer)
}

// waitOf reads the only parameter that there is. What would be ignored is refused: whoever sends it relies on it.
func waitOf(r *http.Request) (time.Duration, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, errors.New("the query of the URL cannot be read; the only parameter is wait, like ?wait=30s")
	}
	for name := range query {
		if name != "wait" {
			return 0, fmt.Errorf("%.50q is no parameter of this; the only one is wait. The params of a job are in its schedule, or start it with them: tidemill start JOB --param NAME=VALUE", name)
		}
	}
	texts := query["wait"]
	if len(texts) > 1 {
		return 0, fmt.Errorf("wait is there %d times; give it once", len(texts))
	}
	text := query.Get("wait")
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > longestWait {
		return 0, fmt.Errorf("wait=%.20q is not a duration from 0s to %s, like 30s", text, longestWait)
	}
	return wait, nil
}

// noBody refuses a body, of which nothing would be used.
func noBody(r *http.Request) error {
	n, err := r.Body.Read(make([]byte, 1))
	if n == 0 && (err == nil || errors.Is(err, io.EOF)) {
		return nil
	}
	if n == 0 {
		return errors.New("the body of the request cannot be read; a trigger has none")
	}
	return errors.New("a trigger takes no body, and this one has one. The params of a job are in its schedule, or start it with them: tidemill start JOB --param NAME=VALUE")
}

// outcome returns the run as it is when it has ended, or when the wait is over; nil if it cannot be read.
func (s *server) outcome(w http.ResponseWriter, r *http.Request, id int64, wait time.Duration) *batch.Info {
	if wait > 0 {
		// What the server allows for other answers is too short.
		deadline := time.Now().Add(wait + 30*time.Second)
		_ = http.NewResponseController(w).SetWriteDeadline(deadline)
		_ = http.NewResponseController(w).SetReadDeadline(deadline)
	}
	var last *batch.Info
	if wait > 0 {
		last = s.watch(r.Context(), id, wait)
	}
	if last != nil {
		return last
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	info, err := s.opts.Ledger.Get(ctx, id)
	if err != nil {
		s.opts.Logger.WarnContext(r.Context(), "look at a triggered run", "run_id", id, "error", err)
		return nil
	}
	return info
}

// watch returns the run as it was last seen until it ended or the wait was over; nil if that was too short to see it.
func (s *server) watch(ctx context.Context, id int64, wait time.Duration) *batch.Info {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var last *batch.Info
	err := s.opts.Ledger.Watch(ctx, id, 100*time.Millisecond, func(info *batch.Info) error {
		last = info
		return nil
	})
	if err != nil && ctx.Err() == nil {
		s.opts.Logger.WarnContext(ctx, "watch a triggered run", "run_id", id, "error", err)
	}
	return last
}
