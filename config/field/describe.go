package field

import (
	"bytes"
	"fmt"
	"strings"
)

// Describe writes a table of fields and then the sections below them.
func Describe(b *bytes.Buffer, at Path, fields []Info) {
	b.WriteString("| field | value | default | meaning |\n|---|---|---|---|\n")
	for _, f := range fields {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Name, Cell(f.Meta.Words), Cell(defaultWords(f)), Cell(f.Doc))
	}
	for _, f := range fields {
		below := at.Join(f.Name)
		if f.Meta.Keys != "" {
			below = below.Join(f.Meta.Keys)
		}
		if len(f.Meta.Fields) > 0 {
			fmt.Fprintf(b, "\n## `%s`\n\n", below)
			Describe(b, below, f.Meta.Fields)
		}
		for _, v := range f.Meta.Variants {
			fmt.Fprintf(b, "\n## `%s`: %s\n\n%s\n\n", below, v.Title, v.Doc)
			Describe(b, below, v.Fields)
		}
	}
}

func defaultWords(f Info) string {
	switch {
	case f.required:
		return "required"
	case f.Inherits != "":
		return f.Inherits
	case f.Default != "":
		return "`" + f.Default + "`"
	case len(f.Meta.Fields) > 0 && f.Meta.Keys == "" && f.Meta.Optional:
		return "those of its fields"
	default:
		return "none"
	}
}

func Cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
