package config

// Schema is the JSON Schema (draft 2020-12) of tidemill.yaml, for editors. It knows
// the structure and the form of values; rules between fields it does not know.
func Schema(kinds []Kind) []byte {
	return jsonSchema("tidemill.yaml", section[Config]{(&Config{kinds: kinds}).fields()}.shape().schema)
}
