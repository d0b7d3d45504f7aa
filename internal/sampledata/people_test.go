package sampledata

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func write(t testing.TB, o PeopleOpts) ([]byte, PeopleStats) {
	t.Helper()
	var b bytes.Buffer
	stats, err := WritePeople(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), stats
}

// count reads a file as an import would and counts what it finds, and which
// kinds of faults.
func count(t testing.TB, data []byte) (PeopleStats, map[string]int) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	records, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(header), ","), records[0]); diff != "" {
		t.Errorf("header: -want +got\n%s", diff)
	}
	stats := PeopleStats{Rows: len(records) - 1, Bytes: int64(len(data))}
	faults := map[string]int{}
	ids, names, badEmails := map[string]bool{}, map[string]string{}, map[string]bool{}
	for _, rec := range records[1:] {
		if ids[rec[0]] {
			t.Errorf("id %s comes twice", rec[0])
		}
		ids[rec[0]] = true
		email := rec[1]
		if fault := faultOf(rec); fault != "" {
			faults[fault]++
			stats.Bad++
			if badEmails[email] && email != "" {
				t.Errorf("two bad rows have %s", email)
			}
			badEmails[email] = true
			continue
		}
		first, seen := names[email]
		switch {
		case !seen:
			names[email] = rec[2]
			stats.Distinct++
		case first == rec[2]:
			t.Errorf("the duplicate of %s has the same name", email)
			stats.Duplicates++
		default:
			stats.Duplicates++
		}
	}
	for email := range badEmails {
		if _, shared := names[email]; shared {
			t.Errorf("a bad row shares %s", email)
		}
	}
	return stats, faults
}

func faultOf(rec []string) string {
	if len(rec) != strings.Count(header, ",")+1 {
		return fmt.Sprintf("%d fields", len(rec))
	}
	if rec[1] == "" {
		return "e-mail"
	}
	if !utf8.ValidString(strings.Join(rec, "")) {
		return "utf-8"
	}
	if strings.Contains(rec[2], `"the one"`) {
		return "quote"
	}
	if _, err := time.Parse(time.DateOnly, rec[4]); err != nil {
		return "date"
	}
	if _, err := strconv.Atoi(rec[5]); err != nil && rec[5] != "" {
		return "age"
	}
	if _, err := strconv.ParseFloat(rec[6], 64); err != nil {
		return "balance"
	}
	return ""
}

func TestStats(t *testing.T) {
	t.Parallel()

	tests := []struct {
		opts PeopleOpts
		want PeopleStats // without Bytes
	}{
		{PeopleOpts{}, PeopleStats{}},
		{PeopleOpts{Rows: 1, DuplicateRatio: 0.9}, PeopleStats{Rows: 1, Distinct: 1}},
		{PeopleOpts{Rows: 2, DuplicateRatio: 0.9}, PeopleStats{Rows: 2, Distinct: 1, Duplicates: 1}},
		{PeopleOpts{Rows: 7, Bad: 7}, PeopleStats{Rows: 7, Bad: 7}},
		{PeopleOpts{Rows: 20_000, Seed: 1}, PeopleStats{Rows: 20_000, Distinct: 20_000}},
		{PeopleOpts{Rows: 20_000, Seed: 2, Shuffle: true}, PeopleStats{Rows: 20_000, Distinct: 20_000}},
		{PeopleOpts{Rows: 10_000, DuplicateRatio: 0.25, Bad: 100, Shuffle: true}, PeopleStats{Rows: 10_000, Distinct: 7_425, Duplicates: 2_475, Bad: 100}},
		{PeopleOpts{Rows: 10_000, Bad: 100, BadValues: true}, PeopleStats{Rows: 10_000, Distinct: 9_900, Bad: 100}},
		{PeopleOpts{Rows: 999, Seed: math.MaxUint64, DuplicateRatio: 0.999, Bad: 500}, PeopleStats{Rows: 999, Distinct: 1, Duplicates: 498, Bad: 500}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%+v", tt.opts), func(t *testing.T) {
			t.Parallel()
			data, stats := write(t, tt.opts)
			counted, faults := count(t, data)
			if diff := cmp.Diff(counted, stats); diff != "" {
				t.Errorf("-counted +returned\n%s", diff)
			}
			stats.Bytes = 0
			if diff := cmp.Diff(tt.want, stats); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if tt.opts.BadValues {
				if diff := cmp.Diff(map[string]int{"age": 50, "date": 50}, faults); diff != "" {
					t.Error(diff)
				}
				return
			}
			for kind, n := range faults {
				if low := tt.opts.Bad / badKinds; n < low || n > low+1 {
					t.Errorf("%d bad rows of kind %q, want %d or %d", n, kind, low, low+1)
				}
			}
			if tt.opts.Bad >= badKinds && len(faults) != badKinds {
				t.Errorf("kinds of bad rows: %v, want %d of them", faults, badKinds)
			}
		})
	}
}

