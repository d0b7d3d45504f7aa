package field

import (
	"bytes"
	"encoding/json"
)

// Schema is the JSON Schema (draft 2020-12) of a file whose root is as described.
func Schema(title string, root map[string]any) []byte {
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = title
	root["patternProperties"] = map[string]any{"^" + ownPrefix: true}
	root["$defs"] = map[string]any{"env": map[string]any{
		"description": "A text with ${NAME} or ${NAME:-default}, replaced when the file is read.",
		"type":        "string",
		"pattern":     `\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`,
	}}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		panic("field: schema: " + err.Error()) // plain data always marshals
	}
	return b.Bytes()
}

// ObjectSchema describes a mapping with exactly these fields.
func ObjectSchema(fields []Info) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range fields {
		p := map[string]any{"description": f.Doc}
		for k, v := range f.Meta.Schema {
			p[k] = v
		}
		if f.Default != "" {
			p["default"] = jsonDefault(f.Default)
		}
		properties[f.Name] = p
		if f.required {
			required = append(required, f.Name)
		}
	}
	out := map[string]any{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["type"], out["required"] = "object", required
	}
	return out
}

// OrEnv admits a text with ${NAME} beside s.
func OrEnv(s map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{s, map[string]any{"$ref": "#/$defs/env"}}}
}

func jsonDefault(def string) json.RawMessage {
	var b bytes.Buffer
	WriteJSON(&b, &Checker{}, Value{Node: yamlDefault(def)})
	return b.Bytes()
}
