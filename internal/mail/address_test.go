package mail_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/mail"
)

func TestParseAddresses(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"":                            nil,
		" , ":                         nil,
		"jo@example.com":              {"jo@example.com"},
		"Jo <jo@example.com>,":        {"jo@example.com"},
		`"Doe, Jo" <jo@x.org>, a@b.c`: {"jo@x.org", "a@b.c"},
		"=?utf-8?q?J=C3=B6?= <j@x.y>": {"j@x.y"},
		"jö@example.com":              {"jö@example.com"},
		`"a b"@example.com`:           {"a b@example.com"},
		"Team: a@b.c, d@e.f;":         {"a@b.c", "d@e.f"},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			list, err := mail.ParseAddresses(text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range list {
				got = append(got, a.Address)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseAddressesRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"jo":                                   `"jo" is no address: `,
		"jo@example.com; a@b.c":                "is no address: ",
		"jo@example.com\r\nBcc: all@x.org":     "has a line break, which a header cannot have",
		"jo@example.com\nX: y":                 "has a line break",
		"jo@example.com\rX: y":                 "has a line break",
		"J\x00o <jo@example.com>":              "has a control character (U+0000)",
		"J\u0085o <jo@example.com>":            "has a control character (U+0085)",
		"J\u2028o <jo@example.com>":            "has a control character (U+2028)",
		"\xff <jo@example.com>":                "is not UTF-8",
		"=?utf-8?q?a=0D=0AX=3A_y?= <jo@x.org>": "has a line break",
		strings.Repeat("a", 250) + "@x.org":    "it has more than 254 bytes",
	}
	for text, want := range tests {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			list, err := mail.ParseAddresses(text)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q gives %v, error %v, want one with %q", text, list, err, want)
			}
		})
	}
}

func FuzzParseAddresses(f *testing.F) {
	for _, seed := range []string{"jo@example.com", "A <a@b.c>, d@e.f", "\"\\\r\n\"@x", "=?utf-8?q?=0A?= <a@b>", "a@[127.0.0.1]", "(c) a@b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := mail.ParseAddresses(text)
		if err != nil {
			return
		}
		for _, a := range list {
			if strings.ContainsAny(a.String()+a.Address, "\r\n\x00") {
				t.Fatalf("%q gives %q", text, a)
			}
			again, err := mail.ParseAddresses(a.String())
			if err != nil || len(again) != 1 || again[0].Address != a.Address {
				t.Fatalf("%q gives %q, which reads as %v, %v", text, a, again, err)
			}
		}
	})
}
