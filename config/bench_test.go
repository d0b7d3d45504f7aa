package config_test

import (
	"os"
	"testing"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

// Every command reads the file before it does anything, so a job more must cost next to nothing.
func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile("example.yaml")
	if err != nil {
		b.Fatal(err)
	}
	opts := &config.Opts{Kinds: workers.Configs(), Offline: true}
	for b.Loop() {
		if _, err := config.Parse("example.yaml", data, opts); err != nil {
			b.Fatal(err)
		}
	}
}
