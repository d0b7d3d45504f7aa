package s3url

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/storage"
)

// What a configuration may say, the storage must take; what it may not say, the storage would not take.
func TestS3ParamsAreThoseOfTheStorage(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"endpoint": "https://minio:9000", "rate_limiter_capacity": "5", "request_checksum_calculation": "when_required",
		"response_checksum_validation": "when_supported", "role": "arn:aws:iam::1:role/x", "ssetype": "aws:kms",
	}
	for _, name := range slices.Concat(s3Texts(), s3Switches(), []string{"unheard_of"}) {
		value := "x"
		switch {
		case values[name] != "":
			value = values[name]
		case slices.Contains(s3Switches(), name):
			value = "true"
		}
		url := "s3://files?region=x&" + name + "=" + value
		if name == "region" {
			url = "s3://files?region=x"
		}
		problem, _ := CheckStorage(strings.TrimPrefix(url, "s3://"))
		_, err := storage.Open(t.Context(), url)
		if err != nil && name == "profile" && strings.Contains(err.Error(), "profile, x") {
			err = nil // it is known, and this machine has no such profile
		}
		if (problem == "") != (err == nil) || (problem == "") != (name != "unheard_of") {
			t.Errorf("%s: the configuration says %q, the storage %v", url, problem, err)
		}
	}
}
