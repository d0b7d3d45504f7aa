package field

import (
	"math"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const bad = time.Duration(math.MinInt64)
	for in, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1d12h": 36 * time.Hour, "90d": 90 * Day, "1.5h": 90 * time.Minute, "0s": 0, "0d": 0,
		"1h30m0.5s": 90*time.Minute + 500*time.Millisecond, "7d1ns": 7*Day + 1, "0": 0,
		"106751d":      106751 * Day,
		"106751d24h":   bad, // beyond 292 years
		"106752d":      bad,
		"99999999999d": bad,
		"":             bad, "d": bad, "-1s": bad, "+1s": bad, "-1d": bad, "1d-1h": bad, "1.5d": bad, "1h1d": bad, "1d1d": bad, "1w": bad, "10": bad, "1 h": bad, "1d ": bad,
	} {
		got, ok := parseDuration(in)
		if want == bad && !ok {
			continue
		}
		if !ok || got != want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", in, got, ok, want)
		}
	}
}

func TestParseDurationSaysHow(t *testing.T) {
	t.Parallel()
	if d, err := ParseDuration("1d12h"); err != nil || d != 36*time.Hour {
		t.Errorf("1d12h is %v, %v", d, err)
	}
	_, err := ParseDuration("3w")
	if want := `"3w" is not a duration; write it like 30s, 10m, 12h or 30d`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"30s", "1d12h", "1.5h", "106751d24h", "1d1d", "-1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := parseDuration(s)
		if !ok {
			return
		}
		if again, ok := parseDuration(FormatDuration(d)); d < 0 || !ok || again != d {
			t.Errorf("%q is %d, written %q, read %d", s, d, FormatDuration(d), again)
		}
	})
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"0B": 0, "8MiB": 8 << 20, "1.5GB": 1_500_000_000, "2KB": 2000, "1KiB": 1024, "3MB": 3_000_000, "1GiB": 1 << 30,
		"": -1, "8": -1, "8M": -1, "8mb": -1, "-1B": -1, "1e3B": -1, "8 MiB": -1, ".5KB": -1, "99999999999999GB": -1, "MiB": -1,
	} {
		got, ok := parseSize(in)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("parseSize(%q) = %d, want %d", in, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0B", 1000: "1000B", 1536: "1536B", 2048: "2KiB", 8 << 20: "8MiB", 1 << 31: "2GiB"} {
		if got := formatSize(n); got != want {
			t.Errorf("formatSize(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestParseRatio(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]float64{
		"0%": 0, "1%": 0.01, "2.5%": 0.025, "100%": 1, "0.01": 0.01, "0": 0, ".5": 0.5, "1e-3": 0.001,
		"": -1, "1": -1, "1.0": -1, "101%": -1, "-1%": -1, "-0.5": -1, "%": -1, "1 %": -1, "NaN": -1, "inf": -1, "0x1p-2": -1,
	} {
		got, ok := parseRatio(in)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("parseRatio(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestPlainKind(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]NodeKind{
		"": NullNode, "~": NullNode, "null": NullNode, "True": boolNode, "yes": TextNode, "on": TextNode,
		"1": IntNode, "-0": IntNode, "010": IntNode, "1_000": TextNode, "0x1f": TextNode, "1.": floatNode, ".5": floatNode,
		"1e3": floatNode, "1.2.3": TextNode, "2026-01-01": TextNode, ".inf": TextNode, "1h": TextNode,
	} {
		if got := plainKind(in); got != want {
			t.Errorf("plainKind(%q) = %s, want %s", in, got.What(), want.What())
		}
	}
}
