package metrics

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tidemill/tidemill/batch"
)

// populated returns a registry with every series that there can be.
func populated(t *testing.T) *bundle {
	t.Helper()
	b := setupRiver(t, Opts{})
	b.start(t)
	b.waitEnd(t, b.insert(t, "ok", nil))
	b.stop(t) // River's scheduler must not make available what is overdue here
	exec(t, b.pool, fill, 100, []string{"default"})
	now := time.Now()
	exec(t, b.pool, insertSchedule, "nightly", nil, now.Add(-time.Hour), now.Add(time.Hour), 1)
	b.addJob(t, "import-users")
	b.addRuns(t, "import-users", "succeeded", 1, time.Hour)
	exec(t, b.pool, `INSERT INTO tidemill.event (run, job, outcome) VALUES (1, 'import-users', 'success')`)
	b.metrics.ObserveChunk("tidemill.import", "import-users", batch.Counters{Read: 1, Inserted: 1})
	b.metrics.ObserveTick("nightly", "enqueued", time.Second)
	b.metrics.SetPool("work", b.pool)
	b.reported(t)
	return b.bundle
}

// Every series there is obeys the naming rules, and is described as what it is.
func TestFamilies(t *testing.T) {
	t.Parallel()
	b := populated(t)
	problems, err := testutil.GatherAndLint(b.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}

	gathered, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []Family
	for _, f := range gathered {
		var labels []string
		for _, label := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		got = append(got, Family{Name: f.GetName(), Type: strings.ToLower(f.GetType().String()), Labels: labels, Help: f.GetHelp()})
	}
	want := Families()
	for i := range want {
		want[i].Unit, want[i].Cluster = "", false
		want[i].Labels = slices.Sorted(slices.Values(want[i].Labels))
	}
	slices.SortFunc(want, func(x, y Family) int { return strings.Compare(x.Name, y.Name) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("described and gathered differ (-described +gathered):\n%s", diff)
	}
}

// Units are what the names promise.
func TestUnits(t *testing.T) {
	t.Parallel()
	for _, f := range Families() {
		want := ""
		switch base := strings.TrimSuffix(f.Name, "_total"); {
		case strings.HasSuffix(base, "_timestamp_seconds"):
			want = "seconds since 1970"
		case strings.HasSuffix(base, "_seconds"):
			want = "seconds"
		case strings.Contains(f.Unit, "seconds"):
			t.Errorf("%s has the unit %s and should say so at its end", f.Name, f.Unit)
		}
		if want != "" && f.Unit != want {
			t.Errorf("%s has the unit %q, want %q", f.Name, f.Unit, want)
		}
		if f.Unit == "" || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s: unit %q, help %q", f.Name, f.Unit, f.Help)
		}
	}
}
