package importjob

import (
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
		"s3://id:secret@drop/*.csv":   "has a : or an @ where the name of its bucket is",
		"s3://id:sec/ret@drop/*.csv":  "has a : or an @ where the name of its bucket is",
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
