package config_test

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/config"
)

// What is imported does not depend on where it was found; which files are looked for does.
func TestSourceInHashes(t *testing.T) {
	t.Parallel()
	parse := func(source string) *config.Config {
		c, err := config.Parse("x.yaml", []byte("jobs: {a: {kind: import, table: t"+source+"}}"), &config.Opts{Kinds: allKinds()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	without, with, other := parse(""), parse(`, source: "file:///a/*"`), parse(`, source: "file:///b/*"`)
	if without.Jobs["a"].Hash() != with.Jobs["a"].Hash() {
		t.Error("the source changes the identity of imports")
	}
	if without.Hash() == with.Hash() || with.Hash() == other.Hash() {
		t.Error("configurations with different sources count as the same")
	}
}

func TestNoSecretOfAURLIsShown(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("x.yaml", []byte(`
storage: {url: "s3://id:secret@files"}
jobs:
  a: {kind: import, table: t, source: "s3://id:sec/ret@drop/*.csv"}
  b: {kind: import, table: t, source: "s3://drop/*.csv?endpoint=http://me:secret@h"}`), &config.Opts{Kinds: allKinds()})
	if err == nil || strings.Count(err.Error(), "AWS_ACCESS_KEY_ID") != 3 || strings.Contains(err.Error(), "sec") && strings.Contains(err.Error(), "ret@") ||
		strings.Contains(err.Error(), ":secret") {
		t.Error(err)
	}
}

func TestStorageModes(t *testing.T) {
	t.Parallel()

	for mode, want := range map[string]string{
		`"0644"`: "", `"0600"`: "",
		`0644`: "put it in quotes", `"644"`: "is not an octal mode", `"0o644"`: "is not an octal mode", `"0968"`: "is not an octal mode", `"0040"`: "leaves Tidemill itself without rights",
	} {
		_, err := config.Parse("tidemill.yaml", []byte("storage: {file_mode: "+mode+"}\n"), &config.Opts{Kinds: allKinds()})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", mode, err, want)
		}
	}
}
