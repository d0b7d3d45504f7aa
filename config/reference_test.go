package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
)

var update = flag.Bool("update", false, "rewrite docs/CONFIG.md")

func TestReferenceIsCommitted(t *testing.T) {
	t.Parallel()
	const file = "../docs/CONFIG.md"
	if *update {
		if err := os.WriteFile(file, config.Reference(allKinds()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(committed), string(config.Reference(allKinds()))); diff != "" {
		t.Errorf("docs/CONFIG.md is stale (-committed +generated); run: go test ./config -update\n%s", diff)
	}
	if !strings.Contains(string(committed), "\nqueues:   {critical: 10") || strings.Contains(string(committed), "EXAMPLE") {
		t.Error("docs/CONFIG.md does not show the example")
	}
}

// exampleEnv has the names that the example needs.
func exampleEnv() *config.Opts {
	return lookup(map[string]string{
		"DATABASE_URL": "postgres://app@db/app", "MAIL_URL": "smtp://localhost:25", "CRON_SECRET": "0123456789abcdef",
		"TIDEMILL_TOKEN": "fedcba9876543210", "WEBHOOK_SECRET": "whsec_" + strings.Repeat("Tide", 10),
	})
}

func TestExampleIsValid(t *testing.T) {
	t.Parallel()
	if got := messages(t, exampleText(t), exampleEnv()); got != nil {
		t.Errorf("example: %q", got)
	}
}

func exampleText(tb testing.TB) string {
	tb.Helper()
	data, err := os.ReadFile("example.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}
