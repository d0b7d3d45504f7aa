package batch

import (
	"bytes"
	"encoding/json"
	"strings"
)

// storable makes text of any origin fit for a column of type text.
func storable(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
}

// storableJSON encodes a value for a column of type jsonb, which takes no NUL, though JSON has a way to write one. Another
// character stands for it, so that names that differ still do.
func storableJSON(value any) (json.RawMessage, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	const escape, instead = `\u0000`, `\ufffd`
	if !bytes.Contains(encoded, []byte(escape)) {
		return encoded, nil
	}
	for i := 0; i < len(encoded); i++ {
		if encoded[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(encoded[i:], []byte(escape)) {
			copy(encoded[i:], instead)
		}
		i++ // what is escaped begins no escape itself
	}
	return encoded, nil
}
