package retry_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/tidemill/tidemill/retry"
)

func TestMarks(t *testing.T) {
	t.Parallel()

	failed := errors.New("failed")
	both := fmt.Errorf("call: %w", retry.Permanent(retry.After(failed, time.Second)))
	if hint, ok := retry.Hint(both); !ok || hint != time.Second || !retry.IsPermanent(both) || !errors.Is(both, failed) {
		t.Errorf("%v: hint %s (%t), permanent %t", both, hint, ok, retry.IsPermanent(both))
	}
	if both.Error() != "call: failed" {
		t.Errorf("marks show in the message: %s", both)
	}
	if hint, ok := retry.Hint(failed); ok || retry.IsPermanent(failed) {
		t.Errorf("a plain error has the hint %s, permanent %t", hint, retry.IsPermanent(failed))
	}
	if _, ok := retry.Hint(retry.After(failed, -time.Second)); ok {
		t.Error("a time in the past is a hint")
	}
	if retry.Permanent(nil) != nil || retry.After(nil, time.Second) != nil {
		t.Error("no error becomes one by being marked")
	}
}

func TestParseAfter(t *testing.T) {
	t.Parallel()

	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		header string
		want   time.Duration // 0: no hint
	}{
		{"120", 2 * time.Minute},
		{" 1\t", time.Second},
		{"007", 7 * time.Second},
		{"0", 0},
		{"-1", 0},
		{"+1", 0},
		{"1.5", 0},
		{"1e3", 0},
		{"30s", 0},
		{"", 0},
		{"soon", 0},
		{"٣", 0},
		{"9223372036", 9223372036 * time.Second},
		{"9223372037", math.MaxInt64},
		{"99999999999999999999999", math.MaxInt64},
		{"Fri, 01 May 2026 12:00:30 GMT", 30 * time.Second},
		{"Friday, 01-May-26 12:00:30 GMT", 30 * time.Second},
		{"Fri May  1 12:00:30 2026", 30 * time.Second},
		{"Fri, 01 May 2026 12:00:00 GMT", 0},
		{"Fri, 01 May 2026 11:59:59 GMT", 0},
		{"2026-05-01T12:00:30Z", 0},
	}
	for _, tt := range tests {
		t.Run(tt.header, func(t *testing.T) {
			t.Parallel()
			got, ok := retry.ParseAfter(tt.header, now)
			if got != tt.want || ok != (tt.want > 0) {
				t.Errorf("ParseAfter(%q) is %s, %t, want %s", tt.header, got, ok, tt.want)
			}
		})
	}
}

func FuzzParseAfter(f *testing.F) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, seed := range []string{"", "0", "120", "99999999999999999999", "Fri, 01 May 2026 12:00:30 GMT", "-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, ok := retry.ParseAfter(header, now)
		if ok != (got > 0) {
			t.Fatalf("ParseAfter(%q) is %s, %t", header, got, ok)
		}
		if at, err := http.ParseTime(header); ok && err == nil && !now.Add(got).Equal(at) && got != math.MaxInt64 {
			t.Fatalf("ParseAfter(%q) is %s, which ends at %s", header, got, now.Add(got))
		}
	})
}
