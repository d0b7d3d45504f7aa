package metrics

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite docs/METRICS.md")

func TestReferenceIsCommitted(t *testing.T) {
	t.Parallel()
	const file = "../docs/METRICS.md"
	if *update {
		if err := os.WriteFile(file, Reference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(committed), string(Reference())); diff != "" {
		t.Errorf("docs/METRICS.md is stale (-committed +generated); run: go test ./metrics -update\n%s", diff)
	}
}
