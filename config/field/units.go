package field

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Day is 24 hours.
const Day = 24 * time.Hour

// ParseDuration reads Go's syntax with days of 24 hours in front, such as 30s, 1d12h
// or 90d. It is never negative. The error says how to write one.
func ParseDuration(s string) (time.Duration, error) {
	d, ok := parseDuration(s)
	if !ok {
		return 0, fmt.Errorf("%q is not a duration; write it like 30s, 10m, 12h or 30d", s)
	}
	return d, nil
}

// parseDuration reads Go's syntax with days of 24 hours in front: 90d, 1d12h, 1m30s.
func parseDuration(s string) (time.Duration, bool) {
	if s == "" || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	var days time.Duration
	if before, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(before, 10, 32)
		if err != nil || n > uint64(math.MaxInt64/Day) {
			return 0, false
		}
		days, s = time.Duration(n)*Day, after
		if s == "" {
			return days, true
		}
		if s[0] == '+' || s[0] == '-' {
			return 0, false
		}
	}
	rest, err := time.ParseDuration(s)
	if err != nil || rest > math.MaxInt64-days {
		return 0, false
	}
	return days + rest, true
}

// FormatDuration is the short form that ParseDuration reads.
func FormatDuration(d time.Duration) string {
	if d >= Day && d%Day == 0 {
		return strconv.FormatInt(int64(d/Day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

const sizePattern = `^([0-9]+(?:\.[0-9]+)?)(B|KB|MB|GB|KiB|MiB|GiB)$`

var sizeRE = regexp.MustCompile(sizePattern)

func sizeUnit(name string) int64 {
	return map[string]int64{"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[name]
}

// parseSize reads a number of bytes, such as 512KiB or 1.5GB.
func parseSize(s string) (int64, bool) {
	m := sizeRE.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	number, err := strconv.ParseFloat(m[1], 64)
	bytes := number * float64(sizeUnit(m[2]))
	if err != nil || bytes > 1<<53 {
		return 0, false
	}
	return int64(bytes), true
}

func formatSize(n int64) string {
	for _, unit := range []string{"GiB", "MiB", "KiB"} {
		if size := sizeUnit(unit); n >= size && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

const ratioPattern = `^([0-9]+(?:\.[0-9]+)?)%$`

var ratioRE = regexp.MustCompile(ratioPattern)

// parseRatio reads 5% or 0.05 as 0.05. A bare number of 1 and more is refused,
// for it might mean either 1 % or 100 %.
func parseRatio(s string) (float64, bool) {
	if m := ratioRE.FindStringSubmatch(s); m != nil {
		percent, err := strconv.ParseFloat(m[1], 64)
		return percent / 100, err == nil && percent <= 100
	}
	if !floatRE.MatchString(s) {
		return 0, false
	}
	number, err := strconv.ParseFloat(s, 64)
	return number, err == nil && number >= 0 && number < 1
}
