// Package sqlparams finds the named parameters of an SQL statement.
//
// A parameter is written :name. It reaches PostgreSQL as $1, $2 and so on with its value beside the statement, so that
// no value can change what the statement does. The scanner follows PostgreSQL's lexical rules: nothing within a string,
// a quoted identifier, a dollar quote or a comment is a parameter. It assumes standard_conforming_strings, which has been
// PostgreSQL's default since version 9.1.
package sqlparams

import (
	"fmt"
	"strconv"
	"strings"
)

// Bind returns the statement with each :name replaced by $1, $2 and so on, and the names in that order, each once.
//
// A colon begins no name where PostgreSQL gives it another meaning: in a cast (x::date), in :=, and in the slice of an
// array (a[1:2], a[low:high]), where it is right after a value in square brackets or in front of a digit or a space.
//
// The error tells the line and column, in characters from 1, of a quote or comment that is not closed, or of a $1 that is
// there already.
func Bind(statement string) (sql string, names []string, err error) {
	s := scanner{text: statement, numbers: map[string]int{}}
	s.place = func(n int) string { return "$" + strconv.Itoa(n) }
	if err := s.scan(); err != nil {
		return "", nil, err
	}
	s.out.WriteString(statement[s.copied:])
	return s.out.String(), s.names, nil
}

// Replace returns the statement with the n-th of the names that Bind returns, from 1, replaced by what with returns for n
// wherever it is: for commands that PostgreSQL takes no values beside. What with returns must be an expression in
// itself, and its values must be quoted.
func Replace(statement string, with func(n int) string) (string, error) {
	s := scanner{text: statement, numbers: map[string]int{}, place: with}
	if err := s.scan(); err != nil {
		return "", err
	}
	s.out.WriteString(statement[s.copied:])
	return s.out.String(), nil
}

// scanner walks over a statement token by token. at is always on the border of a token.
type scanner struct {
	text     string
	at       int
	brackets int // open [

	out     strings.Builder
	copied  int // as much of text is in out
	names   []string
	numbers map[string]int     // of the names, from 1
	place   func(n int) string // what stands for the n-th name
}

func (s *scanner) scan() error {
	for s.at < len(s.text) {
		start, c := s.at, s.text[s.at]
		var err error
		switch {
		case isNameStart(c):
			s.name()
			if word := s.text[start:s.at]; (word == "e" || word == "E") && s.has("'") {
				err = s.escapeString()
			}
		case c >= '0' && c <= '9':
			s.number()
		case c == '\'':
			err = s.quoted('\'', "string")
		case c == '"':
			err = s.quoted('"', "quoted identifier")
		case c == '$':
			err = s.dollar()
		case s.has("--"):
			s.lineComment()
		case s.has("/*"):
			err = s.blockComment()
		case s.has("::"), s.has(":="):
			s.at += 2
		case c == ':':
			s.colon()
		default:
			s.bracket(c)
			s.at++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) bracket(c byte) {
	switch {
	case c == '[':
		s.brackets++
	case c == ']' && s.brackets > 0:
		s.brackets--
	}
}

// colon starts at a single one, and writes a parameter if a name follows.
func (s *scanner) colon() {
	start := s.at
	s.at++
	if s.at == len(s.text) || !isNameStart(s.text[s.at]) || s.brackets > 0 && s.afterValue(start) {
		return
	}
	s.name()
	name := s.text[start+1 : s.at]
	n, known := s.numbers[name]
	if !known {
		s.names = append(s.names, name)
		n = len(s.names)
		s.numbers[name] = n
	}
	s.out.WriteString(s.text[s.copied:start])
	if start > 0 && isName(s.text[start-1]) {
		s.out.WriteByte(' ') // SELECT:day must not become the name SELECT$1
	}
	s.out.WriteString(s.place(n))
	s.copied = s.at
}

// afterValue reports whether a value ends right in front of i.
func (s *scanner) afterValue(i int) bool {
	return i > 0 && (isName(s.text[i-1]) || strings.IndexByte(`)]'"`, s.text[i-1]) >= 0)
}

// number moves past a number and the letters that follow at once: 1e5, 0x1F, or junk that PostgreSQL refuses. A dollar
// begins something new.
func (s *scanner) number() {
	for s.at < len(s.text) && s.text[s.at] != '$' && isName(s.text[s.at]) {
		s.at++
	}
}

// name moves past letters, digits and so on.
func (s *scanner) name() {
	for s.at < len(s.text) && isName(s.text[s.at]) {
		s.at++
	}
}

// quoted moves past a text in which a doubled quote stands for one.
func (s *scanner) quoted(quote byte, what string) error {
	start := s.at
	for s.at++; s.at < len(s.text); s.at++ {
		if s.text[s.at] != quote {
			continue
		}
		s.at++
		if s.at == len(s.text) || s.text[s.at] != quote {
			return nil
		}
	}
	return s.unclosed(start, what)
}

// escapeString moves past E'…', in which a backslash quotes too, and after its continuations on further lines, which
// are read as its beginning is.
func (s *scanner) escapeString() error {
	start := s.at
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '\'':
			s.at++
			if s.has("'") {
				continue
			}
			next := s.continuation()
			if next < 0 {
				return nil
			}
			s.at = next
		}
	}
	s.at = len(s.text)
	return s.unclosed(start, "string")
}

