package config

import "github.com/tidemill/tidemill/config/field"

// Schema is the JSON Schema (draft 2020-12) of tidemill.yaml, for editors. It knows
// the structure and the form of values; rules between fields it does not know.
func Schema(kinds []Kind) []byte {
	return field.Schema("tidemill.yaml", field.Section[Config]{Fields: (&Config{kinds: kinds}).fields()}.Meta().Schema)
}
