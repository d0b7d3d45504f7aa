package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
// failed by then. Asked again within a minute it answers with the same run.
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
	if err != nil {
		s.problem(w, http.StatusBadRequest, err.Error())
		return
	}
	name := r.PathValue("schedule")
	id, err := s.opts.Board.Trigger(r.Context(), name, "cron")
	if errors.Is(err, periodic.ErrNoSchedule) {
		s.problem(w, http.StatusNotFound, fmt.Sprintf("there is no schedule %q", name))
		return
	}
	if err != nil {
		s.opts.Logger.ErrorContext(r.Context(), "trigger a schedule", "schedule", name, "error", err)
		s.problem(w, http.StatusInternalServerError, "the schedule could not be triggered; the server's log says why")
		return
	}
	s.opts.Logger.InfoContext(r.Context(), "schedule triggered", "schedule", name, "run", id)
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

func waitOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > longestWait {
		return 0, fmt.Errorf("wait=%.20q is not a duration from 0s to %s, like 30s", text, longestWait)
	}
	return wait, nil
}

// outcome returns the run as it is when it has ended, or when the wait is over; nil if it cannot be read.
func (s *server) outcome(w http.ResponseWriter, r *http.Request, id int64, wait time.Duration) *batch.Info {
	if wait > 0 {
		// What the server allows for other answers is too short.
		deadline := time.Now().Add(wait + 30*time.Second)
		_ = http.NewResponseController(w).SetWriteDeadline(deadline)
		_ = http.NewResponseController(w).SetReadDeadline(deadline)
	}
	ctx, cancel := context.WithTimeout(r.Context(), max(wait, 5*time.Second))
	defer cancel()
	var last *batch.Info
	enough := errors.New("enough")
	err := s.opts.Ledger.Watch(ctx, id, 100*time.Millisecond, func(info *batch.Info) error {
		last = info
		if wait == 0 {
			return enough
		}
		return nil
	})
	if err != nil && !errors.Is(err, enough) && !errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil {
		s.opts.Logger.WarnContext(r.Context(), "watch a triggered run", "run", id, "error", err)
	}
	return last
}
