package rowout

import "testing"

func TestNumbersAndPhoneNumbersAreNoFormulas(t *testing.T) {
	t.Parallel()

	c := NewCSV(CSVOpts{Columns: 1, Delimiter: ';', Defuse: []bool{true}})
	for text, want := range map[string]string{
		"-12.5": "-12.5", "+49 30 12345": "+49 30 12345", "+49 (0) 30 12345": "+49 (0) 30 12345", "+1-555-0100": "'+1-555-0100", "+1.234,50": "+1.234,50", "-7": "-7",
		"=1+1": "'=1+1", "@x": "'@x", "+1+1": "'+1+1", "-1-1": "'-1-1", "+": "'+", "-": "'-", "-x": "'-x", "+cmd|' /C calc'!A0": "'+cmd|' /C calc'!A0", "+A1": "'+A1", "a=1": "a=1",
	} {
		out, _, defused, err := c.Append(nil, []byte(text+"\n"))
		if err != nil || string(out) != want+"\n" || (defused == 1) != (want != text) {
			t.Errorf("%s: %s, %d defused, %v; want %s", text, out, defused, err, want)
		}
	}
}
