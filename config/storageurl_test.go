package config

import "testing"

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
		"s3://id:secret@files/a":              "has a : or an @ where the name of its bucket is",
		"s3://files?endpoint=http://a:b@c:1/": "has an @ in its endpoint",
		"s3://files?region=x;y":               "has parameters that are not name=value with & between them",
	} {
		if problem, _ := checkStorageURL(url); problem != want {
			t.Errorf("%s: %q, want %q", url, problem, want)
		}
	}
}
