package textin

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestInvalid(t *testing.T) {
	t.Parallel()

	tests := []struct {
		e     Encoding
		raw   string
		why   string // empty: all is text
		clean string
	}{
		{Windows1252, "caf\xe9", "", "café"},
		{Windows1252, "x\ncafé caf\xe9 \x81!", "byte 0x81 at column 12 is not valid windows-1252", ""},
		{Latin1, "\x81", "", "\u0081"},
		{ShiftJIS, "\x93\xfa\x96\x7b", "", "日本"},
		{ShiftJIS, "a\r\n\x93\xfa\x96,b", "byte 0x96 at column 2 is not valid shift_jis", "a\r\n日\uFFFD,b"},
		{ShiftJIS, "\x93", "byte 0x93 at column 1 is not valid shift_jis", "\uFFFD"},
		{ShiftJIS, "\xa0\xfd\xfe\xff\x80", "byte 0xA0 at column 1", strings.Repeat("\uFFFD", 5)},
		{ShiftJIS, "\xf0\x40\x87\x40\xfb\xfc", "", "\ue000①髙"},
		{EUCJP, "\xc6\xfc\x8e\xb1\x8f\xb0\xa1", "", "日ｱ丂"},
		{EUCJP, "\xc6\xfc\xc6\n", "byte 0xC6 at column 2 is not valid euc-jp", "日\uFFFD\n"},
		{EUCJP, "\x8f\xb0", "byte 0x8F at column 1", ""},
		{EUCJP, "\x8e\x41", "byte 0x8E at column 1", "\uFFFDA"},
		{UTF16LE, "a\x00\x3d\xd8b\x00", "0xD83D at column 2 is half of a character in utf-16le", "a\uFFFD\uFFFDb"},
		{UTF16BE, "\x00a\xdc\x00\x00\n", "0xDC00 at column 2 is half", "a\uFFFD\uFFFD\n"},
		{UTF16LE, "a\x00\x3d\xd8", "0xD83D at column 2 is half", "a\uFFFD\uFFFD"},
		{UTF16LE, "a\x00b", "byte 0x62 at column 2 is half of a character in utf-16le; the file was cut off", "a\uFFFD"},
		{UTF8, "日\xe9x", "byte 0xE9 at column 2 is not valid utf-8", "日\uFFFDx"},
		{UTF8, "日本", "", "日本"},
	}
	for _, tt := range tests {
		got, err := text(t, []byte(tt.raw), Format{None, tt.e}, 0)
		if err != nil {
			t.Fatal(err)
		}
		at, why := tt.e.Invalid([]byte(got))
		if (at < 0) != (tt.why == "") || !strings.HasPrefix(why, tt.why) || (at < 0) != utf8.ValidString(got) {
			t.Errorf("%s %q: at %d: %s; want %q", tt.e, tt.raw, at, why, tt.why)
		}
		clean := string(tt.e.Clean(nil, []byte(got)))
		if tt.clean != "" && clean != tt.clean {
			t.Errorf("%s %q: clean %q, want %q", tt.e, tt.raw, clean, tt.clean)
		}
		if tt.why == "" && got != tt.clean || !utf8.ValidString(clean) {
			t.Errorf("%s %q: text %q, want %q", tt.e, tt.raw, got, tt.clean)
		}
	}
}