// continuation returns the place of the quote that continues the string which ended at s.at: one after nothing but
// space and comments, with a line end among them. It is negative if there is none.
func (s *scanner) continuation() int {
	newline := false
	for i := s.at; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\n' || c == '\r':
			newline = true
		case isSpace(c):
		case strings.HasPrefix(s.text[i:], "--"):
			end := strings.IndexAny(s.text[i:], "\r\n")
			if end < 0 {
				return -1
			}
			i += end - 1
		case c == '\'' && newline:
			return i
		default:
			return -1
		}
	}
	return -1
}

// DollarError is about a dollar that quotes nothing: one that stands alone, or one whose quote is not closed.
type DollarError struct{ message string }

func (e *DollarError) Error() string { return e.message }

// dollar moves past a dollar quote, $tag$…$tag$.
func (s *scanner) dollar() error {
	start := s.at
	s.at++
	if s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.number()
		return fmt.Errorf("%s at %s stands for a parameter by number; write :name, and declare name in params", s.text[start:s.at], s.where(start))
	}
	s.number() // a tag has the letters and digits of a name, but no dollar
	if !s.has("$") {
		return &DollarError{"the $ at " + s.where(start) + " stands alone"}
	}
	s.at++
	tag := s.text[start:s.at]
	length := strings.Index(s.text[s.at:], tag)
	if length < 0 {
		return &DollarError{s.unclosed(start, "dollar quote "+tag).Error()}
	}
	s.at += length + len(tag)
	return nil
}

func (s *scanner) lineComment() {
	length := strings.IndexAny(s.text[s.at:], "\r\n")
	if length < 0 {
		length = len(s.text) - s.at
	}
	s.at += length
}

// blockComment moves past a comment and those within it.
func (s *scanner) blockComment() error {
	start := s.at
	for depth := 0; s.at < len(s.text); {
		switch {
		case s.has("/*"):
			depth++
			s.at += 2
		case s.has("*/"):
			depth--
			s.at += 2
		default:
			s.at++
		}
		if depth == 0 {
			return nil
		}
	}
	return s.unclosed(start, "comment")
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.text[s.at:], prefix) }

func (s *scanner) unclosed(start int, what string) error {
	return fmt.Errorf("the %s that begins at %s is not closed", what, s.where(start))
}

func (s *scanner) where(at int) string {
	before := s.text[:at]
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return fmt.Sprintf("line %d, column %d", strings.Count(before, "\n")+1, len([]rune(line))+1)
}

// isNameStart reports whether an identifier begins with c. PostgreSQL counts every byte beyond ASCII as a letter.
func isNameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func isName(c byte) bool { return isNameStart(c) || c >= '0' && c <= '9' || c == '$' }

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
