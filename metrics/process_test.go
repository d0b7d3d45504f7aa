package metrics

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProcess(t *testing.T) {
	t.Parallel()
	reg, m := newMetrics(t, Opts{})

	watched := []string{"jobs_rescued", "processes_fenced", "process_", "retention"}
	want := samples{
		`processes_fenced_total`: 0, `process_draining`: 0,
		`process_restarts_total{reason="fenced"}`: 0, `process_restarts_total{reason="silent"}`: 0,
		`retention_deleted_total{what="jobs"}`: 0, `retention_deleted_total{what="runs"}`: 0,
		`retention_deleted_total{what="rejects"}`: 0, `retention_deleted_total{what="messages"}`: 0,
	}
	if diff := cmp.Diff(want, gather(t, reg, watched...)); diff != "" {
		t.Errorf("at the start: %s", diff)
	}

	m.ObserveRescued("default", "mail", "available", 3)
	m.ObserveRescued("default", "mail", "available", 1)
	m.ObserveRescued("default", "mail", "discarded", 1)
	m.ObserveRescued("default", "mail", "a state of a later version", 1)
	m.ObserveFenced()
	m.ObserveRestart(RestartSilent)
	m.SetDraining(true)
	m.ObserveDeleted("jobs", 0)
	m.ObserveDeleted("rejects", 12)
	want = samples{
		`jobs_rescued_total{kind="mail",queue="default",result="available"}`: 4,
		`jobs_rescued_total{kind="mail",queue="default",result="discarded"}`: 1,
		`jobs_rescued_total{kind="mail",queue="default",result="other"}`:     1,
		`processes_fenced_total`: 1, `process_draining`: 1, `process_restarts_total{reason="silent"}`: 1,
		`retention_deleted_total{what="rejects"}`: 12,
	}
	if diff := cmp.Diff(want, gather(t, reg, watched...).positive()); diff != "" {
		t.Error(diff)
	}
	m.SetDraining(false)
	if got := gather(t, reg, "process_draining")["process_draining"]; got != 0 {
		t.Errorf("process_draining is %v", got)
	}
}

// Of a kind that was worked here the first rescue is an increase.
func TestRescuedBeginsAtZero(t *testing.T) {
	t.Parallel()
	b := setupRiver(t, Opts{})
	b.start(t)

	b.waitEnd(t, b.insert(t, "ok", nil))
	want := samples{}
	for _, result := range rescueResults {
		want[`jobs_rescued_total{kind="probe",queue="default",result="`+result+`"}`] = 0
	}
	if diff := cmp.Diff(want, gather(t, b.reg, "jobs_rescued")); diff != "" {
		t.Error(diff)
	}
}

func TestPools(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{})

	if got := gather(t, b.reg, "pool_"); len(got) != 0 {
		t.Errorf("without pools there is %v", got)
	}
	b.metrics.SetPool("work", b.pool)
	conn, err := b.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := gather(t, b.reg, "pool_")
	conn.Release()
	if got[`pool_connections{pool="work",state="acquired"}`] != 1 || got[`pool_connections_max{pool="work"}`] != float64(b.pool.Config().MaxConns) ||
		got[`pool_acquires_total{pool="work"}`] < 1 || len(got) != 7 {
		t.Errorf("%v", got)
	}
	eventually(t, "the connection is idle again", func() bool {
		got := gather(t, b.reg, "pool_connections{", "pool_connections")
		return got[`pool_connections{pool="work",state="acquired"}`] == 0 && got[`pool_connections{pool="work",state="idle"}`] >= 1
	})

	// The pool of a life that is over.
	b.pool.Close()
	gather(t, b.reg, "pool_")
	b.metrics.SetPool("work", nil)
	if got := gather(t, b.reg, "pool_"); len(got) != 0 {
		t.Errorf("a pool that was taken away shows %v", got)
	}
}
