package bulk

import (
	"bytes"
	"strconv"
)

// fold is how values of a match column are brought into a form in which those that are equal for the table have the
// same bytes.
type fold uint8

const (
	// foldNone: no such form is known for the type.
	foldNone fold = iota
	foldText
	foldVarchar // varchar(n) drops blanks beyond n
	foldChar    // blanks at the end do not count
	foldInt
	foldUUID
	foldDate
)

func foldOf(c *Column) fold {
	switch c.BaseOID {
	case oidInt2, oidInt4, oidInt8:
		return foldInt
	case oidUUID:
		return foldUUID
	case oidDate:
		return foldDate
	}
	if !c.Exact {
		return foldNone
	}
	switch c.BaseOID {
	case oidText:
		return foldText
	case oidVarchar:
		if maxLength(c) > 0 {
			return foldVarchar
		}
		return foldText
	case oidBPChar:
		return foldChar
	}
	return foldNone
}

// append appends the form of v, a value that was not refused. ok is false for the spellings whose form is not known.
func (f fold) append(dst, v []byte) (out []byte, ok bool) {
	switch f {
	case foldText:
		return append(dst, v...), true
	case foldVarchar:
		return append(dst, v...), len(v) == 0 || v[len(v)-1] != ' '
	case foldChar:
		return append(dst, bytes.TrimRight(v, " ")...), true
	case foldInt:
		n, err := strconv.ParseInt(string(trim(v)), 10, 64)
		return strconv.AppendInt(dst, n, 10), err == nil
	case foldUUID:
		for _, c := range v {
			if hex(c) {
				dst = append(dst, c|0x20) // lower case; digits have the bit set
			}
		}
		return dst, true
	case foldDate:
		return append(dst, v...), len(v) == 10 && isoDate(v)
	}
	return dst, false
}
