package config

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/CONFIG.md anew")

func TestReferenceIsCommitted(t *testing.T) {
	t.Parallel()
	const file = "../docs/CONFIG.md"
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
		t.Errorf("docs/CONFIG.md is stale (-committed +generated); run: go test ./config -update\n%s", diff)
	}
	if !strings.Contains(string(committed), "\nqueues:   {critical: 10") || strings.Contains(string(committed), "EXAMPLE") {
		t.Error("docs/CONFIG.md does not show the example")
	}
}

func TestExampleIsValid(t *testing.T) {
	t.Parallel()
	if got := messages(t, example, lookup(map[string]string{"DATABASE_URL": "postgres://app@db/app"})); got != nil {
		t.Errorf("example: %q", got)
	}
}
