package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite docs/METRICS.md")

func TestReferenceIsCommitted(t *testing.T) {
	t.Parallel()
	const file = "../docs/METRICS.md"
	now := reference(t)
	if *update {
		if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(committed), now); diff != "" {
		t.Errorf("docs/METRICS.md is stale (-committed +generated); run: go test ./metrics -update\n%s", diff)
	}
}

// reference describes all series, in Markdown.
func reference(t *testing.T) string {
	t.Helper()
	intro, err := os.ReadFile("testdata/reference_intro.md")
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.NewBuffer(intro)
	describe(b, "Of each process", "Every worker process counts these for itself; add them up.", false)
	describe(b, "Of the cluster", `One process reports these for all, see [above](#one-reporter). There is one series of each; it moves
from one process to another, so leave the labels `+"`instance` and `pod`"+` out: `+"`max without (instance, pod) (tidemill_jobs)`.", true)
	return b.String()
}

func describe(b *bytes.Buffer, title, text string, cluster bool) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n", title, text)
	for _, f := range Families() {
		if f.Cluster != cluster {
			continue
		}
		labels := "–"
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Type, f.Unit, labels, f.Help)
	}
}
