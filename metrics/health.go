package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/migrations"
)

// checkTimeout is how long a check may take. Process managers give up on a probe after a second or a few.
const checkTimeout = 2 * time.Second

// Check returns nil when what it looks at is fit for work. It must give up when its context ends, which is after 2 s. Its
// error is shown to whoever probes from this machine, and to nobody else: it may name hosts and users.
type Check func(context.Context) error

// Health reports whether a process is ready for work: when all its checks pass and it does not drain. The zero value is ready.
type Health struct {
	// Logger, if set, logs why the process is not ready, each time that this changes.
	Logger *slog.Logger

	mu       sync.RWMutex
	logged   string // what was logged last
	names    []string
	checks   []Check
	draining bool
}

// Add adds a check, or replaces the one of that name.
func (h *Health) Add(name string, check Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.names {
		if h.names[i] == name {
			h.checks[i] = check
			return
		}
	}
	h.names = append(h.names, name)
	h.checks = append(h.checks, check)
}

// Drain makes the process unready for good. Call it when the process is asked to stop.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// checkOK is what a check that passes says.
const checkOK = "ok"

// Readiness is the answer of /readyz.
type Readiness struct {
	Status string            `json:"status"`           // ok or unready
	Reason string            `json:"reason,omitempty"` // draining, or which checks failed
	Checks map[string]string `json:"checks"`           // ok, or what is wrong
}

// OK reports whether the process is ready.
func (r Readiness) OK() bool { return r.Status == "ok" }

// Ready runs all checks, at the same time.
func (h *Health) Ready(ctx context.Context) Readiness {
	h.mu.RLock()
	names, checks, draining := slices.Clone(h.names), slices.Clone(h.checks), h.draining
	h.mu.RUnlock()

	answer := Readiness{Status: "ok", Checks: map[string]string{}}
	if draining {
		answer.Status, answer.Reason = "unready", "draining"
		return answer
	}
	for i, err := range runAll(ctx, checks) {
		name := names[i]
		answer.Checks[name] = checkOK
		if err == nil {
			continue
		}
		answer.Checks[name] = err.Error()
		answer.Status = "unready"
		if answer.Reason == "" {
			answer.Reason = "not fit: " + name
		} else {
			answer.Reason += ", " + name
		}
	}
	return answer
}

// runAll returns what each check says, within checkTimeout even if one does not give up.
func runAll(ctx context.Context, checks []Check) []error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	type result struct {
		check int
		err   error
	}
	answers := make(chan result, len(checks)) // whoever comes late must not block forever
	errs := make([]error, len(checks))
	for i, check := range checks {
		errs[i] = fmt.Errorf("no answer within %s", checkTimeout)
		go func() { answers <- result{i, run(ctx, check)} }()
	}
	for range checks {
		select {
		case r := <-answers:
			errs[r.check] = r.err
		case <-ctx.Done():
			return errs
		}
	}
	return errs
}

// run keeps a check that panics from ending the process.
func run(ctx context.Context, check Check) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the check panicked: %v", p)
		}
	}()
	return check(ctx)
}

// CheckDatabase passes when the database answers.
func CheckDatabase(pool *pgxpool.Pool) Check {
	return func(ctx context.Context) error { return pool.Ping(ctx) }
}

// CheckMigrations passes when the database has all migrations that this version needs.
func CheckMigrations(pool *pgxpool.Pool, schema migrations.Schema) Check {
	return func(ctx context.Context) error { return migrations.Check(ctx, pool, schema) }
}

// CheckStarted passes once started is closed. Close it when the River client's Start has returned nil.
func CheckStarted(started <-chan struct{}) Check {
	return func(context.Context) error {
		select {
		case <-started:
			return nil
		default:
			return errors.New("not started yet")
		}
	}
}

func (h *Health) serveReady(w http.ResponseWriter, req *http.Request) {
	answer := h.Ready(req.Context())
	h.log(req.Context(), answer)
	if !fromHere(req) {
		answer = answer.forStrangers()
	}
	status := http.StatusOK
	if !answer.OK() {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

// log has what strangers may not see.
func (h *Health) log(ctx context.Context, answer Readiness) {
	if h.Logger == nil || ctx.Err() != nil { // whoever asked has hung up, and the checks may say so
		return
	}
	var failed []any
	for _, name := range slices.Sorted(maps.Keys(answer.Checks)) {
		if outcome := answer.Checks[name]; outcome != checkOK {
			failed = append(failed, name, outcome)
		}
	}
	text := answer.Reason + fmt.Sprint(failed...)
	h.mu.Lock()
	news := text != h.logged
	h.logged = text
	h.mu.Unlock()
	switch {
	case !news:
	case answer.OK():
		h.Logger.InfoContext(ctx, "ready")
	default:
		h.Logger.WarnContext(ctx, "not ready", append([]any{"reason", answer.Reason}, failed...)...)
	}
}

// forStrangers is the answer without what the checks say.
func (r Readiness) forStrangers() Readiness {
	checks := make(map[string]string, len(r.Checks))
	for name, outcome := range r.Checks {
		if outcome != checkOK {
			outcome = "failed"
		}
		checks[name] = outcome
	}
	r.Checks = checks
	return r
}

// fromHere reports whether a request comes from this machine, and not by way of a proxy on it.
func fromHere(req *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if req.Header.Get(name) != "" {
			return false
		}
	}
	from, err := netip.ParseAddrPort(req.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}

func serveLive(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A client that went away is no concern of ours.
	_ = json.NewEncoder(w).Encode(body)
}
