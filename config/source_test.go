package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitSource(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]Source{
		"":                              {},
		"file:///srv/drop/*.csv":        {Dir: "/srv/drop", Pattern: "*.csv"},
		"file:///srv/drop/users.csv":    {Dir: "/srv/drop", Pattern: "users.csv"},
		"file:///srv/*/in/u?.[cC]sv":    {Dir: "/srv", Pattern: "*/in/u?.[cC]sv"},
		"file:///*.csv":                 {Dir: "/", Pattern: "*.csv"},
		`file:///srv/a b/100%/\\*.csv`:  {Dir: "/srv/a b/100%", Pattern: `\\*.csv`},
		"file:///srv/.hidden/part/*.gz": {Dir: "/srv/.hidden/part", Pattern: "*.gz"},
	} {
		want.URL = url
		got, problem, _ := splitSource(url)
		if diff := cmp.Diff(want, got); diff != "" || problem != "" {
			t.Errorf("%s: %s\n%s", url, problem, diff)
		}
	}
}

func TestSourceRefused(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"/srv/drop/*.csv":             "is not a URL",
		"://x":                        "is not a URL",
		"s3://drop/users/*.csv":       "is of a scheme that is not built yet",
		"file://srv/drop/*.csv":       "is not the URL of an absolute path",
		"file:///srv/drop/":           "is the URL of a directory",
		"file:///":                    "is the URL of a directory",
		"file:///srv//*.csv":          "has a segment that is empty, . or ..",
		"file:///srv/../etc/*.csv":    "has a segment that is empty, . or ..",
		"file:///srv/./*.csv":         "has a segment that is empty, . or ..",
		"file:///srv/**/*.csv":        "has a **, which is not built",
		"file:///srv/[a-.csv":         "is not a pattern",
		"file:///srv/*.csv.part":      "has names that are left alone: those that begin with a dot or end in .tmp or .part",
		"file:///srv/*/.in/*.csv":     "has names that are left alone: those that begin with a dot or end in .tmp or .part",
		"file:///srv/drop/\x00/*.csv": "holds a NUL character",
	} {
		if _, problem, _ := splitSource(url); problem != want {
			t.Errorf("%s: %q, want %q", url, problem, want)
		}
	}
}

// What is imported does not depend on where it was found; which files are looked for does.
func TestSourceInHashes(t *testing.T) {
	t.Parallel()
	parse := func(source string) *Config {
		c, err := Parse("x.yaml", []byte("jobs: {a: {kind: import, table: t"+source+"}}"), nil)
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
