package rowout

import (
	"bytes"
	"encoding/binary"
)

// NDJSON is Rows of NDJSON. The COPY must have FORMAT binary; the last of its columns is the object, of type json, and
// those before it, of type text, are not in the file.
type NDJSON struct{}

// signature begins a binary COPY. Flags and the length of an extension follow.
const signature = "PGCOPY\n\xff\r\n\x00"

// fields yields the columns of a message; there are none in the trailer.
func fields(message []byte) (columns [][]byte, err error) {
	rest := message
	if bytes.HasPrefix(rest, []byte(signature)) {
		rest = rest[len(signature):]
		if len(rest) < 8 {
			return nil, malformed(message)
		}
		extension := binary.BigEndian.Uint32(rest[4:])
		rest = rest[8:]
		if uint64(len(rest)) < uint64(extension) {
			return nil, malformed(message)
		}
		rest = rest[extension:]
	}
	if len(rest) == 0 { // the header alone
		return nil, nil
	}
	if len(rest) < 2 {
		return nil, malformed(message)
	}
	n := int16(binary.BigEndian.Uint16(rest))
	rest = rest[2:]
	if n == -1 {
		return nil, nil
	}
	if n < 1 {
		return nil, malformed(message)
	}
	columns = make([][]byte, 0, 4)
	for range n {
		if len(rest) < 4 {
			return nil, malformed(message)
		}
		length := int32(binary.BigEndian.Uint32(rest))
		rest = rest[4:]
		switch {
		case length == -1:
			columns = append(columns, nil)
			continue
		case length < 0 || int(length) > len(rest):
			return nil, malformed(message)
		}
		columns = append(columns, rest[:length:length])
		rest = rest[length:]
	}
	if len(rest) > 0 {
		return nil, malformed(message)
	}
	return columns, nil
}

// Append implements Rows.
func (NDJSON) Append(dst, message []byte) ([]byte, bool, int, error) {
	columns, err := fields(message)
	if err != nil {
		return dst, false, 0, err
	}
	if columns == nil {
		return dst, false, 0, nil
	}
	begin := len(dst)
	dst = append(dst, columns[len(columns)-1]...)
	// A value of type json keeps the line ends that it was written with. Outside of its strings they are mere space, and
	// within them there can be none.
	if object := dst[begin:]; bytes.IndexByte(object, '\n') >= 0 || bytes.IndexByte(object, '\r') >= 0 {
		for i, c := range object {
			if c == '\n' || c == '\r' {
				object[i] = ' '
			}
		}
	}
	return append(dst, '\n'), true, 0, nil
}

// Values implements Rows.
func (NDJSON) Values(message []byte, n int) ([]Value, error) {
	columns, err := fields(message)
	if err != nil || columns == nil {
		return nil, err
	}
	if len(columns) < n+1 {
		return nil, malformed(message)
	}
	values := make([]Value, n)
	for i, column := range columns[:n] {
		values[i] = Value{Text: string(column), Null: column == nil}
	}
	return values, nil
}
