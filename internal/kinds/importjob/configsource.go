package importjob

import (
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/s3url"

	slashes "path"
	"slices"
	"strings"
)

// Source says where the files of an import are: those below Dir whose path there matches Pattern.
type Source struct {
	URL     string // as it is written; empty: files are uploaded
	Dir     string // URL of a directory or of a prefix in a bucket: the segments before the first one with a wildcard
	Pattern string // the other segments, with slashes between them, each a pattern of [path.Match]
	Params  string // how to reach a bucket: what follows the question mark
}

// Unfinished reports whether a file, or a directory, of that name is left alone: by its name it is hidden or still written.
func Unfinished(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".part")
}

// sourceURL is the URL of files, with wildcards in it.
type sourceURL struct{}

func (sourceURL) Read(d *field.Checker, v field.Value, into *Source) {
	s, known, ok := d.Text(v)
	if !ok {
		return
	}
	if !known {
		into.URL = s
		return
	}
	source, problem, hint := splitSource(s)
	switch {
	case s3url.MaybeSecret(problem):
		d.ProblemAt(v, hint, "%s", problem)
	case problem != "":
		d.InvalidValue(v, hint, "%s", problem)
	default:
		*into = source
	}
}

func (sourceURL) Meta() field.Meta {
	return field.Meta{Words: "URL with wildcards", Schema: map[string]any{"type": "string"}}
}

// splitSource takes a URL apart. Nothing in its path is encoded, and a ? there is a wildcard.
func splitSource(s string) (source Source, problem, hint string) {
	if s == "" {
		return Source{}, "", ""
	}
	scheme, rest, found := strings.Cut(s, "://")
	place, example := "file://", "write it like file:///srv/drop/*.csv"
	switch {
	case !found || scheme == "":
		return Source{}, "is not a URL", example
	case strings.ContainsRune(rest, 0):
		return Source{}, "holds a NUL character", ""
	case scheme == "s3":
		place, example = "s3://", s3url.ExampleSource
		rest, source.Params = s3url.CutParams(rest)
		if problem, hint = s3url.CheckParams(source.Params); problem != "" {
			return Source{}, problem, hint
		}
		var bucket string
		bucket, rest, _ = strings.Cut(rest, "/")
		if problem, hint = s3url.CheckBucket(bucket, example); problem != "" {
			return Source{}, problem, hint
		}
		place, rest = place+bucket, "/"+rest
	case scheme != "file":
		return Source{}, "is of a scheme that is not known", "file:// and s3:// are: " + example
	case !strings.HasPrefix(rest, "/"):
		return Source{}, "is not the URL of an absolute path", "three slashes: " + example
	}
	segments := strings.Split(rest[1:], "/")
	last := len(segments) - 1
	if segments[last] == "" {
		return Source{}, "is the URL of a directory", "say which files: " + example
	}
	for _, segment := range segments {
		if problem, hint = segmentProblem(segment); problem != "" {
			return Source{}, problem, hint
		}
	}
	first := slices.IndexFunc(segments, func(segment string) bool { return strings.ContainsAny(segment, `*?[\`) })
	if first < 0 {
		first = last
	}
	if slices.ContainsFunc(segments[first:], Unfinished) {
		return Source{}, "has names that are left alone: those that begin with a dot or end in .tmp or .part", "let files get their names when they are whole"
	}
	source.URL, source.Dir, source.Pattern = s, place+"/"+strings.Join(segments[:first], "/"), strings.Join(segments[first:], "/")
	return source, "", ""
}

func segmentProblem(segment string) (problem, hint string) {
	switch {
	case segment == "" || segment == "." || segment == "..":
		return "has a segment that is empty, . or ..", "write the path without it"
	case strings.Contains(segment, "**"):
		return "has a **, which is not built", "write one * for each directory: file:///srv/drop/*/*.csv"
	}
	if _, err := slashes.Match(segment, ""); err != nil {
		return "is not a pattern", `*, ? and [a-z] are wildcards, and \ takes their meaning from them`
	}
	return "", ""
}

// checkSource looks at what goes together with a source.
func (i *Config) checkSource(d *config.Checker, j *config.Job, at field.Path) {
	if i.Source.URL != "" && j.Unique && d.Checkable(at, "source", "unique") {
		d.Problem(at.Join("unique"), "remove it; a queue with one worker imports one file after the other",
			"lets one run live at a time, and each file of the source is a run")
	}
}

// NeedsFile is so without a source.
func (i *Config) NeedsFile() *config.FileNeed {
	if i.Source.URL != "" {
		return nil
	}
	return &config.FileNeed{
		Unless: "source", Problem: "is an import without source, which takes a file", StartError: "an import without source takes a file",
		Hint: "say where its files are: source: file:///srv/drop/*.csv",
	}
}

// Parallel is so with several writers.
func (i *Config) Parallel() bool { return i.Writers > 1 }
