package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitSource(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]Source{
		"":                             {},
		"file:///srv/drop/*.csv":       {Dir: "file:///srv/drop", Pattern: "*.csv"},
		"file:///srv/drop/users.csv":   {Dir: "file:///srv/drop", Pattern: "users.csv"},
		"file:///srv/*/in/u?.[cC]sv":   {Dir: "file:///srv", Pattern: "*/in/u?.[cC]sv"},
		"file:///*.csv":                {Dir: "file:///", Pattern: "*.csv"},
		`file:///srv/a b/100%/\\*.csv`: {Dir: "file:///srv/a b/100%", Pattern: `\\*.csv`},
		"s3://drop/*.csv":              {Dir: "s3://drop/", Pattern: "*.csv"},
		"s3://drop/users.csv":          {Dir: "s3://drop/", Pattern: "users.csv"},
		"s3://drop/in/a@b/*/u?.csv":    {Dir: "s3://drop/in/a@b", Pattern: "*/u?.csv"},
		"s3://drop/in/*.csv?region=x&endpoint=https://h:9/p": {Dir: "s3://drop/in", Pattern: "*.csv", Params: "region=x&endpoint=https://h:9/p"},
		"s3://drop/in/a=b?c/?.csv":                           {Dir: "s3://drop/in", Pattern: "a=b?c/?.csv"},
		"file:///srv/.hidden/part/*.gz":                      {Dir: "file:///srv/.hidden/part", Pattern: "*.gz"},
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
		"gs://drop/users/*.csv":       "is of a scheme that is not known",
		"s3:///users/*.csv":           "has no bucket",
		"s3://drop":                   "is the URL of a directory",
		"s3://drop/users/":            "is the URL of a directory",
		"s3://drop-*/users.csv":       "has a wildcard in the name of its bucket",
		"s3://drop//*.csv":            "has a segment that is empty, . or ..",
		"s3://id:secret@drop/*.csv":   "has a : or an @ where the name of its bucket stands",
		"s3://id:sec/ret@drop/*.csv":  "has a : or an @ where the name of its bucket stands",
		"s3://drop/*.csv?regoin=x":    `has "regoin", which is no parameter of S3`,
		"s3://drop/*.csv?region=":     "has region without a value",
		"s3://drop/*.csv?fips=maybe":  "has fips, which is neither true nor false",
		"s3://drop/*?endpoint=a:b@c":  "has an @ in its endpoint",
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
		c, err := Parse("x.yaml", []byte("jobs: {a: {kind: import, table: t"+source+"}}"), &Opts{Kinds: allKinds()})
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

func TestStorageURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                               "",
		"file:///srv":                    "",
		"s3://files":                     "",
		"s3://files/":                    "",
		"s3://files/some/prefix/":        "",
		"s3://files?region=eu-central-1": "",
		"s3://f/p?endpoint=minio:9000&use_path_style=true&disable_https=true": "",
		"gs://files":                          "is of a scheme that is not known",
		"s3:///prefix":                        "has no bucket",
		"s3://*/prefix":                       "has a wildcard in the name of its bucket",
		"s3://files/a//b":                     "has a segment that is empty, . or ..",
		"s3://files/../b":                     "has a segment that is empty, . or ..",
		"s3://files/a%20b":                    "has a % or a # in its prefix",
		"s3://files/a?regoin=x":               `has "regoin", which is no parameter of S3`,
		"s3://files/a?use_path_style=on":      "has use_path_style, which is neither true nor false",
		"s3://id:secret@files/a":              "has a : or an @ where the name of its bucket stands",
		"s3://files?endpoint=http://a:b@c:1/": "has an @ in its endpoint",
		"s3://files?region=x;y":               "has parameters that are not name=value with & between them",
	} {
		if problem, _ := checkStorageURL(url); problem != want {
			t.Errorf("%s: %q, want %q", url, problem, want)
		}
	}
}

func TestNoSecretOfAURLIsShown(t *testing.T) {
	t.Parallel()
	_, err := Parse("x.yaml", []byte(`
storage: {url: "s3://id:secret@files"}
jobs:
  a: {kind: import, table: t, source: "s3://id:sec/ret@drop/*.csv"}
  b: {kind: import, table: t, source: "s3://drop/*.csv?endpoint=http://me:secret@h"}`), &Opts{Kinds: allKinds()})
	if err == nil || strings.Count(err.Error(), "AWS_ACCESS_KEY_ID") != 3 || strings.Contains(err.Error(), "sec") && strings.Contains(err.Error(), "ret@") ||
		strings.Contains(err.Error(), ":secret") {
		t.Error(err)
	}
}
