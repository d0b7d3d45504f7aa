package rowio

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func seed(f *testing.F, add func(data string)) {
	f.Helper()
	for _, s := range nasty {
		add(s)
	}
	for _, s := range []string{"", "\n", "a,b\n1,2\n", "\"a\"\"b\",c\r\n", "\ufeff\"x\"", "a\"b\n", "\"\r", "\"a\"\r"} {
		add(s)
	}
}

// FuzzAgainstModel compares with the reading of the format in model, under
// small limits, a small buffer and any chunking.
func FuzzAgainstModel(f *testing.F) {
	seed(f, func(s string) {
		f.Add([]byte(s), byte(','), byte(32), true)
		f.Add([]byte(s), byte(';'), byte(5), false)
	})
	f.Fuzz(func(t *testing.T, data []byte, comma, limit byte, single bool) {
		if comma == '"' || comma == '\n' || comma == '\r' || comma == 0 {
			comma = ','
		}
		maxRecord := max(int(limit), 1)
		r := iotest.HalfReader(bytes.NewReader(data))
		if single {
			r = iotest.OneByteReader(r)
		}
		got := rows(t, newCSV(r, &CSVOpts{Comma: comma, MaxRecord: maxRecord}, 2))
		if diff := cmp.Diff(model(data, comma, '"', maxRecord), got); diff != "" {
			t.Errorf("-model +got\n%s", diff)
		}
	})
}

// FuzzAccounts: offsets and lines go forward, and every byte of the stream is
// in a raw record, in the cut part of an overlong line, or a line end or mark.
func FuzzAccounts(f *testing.F) {
	seed(f, func(s string) { f.Add([]byte(s), uint16(24)) })
	f.Fuzz(func(t *testing.T, data []byte, limit uint16) {
		var at int64
		line := int64(1)
		check := func(gap []byte, first bool) int64 {
			if first {
				gap = bytes.TrimPrefix(gap, bom)
			}
			if strings.Trim(string(gap), "\r\n") != "" {
				t.Errorf("lost %q before byte %d", gap, at)
			}
			return countLineEnds(gap)
		}
		all := rows(t, NewCSV(bytes.NewReader(data), &CSVOpts{MaxRecord: int(limit)}))
		for i, r := range all {
			if r.Offset < at || r.End <= r.Offset || r.Raw == "" {
				t.Fatalf("record %d: %+v after byte %d", i, r, at)
			}
			line += check(data[at:r.Offset], i == 0)
			if r.Line != line {
				t.Errorf("record %d: line %d, want %d", i, r.Line, line)
			}
			raw := data[r.Offset : r.Offset+int64(len(r.Raw))]
			if string(raw) != r.Raw {
				t.Errorf("record %d: raw %q, stream has %q", i, r.Raw, raw)
			}
			tail := data[r.Offset+int64(len(raw)) : r.End]
			if r.Code == "" || len(raw) != int(limit) {
				check(tail, false)
			}
			line += countLineEnds(raw) + countLineEnds(tail)
			if r.NextLine != line {
				t.Errorf("record %d: next line %d, want %d", i, r.NextLine, line)
			}
			at = r.End
		}
		check(data[at:], len(all) == 0)
	})
}

// FuzzAgainstStdlib: what encoding/csv reads, we read, with the same fields.
// The known differences are the mark, which is cut off for it; CRLF inside of
// quotes, which it turns into LF; and a lone CR, which ends a record here only.
func FuzzAgainstStdlib(f *testing.F) {
	seed(f, func(s string) { f.Add([]byte(s)) })
	f.Fuzz(func(t *testing.T, data []byte) {
		std := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, bom)))
		std.FieldsPerRecord = -1
		want, err := std.ReadAll()

		got := [][]string{}
		malformed := false
		for _, r := range rows(t, NewCSV(bytes.NewReader(data), nil)) {
			malformed = malformed || r.Code != ""
			got = append(got, r.Fields)
		}
		if err == nil && malformed {
			t.Fatalf("encoding/csv takes %q whole", data)
		}
		loneCR := strings.Contains(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r")
		if loneCR {
			return
		}
		if err != nil && !malformed {
			t.Fatalf("encoding/csv refuses %q: %v", data, err)
		}
		if err != nil {
			return
		}
		for _, fields := range got {
			for i, v := range fields {
				// Drops the mark of a quoted field; an unquoted one cannot begin with a quote.
				fields[i] = strings.ReplaceAll(strings.TrimPrefix(v, `"`), "\r\n", "\n")
			}
		}
		if want == nil {
			want = [][]string{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-encoding/csv +got\n%s", diff)
		}
	})
}
