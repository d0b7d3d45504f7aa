package bulk

import (
	"strings"
	"unicode/utf8"
)

// copyContext finds what the server says about the position in a COPY into table: the row (1 for the first) and the
// text after the number. The words around are in the server's language, only "COPY table" and the number are not.
//
// The first line that begins with COPY and the name counts. Lines of triggers can be before it. It can be followed by
// lines that come from the value of a cell, and those must not be believed.
func copyContext(where, table string) (row int, rest string, ok bool) {
	lines := strings.Split(where, "\n")
	for i, line := range lines {
		after, found := strings.CutPrefix(line, "COPY "+table)
		if !found {
			continue
		}
		if first, _ := utf8.DecodeRuneInString(after); first != ',' && first != '、' && first != '，' && first != ' ' {
			continue // another table, whose name begins like this one
		}
		if row, rest, ok = firstNumber(after); ok {
			return row, strings.Join(append([]string{rest}, lines[i+1:]...), "\n"), true
		}
	}
	// A language with another order of words.
	for i, line := range lines {
		_, after, found := strings.Cut(line, table)
		if !found || !strings.Contains(line, "COPY") || after != "" && nameByte(after[0]) {
			continue
		}
		if row, rest, ok = firstNumber(after); ok {
			return row, strings.Join(append([]string{rest}, lines[i+1:]...), "\n"), true
		}
	}
	return 0, "", false
}

func nameByte(c byte) bool {
	return digit(c) || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func firstNumber(s string) (n int, rest string, ok bool) {
	start := strings.IndexAny(s, "0123456789")
	if start < 0 {
		return 0, "", false
	}
	end := start
	for end < len(s) && digit(s[end]) {
		if n > 1<<40 {
			return 0, "", false
		}
		n = n*10 + int(s[end]-'0')
		end++
	}
	return n, s[end:], n > 0
}

// contextColumn finds the name of the column in the context of a COPY error: it is between the row number and the
// quoted value or the colon. Empty if there is none.
func contextColumn(where string, columns []*Column) string {
	for line := range strings.SplitSeq(where, "\n") {
		if !strings.HasPrefix(line, "COPY ") {
			continue
		}
		head := line
		if i := strings.IndexAny(line, ":\"«»„“「"); i >= 0 {
			head = line[:i]
		}
		head = strings.TrimRight(head, " \u00a0")
		longest := ""
		for _, c := range columns {
			if strings.HasSuffix(head, " "+c.Name) && len(c.Name) > len(longest) {
				longest = c.Name
			}
		}
		return longest
	}
	return ""
}
