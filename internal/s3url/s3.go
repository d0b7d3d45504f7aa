package s3url

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	exampleS3Storage = "write it like s3://bucket/prefix?region=eu-central-1"
	ExampleSource    = "write it like s3://bucket/drop/*.csv?region=eu-central-1"
)

// s3Texts and s3Switches are the parameters of a URL in S3; a test holds them to what the storage takes.
func s3Texts() []string {
	return []string{
		"endpoint", "kmskeyid", "profile", "rate_limiter_capacity", "region", "request_checksum_calculation", "response_checksum_validation",
		"role", "ssetype",
	}
}

func s3Switches() []string {
	return []string{"accelerate", "anonymous", "disable_https", "dualstack", "fips", "hostname_immutable", "s3ForcePathStyle", "use_path_style"}
}

// paramsRE finds the ? that is no wildcard: that of a name and an equals sign.
var paramsRE = regexp.MustCompile(`\?[A-Za-z0-9_]+=`)

func CutParams(s string) (path, params string) {
	if at := paramsRE.FindStringIndex(s); at != nil {
		return s[:at[0]], s[at[0]+1:]
	}
	return s, ""
}

// CheckParams never repeats a value, which may be a secret that is in the wrong place.
func CheckParams(query string) (problem, hint string) {
	params, err := url.ParseQuery(query)
	if err != nil {
		return "has parameters that are not name=value with & between them", ""
	}
	for name, values := range params {
		switch {
		case slices.Contains(s3Switches(), name):
			if _, err := strconv.ParseBool(values[0]); err != nil {
				return "has " + name + ", which is neither true nor false", ""
			}
		case !slices.Contains(s3Texts(), name):
			hint := "parameters are " + strings.Join(slices.Sorted(slices.Values(append(s3Texts(), s3Switches()...))), ", ")
			return "has " + strconv.Quote(name) + ", which is no parameter of S3", hint
		case values[0] == "":
			return "has " + name + " without a value", "remove it"
		}
	}
	if strings.Contains(params.Get("endpoint"), "@") {
		return atInEndpoint, credentialsHint
	}
	return "", ""
}

// Problems of a URL that may hold a secret, so that it is not shown.
const (
	atInBucket   = "has a : or an @ where the name of its bucket is"
	atInEndpoint = "has an @ in its endpoint"

	credentialsHint = "credentials belong in the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
)

func MaybeSecret(problem string) bool { return problem == atInBucket || problem == atInEndpoint }

func CheckBucket(bucket, example string) (problem, hint string) {
	switch {
	case bucket == "":
		return "has no bucket", example
	case strings.ContainsAny(bucket, ":@"):
		return atInBucket, credentialsHint
	case strings.ContainsAny(bucket, `*?[\`):
		return "has a wildcard in the name of its bucket", "name one bucket: " + example
	case strings.ContainsAny(bucket, " %#"):
		return "has no valid name of a bucket", example
	}
	return "", ""
}

func CheckStorage(rest string) (problem, hint string) {
	rest, query, _ := strings.Cut(rest, "?")
	bucket, prefix, _ := strings.Cut(rest, "/")
	if problem, hint = CheckBucket(bucket, exampleS3Storage); problem != "" {
		return problem, hint
	}
	prefix = strings.Trim(prefix, "/")
	if prefix == "" {
		return CheckParams(query)
	}
	for segment := range strings.SplitSeq(prefix, "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return "has a segment that is empty, . or ..", "write the prefix without it"
		case strings.ContainsAny(segment, "%#"):
			return "has a % or a # in its prefix", "choose a prefix of letters, digits, - and _"
		}
	}
	return CheckParams(query)
}
