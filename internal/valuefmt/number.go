package valuefmt

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"
)

const groupDigits = 3

type number struct{ decimal, grouping string }

func (f Format) compileNumber() (*Converter, error) {
	n := number{f.Decimal, f.Grouping}
	if n.decimal == "" {
		n.decimal = "."
	}
	for _, sign := range []struct{ name, value string }{{"decimal", n.decimal}, {"grouping", n.grouping}} {
		r, size := utf8.DecodeRuneInString(sign.value)
		if sign.value != "" && (size != len(sign.value) || unicode.IsDigit(r) || unicode.IsLetter(r) || r == '-' || r == '+') {
			return nil, problem(sign.name, sign.value, "is not one character that is no digit, letter or sign", "")
		}
	}
	if n.decimal == n.grouping {
		return nil, problem("grouping", n.grouping, "is decimal, too", "choose two characters, or leave grouping out")
	}
	return &Converter{text: n.append, value: number{decimal: "."}.append}, nil
}

// append writes digits, a point and digits. No digit is lost or added.
func (n number) append(dst, value []byte) ([]byte, error) {
	rest := bytes.TrimSpace(value)
	rest, negative := cutSign(rest)
	if negative {
		dst = append(dst, '-')
	}
	whole, groups, last := 0, 0, 0 // digits, separators, digits after the last separator
	for len(rest) > 0 {
		if b := rest[0]; b >= '0' && b <= '9' {
			dst = append(dst, b)
			whole++
			last++
			rest = rest[1:]
			continue
		}
		size := n.separator(rest)
		if size == 0 {
			break
		}
		if last == 0 || last > groupDigits || groups > 0 && last != groupDigits {
			return nil, n.refuse(value)
		}
		groups++
		last = 0
		rest = rest[size:]
	}
	if groups > 0 && last != groupDigits {
		return nil, n.refuse(value)
	}
	fraction := 0
	if bytes.HasPrefix(rest, []byte(n.decimal)) {
		rest = rest[len(n.decimal):]
		if whole == 0 {
			dst = append(dst, '0')
		}
		for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
			if fraction == 0 {
				dst = append(dst, '.')
			}
			dst = append(dst, rest[0])
			fraction++
			rest = rest[1:]
		}
	}
	if whole+fraction == 0 {
		return nil, n.refuse(value)
	}
	dst, rest = appendExponent(dst, rest)
	if len(rest) > 0 {
		return nil, n.refuse(value)
	}
	return dst, nil
}

// cutSign takes one sign off: -, + and the minus of typesetters in front, or a -
// after, as some accounting programs write it.
func cutSign(value []byte) (rest []byte, negative bool) {
	const minus = "\u2212"
	switch {
	case bytes.HasPrefix(value, []byte("-")):
		return value[1:], true
	case bytes.HasPrefix(value, []byte(minus)):
		return value[len(minus):], true
	case bytes.HasPrefix(value, []byte("+")):
		return value[1:], false
	case bytes.HasSuffix(value, []byte("-")):
		return value[:len(value)-1], true
	}
	return value, false
}

// separator is the length of the grouping character that rest begins with.
func (n number) separator(rest []byte) int {
	if n.grouping == "" {
		return 0
	}
	if n.grouping == " " {
		if r, size := utf8.DecodeRune(rest); unicode.IsSpace(r) || r == '\u202f' {
			return size
		}
		return 0
	}
	if bytes.HasPrefix(rest, []byte(n.grouping)) {
		return len(n.grouping)
	}
	return 0
}

// appendExponent takes e10, E+10 and the like.
func appendExponent(dst, rest []byte) (out, left []byte) {
	if len(rest) < 2 || rest[0]|0x20 != 'e' {
		return dst, rest
	}
	digits := rest[1:]
	if digits[0] == '+' || digits[0] == '-' {
		digits = digits[1:]
	}
	for _, b := range digits {
		if b < '0' || b > '9' {
			return dst, rest
		}
	}
	if len(digits) == 0 {
		return dst, rest
	}
	return append(dst, rest...), nil
}

func (n number) refuse(value []byte) error {
	example := "1234" + n.decimal + "56"
	if n.grouping != "" {
		example += " or 1" + n.grouping + "234" + n.decimal + "56"
	}
	return fmt.Errorf("%s is not a number like %s", quoted(value), example)
}
