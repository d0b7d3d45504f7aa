package importjob

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tidemill/tidemill/internal/bulk"
)

// typeLimit is how much of a value a column keeps. PostgreSQL takes more than that without a word, and rounds it or cuts
// it off.
type typeLimit struct {
	exceeds func(value []byte, limit int) bool
	limit   int
}

// limitOf is nil for a column that keeps all, or refuses it.
func limitOf(column *bulk.Column) *typeLimit {
	if column == nil {
		return nil
	}
	const header = 4 // of type modifiers
	switch column.BaseOID {
	case pgtype.NumericOID:
		if column.BaseMod >= header {
			return &typeLimit{moreDigits, ((int(column.BaseMod)-header)&0x7ff ^ 0x400) - 0x400}
		}
	case pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.TimeOID, pgtype.TimetzOID:
		if column.BaseMod >= 0 {
			return &typeLimit{moreOfASecond, int(column.BaseMod)}
		}
		return &typeLimit{moreOfASecond, 6}
	case pgtype.VarcharOID, pgtype.BPCharOID:
		if column.BaseMod >= header {
			return &typeLimit{longer, int(column.BaseMod) - header}
		}
	}
	return nil
}

// longer: of a text that is too long, spaces at its end are cut off; others are refused.
func longer(value []byte, limit int) bool {
	return len(value) > limit && utf8.RuneCount(value) > limit
}

// moreDigits reports whether a number has more digits after its point than the limit. Zeros at the end are none.
func moreDigits(value []byte, limit int) bool {
	mantissa, exponent := bytes.TrimSpace(value), 0
	if at := bytes.IndexAny(mantissa, "eE"); at >= 0 {
		n, err := strconv.Atoi(string(mantissa[at+1:]))
		if err != nil {
			return false // no number; it is refused
		}
		mantissa, exponent = mantissa[:at], n
	}
	fraction, zeros, point := 0, 0, false
	for _, c := range mantissa {
		switch {
		case c == '.':
			point = true
			continue
		case c == '0':
			zeros++
		case '1' <= c && c <= '9':
			zeros = 0
		default:
			continue // a sign
		}
		if point {
			fraction++
		}
	}
	if zeros == digits(mantissa) { // zero
		return false
	}
	return fraction-zeros-exponent > limit
}

func digits(text []byte) int {
	n := 0
	for _, c := range text {
		if '0' <= c && c <= '9' {
			n++
		}
	}
	return n
}

// moreOfASecond reports whether a time has more digits after the second's point than the limit.
func moreOfASecond(value []byte, limit int) bool {
	colon := bytes.LastIndexByte(value, ':')
	for colon >= 0 && !bytes.ContainsRune(value[colon:], '.') { // that of an offset
		colon = bytes.LastIndexByte(value[:colon], ':')
	}
	if colon < 0 {
		return false
	}
	fraction := value[colon+bytes.IndexByte(value[colon:], '.')+1:]
	n := 0
	for n < len(fraction) && '0' <= fraction[n] && fraction[n] <= '9' {
		n++
	}
	return len(bytes.TrimRight(fraction[:n], "0")) > limit
}
