package tidemill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/workers/kind"
)

const (
	// unknownFor is how long a job waits that no live worker knows: its definition may reach the database before the workers.
	unknownFor = 10 * time.Minute
	// longUnknown is between two tries of such a job; leastElsewhere and mostElsewhere are if another live worker knows it. They
	// double, so that many such jobs do not keep the workers that do not know them from others.
	longUnknown    = 5 * time.Second
	leastElsewhere = 250 * time.Millisecond
	mostElsewhere  = time.Second
	// lookUnknown is how often a worker looks for waiting runs that nobody knows, those of kinds that nobody fetches among them.
	lookUnknown = 5 * time.Second
	// mostUnknown bounds the memory for names, which whoever inserts jobs may make up. After that many it begins again.
	mostUnknown = 1000
)

// unknownJobs decides what becomes of the jobs that this process fetches and does not know. It is a River plugin.
type unknownJobs struct {
	river.PluginDefaults
	app *App

	mu    sync.Mutex
	byJob map[string]*unknownJob
}

// unknownJob is what this process has seen of a job that it does not know.
type unknownJob struct {
	warned    bool
	asked     time.Time // when it was asked last whether others know it
	elsewhere bool      // the answer
	since     time.Time // when nobody knew it first; zero: somebody does
}

var (
	_ rivertype.Plugin           = (*unknownJobs)(nil)
	_ rivertype.WorkerMiddleware = (*unknownJobs)(nil)
)

func newUnknownJobs(app *App) *unknownJobs {
	return &unknownJobs{app: app, byJob: map[string]*unknownJob{}}
}

// Work turns the end of an attempt whose job is unknown here into what River is to do; River calls it.
func (u *unknownJobs) Work(ctx context.Context, row *rivertype.JobRow, doInner func(context.Context) error) error {
	err := doInner(ctx)
	var unknown *kind.UnknownJobError
	if !errors.As(err, &unknown) {
		return err
	}
	elsewhere, since := u.look(ctx, row, unknown.Job)
	if elsewhere {
		return river.JobSnooze(min(mostElsewhere, leastElsewhere<<min(snoozes(row), 10)))
	}
	// A run that has just been started waits as long as any, however long the job has been unknown.
	if row.CreatedAt.After(since) {
		since = row.CreatedAt
	}
	if u.app.Now().Sub(since) < unknownFor {
		return river.JobSnooze(longUnknown)
	}
	// Its text only: the error itself is a snooze to River.
	return river.JobCancel(fmt.Errorf("%v, nor for %s in that of another live one; reload the workers with SIGHUP or restart them, then: tidemill jobs retry %d",
		err, unknownFor, row.ID))
}

// look reports whether another live worker knows the job, and since when this process has seen that none does.
func (u *unknownJobs) look(ctx context.Context, row *rivertype.JobRow, job string) (elsewhere bool, since time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen(row.Kind, job)
	now := u.app.Now()
	if now.Sub(seen.asked) >= time.Second {
		var unknown bool
		err := u.app.Pool.QueryRow(ctx, u.app.schema.SQL(`SELECT {tidemill}.unknown_job($1, $2, $3)`), row.Kind, job, row.Queue).Scan(&unknown)
		if err != nil {
			u.app.logger.WarnContext(ctx, "ask whether another worker knows a job", "job", job, "error", err)
			return false, now
		}
		if now.Sub(seen.asked) > time.Minute { // what was in between is not known
			seen.since = time.Time{}
		}
		seen.asked, seen.elsewhere = now, !unknown
	}
	switch {
	case seen.elsewhere:
		seen.since = time.Time{}
	case seen.since.IsZero():
		seen.since = now
	}
	u.warn(ctx, seen, row.Kind, job, seen.elsewhere)
	return seen.elsewhere, seen.since
}

// seen returns the entry of a job; u.mu is held.
func (u *unknownJobs) seen(kind, job string) *unknownJob {
	key := knownAs(kind, job)
	if u.byJob[key] == nil {
		if len(u.byJob) >= mostUnknown {
			clear(u.byJob)
		}
		u.byJob[key] = &unknownJob{}
	}
	return u.byJob[key]
}

// warn logs once a job; u.mu is held.
func (u *unknownJobs) warn(ctx context.Context, seen *unknownJob, kind, job string, elsewhere bool) {
	if seen.warned {
		return
	}
	seen.warned = true
	text := "no live worker knows this job, so its runs wait; reload the workers with SIGHUP or restart them"
	if elsewhere {
		text = "this worker does not know a job that another one knows, and leaves it its runs; reload this one with SIGHUP or restart it"
	}
	u.app.logger.WarnContext(ctx, text, "job", job, "kind", kind)
}

// watch warns of waiting runs that no live worker knows, until ctx ends: nobody fetches those of a kind that no configuration has.
// It looks at the newest runs only, for newcomers start few.
func (u *unknownJobs) watch(ctx context.Context) {
	tick := time.NewTicker(lookUnknown)
	defer tick.Stop()
	for {
		if err := u.warnOfWaiting(ctx); err != nil && ctx.Err() == nil {
			u.app.logger.WarnContext(ctx, "look for runs that no live worker knows", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (u *unknownJobs) warnOfWaiting(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookUnknown)
	defer cancel()
	rows, err := u.app.Pool.Query(ctx, u.app.schema.SQL(`SELECT DISTINCT kind, job
		FROM (SELECT kind, job, waits FROM {tidemill}.runs WHERE finished_at IS NULL ORDER BY id DESC LIMIT 100) r WHERE waits IS NOT NULL`))
	if err != nil {
		return err
	}
	var kind, job string
	_, err = pgx.ForEachRow(rows, []any{&kind, &job}, func() error {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.warn(ctx, u.seen(kind, job), kind, job, false)
		return nil
	})
	return err
}

// snoozes is how often River has put the job off.
func snoozes(row *rivertype.JobRow) int {
	var metadata struct {
		Snoozes int `json:"snoozes"`
	}
	_ = json.Unmarshal(row.Metadata, &metadata) // somebody else's may be anything
	return max(0, metadata.Snoozes)
}

// knownAs is how the table process names what a worker knows: the SQL function unknown_job makes the same of a run.
func knownAs(name, job string) string {
	if strings.HasPrefix(name, kind.RiverPrefix) {
		return name + ":" + job
	}
	return name
}

// knows is what this program can work, for others to see.
func (a *App) knows() ([]string, error) {
	registered, err := registeredKinds(a.Workers)
	if err != nil {
		return nil, err
	}
	known := []string{}
	for name := range registered {
		if !strings.HasPrefix(name, kind.RiverPrefix) {
			known = append(known, name)
		}
	}
	for _, def := range a.Config.Jobs {
		k, ok := a.kind(def.Kind)
		if !ok {
			continue
		}
		for _, name := range k.River() {
			known = append(known, knownAs(name, def.Name))
		}
	}
	slices.Sort(known)
	return known, nil
}
