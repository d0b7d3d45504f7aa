package config

import (
	"bytes"
	"fmt"
	"strings"
)

// describe writes a table of fields and then the sections below them.
func describe(b *bytes.Buffer, at path, fields []info) {
	b.WriteString("| field | value | default | meaning |\n|---|---|---|---|\n")
	for _, f := range fields {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.name, cell(f.shape.words), cell(defaultWords(f)), cell(f.doc))
	}
	for _, f := range fields {
		below := at.join(f.name)
		if f.shape.keys != "" {
			below = below.join(f.shape.keys)
		}
		if len(f.shape.fields) > 0 {
			fmt.Fprintf(b, "\n## `%s`\n\n", below)
			describe(b, below, f.shape.fields)
		}
		for _, v := range f.shape.variants {
			fmt.Fprintf(b, "\n## `%s`: %s\n\n%s\n\n", below, v.title, v.doc)
			describe(b, below, v.fields)
		}
	}
}

func defaultWords(f info) string {
	switch {
	case f.required:
		return "required"
	case f.inherits != "":
		return f.inherits
	case f.def != "":
		return "`" + f.def + "`"
	case len(f.shape.fields) > 0 && f.shape.keys == "" && f.shape.optional:
		return "those of its fields"
	default:
		return "none"
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
