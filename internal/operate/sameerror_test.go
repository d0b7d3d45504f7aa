package operate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSameError(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                         "",
		"connection refused":                       "connection refused",
		"  dial tcp 10.0.0.1:5432: refused\nand":   "dial tcp N:N: refused",
		"user 17 not found":                        "user N not found",
		"took 1,234.5ms":                           "took Nms",
		"range 1,2, 3-4 and -5":                    "range N, N-N and -N",
		"invalid utf8 in http2 of S3":              "invalid utf8 in http2 of S3",
		"user_17 and key=17":                       "user_N and key=N",
		`no "a \" 1" and 'b' and ` + "`c`":         `no "…" and "…" and "…"`,
		"don't open the user's 'file'":             `don't open the user's "…"`,
		"'a''b'":                                   `"…"'b'`,
		"half 'a quotation":                        "half 'a quotation",
		"job 6ba7b810-9dad-11d1-80b4-00c04fd430c8": "job ID",
		"at 0xc000012af and 5d41402abc4b2a76":      "at ID and ID",
		"20261121 was defaced":                     "ID was defaced",
		"id ٣٤ and 12":                             "id N and N",
		"ERROR: duplicate key (SQLSTATE 23505)":    "ERROR: duplicate key (SQLSTATE N)",
		"20261121.csv, 7 of 10%":                   "ID.csv, N of N%",
	} {
		if diff := cmp.Diff(want, sameError(in)); diff != "" {
			t.Errorf("sameError(%q) (-want +got):\n%s", in, diff)
		}
	}
}

// What groups must not fall apart when it is grouped again, and must stay one line.
func FuzzSameError(f *testing.F) {
	for _, s := range []string{"user 17", "'a' 'b'", "don't", `"\"`, "a\n1", "1'1'1", "0x1f 1.2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		once := sameError(in)
		if strings.Contains(once, "\n") {
			t.Errorf("sameError(%q) = %q has several lines", in, once)
		}
		if number.MatchString(once) {
			t.Errorf("sameError(%q) = %q has a number left", in, once)
		}
	})
}

func TestGroupFailures(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got := groupFailures([]failure{
		{ID: 9, Kind: "mail", State: "retryable", At: at, Error: "host 9 is away\ntrace"},
		{ID: 3, Kind: "mail", State: "discarded", At: at.Add(-time.Hour), Error: "host 3 is away"},
		{ID: 8, Kind: "hook", State: "discarded", At: at.Add(-time.Minute), Error: "host 8 is away"},
		{ID: 7, Kind: "hook", State: "cancelled", At: at.Add(-time.Minute), Error: "gone"},
		{ID: 2, Kind: "mail", State: "retryable", At: at.Add(-2 * time.Hour), Error: "host 2 is away"},
	})
	want := []*FailureGroup{
		{3, "mail", "host N is away", map[string]int64{"retryable": 2, "discarded": 1}, at, 9, "host 9 is away"},
		{1, "hook", "host N is away", map[string]int64{"discarded": 1}, at.Add(-time.Minute), 8, "host 8 is away"},
		{1, "hook", "gone", map[string]int64{"cancelled": 1}, at.Add(-time.Minute), 7, "gone"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
