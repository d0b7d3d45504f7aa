package statement

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tidemill/tidemill/config"
)

// Values returns the values of a statement's parameters in PostgreSQL's text form, which the server reads as whatever
// type it found for the parameter; nil is NULL.
func Values(types *pgtype.Map, names []string, oids []uint32, params map[string]any) ([][]byte, error) {
	if len(oids) != len(names) {
		return nil, fmt.Errorf("statement: PostgreSQL sees %d parameters in it, and there are %d names; declare the params that it uses", len(oids), len(names))
	}
	values := make([][]byte, len(names))
	for i, name := range names {
		value, ok := params[name]
		if !ok {
			return nil, fmt.Errorf("statement: it uses :%s, and the job declares no such param", name)
		}
		if value == nil {
			continue
		}
		text, err := sqlText(value, isArray(types, oids[i]))
		if err != nil {
			return nil, fmt.Errorf("param %q: %w", name, err)
		}
		values[i] = []byte(text)
	}
	return values, nil
}

func isArray(types *pgtype.Map, oid uint32) bool {
	t, ok := types.TypeForOID(oid)
	if !ok {
		return false
	}
	_, array := t.Codec.(*pgtype.ArrayCodec)
	return array
}

// sqlText is the text form of a value that ResolveParams returned. A JSON array becomes an array where PostgreSQL wants
// one.
func sqlText(value any, array bool) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case json.Number:
		return v.String(), nil
	case config.Date:
		return v.String(), nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case json.RawMessage:
		if array && len(v) > 0 && v[0] == '[' {
			return arrayText(v)
		}
		return string(v), nil
	}
	return "", fmt.Errorf("a value of Go type %T cannot be sent", value)
}

// arrayText writes a JSON array as PostgreSQL reads arrays.
func arrayText(data json.RawMessage) (string, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return "", err
	}
	texts := make([]string, len(items))
	for i, item := range items {
		item = bytes.TrimSpace(item)
		switch {
		case string(item) == "null":
			texts[i] = "NULL"
		case item[0] == '[':
			nested, err := arrayText(item)
			if err != nil {
				return "", err
			}
			texts[i] = nested
		case item[0] == '"':
			var s string
			if err := json.Unmarshal(item, &s); err != nil {
				return "", err
			}
			texts[i] = arrayQuote(s)
		default:
			texts[i] = arrayQuote(string(item))
		}
	}
	return "{" + strings.Join(texts, ",") + "}", nil
}

func arrayQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Cast is the type that a cast would give to a value that reads as one of few types; "" for others.
func Cast(value any) string {
	switch value.(type) {
	case bool:
		return "boolean"
	case config.Date:
		return "date"
	case time.Time:
		return "timestamptz"
	}
	return ""
}
