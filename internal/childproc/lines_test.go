package childproc

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// split feeds text in portions of size bytes and returns what comes out, pieces of unfinished lines marked by a +.
func split(text string, size int) []string {
	var out []string
	l := lines{emit: func(text string, end bool) {
		if !end {
			text += "+"
		}
		out = append(out, text)
	}}
	for len(text) > 0 {
		n := min(size, len(text))
		l.write([]byte(text[:n]))
		text = text[n:]
	}
	l.close()
	return out
}

func TestLines(t *testing.T) {
	t.Parallel()

	long := strings.Repeat("x", maxLine)
	odd := "x" + strings.Repeat("é", maxLine/2) // the limit falls into a character
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"lines", "one\ntwo\n\nfour", []string{"one", "two", "", "four+"}},
		{"CRLF", "one\r\ntwo\r\n", []string{"one", "two"}},
		{"progress", "10 %\r20 %\r100 %\ndone\n", []string{"100 %", "done"}},
		{"progress that ends with CR", "10 %\r100 %\r", []string{"100 %+"}},
		{"several CR", "one\r\r\ntwo\r\rthree\n", []string{"one", "three"}},
		{"CR first", "\rone\n", []string{"one"}},
		{"invalid", "a\xff\xfeb\xc3\n\xe3\x81", []string{"a\ufffdb\ufffd", "\ufffd+"}},
		{"NUL", "a\x00b\n", []string{"a\ufffdb"}},
		{"exactly long", long + "\n", []string{long}},
		{"too long", long + "y\n", []string{long + "+", "y"}},
		{"much too long", long + long + "\n", []string{long + "+", long}},
		{"split between characters", odd + "\n", []string{odd[:maxLine-1] + "+", odd[maxLine-1:]}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 2, 3, 1000, len(tt.text) + 1} {
				if diff := cmp.Diff(tt.want, split(tt.text, size)); diff != "" {
					t.Errorf("in portions of %d (-want +got):\n%s", size, diff)
				}
			}
		})
	}
}

func FuzzLines(f *testing.F) {
	f.Add("one\r\ntwo\rthree\xff\n", 1)
	f.Add(strings.Repeat("é", maxLine), 7)
	f.Fuzz(func(t *testing.T, text string, size int) {
		whole := split(text, len(text)+1)
		if diff := cmp.Diff(whole, split(text, 1+size&0xff)); diff != "" {
			t.Errorf("portions make a difference (-whole +portions):\n%s", diff)
		}
		ends := 0
		for _, line := range whole {
			if !utf8.ValidString(line) || strings.ContainsAny(line, "\x00\n\r") || len(line) > 3*maxLine {
				t.Errorf("bad line of %d bytes: %.100q", len(line), line)
			}
			if !strings.HasSuffix(line, "+") {
				ends++
			}
		}
		if !strings.Contains(text, "+") && ends != strings.Count(text, "\n") {
			t.Errorf("%d lines end, the text has %d line feeds", ends, strings.Count(text, "\n"))
		}
	})
}

func TestKeeper(t *testing.T) {
	t.Parallel()

	tests := []struct {
		max       int
		in, want  string
		truncated bool
	}{
		{8, "", "", false},
		{8, "abcdefgh", "abcdefgh", false},
		{8, "abcdefghi", "ab\n… 1 bytes left out …\ndefghi", true},
		{8, "a\nbcdefghijkl", "a\n… 5 bytes left out …\nghijkl", true},
		{8, "aébéééé", "a\n… 5 bytes left out …\nééé", true},
		{8, "abcéééxé", "ab\n… 5 bytes left out …\néxé", true},
		{0, "abc", "… 3 bytes left out …\n", true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%q", tt.in), func(t *testing.T) {
			t.Parallel()
			for size := 1; size <= len(tt.in)+1; size++ {
				k := headTail{max: tt.max}
				for rest := tt.in; rest != ""; {
					n := min(size, len(rest))
					k.write(rest[:n])
					rest = rest[n:]
				}
				if got := k.text(); got != tt.want || k.truncated() != tt.truncated {
					t.Errorf("in portions of %d: %q, truncated %t; want %q", size, got, k.truncated(), tt.want)
				}
			}
		})
	}
}

func FuzzKeeper(f *testing.F) {
	f.Add("hello", 3, 2)
	f.Fuzz(func(t *testing.T, text string, limit, size int) {
		limit, size = limit&0x3f, 1+size&0xf
		text = strings.ToValidUTF8(text, "?")
		k := headTail{max: limit}
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			k.write(rest[:n])
			rest = rest[n:]
		}
		got := k.text()
		if len(text) <= limit {
			if got != text {
				t.Errorf("%q became %q", text, got)
			}
			return
		}
		if !utf8.ValidString(got) {
			t.Errorf("%q is cut within a character", got)
		}
		var left int
		head, tail, found := strings.Cut(got, "… ")
		if found {
			_, err := fmt.Sscanf(tail, "%d bytes left out …", &left)
			found = err == nil
			_, tail, _ = strings.Cut(tail, "…\n")
		}
		if strings.Contains(text, "…") { // the mark cannot be told from the text
			return
		}
		if !found || !strings.HasPrefix(text, strings.TrimSuffix(head, "\n")) || !strings.HasSuffix(text, tail) {
			t.Fatalf("%q with %d became %q", text, limit, got)
		}
		if kept := len(text) - left; kept > limit || kept < limit-2*utf8.UTFMax {
			t.Errorf("%d bytes are kept of %d, with room for %d", kept, len(text), limit)
		}
	})
}

func TestShorten(t *testing.T) {
	t.Parallel()

	if got := shorten("  short \t"); got != "short" {
		t.Errorf("got %q", got)
	}
	if got, want := shorten("x"+strings.Repeat("é", 400)), "x"+strings.Repeat("é", 249)+"…"; got != want {
		t.Errorf("got %q", got)
	}
}
