package field

import "testing"

// What differs in its number is another thing, not a slip.
func TestSuggestsNoOtherNumber(t *testing.T) {
	t.Parallel()

	encodings := []string{"utf-8", "utf-16le", "shift_jis", "euc-jp", "iso-8859-1", "windows-1252"}
	for got, want := range map[string]string{
		"windows-1251": "", "windows-1254": "", "iso-8859-2": "", "iso-8859-15": "", "utf-7": "",
		"window-1252": "windows-1252", "windows1252": "windows-1252", "iso8859-1": "iso-8859-1", "utf": "utf-8", "shift-jis": "shift_jis",
	} {
		if s := Suggest(got, encodings); s != want {
			t.Errorf("suggest(%q) = %q, want %q", got, s, want)
		}
	}
}
