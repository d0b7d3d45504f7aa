package config

import (
	"bytes"
	_ "embed"
	"strings"
)

//go:embed example.yaml
var example string

//go:embed reference_intro.md
var intro string

// Reference is the description of all fields, in Markdown: docs/CONFIG.md.
func Reference(kinds []Kind) []byte {
	var b bytes.Buffer
	b.WriteString(strings.Replace(intro, "EXAMPLE\n", example, 1))
	b.WriteString("\n## Top level\n\n")
	describe(&b, nil, (&Config{kinds: kinds}).fields().infos())
	return b.Bytes()
}