// TestSameBytes pins the data: published benchmark figures name a seed.
func TestSameBytes(t *testing.T) {
	t.Parallel()

	o := PeopleOpts{Rows: 5_000, Seed: 42, DuplicateRatio: 0.1, Bad: 50, Shuffle: true}
	sum := func(o PeopleOpts) string {
		data, _ := write(t, o)
		s := sha256.Sum256(data)
		return hex.EncodeToString(s[:])
	}
	const want = "018443cd5ed1417a6b22e4f265e0a0dfc4ca2d4dae158bf2317097daa1c1685f"
	if got := sum(o); got != want {
		t.Errorf("sha256 %s, want %s", got, want)
	}
	o.Seed++
	if sum(o) == want {
		t.Error("another seed gives the same file")
	}
}

func TestShape(t *testing.T) {
	t.Parallel()

	for _, shuffle := range []bool{false, true} {
		data, stats := write(t, PeopleOpts{Rows: 50_000, Seed: 3, Shuffle: shuffle})
		if avg := float64(stats.Bytes) / float64(stats.Rows); avg < 78 || avg > 86 {
			t.Errorf("shuffle %v: %.1f bytes a row, want about 82", shuffle, avg)
		}
		records, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		emails, has := []string{}, map[string]int{}
		for _, rec := range records[1:] {
			emails = append(emails, rec[1])
			for what, found := range map[string]bool{
				"japanese":   strings.Contains(rec[2], "田中"),
				"accent":     strings.Contains(rec[2], "é"),
				"comma":      strings.Contains(rec[2], ","),
				"apostrophe": strings.Contains(rec[2], "'"),
				"nick":       strings.Contains(rec[2], `"`),
				"line end":   strings.Contains(rec[7], "\n"),
				"quote":      strings.Contains(rec[7], `"`),
				"no age":     rec[5] == "",
				"no notes":   rec[7] == "",
				"negative":   strings.HasPrefix(rec[6], "-"),
			} {
				if found {
					has[what]++
				}
			}
		}
		if len(has) != 10 {
			t.Errorf("shuffle %v: variety %v", shuffle, has)
		}
		if sorted := slices.IsSorted(emails); sorted == shuffle {
			t.Errorf("shuffle %v: e-mails sorted: %v", shuffle, sorted)
		}
	}
}

// TestBadRowsAreOneLine: a stray quote must spoil its own row only, and no
// stretch of the file may be free of bad rows.
func TestBadRowsAreOneLine(t *testing.T) {
	t.Parallel()

	data, _ := write(t, PeopleOpts{Rows: 7_000, Bad: 70, Shuffle: true})
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	strict := 0
	for n := 0; ; n++ {
		_, err := r.Read()
		if err == io.EOF {
			if n != 7_001 {
				t.Errorf("%d records, want 7001", n)
			}
			break
		}
		if err != nil {
			strict++
		}
	}
	if strict != 10 {
		t.Errorf("%d rows with a stray quote, want 10", strict)
	}
	for i := range 70 {
		if at := spread(i, 70, 7_000); at < i*100 || at >= (i+1)*100 {
			t.Errorf("bad row %d is at %d", i, at)
		}
	}
}

func TestPermutation(t *testing.T) {
	t.Parallel()

	for _, n := range []uint64{1, 2, 3, 4, 5, 63, 64, 65, 1000, 4097} {
		p := newPermutation(n, 7)
		seen := make([]bool, n)
		for i := range n {
			at := p.at(i)
			if at >= n || seen[at] {
				t.Fatalf("n %d: place %d of %d is out of range or taken", n, at, i)
			}
			seen[at] = true
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()

	for _, o := range []PeopleOpts{
		{Rows: -1}, {Rows: 1, Bad: 2}, {Rows: 1, Bad: -1},
		{Rows: 1, DuplicateRatio: 1}, {Rows: 1, DuplicateRatio: -0.1}, {Rows: 1, DuplicateRatio: math.NaN()},
	} {
		var b bytes.Buffer
		if _, err := WritePeople(&b, o); err == nil || b.Len() > 0 {
			t.Errorf("%+v: error %v after %d bytes", o, err, b.Len())
		}
	}

	full := errors.New("disk full")
	if _, err := WritePeople(brokenWriter{full}, PeopleOpts{Rows: 10}); !errors.Is(err, full) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func BenchmarkWritePeople(b *testing.B) {
	o := PeopleOpts{Rows: 100_000, Seed: 1, DuplicateRatio: 0.1, Bad: 100, Shuffle: true}
	for b.Loop() {
		stats, err := WritePeople(io.Discard, o)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(stats.Bytes)
	}
}
