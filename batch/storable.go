package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/tidemill/tidemill/internal/dbtext"
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

// shown encodes what is kept for people to see. A cursor is not: it must come back as it was.
func (e *Engine) shown(ctx context.Context, db dbtext.Querier, value any) (json.RawMessage, error) {
	encoded, err := storableJSON(value)
	if err != nil {
		return nil, err
	}
	return dbtext.FitJSON(e.encoding.Of(ctx, db), encoded), nil
}

// storable is the text of a run outside as the ledger's database takes it.
func (l *Ledger) storable(ctx context.Context, text string) string {
	return dbtext.Fit(l.encoding.Of(ctx, l.pool), storable(text))
}

func (l *Ledger) storableJSON(ctx context.Context, value any) (json.RawMessage, error) {
	encoded, err := storableJSON(value)
	if err != nil {
		return nil, err
	}
	return dbtext.FitJSON(l.encoding.Of(ctx, l.pool), encoded), nil
}
