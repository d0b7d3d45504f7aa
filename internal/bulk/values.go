package bulk

import "unicode/utf8"

// kind groups the types whose input is checked before it is sent. The checks only ever refuse what every supported
// server (14 to 18) refuses; what they cannot decide goes to the server, which finds the row.
type kind uint8

const (
	kindOther kind = iota
	kindInt2
	kindInt4
	kindInt8
	kindNumber // float4, float8, numeric: the form only, not the range
	kindBool
	kindUUID
	kindDate
	kindTimestamp // with and without time zone
	kindVarchar   // varchar(n), char(n)
)

// SQLSTATEs of the checks.
const (
	codeTooLong      = "22001"
	codeOutOfRange   = "22003"
	codeBadDatetime  = "22007"
	codeDatetimeOver = "22008"
	codeBadEncoding  = "22021"
	codeBadText      = "22P02"
	codeNotNull      = "23502"
	codeForeignKey   = "23503"
	codeUnique       = "23505"
	codeExclusion    = "23P01"
)

// OIDs of built-in types; they never change.
const (
	oidBool        = 16
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidFloat4      = 700
	oidFloat8      = 701
	oidBPChar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidNumeric     = 1700
	oidUUID        = 2950
	oidBytea       = 17
	oidJSONB       = 3802
)

func kindOf(c *Column) kind {
	switch c.BaseOID {
	case oidInt2:
		return kindInt2
	case oidInt4:
		return kindInt4
	case oidInt8:
		return kindInt8
	case oidFloat4, oidFloat8, oidNumeric:
		return kindNumber
	case oidBool:
		return kindBool
	case oidUUID:
		return kindUUID
	case oidDate:
		return kindDate
	case oidTimestamp, oidTimestamptz:
		return kindTimestamp
	case oidVarchar, oidBPChar:
		if maxLength(c) > 0 {
			return kindVarchar
		}
	}
	return kindOther
}

// maxLength is n of varchar(n) or char(n) in characters; 0 if there is no limit. The modifier counts a header of 4.
func maxLength(c *Column) int { return max(0, int(c.BaseMod)-4) }

// refuse returns the SQLSTATE with which the type certainly refuses v, or "". limit is for kindVarchar.
func refuse(k kind, limit int, v []byte) string {
	switch k {
	case kindInt2:
		return refuseInt(v, 4, "32767", "32768")
	case kindInt4:
		return refuseInt(v, 9, "2147483647", "2147483648")
	case kindInt8:
		return refuseInt(v, 18, "9223372036854775807", "9223372036854775808")
	case kindNumber:
		return refuseNumber(v)
	case kindBool:
		return refuseBool(v)
	case kindUUID:
		return refuseUUID(v)
	case kindDate, kindTimestamp:
		return refuseDatetime(v)
	case kindVarchar:
		return refuseLong(v, limit)
	}
	return ""
}

// space is isspace of the C locale.
func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func digit(c byte) bool { return c >= '0' && c <= '9' }

func trim(v []byte) []byte {
	for len(v) > 0 && space(v[0]) {
		v = v[1:]
	}
	for len(v) > 0 && space(v[len(v)-1]) {
		v = v[:len(v)-1]
	}
	return v
}

// refuseInt decides decimal integers. safe is the number of digits that always fit; highest and lowest are the limits
// without sign. Hexadecimal, octal, binary and underscores are left to the server: accepted from version 16 on.
func refuseInt(v []byte, safe int, highest, lowest string) string {
	v = trim(v)
	limit := highest
	if len(v) > 0 && (v[0] == '-' || v[0] == '+') {
		if v[0] == '-' {
			limit = lowest
		}
		v = v[1:]
	}
	if len(v) == 0 {
		return codeBadText
	}
	for i, c := range v {
		switch {
		case digit(c):
		case c == '_' && i > 0, i == 1 && v[0] == '0' && radix(c):
			return ""
		default:
			return codeBadText
		}
	}
	if len(v) <= safe {
		return ""
	}
	for len(v) > 0 && v[0] == '0' {
		v = v[1:]
	}
	if len(v) > len(limit) || len(v) == len(limit) && string(v) > limit {
		return codeOutOfRange
	}
	return ""
}

func radix(c byte) bool {
	switch c {
	case 'x', 'X', 'o', 'O', 'b', 'B':
		return true
	}
	return false
}

// refuseNumber decides the form digits.digits e digits. Words (NaN, infinity) and other radices go to the server.
func refuseNumber(v []byte) string {
	v = trim(v)
	if len(v) > 0 && (v[0] == '-' || v[0] == '+') {
		v = v[1:]
	}
	if len(v) == 0 {
		return codeBadText
	}
	switch c := v[0]; {
	case c == 'n' || c == 'N' || c == 'i' || c == 'I':
		return ""
	case c == '0' && len(v) > 1 && radix(v[1]):
		return ""
	case !digit(c) && c != '.':
		return codeBadText
	}
	i, digits := 0, 0
	for ; i < len(v) && digit(v[i]); i++ {
		digits++
	}
	if i < len(v) && v[i] == '.' {
		for i++; i < len(v) && digit(v[i]); i++ {
			digits++
		}
	}
	if digits > 0 && i < len(v) && (v[i] == 'e' || v[i] == 'E') {
		i++
		if i < len(v) && (v[i] == '-' || v[i] == '+') {
			i++
		}
		for digits = 0; i < len(v) && digit(v[i]); i++ {
			digits++
		}
	}
	if digits > 0 && (i == len(v) || v[i] == '_') {
		return "" // underscores: the server decides by its version
	}
	return codeBadText
}

// refuseBool decides completely: 1, 0 and the unambiguous beginnings of true, false, yes, no, on, off.
func refuseBool(v []byte) string {
	v = trim(v)
	if len(v) == 1 && (v[0] == '1' || v[0] == '0') {
		return ""
	}
	if len(v) == 0 || len(v) > 5 {
		return codeBadText
	}
	for _, word := range [...]string{"true", "false", "yes", "no", "on", "off"} {
		if len(v) <= len(word) && foldEqual(v, word[:len(v)]) && (len(v) > 1 || word[0] != 'o') {
			return ""
		}
	}
	return codeBadText
}

// foldEqual compares v with a word in lower case, for ASCII. The lengths are equal.
func foldEqual(v []byte, word string) bool {
	for i, c := range v {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// refuseUUID decides completely: 32 hexadecimal digits, a hyphen after any group of four, braces around it.
func refuseUUID(v []byte) string {
	if len(v) >= 2 && v[0] == '{' && v[len(v)-1] == '}' {
		v = v[1 : len(v)-1]
	}
	for group := range 8 {
		if group > 0 && len(v) > 0 && v[0] == '-' {
			v = v[1:]
		}
		if len(v) < 4 || !hex(v[0]) || !hex(v[1]) || !hex(v[2]) || !hex(v[3]) {
			return codeBadText
		}
		v = v[4:]
	}
	if len(v) > 0 {
		return codeBadText
	}
	return ""
}

func hex(c byte) bool { return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// refuseLong counts characters; blanks beyond the limit are cut off by the server without an error.
func refuseLong(v []byte, limit int) string {
	for len(v) > limit && v[len(v)-1] == ' ' {
		v = v[:len(v)-1]
	}
	if len(v) <= limit || utf8.RuneCount(v) <= limit {
		return ""
	}
	return codeTooLong
}
